//! What is known of the cluster: caches that watches fill and every controller reads. Never sends a request.

mod availability;
mod limited;
mod resolution;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bowline_api::connection::{DEPENDENT_NAMES, DependentsStatus};
use bowline_api::delivery::{self, LastDelivery};
use bowline_api::terms::ConnectionTerms;
use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection, Workspace, names};
use bowline_runtime::attempts::{self, StoredAttempt};
use bowline_runtime::follow::Cache;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

pub(crate) use self::availability::Availability;
pub(crate) use self::resolution::{ProviderRefusal, ReadyProvider, Resolution, UnusableProvider, sentence};
pub(crate) use self::usage::ProviderUse;
use crate::discovered::IssuerReading;
use crate::grant::target::Target;
use crate::kinds::{Kinds, keys};
use crate::kube_ext::index::SecretIndex;
use crate::kube_ext::memory::Memory;
use crate::policies::Policies;
use crate::sharers::{self, Sharer, SharerError};
use crate::sharing::terms::{TermsInForce, TermsOnRecord, settle};
use crate::sharing::{self, Shared};
use crate::vault::Place;

/// The roles of members, and what gives them, in namespaces and in the cluster.
pub(crate) struct MemberRoles {
    pub(crate) roles: Cache<Role>,
    pub(crate) role_bindings: Cache<RoleBinding>,
    pub(crate) cluster_roles: Cache<ClusterRole>,
    pub(crate) cluster_role_bindings: Cache<ClusterRoleBinding>,
}

pub(crate) struct World {
    /// UID of its `kube-system` namespace.
    pub(crate) cluster: String,
    /// The operator's own namespace and that of attempts.
    pub(crate) own_namespaces: [String; 2],
    pub(crate) kinds: Kinds,
    /// Names and labels of all namespaces.
    pub(crate) namespaces: Cache<PartialObjectMeta<Namespace>>,
    /// Secrets of the operator's namespace that are neither records nor the keyring: app registrations.
    pub(crate) app_secrets: Cache<Secret>,
    /// Who shares a connection under which id, as Secrets of the operator's namespace.
    pub(crate) sharers: Cache<Secret>,
    /// Attempts to connect, as Secrets.
    pub(crate) attempts: Cache<Secret>,
    /// The Secrets we publish, without data.
    pub(crate) published: SecretIndex,
    /// Secrets of type `bowline.dev/credential`, without data.
    pub(crate) credentials: SecretIndex,
    pub(crate) member_roles: MemberRoles,
    /// The admission policies that enforce ownership.
    pub(crate) policies: Policies,
    /// Secrets of type `bowline.dev/app`, without data: those that connections name.
    pub(crate) own_apps: SecretIndex,
    /// The resolution of each provider object, from the provider controller.
    pub(crate) resolutions: Memory<Arc<Resolution>>,
    /// The metadata of providers' issuers.
    pub(crate) issuers: Memory<IssuerReading>,
}

/// `<namespace>/<name>`.
fn full_name(binding: &ConnectionBinding) -> String {
    format!("{}/{}", binding.namespace().unwrap_or_default(), binding.name_any())
}

impl World {
    pub(crate) fn provider(
        &self,
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<Target>, UnusableProvider> {
        let key = ObjectRef::new(name);
        if self.kinds.providers.set_aside(&key).is_some() {
            return Err(UnusableProvider::NotReady(format!(
                "IntegrationProvider {name} cannot be read. An administrator must correct it: its Event Unreadable names the field."
            )));
        }
        let object = self.kinds.providers.get(&key);
        if object.is_none_or(|object| object.meta().deletion_timestamp.is_some()) {
            return Err(UnusableProvider::NotFound);
        }
        let Some(resolution) = self.resolutions.get(name) else {
            return Err(UnusableProvider::NotReady(format!("Provider {name} is being looked at.")));
        };
        let ready = Result::as_ref(&resolution).map_err(|it| UnusableProvider::refused(name, &it.message))?;
        ready.target(parameters)
    }

    /// Whether there is a provider object without a resolution yet: after a start, until its issuer has answered.
    pub(crate) fn is_unjudged(&self, provider: &str) -> bool {
        self.resolutions.get(provider).is_none()
            && self.kinds.providers.get(&ObjectRef::new(provider)).is_some()
    }

    /// Whether a connection may use this provider. Asked before anything is taken in, minted or published for it.
    pub(crate) fn may_use(&self, target: &Target, connection: &IntegrationConnection) -> ProviderUse {
        let labels = self.namespace_labels(&connection.namespace().unwrap_or_default());
        let workspaces = &self.kinds.workspaces;
        usage::may_use(target, connection, &labels, |workspace| {
            let is_readable = workspaces.set_aside(&ObjectRef::new(workspace)).is_none();
            is_readable.then(|| sharing::standing(connection, workspace, &self.competing_with(workspace)))
        })
    }

    /// What the spec of a connection and its workspace ask for.
    pub(crate) fn proposed_terms(&self, connection: &IntegrationConnection) -> ConnectionTerms {
        let named = connection.spec.workspace.as_deref().filter(|_| connection.wants_sharing());
        let workspace = named.and_then(|name| self.kinds.workspaces.get(&ObjectRef::new(name)));
        ConnectionTerms::of(&connection.spec, workspace.as_deref())
    }

    /// The terms of a connection that are in force, by what its record says.
    pub(crate) fn terms(&self, connection: &IntegrationConnection, on_record: TermsOnRecord) -> TermsInForce {
        let protected = self.policies.missing().is_empty();
        settle(connection, self.proposed_terms(connection), on_record, protected)
    }

    /// Where a connection is shared under these terms.
    pub(crate) fn shared(&self, connection: &IntegrationConnection, terms: &TermsInForce) -> Shared {
        // Most connections are private: do not collect the workspaces for them.
        if !terms.shared(connection) {
            return Shared::NotAsked;
        }
        let workspaces = &self.kinds.workspaces;
        let unreadable: BTreeSet<_> =
            workspaces.unreadable().iter().filter_map(|workspace| workspace.metadata.name.clone()).collect();
        let own = terms.workspace(connection);
        let competing = own.map(|name| self.competing_with(name)).unwrap_or_default();
        let Ok(former) = self.sharer(&connection.id()) else { return Shared::Unknown };
        let shared = sharing::computed(connection, terms, &competing, former.as_ref(), |namespace| {
            self.namespace_lives(namespace)
                && !self.is_reserved(namespace)
                && !self.is_held_by(&unreadable, namespace)
        });
        match (shared, own) {
            (Shared::WorkspaceNotFound, Some(workspace)) if unreadable.contains(workspace) => Shared::Unknown,
            (shared @ Shared::In { .. }, Some(workspace)) => {
                self.refused_share(connection, workspace).map_or(shared, Shared::NotAllowed)
            }
            (shared, _) => shared,
        }
    }

    /// Who shared a connection under this id first.
    pub(crate) fn sharer(&self, id: &str) -> Result<Option<Sharer>, SharerError> {
        self.sharer_secret(id).map(|secret| Sharer::read(&secret)).transpose()
    }

    pub(crate) fn sharer_secret(&self, id: &str) -> Option<Arc<Secret>> {
        self.sharers.get(&ObjectRef::new(&sharers::secret_name(id)).within(&self.own_namespaces[0]))
    }

    /// Whether nothing is published in a namespace.
    pub(crate) fn is_reserved(&self, namespace: &str) -> bool {
        names::is_reserved(namespace, &self.own_namespaces.each_ref().map(String::as_str))
    }

    /// Whether there is a connection of this name, readable or not.
    pub(crate) fn has_connection(&self, namespace: &str, name: &str) -> bool {
        let key = ObjectRef::new(name).within(namespace);
        self.kinds.connections.get(&key).is_some() || self.kinds.connections.set_aside(&key).is_some()
    }

    /// A workspace, and those that list one of its namespaces as well, each once.
    pub(crate) fn competing_with(&self, workspace: &str) -> Vec<Arc<Workspace>> {
        let own = self.kinds.workspaces.get(&ObjectRef::new(workspace));
        let listed = own.iter().flat_map(|own| &own.spec.namespaces);
        let others = listed.flat_map(|namespace| self.kinds.workspaces.having(&keys::namespace(namespace)));
        let all: BTreeMap<_, _> =
            own.iter().cloned().chain(others).map(|workspace| (workspace.name_any(), workspace)).collect();
        all.into_values().collect()
    }

    /// Whether one of these unreadable workspaces has shares in the namespace, which then belongs to no other one.
    fn is_held_by(&self, unreadable: &BTreeSet<String>, namespace: &str) -> bool {
        if unreadable.is_empty() {
            return false;
        }
        let shares = self.kinds.shares.having(&keys::namespace(namespace));
        shares.iter().any(|share| unreadable.contains(&share.spec.workspace))
    }

    /// Whether a namespace exists and is not being deleted.
    pub(crate) fn namespace_lives(&self, name: &str) -> bool {
        self.namespaces
            .get(&ObjectRef::new(name))
            .is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none())
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        self.namespaces
            .get(&ObjectRef::new(name))
            .map(|namespace| namespace.labels().clone())
            .unwrap_or_default()
    }

    /// The bindings that hold a token of this connection.
    fn bindings_of(&self, connection: &IntegrationConnection) -> Vec<Arc<ConnectionBinding>> {
        let Some(uid) = connection.meta().uid.as_ref() else { return Vec::new() };
        let mut bindings = self.kinds.bindings.having(&keys::id(&connection.id()));
        bindings.retain(|binding| {
            binding.depends_on().is_some_and(|(_, it)| (&it.uid, &it.owner) == (uid, &connection.spec.owner))
        });
        bindings
    }

    /// What status says of the bindings that hold a token of this connection; `None` if there is none.
    pub(crate) fn dependents_of(&self, connection: &IntegrationConnection) -> Option<DependentsStatus> {
        let mut names: Vec<_> = self.bindings_of(connection).iter().map(|it| full_name(it)).collect();
        let count = i32::try_from(names.len()).unwrap_or(i32::MAX);
        names.sort_unstable();
        names.truncate(DEPENDENT_NAMES);
        (count > 0).then_some(DependentsStatus { count, names })
    }

    /// What the workloads of its bindings reported last; what is known already stays if nothing later came.
    pub(crate) fn last_delivery_with(&self, connection: &IntegrationConnection) -> Option<LastDelivery> {
        let mut newest: Option<LastDelivery> = None;
        for binding in self.bindings_of(connection) {
            let since = binding.status.as_ref().and_then(|status| status.bound_at.as_ref());
            let Some(last) = binding.last_delivery() else { continue };
            let name = full_name(&binding);
            // What was reported before it was bound is about another connection.
            let is_its = since.is_some_and(|since| delivery::minute(since.0) <= last.at.0);
            let rank = |at: &Time, name: &str| (at.0, name.to_owned());
            let is_newer = newest.as_ref().is_none_or(|it| {
                rank(&it.at, it.binding.as_deref().unwrap_or_default()) < rank(&last.at, &name)
            });
            if is_its && is_newer {
                newest = Some(LastDelivery { binding: Some(name), ..last.clone() });
            }
        }
        let known = connection.last_delivery();
        let is_later = |last: &LastDelivery| known.is_none_or(|known| known.at.0 <= last.at.0);
        newest.filter(is_later).or_else(|| known.cloned())
    }

    /// The shares of a connection, by its UID. One that cannot be read is known only by its name: it exists, and can be
    /// removed.
    pub(crate) fn shares_of(&self, connection: &IntegrationConnection) -> Vec<Arc<ConnectionShare>> {
        let Some(uid) = connection.meta().uid.as_deref() else { return Vec::new() };
        let mut shares = self.kinds.shares.having(&keys::connection(uid));
        let id = names::connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any());
        for unreadable in self.kinds.shares.unreadable() {
            if unreadable.metadata.name.as_deref() == Some(&id) {
                let share = sharing::share(connection, "", "");
                shares.push(Arc::new(ConnectionShare { metadata: unreadable.metadata.clone(), ..share }));
            }
        }
        shares
    }

    /// Whether a share's connection can be read, or is gone. What cannot be read is unknown, never gone.
    pub(crate) fn knows_source_of(&self, share: &ConnectionShare) -> bool {
        let of = &share.spec.connection;
        let set_aside = self.kinds.connections.set_aside(&ObjectRef::new(&of.name).within(&of.namespace));
        set_aside.is_none_or(|unreadable| unreadable.metadata.uid.as_ref() != Some(&of.uid))
    }

    /// The attempts to connect this connection, newest first; Secrets that are no attempts are left out.
    pub(crate) fn attempts_of(&self, connection: &IntegrationConnection) -> Vec<StoredAttempt> {
        let Some(uid) = connection.meta().uid.as_deref() else { return Vec::new() };
        let its = self.attempts.having(&keys::connection(uid));
        let read = its.into_iter().filter_map(|secret| attempts::read(&secret).ok());
        // The label only selects: the content decides.
        let mut attempts: Vec<StoredAttempt> =
            read.filter(|kept| kept.attempt.connection.uid == uid).collect();
        attempts.sort_by_key(|kept| std::cmp::Reverse(kept.order()));
        attempts
    }

    /// A connection by name, if it is still the one with this UID.
    pub(crate) fn connection(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Option<Arc<IntegrationConnection>> {
        let found = self.kinds.connections.get(&ObjectRef::new(name).within(namespace))?;
        (found.meta().uid.as_deref() == Some(uid)).then_some(found)
    }

    /// Whether the Secrets of a namespace cannot be listed: then it is not known which there are.
    pub(crate) fn is_unreadable(&self, namespace: &str) -> bool {
        self.published.is_unreadable(namespace) || self.credentials.is_unreadable(namespace)
    }

    /// The namespaces whose Secrets cannot be listed now.
    pub(crate) fn unreadable_namespaces(&self) -> BTreeSet<&str> {
        self.published.unreadable().chain(self.credentials.unreadable()).collect()
    }

    /// Returns when every cache was filled once, except that of attempts, which connections do not need, and except namespaces
    /// that cannot be read, which delay only what is in them.
    pub(crate) async fn wait_listed(&self) {
        self.kinds.wait_listed().await;
        self.namespaces.wait_listed().await;
        self.app_secrets.wait_listed().await;
        self.sharers.wait_listed().await;
        self.published.wait_listed().await;
        self.credentials.wait_listed().await;
        self.own_apps.wait_listed().await;
    }

    /// Wakes what is shared in a workspace, and the connections that name it: they may be shared there, or use a provider as its
    /// members do.
    pub(crate) fn wake_sharing_in(&self, workspace: &str) {
        let key = keys::workspace(workspace);
        for share in self.kinds.shares.having(&key) {
            self.kinds.shares.wake(ObjectRef::from_obj(&*share));
            self.wake_bindings(&share.name_any(), &share.namespace().unwrap_or_default());
        }
        self.kinds.connections.wake_having(&key);
    }

    /// Wakes the bindings in `namespace` that name this connection.
    pub(crate) fn wake_bindings(&self, id: &str, namespace: &str) {
        for binding in self.kinds.bindings.having(&keys::id(id)) {
            if binding.meta().namespace.as_deref() == Some(namespace) {
                self.kinds.bindings.wake(ObjectRef::from_obj(&*binding));
            }
        }
    }

    pub(crate) fn place(&self, connection: &IntegrationConnection) -> Place {
        Place {
            cluster: self.cluster.clone(),
            namespace: connection.namespace().unwrap_or_default(),
            name: connection.name_any(),
            uid: connection.uid().unwrap_or_default(),
            provider: connection.spec.provider.clone(),
        }
    }
}
