//! Who is woken when something changes. One function per kind: read them as sentences.

use std::sync::Arc;

use bowline_api::attempt::{self, ConnectionRef};
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Store as Cache;
use kube::{Resource, ResourceExt};

use crate::context::{Context, Wakes};
use crate::grant::endings::Lookup;
use crate::kube_ext::index;

/// A change of one object; the cache already holds it.
pub struct Change<'a, K> {
    /// The object as it is, or was when it went.
    pub object: &'a K,
    /// What the cache held before.
    pub before: Option<&'a K>,
    /// Whether it is gone.
    pub deleted: bool,
}

impl<K: Resource> Change<'_, K> {
    /// Whether anything but status changed.
    fn matters(&self) -> bool {
        // Another object of the same name may begin with the same generation.
        let generation = |object: &K| {
            let meta = object.meta();
            (meta.uid.clone(), meta.generation, meta.deletion_timestamp.is_some())
        };
        self.deleted || self.before.is_none_or(|before| generation(before) != generation(self.object))
    }
}

/// A connection: itself, and the shares that publish its token.
pub fn connection(ctx: &Context, change: &Change<'_, IntegrationConnection>) {
    let connection = change.object;
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    if change.deleted {
        let uid = connection.uid().unwrap_or_default();
        ctx.grants.forget(&uid);
        ctx.written.forget(&uid);
        ctx.told.forget(&uid);
    } else {
        ctx.wakes.connection(&namespace, &name);
    }
    let was_shared = connection.status.as_ref().is_some_and(|status| status.sharing.is_some());
    if change.deleted || was_shared || connection.spec.shared.unwrap_or_default() {
        for share in ctx.world.shares_of(connection) {
            ctx.wakes.share(&share.namespace().unwrap_or_default(), &share.name_any());
        }
    }
}

/// A provider: itself; its controller wakes its connections when it comes to something else than before.
pub fn provider(ctx: &Context, change: &Change<'_, IntegrationProvider>) {
    let name = change.object.name_any();
    if change.deleted {
        crate::provider::forget(ctx, &name);
    } else {
        ctx.wakes.provider(&name);
    }
}

/// A workspace: itself, all shares and shared connections, and the other workspaces, which may gain or lose a namespace.
pub fn workspace(ctx: &Context, change: &Change<'_, Workspace>) {
    if !change.matters() {
        return;
    }
    for workspace in ctx.world.workspaces.state() {
        ctx.wakes.workspace(&workspace.name_any());
    }
    wake_sharing(ctx);
}

/// A share: itself, and the connection whose condition tells of it.
pub fn share(ctx: &Context, change: &Change<'_, ConnectionShare>) {
    let share = change.object;
    if change.deleted {
        ctx.written.forget(&share.uid().unwrap_or_default());
    } else {
        ctx.wakes.share(&share.namespace().unwrap_or_default(), &share.name_any());
    }
    let phase = |share: &ConnectionShare| share.status.as_ref().and_then(|status| status.phase);
    if change.matters() || change.before.and_then(phase) != phase(share) {
        ctx.wakes.connection(&share.spec.connection.namespace, &share.spec.connection.name);
    }
}

/// A namespace that comes, goes or is labelled anew: the workspaces that list it and what is shared, and the connections
/// in it, which a provider may allow by label.
pub fn namespace(ctx: &Context, change: &Change<'_, PartialObjectMeta<Namespace>>) {
    let name = change.object.name_any();
    let same_labels = change.before.is_some_and(|before| before.labels() == change.object.labels());
    if same_labels && !change.matters() {
        return;
    }
    let mut listed = false;
    for workspace in ctx.world.workspaces.state_filter(|workspace| workspace.spec.namespaces.contains(&name))
    {
        ctx.wakes.workspace(&workspace.name_any());
        listed = true;
    }
    if listed {
        wake_sharing(ctx);
    }
    for connection in
        ctx.world.connections.state_filter(|connection| connection.namespace().as_ref() == Some(&name))
    {
        ctx.wakes.connection(&name, &connection.name_any());
    }
}

/// A Secret of the operator's namespace: the providers that name it.
pub fn app_secret(ctx: &Context, change: &Change<'_, Secret>) {
    let name = change.object.name_any();
    let names_it = |provider: &IntegrationProvider| {
        provider.spec.app.as_ref().is_some_and(|app| app.secret_name == name)
    };
    for provider in ctx.world.providers.state_filter(names_it) {
        ctx.wakes.provider(&provider.name_any());
    }
}

/// A try to connect: its connection.
pub fn attempt(ctx: &Context, change: &Change<'_, Secret>) {
    if let Ok(attempt) = attempt::secret::from_secret(change.object) {
        let ConnectionRef { namespace, name, uid: _ } = &attempt.connection;
        ctx.wakes.connection(namespace, name);
    }
}

/// A published Secret that somebody else changed: whoever owns it.
pub fn published_changed(wakes: Wakes) -> impl Fn(index::Change) + Send + Sync + 'static {
    move |change| match change.owner {
        Some(owner) if &*owner.kind == "IntegrationConnection" => {
            wakes.connection(&change.namespace, &owner.name);
        }
        Some(owner) if &*owner.kind == "ConnectionShare" => wakes.share(&change.namespace, &owner.name),
        _ => {}
    }
}

/// A credentials Secret: the connections of its namespace that name it.
pub fn credentials_changed(
    connections: Cache<IntegrationConnection>,
    wakes: Wakes,
) -> impl Fn(index::Change) + Send + Sync + 'static {
    move |change| {
        let names_it = |connection: &IntegrationConnection| {
            let named = [&connection.spec.credentials, &connection.spec.app];
            connection.namespace().as_ref() == Some(&change.namespace)
                && named.into_iter().flatten().any(|reference| reference.secret_name == change.name)
        };
        for connection in connections.state_filter(names_it) {
            wakes.connection(&change.namespace, &connection.name_any());
        }
    }
}

/// Wakes all shares.
pub fn wake_shares(ctx: &Context) {
    for share in ctx.world.shares.state() {
        ctx.wakes.share(&share.namespace().unwrap_or_default(), &share.name_any());
    }
}

/// Wakes all that is shared.
fn wake_sharing(ctx: &Context) {
    wake_shares(ctx);
    let shared = |connection: &IntegrationConnection| {
        connection.spec.shared.unwrap_or_default()
            || connection.status.as_ref().is_some_and(|status| status.sharing.is_some())
    };
    for connection in ctx.world.connections.state_filter(shared) {
        ctx.wakes.connection(&connection.namespace().unwrap_or_default(), &connection.name_any());
    }
}

/// Resolves a provider for a grant that is being ended.
pub fn lookup(ctx: &Arc<Context>) -> Lookup {
    let ctx = Arc::clone(ctx);
    Arc::new(move |place, terms| ctx.world.target_of_ending(place, terms))
}
