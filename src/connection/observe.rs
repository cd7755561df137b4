//! Collects what a decision needs: from caches only, so it never fails and never waits.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::connection::DependentsStatus;
use bowline_api::delivery::LastDelivery;
use bowline_runtime::attempts::StoredAttempt;
use kube::ResourceExt;

use super::adoption::adoptable;
use super::observed::{EndingView, ObservedConnection, Present, RecordState};
use crate::context::Context;
use crate::grant::budget::REQUESTED;
use crate::grant::consent::Concluded;
use crate::grant::incident::Trouble;
use crate::grant::probe::{ProbeView, is_possible};
use crate::grant::standing;
use crate::grant::target::Target;
use crate::kube_ext::coalesce::{Coalesced, coalesced};
use crate::kube_ext::index::SecretIndex;
use crate::publishing::PublishedVersion;
use crate::sharing::terms::TermsOnRecord;
use crate::vault::record::{GrantVersion, ReadError, RecordError, SealedField};
use crate::vault::seal::OpenError;
use crate::vault::{CachedReadError, Grant, Intent, IntentState, Record, Slot};
use crate::world::ProviderUse;

/// The pause after a change of `status.dependents`.
const DEPENDENTS_PAUSE: Duration = Duration::from_secs(10);
/// The pause after a change of `status.lastDelivery`.
const DELIVERY_PAUSE: Duration = Duration::from_mins(1);

// long: a line for each field, and nothing else.
pub(super) fn observe(ctx: &Context, connection: &IntegrationConnection) -> ObservedConnection {
    let (spec, namespace) = (&connection.spec, connection.namespace().unwrap_or_default());
    let actor = ctx.grants.view(&connection.uid().unwrap_or_default());
    let provider = ctx.world.provider(&spec.provider, &spec.parameters);
    let target = provider.as_ref().ok().cloned();
    // A registration that the provider rejects pauses only the connections that use it, not those with their own app.
    let shared = target.as_ref().filter(|_| spec.app.is_none());
    let incident = |trouble| ctx.grants.incidents().present(shared?.provider(), trouble, ctx.clock.now());
    let record = record(ctx, connection, actor.busy);
    let terms = ctx.world.terms(connection, terms_on_record(connection, &record));
    ObservedConnection {
        disconnect_pause: ctx.settings.disconnect_pause,
        provider,
        next_probe: incident(Trouble::Registration).map(|incident| incident.next_probe),
        incident: incident(Trouble::Grants),
        usage: target.as_ref().map_or(ProviderUse::Allowed, |it| ctx.world.may_use(it, connection)),
        reached_limit: is_new(connection, &record).then(|| ctx.world.reached_limit(connection)).flatten(),
        workspace_contact: ctx.world.contact(spec.workspace.as_deref()),
        probe: probe(ctx, connection, target.as_deref(), &record, incident(Trouble::Tokens).is_some()),
        token_incident: incident(Trouble::Tokens),
        adoptable: adoptable(ctx, connection, &record),
        record,
        newest_known: newest_known(ctx, connection),
        endings: endings(ctx, connection),
        secret: ctx.world.published.get(&namespace, &connection.secret_name()).map(|secret| secret.object),
        written: written(ctx, connection),
        app_version: app_version(ctx, connection, target.as_deref()),
        credentials: credentials(ctx, connection),
        requests_from: ctx.grants.requests().free_at(&spec.provider, REQUESTED, ctx.clock.now()),
        missing_policies: ctx.world.policies.missing(),
        namespace_unreadable: ctx.world.is_unreadable(&namespace),
        attempts: attempts(ctx, connection, &actor.concluded),
        newest_attempt: ctx.world.attempts_of(connection).into_iter().next(),
        actor,
        portal: ctx.settings.portal.clone(),
        shared: ctx.world.shared(connection, &terms),
        terms,
        shares: ctx.world.shares_of(connection),
        dependents: told_dependents(ctx, connection),
        delivery: told_delivery(ctx, connection),
        sharer: ctx.world.sharer(&connection.id()).ok().flatten(),
        is_reserved: ctx.world.is_reserved(&namespace),
        takes_anothers_name: takes_anothers_name(ctx, connection),
    }
}

fn terms_on_record(connection: &IntegrationConnection, record: &RecordState) -> TermsOnRecord {
    match record {
        RecordState::Present(Present { grant: Some(grant), .. }) => TermsOnRecord::of(grant, connection),
        RecordState::Missing | RecordState::Present(_) => TermsOnRecord::without(connection),
        RecordState::Unreadable | RecordState::Tampered | RecordState::RolledBack(_) => {
            TermsOnRecord::Unknown
        }
    }
}

/// Whether it has no grant, and had none since it was last disconnected: limits of a workspace are about such a connection alone.
fn is_new(connection: &IntegrationConnection, record: &RecordState) -> bool {
    let has_none = match record {
        RecordState::Missing => true,
        RecordState::Present(present) => present.grant.is_none(),
        RecordState::Unreadable | RecordState::Tampered | RecordState::RolledBack(_) => false,
    };
    has_none && !connection.was_connected()
}

/// A thousand bindings that are made at once must not cause a thousand writes. The first is told at once: from then on the
/// connection is protected.
fn told_dependents(ctx: &Context, connection: &IntegrationConnection) -> Coalesced<DependentsStatus> {
    let last_told = ctx.dependents_told.get(connection.metadata.uid.as_deref().unwrap_or_default());
    let there = ctx.world.dependents_of(connection);
    coalesced(connection.dependents(), there, last_told, DEPENDENTS_PAUSE, ctx.clock.now())
}

fn told_delivery(ctx: &Context, connection: &IntegrationConnection) -> Coalesced<LastDelivery> {
    let last_told = ctx.deliveries_told.get(connection.metadata.uid.as_deref().unwrap_or_default());
    let there = ctx.world.last_delivery_with(connection);
    coalesced(connection.last_delivery(), there, last_told, DELIVERY_PAUSE, ctx.clock.now())
}

/// What is known of the token in use by probes, where it may be checked.
fn probe(
    ctx: &Context,
    connection: &IntegrationConnection,
    target: Option<&Target>,
    record: &RecordState,
    of_everybody: bool,
) -> Option<ProbeView> {
    let (uid, version) = (connection.metadata.uid.as_deref()?, record.version()?);
    if !is_possible(target?, record.grant()?) {
        return None;
    }
    Some(ctx.grants.probes().view(uid, version, ctx.clock.now(), of_everybody))
}

/// Of the Secret with a key that somebody else manages.
fn credentials(ctx: &Context, connection: &IntegrationConnection) -> Option<(String, String)> {
    let named = &connection.spec.credentials.as_ref()?.secret_name;
    version_of(&ctx.world.credentials, &connection.namespace()?, named)
}

/// Of the registration that the connection uses: its own, or the provider's.
fn app_version(ctx: &Context, connection: &IntegrationConnection, target: Option<&Target>) -> Option<String> {
    let Some(own) = &connection.spec.app else { return target?.app_version().map(ToOwned::to_owned) };
    let namespace = connection.namespace().unwrap_or_default();
    let (uid, at) = version_of(&ctx.world.own_apps, &namespace, &own.secret_name)?;
    Some(format!("{uid}/{at}"))
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

/// The newest grant that was ever published here. What status says counts; of the Secret, which is in the hands of its
/// namespace, only a later revision of the same grant.
fn newest_known(ctx: &Context, connection: &IntegrationConnection) -> Option<GrantVersion> {
    let of_status = connection.grant().and_then(|grant| {
        let id = grant.id.clone().try_into().ok()?;
        Some(GrantVersion { id, revision: grant.revision, ordinal: grant.ordinal.unwrap_or_default() })
    });
    let on_record = ctx.store.get(connection.metadata.uid.as_deref()?).ok().flatten();
    let known = of_status.or_else(|| on_record?.record.grant_version())?;
    let published = written(ctx, connection).and_then(|written| written.grant);
    let later = published.filter(|published| published.id == known.id && known.is_behind(*published));
    Some(GrantVersion { revision: later.map_or(known.revision, |later| later.revision), ..known })
}

/// Whether the cached record is older than what was published. A cache may be behind: read the record before you believe it.
pub(super) fn seems_rolled_back(ctx: &Context, connection: &IntegrationConnection) -> bool {
    let cached = ctx.store.get(connection.metadata.uid.as_deref().unwrap_or_default()).ok().flatten();
    let (Some(cached), Some(known)) = (cached, newest_known(ctx, connection)) else { return false };
    match cached.record.grant_version() {
        Some(version) => version.is_behind(known),
        None => cached.record.is_candidate_behind(Some(known)),
    }
}

fn endings(ctx: &Context, connection: &IntegrationConnection) -> Vec<EndingView> {
    let records = ctx.grants.records();
    let of_connection = records.endings.of(connection.metadata.uid.as_deref().unwrap_or_default());
    let now = ctx.clock.now();
    let moved =
        of_connection.iter().map(|loaded| &loaded.record).filter(|ending| !records.is_unmoved(ending));
    moved
        .map(|ending| EndingView {
            key: ending.key().into(),
            grant: ending.record().grant_version().map(|version| version.id),
            since: ending.progress().since,
            result: standing(ending, now),
            is_done: !ending.has_grant(),
        })
        .collect()
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

fn record(ctx: &Context, connection: &IntegrationConnection, busy: bool) -> RecordState {
    let record = match ctx.store.get(&connection.uid().unwrap_or_default()) {
        Ok(Some(loaded)) => loaded.record,
        Ok(None) => return RecordState::Missing,
        Err(CachedReadError::Unreadable(RecordError::Tampered | RecordError::Unsigned)) => {
            return RecordState::Tampered;
        }
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
    let known = newest_known(ctx, connection);
    let mut present = present(ctx, &record, grant, busy);
    present.has_candidate &= !record.is_candidate_behind(known);
    let is_behind = seems_rolled_back(ctx, connection);
    if is_behind { RecordState::RolledBack(present) } else { RecordState::Present(present) }
}

fn present(ctx: &Context, record: &Record, grant: Option<Arc<Grant>>, busy: bool) -> Present {
    let is_open = |intent: &&Intent| ctx.grants.is_open(record.uid(), intent);
    // A young intent of another process says that it is at work, not that the outcome is unknown.
    let is_worked_on = |slot| busy || ctx.grants.are_others_at(record, slot);
    let candidate = record.open(&ctx.sealer, Slot::Candidate).ok().flatten().map(|opened| opened.grant);
    Present {
        revision: record.grant().map_or(record.revision(), SealedField::revision),
        grant,
        version: record.grant_version(),
        pause: record.bookkeeping().pause.clone(),
        disconnected_at: record.bookkeeping().disconnected_at,
        is_dead: record.grant().is_some() && !record.is_alive(),
        has_candidate: record.candidate().is_some(),
        consented_at: candidate.as_ref().filter(|it| it.consent.given_at.is_some()).map(|it| it.obtained_at),
        candidate_owner: candidate.map(|it| it.bound_to.owner),
        // The mark of a first request in progress is ignored too; the mark of one without an answer is not.
        doubted_since: record
            .intent(Slot::Candidate)
            .filter(|intent| !is_worked_on(Slot::Candidate) || intent.state == IntentState::Unknown)
            .filter(is_open)
            .map(|intent| intent.at),
        // While an actor is at work, its own mark is ignored.
        unknown_since: record
            .intent(Slot::InUse)
            .filter(|_| !is_worked_on(Slot::InUse))
            .filter(is_open)
            .map(|intent| intent.at),
    }
}
