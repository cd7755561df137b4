//! Collects what a decision needs: from caches only, so it never fails and never waits.

use std::sync::Arc;

use bowline_api::IntegrationConnection;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::observed::{ObservedConnection, Present, RecordState};
use crate::context::Context;
use crate::grant::consent::Concluded;
use crate::grant::incident::Trouble;
use crate::kube_ext::index::SecretIndex;
use crate::publishing::PublishedVersion;
use crate::vault::record::{ReadError, SealedField};
use crate::vault::seal::OpenError;
use crate::vault::{Grant, IntentState, Record, Slot};
use crate::world::ProviderUse;

pub(super) fn observe(ctx: &Context, connection: &IntegrationConnection) -> ObservedConnection {
    let (spec, namespace) = (&connection.spec, connection.namespace().unwrap_or_default());
    let actor = ctx.grants.view(&connection.uid().unwrap_or_default());
    let provider = ctx.world.provider(&spec.provider, &spec.parameters);
    let target = provider.as_ref().ok().cloned();
    let seen = |among: &SecretIndex, name: &str| version_of(among, &namespace, name);
    let own_app = |name: &str| seen(&ctx.world.own_apps, name).map(|(uid, at)| format!("{uid}/{at}"));
    let app_version = match &spec.app {
        None => target.as_ref().and_then(|target| target.app_version()).map(ToOwned::to_owned),
        Some(own) => own_app(&own.secret_name),
    };
    // A registration that the provider rejects pauses only the connections that use it, not those with their own app.
    let shared = target.as_ref().filter(|_| spec.app.is_none());
    let incident = |trouble| ctx.grants.incidents().present(shared?.provider(), trouble);
    let usage = target.as_ref().map_or(ProviderUse::Allowed, |it| ctx.world.may_use(it, connection));
    let credentials = spec.credentials.as_ref().map(|named| &named.secret_name);
    ObservedConnection {
        provider,
        next_probe: incident(Trouble::Registration).map(|incident| incident.next_probe),
        incident: incident(Trouble::Grants),
        usage,
        record: record(ctx, connection, actor.busy),
        secret: ctx.world.published.get(&namespace, &connection.secret_name()).map(|secret| secret.object),
        written: written(ctx, connection),
        app_version,
        credentials: credentials.and_then(|name| seen(&ctx.world.credentials, name)),
        requests_from: ctx.grants.requests().free_at(&spec.provider, ctx.clock.now()),
        missing_policies: ctx.world.policies.missing(),
        namespace_unreadable: ctx.world.is_unreadable(&namespace),
        attempts: attempts(ctx, connection, &actor.concluded),
        newest_attempt: ctx.world.attempts_of(connection).into_iter().next(),
        actor,
        portal: ctx.settings.portal.clone(),
        shared: ctx.world.shared(connection),
        shares: ctx.world.shares_of(connection),
        sharer: ctx.world.sharer(&connection.id()).ok().flatten(),
        is_reserved: ctx.world.is_reserved(&namespace),
        takes_anothers_name: takes_anothers_name(ctx, connection),
    }
}

/// UID and resourceVersion of a Secret.
fn version_of(among: &SecretIndex, namespace: &str, name: &str) -> Option<(String, String)> {
    let object = among.get(namespace, name)?.object;
    Some(((*object.uid).into(), object.resource_version.into()))
}

/// Each connection's own name is reserved for its Secret, also while it has none, and so is its id where it was ever shared. A
/// Secret that was published under it before stays: the workloads that mount it must not get another account.
fn takes_anothers_name(ctx: &Context, connection: &IntegrationConnection) -> bool {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.secret_name());
    let is_ours = || {
        let owner = ctx.world.published.get(&namespace, &name).and_then(|secret| secret.owner);
        owner.is_some_and(|owner| Some(&owner.uid) == connection.metadata.uid.as_ref())
    };
    if name == connection.name_any() || name == connection.id() {
        return false;
    }
    let is_anothers = ctx.world.has_connection(&namespace, &name) || ctx.world.sharer_secret(&name).is_some();
    is_anothers && !is_ours()
}

/// The Secret as published last, under the name in status.
pub(super) fn written(ctx: &Context, connection: &IntegrationConnection) -> Option<PublishedVersion> {
    let said = connection.status.as_ref().and_then(|status| status.secret.as_ref());
    let name = said.map_or_else(|| connection.secret_name(), |secret| secret.name.clone());
    ctx.published(&connection.uid()?, &connection.namespace()?, &name)
}

/// Attempts to connect that are open. The watch may still show some that we have ended.
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

/// The grant, with the expiry by the wall clock as it is now.
fn by_our_clock(ctx: &Context, record: &Record, mut grant: Grant) -> Grant {
    if let (Some(version), Some(expires_at)) = (record.grant_version(), &mut grant.expires_at) {
        *expires_at = ctx.lifetimes.expiry(record.uid(), version, *expires_at);
    }
    grant
}

fn consented_at(ctx: &Context, record: &Record) -> Option<Timestamp> {
    let candidate = record.open(&ctx.sealer, Slot::Candidate).ok().flatten()?.grant;
    candidate.consent.is_ours().then_some(candidate.obtained_at)
}

fn record(ctx: &Context, connection: &IntegrationConnection, busy: bool) -> RecordState {
    let record = match ctx.store.get(&connection.uid().unwrap_or_default()) {
        Ok(Some(loaded)) => loaded.record,
        Ok(None) => return RecordState::Missing,
        // Not listed yet, or a record that this version cannot read: unknown, never gone.
        Err(_) => return RecordState::Unreadable,
    };
    // What opens is bound to the place that the record names; we must check that this place is the connection's.
    if *record.place() != ctx.world.place(connection) {
        return RecordState::Tampered;
    }
    ctx.grants.sees(&record);
    let grant = match record.open_grant(&ctx.sealer) {
        Ok(grant) => grant.map(|grant| Arc::new(by_our_clock(ctx, &record, grant))),
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
        // The mark of a first request in progress is ignored too; the mark of one without an answer is not.
        doubted_since: record
            .intent(Slot::Candidate)
            .filter(|intent| !busy || intent.state == IntentState::Unknown)
            .map(|intent| intent.at),
        // While our actor is at work, its own mark is ignored.
        unknown_since: record.intent(Slot::InUse).filter(|_| !busy).map(|intent| intent.at),
        ending: record.ending().is_some(),
    })
}
