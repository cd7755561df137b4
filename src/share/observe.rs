//! Gathers what a decision about a share needs: from caches only, so it never fails and never waits.

use std::sync::Arc;

use bowline_api::{ConnectionShare, IntegrationConnection};
use kube::ResourceExt;

use super::decide::{Held, Observed, Source};
use crate::context::Context;
use crate::publishing::PublishedVersion;

/// Everything a decision about `share` needs.
pub(super) fn observe(ctx: &Context, share: &ConnectionShare) -> Observed {
    let of = &share.spec.connection;
    let uid = share.uid().unwrap_or_default();
    let namespace = share.namespace().unwrap_or_default();
    Observed {
        source: ctx.world.connection(&of.namespace, &of.name, &of.uid).map(|connection| Source {
            shared: ctx.world.shared(&connection),
            held: held(ctx, &connection),
            connection,
        }),
        secret: ctx.world.published.get(&namespace, &share.name_any()).map(|secret| secret.object),
        written: ctx.last_published.get(&uid).or_else(|| {
            let name = share.name_any();
            PublishedVersion::found(&ctx.world.published.get(&namespace, &name)?, &name, &uid)
        }),
    }
}

/// The grant on record, if it can be read, is this connection's, and is not being ended.
fn held(ctx: &Context, connection: &IntegrationConnection) -> Option<Held> {
    let record = ctx.store.get(connection.metadata.uid.as_deref()?).ok()??.record;
    // What opens is bound to the place the record names; that it is this connection's is for us to check.
    if *record.place() != ctx.world.place(connection) || record.ending().is_some() {
        return None;
    }
    let revision = record.grant()?.revision();
    let grant = record.open_grant(&ctx.sealer).ok()??;
    Some(Held { grant: Arc::new(grant), revision, version: record.grant_version()? })
}
