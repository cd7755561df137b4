//! Carries a plan out: Kubernetes writes, and commands to the grant's actor. Never waits for a provider.

use std::sync::Arc;

use bowline_api::names::{
    ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_ADOPT, ANNOTATION_APPROVE_TERMS, ANNOTATION_INTAKE,
};
use bowline_api::reason::{Effect, MessageFacts, Reason};
use bowline_api::{ConnectionShare, IntegrationConnection};
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::build;
use super::decide::ConnectionPlan;
use super::decide::consent::account_id;
use super::observed::ObservedConnection;
use crate::context::Context;
use crate::grant::budget::REQUESTED;
use crate::grant::target::Target;
use crate::grant::work::{AgreeingTerms, Job, Task};
use crate::kube_ext::apply;
use crate::members::{MembersOutcome, keep_connection};
use crate::metrics::PublishOutcome;
use crate::publishing::{Desired, PublishError, PublishedVersion, config_fault};
use crate::secret_plan::{SecretOutcome, SecretPlan};
use crate::sharing::terms::unseen;
use crate::sharing::{self, Shared};
use crate::vault::record::{Debt, EndTerms, Withdrawal};

#[derive(Debug, Default)]
pub(super) struct ConnectionOutcome {
    pub(crate) secret: SecretOutcome,
    /// Whether work is left that should be repeated soon.
    pub(crate) unfinished: bool,
    /// Whether the API server does not accept the Secret as it is.
    pub(crate) refused: bool,
    pub(crate) members: MembersOutcome,
}

/// Carries the plan out. Removals go first.
pub(super) async fn act(
    ctx: &Arc<Context>,
    connection: &IntegrationConnection,
    observed: &ObservedConnection,
    plan: &ConnectionPlan,
) -> ConnectionOutcome {
    let mut act = Act { ctx, connection, observed, plan, outcome: ConnectionOutcome::default() };
    act.kubernetes().await;
    act.members().await;
    act.adopt().await;
    act.remember_death().await;
    act.remember_pause().await;
    act.remember_disconnection().await;
    act.submit();
    act.drop_handled_annotations().await;
    act.outcome
}

struct Act<'a> {
    ctx: &'a Arc<Context>,
    connection: &'a IntegrationConnection,
    observed: &'a ObservedConnection,
    plan: &'a ConnectionPlan,
    outcome: ConnectionOutcome,
}

impl Act<'_> {
    async fn kubernetes(&mut self) {
        let Self { ctx, connection, observed, plan, .. } = *self;
        let uid = connection.uid().unwrap_or_default();
        if plan.authorized.effect == Effect::End {
            ctx.grants.leaves(&uid);
        }
        // Revocation waits for no namespace in which something cannot be withdrawn.
        if plan.end {
            self.also(end(ctx, connection, &Withdrawal::default()).await);
        } else if observed.record.present().is_some() && !observed.actor.busy {
            // Work in progress may be about to take a grant from the record whose ending it has written.
            ctx.grants.records().drop_unmoved(&uid).await;
        }
        if plan.take_back_shares {
            self.also(take_back_shares(ctx, &observed.shares).await.is_empty());
        }
        match plan.secret {
            SecretPlan::Write => self.publish().await,
            SecretPlan::Withdraw => self.withdraw().await,
            SecretPlan::Keep | SecretPlan::Withhold | SecretPlan::Nothing => {}
        }
        self.share().await;
        for dismissal in &plan.dismissals {
            self.also(ctx.grants.dismiss(dismissal).await);
        }
    }

    /// What could not be written is repeated; nobody but its owner frees a name.
    async fn members(&mut self) {
        self.outcome.members = keep_connection(self.ctx, self.connection).await;
        self.also(!matches!(self.outcome.members, MembersOutcome::Failed(_)));
    }

    fn also(&mut self, done: bool) {
        self.outcome.unfinished |= !done;
    }

    /// First it is remembered who shares: without that, another connection under this id would go unnoticed.
    async fn share(&mut self) {
        let Self { ctx, connection, observed, plan, .. } = *self;
        let Shared::In { workspace, .. } = &observed.shared else { return };
        if let Some(sharer) = &plan.sharer
            && !ctx.remember_sharer(sharer).await
        {
            return self.also(false);
        }
        for namespace in &plan.shares_to_write {
            self.also(ctx.write_share(&sharing::share(connection, workspace, namespace)).await);
        }
    }

    fn refuse_name(&mut self) {
        self.ctx.metrics.published(PublishOutcome::NameTaken);
        let name = self.connection.secret_name();
        let facts = MessageFacts { secret: Some(&name), ..self.connection.facts() };
        let message = Reason::NameReserved.message(&facts);
        self.outcome.unfinished = true;
        self.outcome.secret = SecretOutcome::Failed { reason: Reason::NameReserved, message };
    }

    fn refuse_config(&mut self, fault: String) {
        self.ctx.metrics.published(PublishOutcome::NotRenderable);
        let facts = MessageFacts { detail: fault.into(), ..self.connection.facts() };
        let message = Reason::ConfigInvalid.message(&facts);
        self.outcome.secret = SecretOutcome::Failed { reason: Reason::ConfigInvalid, message };
    }

    async fn publish(&mut self) {
        let Self { ctx, connection, observed, .. } = *self;
        let (Some(grant), Some(target)) = (observed.in_use(), observed.target()) else { return };
        if observed.takes_anothers_name {
            return self.refuse_name();
        }
        let (provider, allowed) = (target.description(), &ctx.settings.allowed_metadata);
        if let Some(fault) = config_fault(&connection.spec.config, provider) {
            return self.refuse_config(fault);
        }
        let desired = match build::secret(connection, &grant, provider, allowed) {
            Ok(desired) => desired,
            Err(error) => {
                ctx.metrics.published(PublishOutcome::NotRenderable);
                let message = format!("{error}.");
                self.outcome.secret = SecretOutcome::Failed { reason: error.reason(), message };
                return;
            }
        };
        match ctx.publish(&desired, observed.secret.as_ref(), observed.written.as_ref()).await {
            Ok(()) => {
                let gone = self.withdraw_former(&desired).await;
                self.also(gone);
                self.outcome.secret = SecretOutcome::Written;
                if connection.nudges() {
                    ctx.nudges.published(connection.object_ref(&()), &desired.name);
                }
            }
            // A newer revision is on record: the wake for it starts another reconcile.
            Err(PublishError::Superseded) => self.outcome.unfinished = true,
            Err(error) => self.failed(&error, "could not publish"),
        }
    }

    fn failed(&mut self, error: &PublishError, what: &str) {
        let (namespace, name) =
            (self.connection.namespace().unwrap_or_default(), self.connection.secret_name());
        tracing::warn!(error = %chain(error), secret = name, "{what}");
        let is_refused = error.is_refused_for_good();
        self.outcome.unfinished |= !is_refused;
        self.outcome.refused |= is_refused;
        self.outcome.secret = SecretOutcome::failed(error, error.reason(), &namespace, &name);
    }

    /// After a rename: removes the Secret under the former name. Returns whether it is gone.
    async fn withdraw_former(&self, desired: &Desired) -> bool {
        let written = self.observed.written.as_ref();
        let Some(former) = written.filter(|former| former.name != desired.name) else { return true };
        let Desired { namespace, owner, .. } = desired;
        let removed = self.ctx.withdraw(namespace, &former.name, &owner.uid, Some(&former.uid)).await;
        if let Err(error) = &removed {
            tracing::warn!(error = %chain(error), secret = former.name, "the Secret under the former name is still there");
        }
        removed.is_ok()
    }

    async fn withdraw(&mut self) {
        match withdraw_own(self.ctx, self.connection, self.observed.written.as_ref()).await {
            Ok(()) => self.outcome.secret = SecretOutcome::Withdrawn,
            Err(error) => self.failed(&error, "could not withdraw"),
        }
    }

    async fn adopt(&mut self) {
        let Some(former) = &self.plan.adopt else { return };
        let place = self.ctx.world.place(self.connection);
        let is_adopted = self.ctx.grants.records().adopt(former, &place).await;
        self.also(is_adopted);
    }

    /// Puts a new pause on record, so that it survives a lost status and ends with the app registration it was imposed for.
    /// The record is left alone while the actor is at work. Only the next answer clears the pause.
    async fn remember_pause(&self) {
        let record = self.observed.record.present().filter(|_| !self.plan.end);
        let Some(record) = record.filter(|_| !self.observed.actor.busy) else { return };
        let Some(pause) = self.plan.history.pause() else { return };
        if record.pause.as_ref().is_none_or(|known| known.not_before != pause.not_before) {
            let uid = self.connection.uid().unwrap_or_default();
            self.ctx.grants.records().remember_pause(&uid, pause).await;
        }
    }

    /// Puts on record since when a disconnection can be undone, so that the time ends for the next process as well; or that
    /// it was undone.
    async fn remember_disconnection(&mut self) {
        let record = self.observed.record.present().filter(|_| !self.plan.end && !self.observed.actor.busy);
        let Some(known) = record.map(|record| record.disconnected_at) else { return };
        let since = self.plan.disconnected_since;
        if since != known {
            let uid = self.connection.uid().unwrap_or_default();
            let is_kept = self.ctx.grants.records().remember_disconnection(&uid, since).await;
            self.also(is_kept);
        }
    }

    /// Puts on record that nothing of the grant works any more: it holds back the revocation of no other.
    async fn remember_death(&self) {
        let record = self.observed.record.present().filter(|it| self.plan.lifespan.is_over && !it.is_dead);
        let Some(record) = record.filter(|_| !self.plan.end && !self.observed.actor.busy) else { return };
        if let Some(version) = record.version {
            let uid = self.connection.uid().unwrap_or_default();
            self.ctx.grants.records().remember_death(&uid, version.id).await;
        }
    }

    fn submit(&mut self) {
        let (Some(task), Some(target)) = (&self.plan.task, self.observed.target()) else { return };
        if !self.has_room(task) {
            return self.also(false);
        }
        if let (Task::Refresh { request: None }, Some(due)) = (task, self.plan.next_attempt) {
            let late = self.ctx.clock.now().duration_since(due);
            self.ctx.metrics.refresh_begun_late_by(late.try_into().unwrap_or_default());
        }
        self.ctx.grants.submit(self.job(target, task.clone()));
    }

    /// Whether the provider's budget has room for a refresh that is requested and not due. Others may have used it meanwhile.
    fn has_room(&self, task: &Task) -> bool {
        let now = self.ctx.clock.now();
        let is_requested =
            matches!(task, Task::Refresh { request: Some(_) } | Task::Mint { request: Some(_) });
        let is_due = self.plan.next_attempt.is_some_and(|due| due <= now);
        !is_requested
            || is_due
            || self.ctx.grants.requests().take(&self.connection.spec.provider, REQUESTED, now)
    }

    fn job(&self, target: &Arc<Target>, task: Task) -> Job {
        let spec = &self.connection.spec;
        let expires_at = self.observed.record.grant().and_then(|grant| grant.expires_at);
        Job {
            place: self.ctx.world.place(self.connection),
            owner: spec.owner.clone(),
            target: Arc::clone(target),
            method: target.method(spec),
            parameters: spec.parameters.clone(),
            own_app: spec.app.as_ref().map(|app| app.secret_name.clone()),
            app_version: self.observed.app_version.clone(),
            scopes: self.observed.terms.scopes(self.connection),
            agreeing: self.agreeing(),
            expected_account: spec.account.as_ref().map(|account| account.id.clone()),
            accepted_account: self.connection.annotations().get(ANNOTATION_ACCEPT_ACCOUNT).cloned(),
            newest_known: self.observed.newest_known,
            // A token without a known expiry goes last.
            urgency: expires_at.unwrap_or(Timestamp::MAX),
            task,
            leaving: CancellationToken::new(),
            gives_way: CancellationToken::new(),
        }
    }

    /// The approval on the object, once nothing is left to be done for it. Where there is no grant it approves nothing.
    fn handled_approval(&self) -> Option<String> {
        let seals = self.observed.terms.agreed().is_some_and(|terms| terms.to_seal.is_some());
        let is_due = seals || !self.observed.missing_policies.is_empty();
        self.connection.annotations().get(ANNOTATION_APPROVE_TERMS).filter(|_| !is_due).cloned()
    }

    /// The agreement to an adoption, once the connection has a grant.
    fn handled_adoption(&self) -> Option<String> {
        let is_done = self.observed.record.grant().is_some() && self.observed.adoptable.is_none();
        self.connection.annotations().get(ANNOTATION_ADOPT).filter(|_| is_done).cloned()
    }

    /// What a grant that is taken in now is sealed with.
    fn agreeing(&self) -> AgreeingTerms {
        let proposed = self.ctx.world.proposed_terms(self.connection);
        let unseen = unseen(self.connection, &self.observed.terms, proposed.clone());
        AgreeingTerms { proposed, scopes: self.connection.spec.scopes.clone(), unseen }
    }

    /// Removes annotations that were handled: the announcement that was carried out or refused, the owner's confirmation of the
    /// account of the grant in use, and an approval that is on record, or is not of what waits. A newer value stays.
    async fn drop_handled_annotations(&self) {
        let agreed = self.observed.record.grant().filter(|grant| !grant.consent.awaits_confirmation());
        let handled = [
            (ANNOTATION_INTAKE, self.observed.actor.taken.clone()),
            (ANNOTATION_ACCEPT_ACCOUNT, agreed.map(|grant| account_id(grant))),
            (ANNOTATION_APPROVE_TERMS, self.handled_approval()),
            (ANNOTATION_ADOPT, self.handled_adoption()),
        ];
        let namespace = self.connection.namespace().unwrap_or_default();
        let api: Api<IntegrationConnection> = Api::namespaced(self.ctx.client.clone(), &namespace);
        for (name, value) in handled {
            let shown = self.connection.annotations().get(name);
            let Some(value) = value.filter(|value| shown == Some(value)) else { continue };
            if let Err(error) =
                apply::remove_annotation(&api, &self.connection.name_any(), name, &value).await
            {
                tracing::warn!(annotation = name, error = %chain(&error), "a handled annotation is still on the connection");
            }
        }
    }
}

/// Removes the Secret in the connection's own namespace, under the name it was published with last.
pub(super) async fn withdraw_own(
    ctx: &Context,
    connection: &IntegrationConnection,
    written: Option<&PublishedVersion>,
) -> Result<(), PublishError> {
    let (uid, namespace) = (connection.uid().unwrap_or_default(), connection.namespace().unwrap_or_default());
    let named = connection.secret_name();
    let former = written.map(|written| written.name.as_str()).filter(|former| *former != named);
    for name in former.into_iter().chain([named.as_str()]) {
        let written_uid = written.filter(|written| written.name == name).map(|written| written.uid.as_str());
        // If no Secret of that name was ever written or can be there, no request is needed.
        if written_uid.is_some() || ctx.world.published.may_have(&namespace, name) {
            ctx.withdraw(&namespace, name, &uid, written_uid).await?;
        }
    }
    ctx.last_published.forget(&uid);
    Ok(())
}

/// Removes shares and their Secrets. Returns what is left.
pub(super) async fn take_back_shares(ctx: &Context, shares: &[Arc<ConnectionShare>]) -> Vec<Debt> {
    let mut left = Vec::new();
    for share in shares {
        if let Err(error) = ctx.take_back(share).await {
            let namespace = share.namespace().unwrap_or_default();
            tracing::warn!(error = %chain(&error), share = share.name_any(), namespace, "a share could not be taken back yet");
            let (secret, owner) = (share.name_any(), share.uid().unwrap_or_default());
            left.push(Debt { namespace, secret, owner, written: None });
        }
    }
    left
}

/// Moves the grant from the connection's record into an ending. Returns whether no record is left.
pub(super) async fn end(ctx: &Context, connection: &IntegrationConnection, withdrawal: &Withdrawal) -> bool {
    let terms = EndTerms {
        parameters: connection.spec.parameters.clone(),
        own_app: connection.spec.app.as_ref().map(|app| app.secret_name.clone()),
    };
    ctx.grants.records().end(&connection.uid().unwrap_or_default(), &terms, withdrawal).await
}
