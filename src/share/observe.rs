//! Collects what a decision about a share needs: from caches only, so it never fails and never waits.

use std::sync::Arc;

use bowline_api::{ConnectionShare, IntegrationConnection};
use kube::ResourceExt;

use super::decide::{ObservedShare, ShareSource};
use crate::context::Context;
use crate::secret_plan::GrantInUse;

pub(super) fn observe(ctx: &Context, share: &ConnectionShare) -> ObservedShare {
    let of = &share.spec.connection;
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    ObservedShare {
        source: ctx.world.connection(&of.namespace, &of.name, &of.uid).map(|connection| ShareSource {
            shared: ctx.world.shared(&connection),
            grant: grant(ctx, &connection),
            connection,
        }),
        secret: ctx.world.published.get(&namespace, &name).map(|secret| secret.object),
        written: ctx.published(&share.uid().unwrap_or_default(), &namespace, &name),
    }
}

/// The grant on record, if it can be read, is this connection's, and is not being ended.
fn grant(ctx: &Context, connection: &IntegrationConnection) -> Option<GrantInUse> {
    let record = ctx.store.get(connection.metadata.uid.as_deref()?).ok()??.record;
    // What opens is bound to the place that the record names; we must check that this place is the connection's.
    if *record.place() != ctx.world.place(connection) {
        return None;
    }
    let grant = record.open_grant(&ctx.sealer).ok()??;
    let grant = GrantInUse { grant: Arc::new(grant), version: record.grant_version()? };
    let spec = &connection.spec;
    Some(match ctx.world.provider(&spec.provider, &spec.parameters) {
        Ok(target) => grant.published_by(target.description()),
        Err(_) => grant,
    })
}
