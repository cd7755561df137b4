//! Carries a plan out: Kubernetes writes, and commands to the grant's actor. Never waits for a provider.

use std::sync::Arc;

use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_INTAKE};
use bowline_api::reason::Reason;
use bowline_api::{ConnectionShare, IntegrationConnection};
use bowline_runtime::follow::ObjectVersion;
use bowline_runtime::telemetry::chain;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::build;
use super::decide::consent::account_id;
use super::decide::{Plan, Publishing};
use super::observed::Observed;
use crate::context::Context;
use crate::grant::target::Target;
use crate::grant::work::{Job, Task};
use crate::kube_ext::apply;
use crate::metrics::PublishOutcome;
use crate::publishing::{self, PublishError, PublishedVersion, withdraw_share};
use crate::sharing::{self, Shared};
use crate::vault::record::{EndReason, EndTerms};
use crate::world::World;

/// What carrying out came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What became of the Secret.
    pub(crate) secret: SecretOutcome,
    /// Whether something is left to do that is worth another try soon.
    pub(crate) unfinished: bool,
}

/// What became of the Secret.
#[derive(Debug, Default)]
pub(crate) enum SecretOutcome {
    /// Nothing was tried.
    #[default]
    Untouched,
    /// It was written.
    Written(PublishedVersion),
    /// It is gone.
    Withdrawn,
    /// It could not be written or removed: reason and sentence.
    Failed {
        /// Why.
        reason: Reason,
        /// What happened, what to do, who.
        message: String,
    },
}

/// Carries the plan out. What is taken away goes first.
pub(crate) async fn act(
    ctx: &Arc<Context>,
    connection: &IntegrationConnection,
    observed: &Observed,
    plan: &Plan,
) -> Outcome {
    let mut outcome = Outcome::default();
    if plan.take_back_shares {
        outcome.unfinished |= !take_back_shares(ctx, &observed.shares).await;
    }
    match plan.publishing {
        Publishing::Write => publish(ctx, connection, observed, &mut outcome).await,
        Publishing::Withdraw => withdraw(ctx, connection, observed, &mut outcome).await,
        Publishing::Keep | Publishing::Withhold | Publishing::Nothing => {}
    }
    if plan.end && !outcome.unfinished {
        let marked = mark_ending(ctx, connection, EndReason::Disconnected).await;
        outcome.unfinished |= !marked;
    }
    for namespace in &plan.shares_to_write {
        outcome.unfinished |= !write_share(ctx, connection, &observed.shared, namespace).await;
    }
    for dismissal in &plan.dismissals {
        outcome.unfinished |= !ctx.grants.engine.consents.dismiss(dismissal).await;
    }
    remember_pause(ctx, connection, observed, plan).await;
    if let (Some(task), Some(target)) = (&plan.task, observed.provider.target()) {
        if let (Task::Refresh { request: None }, Some(due)) = (task, plan.next_attempt) {
            let late = ctx.clock.now().duration_since(due);
            ctx.metrics.refresh_begun_late_by(late.try_into().unwrap_or_default());
        }
        ctx.grants.submit(job(ctx, connection, observed, target, task.clone()));
    }
    drop_announcement(ctx, connection, observed).await;
    drop_agreement(ctx, connection, observed).await;
    outcome
}

async fn publish(
    ctx: &Context,
    connection: &IntegrationConnection,
    observed: &Observed,
    outcome: &mut Outcome,
) {
    let Some((grant, revision, version)) = observed.record.in_use() else { return };
    let desired = match build::secret(connection, grant, revision, version, &ctx.settings.allowed_metadata) {
        Ok(desired) => desired,
        Err(error) => {
            ctx.metrics.published(PublishOutcome::NotRenderable);
            outcome.secret = SecretOutcome::Failed { reason: error.reason(), message: format!("{error}.") };
            return;
        }
    };
    let uid = connection.uid().unwrap_or_default();
    let known = known(observed, &desired.name);
    match ctx.publish(&desired, known.as_ref()).await {
        Ok(written) => {
            let secret = PublishedVersion {
                name: desired.name.clone(),
                uid: written.uid.to_string(),
                resource_version: Some(written.resource_version.into()),
                grant: Some(version),
            };
            ctx.last_published.set(&uid, secret.clone());
            withdraw_former(ctx, connection, observed, &secret, outcome).await;
            outcome.secret = SecretOutcome::Written(secret);
        }
        // A newer revision is on record: the wake that told of it brings us back.
        Err(PublishError::Superseded) => outcome.unfinished = true,
        Err(error) => {
            tracing::warn!(error = %chain(&error), secret = desired.name, "could not publish");
            outcome.unfinished = true;
            let message = error.message(&desired.namespace, &desired.name);
            outcome.secret = SecretOutcome::Failed { reason: error.reason(), message };
        }
    }
}

/// The preconditions of the write: the Secret as last written or seen under that name.
fn known(observed: &Observed, name: &str) -> Option<ObjectVersion> {
    let written = observed.written.as_ref()?;
    observed.secret.clone().filter(|seen| written.is_object(seen, name))
}

/// A renamed Secret: the new one is there, so the old one goes.
async fn withdraw_former(
    ctx: &Context,
    connection: &IntegrationConnection,
    observed: &Observed,
    written: &PublishedVersion,
    outcome: &mut Outcome,
) {
    let Some(former) = observed.written.as_ref().filter(|former| former.name != written.name) else { return };
    let namespace = connection.namespace().unwrap_or_default();
    let (index, uid) = (&ctx.world.published, connection.uid().unwrap_or_default());
    let removed =
        publishing::withdraw(&ctx.client, index, &namespace, &former.name, &uid, Some(&former.uid)).await;
    if let Err(error) = removed {
        tracing::warn!(error = %chain(&error), secret = former.name, "the Secret under the former name is still there");
        outcome.unfinished = true;
    }
}

async fn withdraw(
    ctx: &Context,
    connection: &IntegrationConnection,
    observed: &Observed,
    outcome: &mut Outcome,
) {
    match withdraw_own(ctx, connection, observed.written.as_ref()).await {
        Ok(()) => outcome.secret = SecretOutcome::Withdrawn,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "could not withdraw");
            outcome.unfinished = true;
            let namespace = connection.namespace().unwrap_or_default();
            let message = error.message(&namespace, &connection.secret_name());
            outcome.secret = SecretOutcome::Failed { reason: error.reason(), message };
        }
    }
}

/// Removes the Secret in the connection's own namespace, under whatever name it was published last.
pub(crate) async fn withdraw_own(
    ctx: &Context,
    connection: &IntegrationConnection,
    written: Option<&PublishedVersion>,
) -> Result<(), PublishError> {
    let uid = connection.uid().unwrap_or_default();
    let namespace = connection.namespace().unwrap_or_default();
    let named = connection.secret_name();
    let former = written.filter(|written| written.name != named);
    for (name, written_uid) in
        former.map(|former| (former.name.as_str(), Some(former.uid.as_str()))).into_iter().chain([(
            named.as_str(),
            written.filter(|written| written.name == named).map(|written| written.uid.as_str()),
        )])
    {
        // Nothing of that name was ever written or seen: no request is needed to know that nothing is there.
        if written_uid.is_some() || ctx.world.published.get(&namespace, name).is_some() {
            publishing::withdraw(&ctx.client, &ctx.world.published, &namespace, name, &uid, written_uid)
                .await?;
        }
    }
    ctx.last_published.forget(&uid);
    Ok(())
}

/// Removes shares and their Secrets; whether all are gone.
pub(crate) async fn take_back_shares(ctx: &Context, shares: &[Arc<ConnectionShare>]) -> bool {
    let mut all = true;
    for share in shares {
        if let Err(error) = withdraw_share(&ctx.client, &ctx.world.published, share).await {
            tracing::warn!(error = %chain(&error), share = share.name_any(), "a share could not be taken back yet");
            all = false;
        }
    }
    all
}

/// Puts a new pause on record, so that it outlives status and ends with the app registration it was taken with. The record is left
/// alone while the actor is at work. The next answer takes the pause off; here a status that says nothing does not.
async fn remember_pause(ctx: &Context, connection: &IntegrationConnection, observed: &Observed, plan: &Plan) {
    let present = observed.record.present().filter(|present| !observed.busy && !present.ending && !plan.end);
    let Some(present) = present else { return };
    let Some(pause) = plan.history.pause() else { return };
    if present.pause.as_ref().is_none_or(|known| known.not_before != pause.not_before) {
        ctx.grants.engine.records.remember_pause(&connection.uid().unwrap_or_default(), pause).await;
    }
}

/// Marks the grant as ending; whether that is on record.
pub(crate) async fn mark_ending(
    ctx: &Context,
    connection: &IntegrationConnection,
    reason: EndReason,
) -> bool {
    let terms = EndTerms {
        parameters: connection.spec.parameters.clone(),
        own_app: connection.spec.app.as_ref().map(|app| app.secret_name.clone()),
    };
    ctx.grants.engine.records.mark_ending(&connection.uid().unwrap_or_default(), reason, &terms).await
}

async fn write_share(
    ctx: &Context,
    connection: &IntegrationConnection,
    shared: &Shared,
    namespace: &str,
) -> bool {
    let Shared::In { workspace, .. } = shared else { return true };
    let share = sharing::share(connection, workspace, namespace);
    let api: Api<ConnectionShare> = Api::namespaced(ctx.client.clone(), namespace);
    match apply::apply(&api, &share.name_any(), &share).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(error = %chain(&error), namespace, "a share could not be written yet");
            false
        }
    }
}

fn job(
    ctx: &Context,
    connection: &IntegrationConnection,
    observed: &Observed,
    target: &Arc<Target>,
    task: Task,
) -> Job {
    let spec = &connection.spec;
    let ends = observed.record.grant().and_then(|grant| grant.expires_at);
    Job {
        place: ctx.world.place(connection),
        owner: spec.owner.clone(),
        target: Arc::clone(target),
        method: target.method(spec),
        own_app: spec.app.as_ref().map(|app| app.secret_name.clone()),
        app_version: observed.app_version.clone(),
        scopes: spec.scopes.clone(),
        expected_account: spec.account.as_ref().map(|account| account.id.clone()),
        accepted_account: connection.annotations().get(ANNOTATION_ACCEPT_ACCOUNT).cloned(),
        urgency: ends.unwrap_or(World::LAST),
        task,
        gone: CancellationToken::new(),
    }
}

/// Removes the owner's agreement to an account once the grant in use is of that account and needs it no more.
async fn drop_agreement(ctx: &Context, connection: &IntegrationConnection, observed: &Observed) {
    let Some(agreed) = connection.annotations().get(ANNOTATION_ACCEPT_ACCOUNT) else { return };
    let Some(grant) = observed.record.grant() else { return };
    if !grant.consent.awaits_confirmation() && account_id(grant) == *agreed {
        drop_annotation(ctx, connection, ANNOTATION_ACCEPT_ACCOUNT, agreed).await;
    }
}

/// Removes the announcement that was carried out or refused, unless a newer one stands there.
async fn drop_announcement(ctx: &Context, connection: &IntegrationConnection, observed: &Observed) {
    let shown = connection.annotations().get(ANNOTATION_INTAKE);
    let Some(value) = shown.filter(|shown| observed.taken.as_ref() == Some(shown)) else { return };
    drop_annotation(ctx, connection, ANNOTATION_INTAKE, value).await;
}

async fn drop_annotation(ctx: &Context, connection: &IntegrationConnection, name: &str, value: &str) {
    let api: Api<IntegrationConnection> =
        Api::namespaced(ctx.client.clone(), &connection.namespace().unwrap_or_default());
    if let Err(error) = apply::remove_annotation(&api, &connection.name_any(), name, value).await {
        tracing::warn!(annotation = name, error = %chain(&error), "a handled annotation is still on the connection");
    }
}
