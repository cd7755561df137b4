//! What the members of connections and workspaces may do, as roles of the cluster with the name of one object. They are put
//! back if somebody changes them. What has such a name and is not ours is never touched.

mod build;

use bowline_api::member::MemberRole;
use bowline_api::{IntegrationConnection, Workspace};
use bowline_runtime::follow::{Cache, Parsed};
use bowline_runtime::telemetry::chain;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, ObjectMeta, Preconditions};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::build::{RolePair, name_in_cluster, name_in_namespace};
use crate::context::Context;
use crate::kube_ext::apply;

/// What became of the rights of an object's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum MembersOutcome {
    /// It has no members.
    #[default]
    Nobody,
    /// The owner has not allowed access yet.
    Waiting,
    InForce,
    /// Something with this kind and name is not ours.
    Taken(String),
    /// They could not be written, or not removed.
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
enum MembersError {
    #[error("{0} is not ours")]
    Taken(String),
    #[error("the API server does not take it")]
    Api(#[from] kube::Error),
}

/// A kind of RBAC's.
trait RoleObject:
    Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize + 'static
{
    /// Whether both give the same.
    fn says(&self, wanted: &Self) -> bool;
    /// Whether this can be changed into that one: what a binding refers to never changes.
    fn can_become(&self, _wanted: &Self) -> bool {
        true
    }
}

impl RoleObject for Role {
    fn says(&self, wanted: &Self) -> bool {
        self.rules == wanted.rules
    }
}

impl RoleObject for ClusterRole {
    fn says(&self, wanted: &Self) -> bool {
        self.rules == wanted.rules && self.aggregation_rule.is_none()
    }
}

impl RoleObject for RoleBinding {
    fn says(&self, wanted: &Self) -> bool {
        self.subjects == wanted.subjects && self.role_ref == wanted.role_ref
    }

    fn can_become(&self, wanted: &Self) -> bool {
        self.role_ref == wanted.role_ref
    }
}

impl RoleObject for ClusterRoleBinding {
    fn says(&self, wanted: &Self) -> bool {
        self.subjects == wanted.subjects && self.role_ref == wanted.role_ref
    }

    fn can_become(&self, wanted: &Self) -> bool {
        self.role_ref == wanted.role_ref
    }
}

/// Gives the members of a connection what their roles say, and takes the rest away.
pub(crate) async fn keep_connection(ctx: &Context, connection: &IntegrationConnection) -> MembersOutcome {
    let (name, namespace) = (connection.name_any(), connection.namespace().unwrap_or_default());
    let (uid, mut wanted) = (connection.uid().unwrap_or_default(), build::of_connection(connection));
    let roles = Keeper::<Role>::within(ctx, &ctx.world.member_roles.roles, &namespace, &uid);
    let bindings =
        Keeper::<RoleBinding>::within(ctx, &ctx.world.member_roles.role_bindings, &namespace, &uid);
    let mut failure = None;
    for role in MemberRole::ALL {
        let kept = keep(&roles, &bindings, &name_in_namespace(&name, role), wanted.remove(&role)).await;
        failure = failure.or(kept.err());
    }
    let usual = match (connection.spec.members.is_empty(), connection.has_members_in_force()) {
        (true, _) => MembersOutcome::Nobody,
        (false, false) => MembersOutcome::Waiting,
        (false, true) => MembersOutcome::InForce,
    };
    failure.map_or(usual, |error| told(connection, &error))
}

/// The same for the Admins of a workspace.
pub(crate) async fn keep_workspace(ctx: &Context, workspace: &Workspace) -> MembersOutcome {
    let (name, uid) = (name_in_cluster(&workspace.name_any()), workspace.uid().unwrap_or_default());
    let roles = Keeper::<ClusterRole>::of_cluster(ctx, &ctx.world.member_roles.cluster_roles, &uid);
    let bindings =
        Keeper::<ClusterRoleBinding>::of_cluster(ctx, &ctx.world.member_roles.cluster_role_bindings, &uid);
    let kept = keep(&roles, &bindings, &name, build::of_workspace(workspace)).await;
    kept.err().map_or(MembersOutcome::InForce, |error| told(workspace, &error))
}

fn told<K: Resource>(object: &K, error: &MembersError) -> MembersOutcome {
    tracing::warn!(name = object.name_any(), error = %chain(error), "the rights of members are not as they should be");
    match error {
        MembersError::Taken(what) => MembersOutcome::Taken(what.clone()),
        MembersError::Api(error) => MembersOutcome::Failed(chain(error).to_string()),
    }
}

/// A right is given last, and taken away first.
async fn keep<R: RoleObject, B: RoleObject>(
    roles: &Keeper<'_, R>,
    bindings: &Keeper<'_, B>,
    name: &str,
    wanted: Option<RolePair<R, B>>,
) -> Result<(), MembersError> {
    let Some(RolePair { role, binding }) = wanted else {
        bindings.remove(name).await?;
        return roles.remove(name).await;
    };
    roles.write(name, role).await?;
    bindings.write(name, binding).await
}

/// Keeps objects of one kind that belong to the object with this UID.
struct Keeper<'a, K: RoleObject> {
    api: Api<K>,
    cache: &'a Cache<K>,
    namespace: Option<&'a str>,
    owner: &'a str,
}

impl<'a, K: RoleObject> Keeper<'a, K> {
    fn within(ctx: &Context, cache: &'a Cache<K>, namespace: &'a str, owner: &'a str) -> Self
    where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let api = Api::namespaced(ctx.client.clone(), namespace);
        Self { api, cache, namespace: Some(namespace), owner }
    }

    fn of_cluster(ctx: &Context, cache: &'a Cache<K>, owner: &'a str) -> Self {
        Self { api: Api::all(ctx.client.clone()), cache, namespace: None, owner }
    }

    /// The one that is known, if it is ours.
    fn known(&self, name: &str) -> Option<K> {
        let key = ObjectRef::new(name);
        let key = self.namespace.iter().fold(key, |key, namespace| key.within(namespace));
        let known = self.cache.get(&key)?;
        self.is_ours(known.meta()).then(|| K::clone(&known))
    }

    fn is_ours(&self, metadata: &ObjectMeta) -> bool {
        let mut owners = metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.uid == self.owner && owner.controller == Some(true))
    }

    async fn write(&self, name: &str, wanted: K) -> Result<(), MembersError> {
        if self.known(name).is_some_and(|known| known.says(&wanted)) {
            return Ok(());
        }
        // Somebody may have taken our labels off: then it is ours, and not known.
        let written = match self.api.get_opt(name).await? {
            Some(there) if !self.is_ours(there.meta()) => {
                return Err(MembersError::Taken(format!("{} {name}", K::kind(&()))));
            }
            Some(there) if there.can_become(&wanted) => apply::apply(&self.api, name, &wanted).await?,
            Some(there) => {
                self.delete(name, &there).await?;
                apply::create(&self.api, &wanted).await?
            }
            None => apply::create(&self.api, &wanted).await?,
        };
        self.cache.wrote(Parsed(Ok(written)));
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), MembersError> {
        match self.known(name) {
            Some(known) => self.delete(name, &known).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, name: &str, object: &K) -> Result<(), MembersError> {
        let preconditions = Some(Preconditions { uid: object.uid(), resource_version: None });
        let only_this = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.api.delete(name, &only_this).await {
            // It is gone, or another one has its name.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            deleted => deleted.map(drop).map_err(Into::into),
        }
    }
}
