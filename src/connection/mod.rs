//! The controller of connections: read → decide → act → report.

mod act;
mod adoption;
mod audit;
mod build;
mod decide;
mod depart;
mod news;
mod notices;
mod observe;
mod observed;
mod report;

use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_api::reason::Reason;
use bowline_api::{IntegrationConnection, names};
use bowline_runtime::clock::later;
use bowline_runtime::follow::Change;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

pub(crate) use self::depart::depart_unreadable;

use self::act::{ConnectionOutcome, act};
use self::decide::{ConnectionPlan, decide};
use self::news::EventNote;
use self::observe::{observe, seems_rolled_back};
use self::observed::{ObservedConnection, RecordState};
use crate::context::{Context, Controlled, ReconcileError, Reconciled, look_again};
use crate::kinds::keys;
use crate::members::MembersOutcome;
use crate::metrics::PassOutcome;
use crate::notify::Notification;
use crate::vault::record::IssuedKeys;

/// How soon unfinished work is repeated.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// How soon a Secret that the API server does not accept is offered again: a policy may have changed.
const REFUSED: Duration = Duration::from_mins(10);

/// How soon a connection is looked at again whose status had to be written first.
const LOOK_AT_ONCE: Duration = Duration::from_secs(1);

/// How soon an unusable record is checked again, in the cache and without a request.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

impl Controlled for IntegrationConnection {
    const LABEL: &'static str = "connection";

    /// Itself, and the shares and bindings that publish its token.
    fn changed(ctx: &Context, change: &Change<Self>) {
        let connections = &ctx.world.kinds.connections;
        wake_limiting(ctx, change);
        let (uid, shared) = match change {
            Change::Applied { object, .. } => {
                connections.wake(ObjectRef::from_obj(&**object));
                let was_shared = object.status.as_ref().is_some_and(|status| status.sharing.is_some());
                (object.uid(), was_shared || object.spec.shared.unwrap_or_default())
            }
            Change::Gone { metadata, .. } => {
                let uid = metadata.uid.clone();
                ctx.grants.forget(uid.as_deref().unwrap_or_default());
                ctx.last_published.forget(uid.as_deref().unwrap_or_default());
                ctx.lifetimes.forget(uid.as_deref().unwrap_or_default());
                ctx.dependents_told.forget(uid.as_deref().unwrap_or_default());
                ctx.deliveries_told.forget(uid.as_deref().unwrap_or_default());
                ctx.nudges.forget(uid.as_deref().unwrap_or_default());
                (uid, true)
            }
            Change::SetAside(_) => return,
        };
        let meta = change.meta();
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        let id = names::connection_id(namespace.unwrap_or_default(), name.unwrap_or_default());
        ctx.world.kinds.bindings.wake_having(&keys::id(&id));
        if shared {
            ctx.world.kinds.shares.wake_having(&keys::connection(uid.as_deref().unwrap_or_default()));
        }
    }

    async fn reconcile(connection: Arc<Self>, ctx: Arc<Context>) -> Reconciled {
        let api: Api<Self> =
            Api::namespaced(ctx.client.clone(), connection.namespace().as_deref().unwrap_or_default());
        let result = finalizer(&api, names::FINALIZER, connection, |event| async {
            match event {
                Event::Apply(connection) => keep(&connection, &ctx).await,
                Event::Cleanup(connection) => depart::depart(&connection, &ctx).await,
            }
        });
        settled(result.await).map(|action| (PassOutcome::Settled, action))
    }
}

/// What counts towards a workspace has changed: wakes what its limits concern.
fn wake_limiting(ctx: &Context, change: &Change<IntegrationConnection>) {
    let states = match change {
        Change::Applied { object, before } if change.matters() => [Some(object), before.as_ref()],
        Change::Gone { last, .. } => [last.as_ref(), None],
        Change::Applied { .. } | Change::SetAside(_) => return,
    };
    for state in states.into_iter().flatten() {
        ctx.world.wake_limiting(state);
    }
}

async fn keep(connection: &IntegrationConnection, ctx: &Arc<Context>) -> Result<Action, ReconcileError> {
    // Wait until the provider controller has judged the provider, and wakes us: a restart must cause no Events.
    if ctx.world.is_unjudged(&connection.spec.provider) {
        return Ok(Action::requeue(TRY_AGAIN));
    }
    // The cache of records may be behind that of connections: whether a record was rolled back is read, not guessed.
    if seems_rolled_back(ctx, connection) {
        let uid = connection.uid().unwrap_or_default();
        if let Err(error) = ctx.store.reread(&uid).await {
            tracing::warn!(error = %chain(&error), "a record that seems to be rolled back could not be read now");
        }
    }
    let now = ctx.clock.now();
    let observed = observe(ctx, connection);
    let plan = decide(connection, &observed, now, ctx.settings.limits);
    let outcome = act(ctx, connection, &observed, &plan).await;
    let mut status = report::status(connection, &observed, &plan, &outcome, now);
    let ended = news::ended(connection, &status, &observed);
    let news = news::news(connection.status.as_ref(), &status, observed.actor.finished.as_ref(), now);
    let news = [news, ended].concat();
    news::record(&mut status, &news, now);
    let notices = notices::notifications(connection, &status, &news, ctx.settings.portal.as_ref(), now);
    publish(ctx, connection, &observed, &status, &news, notices).await?;
    remember_told(ctx, connection, &status, now);
    Ok(next(&observed, &plan, &outcome, now))
}

/// Remembers when what is told with pauses was told.
fn remember_told(
    ctx: &Context,
    connection: &IntegrationConnection,
    status: &IntegrationConnectionStatus,
    now: Timestamp,
) {
    let uid = connection.uid().unwrap_or_default();
    if status.dependents.as_ref() != connection.dependents() {
        ctx.dependents_told.set(&uid, now);
    }
    if status.last_delivery.as_ref() != connection.last_delivery() {
        ctx.deliveries_told.set(&uid, now);
    }
}

/// Writes the status if it changed, then tells the news: in the audit log, by notifications and Events, then drops the outcome that is reported.
async fn publish(
    ctx: &Context,
    connection: &IntegrationConnection,
    observed: &ObservedConnection,
    status: &IntegrationConnectionStatus,
    news: &[EventNote],
    notices: Vec<Notification>,
) -> Result<(), ReconcileError> {
    if !ctx.write_status(connection, status).await? {
        return Ok(());
    }
    audit::audit(connection, status, news);
    for notice in notices {
        ctx.notifications.tell(notice);
    }
    for (reason, note) in news {
        ctx.events.publish(&connection.object_ref(&()), *reason, "Reconcile", note).await;
    }
    if let Some(finished) = &observed.actor.finished {
        ctx.grants.acknowledge(&connection.uid().unwrap_or_default(), finished.id);
    }
    for ending in observed.endings.iter().filter(|ending| ending.is_done) {
        ctx.grants.records().reported(&ending.key).await;
    }
    Ok(())
}

/// When to reconcile again: at the next refresh, when the token expires, or soon if work is left. An actor at work wakes the
/// connection itself.
fn next(
    observed: &ObservedConnection,
    plan: &ConnectionPlan,
    outcome: &ConnectionOutcome,
    now: Timestamp,
) -> Action {
    let expiry = observed.record.grant().and_then(|grant| grant.expires_at).filter(|at| *at > now);
    let idle = plan.task.is_none() && !observed.actor.busy;
    let attempt = [plan.next_attempt, plan.request_at].into_iter().flatten().min().filter(|_| idle);
    let rested = |until: Option<Timestamp>| until.filter(|until| *until > now);
    let keys = observed.record.grant().and_then(|grant| grant.issued_keys());
    let times = [
        expiry,
        keys.and_then(IssuedKeys::next_expiry).filter(|at| *at > now),
        // No refresh is due while the actor rests.
        rested(observed.actor.rest_until).or(attempt),
        rested(observed.actor.consent_rest_until),
        plan.consent_at.filter(|_| idle),
        plan.probe_at.filter(|_| idle),
        plan.lifespan.changes_at,
        plan.revokes_at,
        rested(observed.adoptable.as_ref().and_then(|record| record.expires_at)),
        unannounced(observed, now),
        observed.dependents.rest_at,
        observed.delivery.rest_at,
        outcome.unfinished.then(|| later(now, TRY_AGAIN)),
        // Its members may do something once status says who allowed access.
        (outcome.members == MembersOutcome::Waiting && plan.authorized.is_true())
            .then(|| later(now, LOOK_AT_ONCE)),
        // Its new owner may connect as soon as nothing is left of the former one's grant.
        (plan.authorized.reason == Reason::OwnerChanged).then(|| later(now, LOOK_AT_ONCE)),
        outcome.refused.then(|| later(now, REFUSED)),
    ];
    look_again(times.into_iter().flatten().min(), now)
}

/// When to check what changes without waking us: the probe of a rejected registration, and a record that somebody restores,
/// or its key.
fn unannounced(observed: &ObservedConnection, now: Timestamp) -> Option<Timestamp> {
    if observed.next_probe.is_some() {
        // A probe that is due already is sent with the next refresh of any grant, which has its own time.
        return observed.next_probe.filter(|at| *at > now);
    }
    let unclear = match observed.record {
        RecordState::Unreadable | RecordState::Tampered | RecordState::RolledBack(_) => true,
        RecordState::Missing => observed.written.is_some(),
        RecordState::Present(_) => false,
    };
    unclear.then(|| later(now, LOOK_AGAIN))
}

/// Unwraps the finalizer helper's errors, so that the cause is logged and counted.
fn settled(result: Result<Action, finalizer::Error<ReconcileError>>) -> Result<Action, ReconcileError> {
    match result {
        Ok(action) => Ok(action),
        Err(finalizer::Error::ApplyFailed(error) | finalizer::Error::CleanupFailed(error)) => Err(error),
        // Already gone: no finalizer holds it any more.
        Err(finalizer::Error::RemoveFinalizer(kube::Error::Api(status))) if status.is_not_found() => {
            Ok(Action::await_change())
        }
        // Our object was outdated: the watch is about to deliver the newer one.
        Err(
            finalizer::Error::AddFinalizer(kube::Error::Api(status))
            | finalizer::Error::RemoveFinalizer(kube::Error::Api(status)),
        ) if [409, 422].contains(&status.code) => Ok(Action::await_change()),
        Err(error) => Err(ReconcileError::Finalizer(Box::new(error))),
    }
}
