//! Periodic work: gauges, and old attempts and records.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationConnection;
use bowline_api::attempt::LIFETIME;
use bowline_api::connection::Phase;
use bowline_runtime::attempts::{self, Attempts};
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::keyring::OpenKeyring;
use crate::connection;
use crate::context::Context;
use crate::metrics::{ConnectionSample, EndsWithin, whole};
use crate::vault::keyring::SharedKeyring;

/// How often expired attempts are removed.
const ATTEMPTS_EVERY: Duration = Duration::from_mins(1);
/// How long an expired attempt is kept, so that the page can still say that it expired.
const ATTEMPTS_KEPT: Duration = Duration::from_mins(10);
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// How many records are sealed again each time: a rotation must not hold up refreshes.
const SEALED_AT_ONCE: usize = 100;
/// How long after the start a record may still lack its connection, which a restore has not created yet.
const RESTORE_TAKES: Duration = Duration::from_mins(10);
/// How often orphaned records and the age of the key are checked.
const HOURLY: Duration = Duration::from_hours(1);
/// How soon a rotation that failed is tried again: the API server or the KMS may be away for a moment.
const ROTATE_AGAIN: Duration = Duration::from_mins(1);

/// Says on every replica how this process is: also the one that waits has a keyring and caches.
pub(super) async fn report_health(ctx: Arc<Context>, keyring: SharedKeyring, stop: CancellationToken) {
    let mut gauges = interval(GAUGES_EVERY);
    while stop.run_until_cancelled(gauges.tick()).await.is_some() {
        let metrics = &ctx.metrics;
        metrics.leader.set(ctx.grants.leads().into());
        metrics.store_ready.set((ctx.store.is_ready() && keyring.fault().is_none()).into());
        metrics.keyring_key_age.set(key_age(&ctx, &keyring).as_secs_f64());
        metrics.namespaces_unreadable.set(whole(ctx.world.unreadable_namespaces().len()));
    }
}

pub(super) async fn run(ctx: Arc<Context>, keyring: OpenKeyring, stop: CancellationToken) {
    let mut gauges = interval(GAUGES_EVERY);
    let mut old_attempts = interval(ATTEMPTS_EVERY);
    let mut hourly = interval(HOURLY);
    let begun = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = gauges.tick() => {
                count_objects(&ctx);
                let_go_unreadable(&ctx).await;
                seal_again(&ctx).await;
            }
            _ = old_attempts.tick() => sweep_attempts(&ctx).await,
            _ = hourly.tick() => {
                if !judge_key(&ctx, &keyring).await {
                    hourly.reset_after(ROTATE_AGAIN);
                }
                // Right after the start a restored connection may not be listed yet.
                if begun.elapsed() > RESTORE_TAKES {
                    sweep_orphans(&ctx).await;
                }
            }
        }
    }
}

/// Goes on with what a rotation of the keyring left to do.
async fn seal_again(ctx: &Context) {
    let records = ctx.grants.records();
    let before = ctx.metrics.records_under_former_keys.get();
    let left = whole(records.under_former_keys());
    ctx.metrics.records_under_former_keys.set(left);
    if left > 0 {
        records.seal_again(SEALED_AT_ONCE, |uid| ctx.grants.view(uid).busy).await;
    } else if before > 0 {
        tracing::info!("everything is sealed with the primary key: the former ones can be removed");
    }
}

/// Removes expired attempts to connect, and Secrets in their namespace that are no attempts.
async fn sweep_attempts(ctx: &Context) {
    let attempts = Attempts::new(ctx.client.clone(), &ctx.settings.attempts_namespace);
    let now = ctx.clock.now();
    let expires_at = |secret: &Secret| match attempts::read(secret) {
        Ok(kept) => kept.attempt.expires_at,
        // Written by another version, or by somebody else: keep it for as long as an attempt may live.
        Err(_) => secret.creation_timestamp().map_or(now, |made| made.0 + LIFETIME),
    };
    let expired = |secret: &Secret| later(expires_at(secret), ATTEMPTS_KEPT) <= now;
    for secret in ctx.world.attempts.state_filter(expired) {
        if let Err(error) = attempts.remove(&secret).await {
            tracing::warn!(error = %chain(&error), "an expired attempt could not be removed now");
        }
    }
}

/// Connections that are being deleted and cannot be read: no controller sees them.
async fn let_go_unreadable(ctx: &Arc<Context>) {
    for unreadable in ctx.world.kinds.connections.unreadable() {
        let connection = &unreadable.metadata;
        if connection.deletion_timestamp.is_some()
            && let Err(error) = connection::depart_unreadable(ctx, connection).await
        {
            tracing::warn!(name = connection.name, error = %chain(&error), "an unreadable connection is not let go yet");
        }
    }
}

fn count_objects(ctx: &Context) {
    let mut phases: BTreeMap<Phase, usize> = BTreeMap::new();
    for connection in ctx.world.kinds.connections.state() {
        *phases.entry(connection.phase().unwrap_or(Phase::Pending)).or_default() += 1;
    }
    for phase in Phase::ALL {
        ctx.metrics.set_connections(*phase, phases.get(phase).copied().unwrap_or_default());
    }
    count_reminders(ctx);
    ctx.metrics.set_samples(|| ctx.world.kinds.connections.state().iter().map(|it| sample(it)).collect());
    let (counts, endings) = (ctx.store.counts(), &ctx.grants.records().endings);
    ctx.metrics.records.set(whole(counts.records));
    ctx.metrics.endings.set(whole(endings.counts().records));
    let debts = endings.iter().map(|ending| ending.withdrawal().debts.len()).sum();
    ctx.metrics.withdrawal_debts.set(whole(debts));
    for (kind, count) in ctx.world.kinds.unreadable() {
        ctx.metrics.set_unreadable(&kind, count);
    }
    ctx.metrics.set_unreadable("Record", counts.unreadable + endings.counts().unreadable);
    let is_unreadable = |secret: &Secret| attempts::read(secret).is_err();
    ctx.metrics.set_unreadable("Attempt", ctx.world.attempts.state_filter(is_unreadable).len());
    ctx.metrics.shares.set(whole(ctx.world.kinds.shares.state().len()));
    ctx.metrics.bindings.set(whole(ctx.world.kinds.bindings.state().len()));
}

fn sample(connection: &IntegrationConnection) -> ConnectionSample {
    let status = connection.status.as_ref();
    let token = status.and_then(|status| status.token.as_ref()?.expires_at.as_ref());
    let grant = status.and_then(|status| status.grant.as_ref()?.ends_at());
    ConnectionSample {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.name_any(),
        provider: connection.spec.provider.clone(),
        phase: connection.phase_text(),
        ready: connection.is_ready(),
        token_expires_at: token.map(|time| time.0),
        grant_ends_at: grant.map(|time| time.0),
    }
}

fn count_reminders(ctx: &Context) {
    let connections = ctx.world.kinds.connections.state();
    let reminders = connections.iter().filter_map(|it| it.status.as_ref()?.grant.as_ref()?.reminder.as_ref());
    let days: Vec<i32> = reminders.map(|reminder| reminder.days).collect();
    for within in EndsWithin::ALL {
        let count = days.iter().filter(|days| **days <= within.days()).count();
        ctx.metrics.set_grants_ending(*within, count);
    }
    let now = ctx.clock.now();
    let providers = ctx.world.kinds.providers.state();
    let ends = providers.iter().filter_map(|it| Some(it.status.as_ref()?.certificate_expires_at.as_ref()?.0));
    let ends: Vec<Timestamp> = ends.collect();
    for within in EndsWithin::ALL {
        let count = ends.iter().filter(|ends| now + within.span() >= **ends).count();
        ctx.metrics.set_certificates_ending(*within, count);
    }
}

fn key_age(ctx: &Context, keyring: &SharedKeyring) -> Duration {
    Duration::try_from(keyring.current().primary().age(ctx.clock.now())).unwrap_or_default()
}

/// Whether all is done that the age of the key asks for.
async fn judge_key(ctx: &Context, keyring: &OpenKeyring) -> bool {
    let age = key_age(ctx, &keyring.shared);
    if ctx.settings.key_rotate_after.is_some_and(|after| age > after) {
        match keyring.secret.rotate(&keyring.shared.current(), ctx.clock.now()).await {
            Ok(id) => {
                tracing::info!(key = %id, "the keyring has a new primary key (--key-rotate-after): back it up");
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the keyring could not be rotated now");
                return false;
            }
        }
        return true;
    }
    if age > ctx.settings.key_max_age {
        let days = age.as_secs() / 86_400;
        tracing::warn!(
            days,
            "the key that seals new records is older than --key-max-age: add a key and make it primary"
        );
    }
    true
}

/// Marks records whose connection is gone, and erases them after the retention time.
async fn sweep_orphans(ctx: &Context) {
    let connections = ctx.world.kinds.connections.state();
    let unreadable = ctx.world.kinds.connections.unreadable();
    let known = connections.iter().map(|connection| &connection.metadata);
    let known = known.chain(unreadable.iter().map(|connection| &connection.metadata));
    let known: HashSet<&str> = known.filter_map(|metadata| metadata.uid.as_deref()).collect();
    for record in ctx.store.iter().filter(|record| record.orphaned_since().is_some()) {
        if known.contains(record.uid()) {
            ctx.grants.records().claimed(record.uid()).await;
        }
    }
    for orphan in ctx.store.orphans(&known) {
        let place = orphan.record.place();
        let api: Api<IntegrationConnection> = Api::namespaced(ctx.client.clone(), &place.namespace);
        // The cache may be behind: check the API server once before marking a record.
        match api.get_metadata_opt(&place.name).await {
            Ok(found) if found.as_ref().and_then(ResourceExt::uid).as_deref() != Some(place.uid.as_str()) => {
                ctx.grants.records().orphaned(orphan, ctx.settings.record_retention).await;
            }
            Ok(_) | Err(_) => {}
        }
    }
}
