//! Collects what a decision about a share needs: from caches only, so it never fails and never waits.

use bowline_api::ConnectionShare;
use kube::ResourceExt;

use super::decide::{ObservedShare, ShareSource};
use crate::context::Context;

pub(super) fn observe(ctx: &Context, share: &ConnectionShare) -> ObservedShare {
    let of = &share.spec.connection;
    let (namespace, name) = (share.namespace().unwrap_or_default(), share.name_any());
    ObservedShare {
        source: ctx.world.connection(&of.namespace, &of.name, &of.uid).map(|connection| ShareSource {
            shared: ctx.world.shared(&connection, &ctx.terms(&connection)),
            grant: ctx.grant_in_use(&connection),
            connection,
        }),
        secret: ctx.world.published.get(&namespace, &name).map(|secret| secret.object),
        written: ctx.published(&share.uid().unwrap_or_default(), &namespace, &name),
        uid: share.uid().unwrap_or_default(),
        namespace,
        name,
    }
}
