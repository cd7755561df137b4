//! Gathers what a decision needs: from caches only, so it never fails and never waits.

use std::sync::Arc;

use bowline_api::IntegrationConnection;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::observed::{Observed, Present, Provider, RecordState, SourceSeen};
use crate::context::Context;
use crate::grant::consent::{Concluded, Dismissal};
use crate::grant::target::Target;
use crate::publishing::PublishedVersion;
use crate::vault::record::{ReadError, SealedField};
use crate::vault::seal::OpenError;
use crate::vault::{IntentState, Record, Slot};
use crate::world::ProviderLookup;

/// Everything a decision about `connection` needs.
pub(super) fn observe(ctx: &Context, connection: &IntegrationConnection) -> Observed {
    let uid = connection.uid().unwrap_or_default();
    let namespace = connection.namespace().unwrap_or_default();
    let actor = ctx.grants.view(&uid);
    let credentials = connection.spec.credentials.as_ref();
    let provider = provider(ctx, connection);
    Observed {
        app_version: app_version(ctx, connection, &provider),
        provider,
        namespace_labels: ctx.world.namespace_labels(&namespace),
        record: record(ctx, connection, actor.busy),
        secret: ctx.world.published.get(&namespace, &connection.secret_name()).map(|secret| secret.object),
        written: written(ctx, connection),
        busy: actor.busy,
        finished: actor.finished,
        rest_until: actor.rest_until,
        app_differs: actor.app_differs,
        taken: actor.taken,
        credentials: credentials
            .and_then(|credentials| ctx.world.credentials.get(&namespace, &credentials.secret_name))
            .map(|entry| SourceSeen {
                uid: (*entry.object.uid).into(),
                resource_version: entry.object.resource_version.into(),
            }),
        refused_source: actor
            .refused_source
            .map(|(uid, resource_version)| SourceSeen { uid, resource_version }),
        attempts: attempts(ctx, connection, &actor.concluded),
        newest_attempt: ctx.world.attempts_of(connection).into_iter().next(),
        unwritten: unwritten(actor.concluded),
        poll_at: actor.poll_at,
        portal: ctx.settings.portal.clone(),
        shared: ctx.world.shared(connection),
        shares: ctx.world.shares_of(connection),
    }
}

/// The Secret as it was published last: as this process remembers, or else as the Secret itself tells.
pub(super) fn written(ctx: &Context, connection: &IntegrationConnection) -> Option<PublishedVersion> {
    let uid = connection.uid()?;
    ctx.last_published.get(&uid).or_else(|| {
        let told = connection.status.as_ref().and_then(|status| status.secret.as_ref());
        let name = told.map_or_else(|| connection.secret_name(), |secret| secret.name.clone());
        let entry = ctx.world.published.get(&connection.namespace()?, &name)?;
        PublishedVersion::found(&entry, &name, &uid)
    })
}

/// Attempts to connect that are not over; of those that we ended, the watch may not have told yet.
fn attempts(
    ctx: &Context,
    connection: &IntegrationConnection,
    concluded: &[Concluded],
) -> Vec<StoredAttempt> {
    let now = ctx.clock.now();
    let mut attempts = ctx.world.attempts_of(connection);
    let ended = |name: &str| concluded.iter().any(|it| it.written && it.dismissal.attempt == name);
    attempts.retain(|kept| kept.attempt.is_open_at(now) && !ended(&kept.name));
    attempts
}

fn consented_at(ctx: &Context, record: &Record) -> Option<Timestamp> {
    let candidate = record.open(&ctx.sealer, Slot::Candidate).ok().flatten()?.grant;
    candidate.consent.is_ours().then_some(candidate.obtained_at)
}

fn unwritten(concluded: Vec<Concluded>) -> Vec<Dismissal> {
    concluded.into_iter().filter(|ended| !ended.written).map(|ended| ended.dismissal).collect()
}

fn provider(ctx: &Context, connection: &IntegrationConnection) -> Provider {
    let spec = &connection.spec;
    match ctx.world.provider(&spec.provider, &spec.parameters) {
        ProviderLookup::NotFound => Provider::NotFound,
        ProviderLookup::NotReady { message } => Provider::NotReady { message },
        ProviderLookup::ParametersInvalid { message } => Provider::ParametersInvalid { message },
        ProviderLookup::Ready(target) => usable(ctx, connection, target),
    }
}

/// The connection's own app where it has one, else the provider's.
fn app_version(ctx: &Context, connection: &IntegrationConnection, provider: &Provider) -> Option<String> {
    let Some(own) = &connection.spec.app else {
        return provider.target()?.app_version().map(ToOwned::to_owned);
    };
    let seen = ctx.world.credentials.get(&connection.namespace()?, &own.secret_name)?;
    Some(format!("{}/{}", seen.object.uid, seen.object.resource_version))
}

/// A registration that the provider rejects pauses the connections that use it, not those with an app of their own.
fn usable(ctx: &Context, connection: &IntegrationConnection, target: Arc<Target>) -> Provider {
    let next_probe = ctx.grants.engine.gate.registrations.next_probe(target.provider());
    match next_probe.filter(|_| connection.spec.app.is_none()) {
        Some(next_probe) => Provider::Rejected { target, next_probe },
        None => Provider::Ready(target),
    }
}

fn record(ctx: &Context, connection: &IntegrationConnection, busy: bool) -> RecordState {
    let uid = connection.uid().unwrap_or_default();
    let record = match ctx.store.get(&uid) {
        Ok(Some(loaded)) => loaded.record,
        Ok(None) => return RecordState::Missing,
        // Not listed yet, or not a record that this version can read: unknown, never gone.
        Err(_) => return RecordState::Unreadable,
    };
    // What opens is bound to the place the record names; that it is this connection's is for us to check.
    if *record.place() != ctx.world.place(connection) {
        return RecordState::Tampered;
    }
    ctx.grants.engine.marks.sees(&record);
    let grant = match record.open_grant(&ctx.sealer) {
        Ok(grant) => grant.map(Arc::new),
        Err(ReadError::Open(OpenError::Tampered | OpenError::NotAnEnvelope)) => return RecordState::Tampered,
        Err(_) => return RecordState::Unreadable,
    };
    RecordState::Present(Present {
        revision: record.grant().map_or(record.revision(), SealedField::revision),
        grant,
        version: record.grant_version(),
        pause: record.bookkeeping().pause.clone(),
        has_candidate: record.candidate().is_some(),
        consented_at: consented_at(ctx, &record),
        // The mark of a first try that is under way is no news either; one that got no answer stays news.
        doubted_since: record
            .intent(Slot::Candidate)
            .filter(|intent| !busy || intent.state == IntentState::Unknown)
            .map(|intent| intent.at),
        // While our actor is at work, its own mark is no news.
        unknown_since: record.intent(Slot::InUse).filter(|_| !busy).map(|intent| intent.at),
        ending: record.ending().is_some(),
    })
}
