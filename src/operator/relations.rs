//! Which objects are woken when a Secret or namespace changes.

use bowline_api::attempt;
use bowline_runtime::follow::Change;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::context::Context;
use crate::kinds::keys;
use crate::kube_ext::index::SecretChange;

/// A namespace is created, deleted or gets other labels: wakes the workspaces that list it, what is shared, and the
/// connections in it, which a provider may allow by label.
pub(super) fn namespace(ctx: &Context, change: &Change<PartialObjectMeta<Namespace>>) {
    if let Change::Applied { object, before: Some(before) } = change
        && object.labels() == before.labels()
        && !change.matters()
    {
        return;
    }
    let (name, kinds) = (change.meta().name.clone().unwrap_or_default(), &ctx.world.kinds);
    let here = keys::namespace(&name);
    for workspace in kinds.workspaces.having(&here) {
        kinds.workspaces.wake(ObjectRef::from_obj(&*workspace));
        ctx.world.wake_sharing_in(&workspace.name_any());
    }
    kinds.connections.wake_having(&here);
}

/// Whether the Secrets of a namespace can be listed has changed: wakes what is in it.
pub(super) fn readability(ctx: &Context, namespace: &str) {
    let here = keys::namespace(namespace);
    ctx.world.kinds.connections.wake_having(&here);
    ctx.world.kinds.shares.wake_having(&here);
    ctx.world.kinds.bindings.wake_having(&here);
}

/// A Secret of the operator's namespace: wakes the providers that name it.
pub(super) fn app_secret(ctx: &Context, change: &Change<Secret>) {
    let name = change.meta().name.clone().unwrap_or_default();
    ctx.world.kinds.providers.wake_having(&keys::secret("", &name));
}

/// An attempt to connect: wakes its connection.
pub(super) fn attempt(ctx: &Context, change: &Change<Secret>) {
    let (Change::Applied { object: secret, .. } | Change::Gone { last: Some(secret), .. }) = change else {
        return;
    };
    match attempt::secret::from_secret(secret) {
        Ok(attempt) => {
            let of = &attempt.connection;
            ctx.world.kinds.connections.wake(ObjectRef::new(&of.name).within(&of.namespace));
        }
        Err(error) => ctx.report_unreadable(secret.object_ref(&()), format!("{error}; it is left alone.")),
    }
}

/// Who shares under an id is forgotten, which only an administrator can do: wakes what is shared.
pub(super) fn sharer(ctx: &Context, change: &Change<Secret>) {
    if let Change::Gone { .. } = change {
        for workspace in ctx.world.kinds.workspaces.state() {
            ctx.world.wake_sharing_in(&workspace.name_any());
        }
    }
}

/// A role of members, or what gives it to them: wakes the connection or workspace that it belongs to.
pub(super) fn role<K: Resource>(ctx: &Context, change: &Change<K>) {
    let (meta, kinds) = (change.meta(), &ctx.world.kinds);
    for owner in meta.owner_references.iter().flatten() {
        match (owner.kind.as_str(), &meta.namespace) {
            ("IntegrationConnection", Some(namespace)) => {
                kinds.connections.wake(ObjectRef::new(&owner.name).within(namespace));
            }
            ("Workspace", None) => kinds.workspaces.wake(ObjectRef::new(&owner.name)),
            _ => {}
        }
    }
}

/// An admission policy or its binding.
pub(super) fn policy<K>(ctx: &Context, _change: &Change<K>) {
    // During the start each one is listed before the first look.
    if ctx.world.policies.was_looked_at() {
        look_at_policies(ctx);
    }
}

/// Whether the admission policies are in force; wakes all connections if that changed.
pub(super) fn look_at_policies(ctx: &Context) {
    let Some(missing) = ctx.world.policies.look() else { return };
    ctx.metrics.set_policy_present(missing.is_empty());
    if missing.is_empty() {
        tracing::info!("all admission policies are in force");
    } else {
        let missing = missing.join(",");
        tracing::warn!(
            missing,
            "not all admission policies are in force as shipped, so no new grant is taken in: apply deploy/admission"
        );
    }
    ctx.world.kinds.connections.wake_where(|_| true);
}

/// A published Secret that somebody else changed: wakes its owner.
pub(super) fn published(ctx: &Context, change: &SecretChange) {
    let kinds = &ctx.world.kinds;
    match &change.owner {
        Some(owner) if &*owner.kind == "IntegrationConnection" => {
            kinds.connections.wake(ObjectRef::new(&owner.name).within(&change.namespace));
        }
        Some(owner) if &*owner.kind == "ConnectionShare" => {
            kinds.shares.wake(ObjectRef::new(&owner.name).within(&change.namespace));
        }
        Some(owner) if &*owner.kind == "ConnectionBinding" => {
            kinds.bindings.wake(ObjectRef::new(&owner.name).within(&change.namespace));
        }
        _ => {}
    }
}

/// A credentials or app Secret: wakes the connections of its namespace that name it.
pub(super) fn named_by_connections(ctx: &Context, change: &SecretChange) {
    ctx.world.kinds.connections.wake_having(&keys::secret(&change.namespace, &change.name));
}
