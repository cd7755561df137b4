//! Collects what a decision about a binding needs: from caches only, so it never fails and never waits.

use bowline_api::ConnectionBinding;
use kube::ResourceExt;

use super::decide::ObservedBinding;
use super::delivery::delivery;
use crate::context::Context;
use crate::world::Availability;

pub(super) fn observe(ctx: &Context, binding: &ConnectionBinding) -> ObservedBinding {
    let namespace = binding.namespace().unwrap_or_default();
    let (uid, name) = (binding.uid().unwrap_or_default(), binding.secret_name());
    let availability = ctx.world.available(&binding.spec.connection, &namespace, |it| ctx.terms(it));
    let (grant, target) = match &availability {
        Availability::Available(connection) => {
            let of = &connection.spec;
            (ctx.grant_in_use(connection), ctx.world.provider(&of.provider, &of.parameters).ok())
        }
        Availability::Absent | Availability::Unknown => (None, None),
    };
    // The Secret that was written last may have another name.
    let last = binding.status.as_ref().and_then(|status| status.secret_name.as_deref());
    let secret = ctx.world.published.get(&namespace, &name);
    let is_ours = secret.as_ref().and_then(|it| it.owner.as_ref()).is_some_and(|owner| *owner.uid == uid);
    let is_anothers = ctx.world.has_connection(&namespace, &name) || ctx.world.sharer_secret(&name).is_some();
    ObservedBinding {
        availability,
        grant,
        target,
        secret: secret.map(|secret| secret.object),
        written: ctx.published(&uid, &namespace, last.unwrap_or(&name)),
        delivery: delivery(binding, ctx.deliveries_told.get(&uid), ctx.clock.now()),
        takes_anothers_name: is_anothers && !is_ours,
        uid,
        namespace,
        name,
    }
}
