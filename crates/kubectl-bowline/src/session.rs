//! Which cluster, as which user, in which namespace.

use std::cell::RefCell;
use std::fmt::Debug;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use bowline_api::IntegrationConnection;
use bowline_runtime::clock::Clock;
use bowline_runtime::kubeconfig;

/// Heading of these options: among a command's own options they would hide those.
const CLUSTER: &str = "Cluster";

/// Options that every command has, with kubectl's names and meanings.
#[derive(clap::Args, Debug)]
pub(crate) struct ClusterArgs {
    /// Kubeconfig file; without it $KUBECONFIG, then ~/.kube/config
    #[arg(long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub(crate) context: Option<String>,
    /// Namespace; without it the context's
    #[arg(short, long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub(crate) namespace: Option<String>,
}

impl ClusterArgs {
    /// Reads the kubeconfig and prepares a client; nothing is sent yet.
    pub(crate) async fn connect(self) -> anyhow::Result<UserSession> {
        let Self { kubeconfig, context, namespace } = self;
        let mut config = configured(kubeconfig, context).await.map_err(|error| unusable(&error))?;
        // A person waits: an answer of 503 is shown, not retried fifteen times.
        config.default_retry = false;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(UserSession::new(client, namespace, Clock::System))
    }
}

async fn configured(path: Option<PathBuf>, context: Option<String>) -> Result<Config, KubeconfigError> {
    let kubeconfig = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from)?;
    let options = KubeConfigOptions { context, ..Default::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await
}

fn unusable(error: &KubeconfigError) -> anyhow::Error {
    match error {
        KubeconfigError::LoadContext(name) => {
            anyhow!("the kubeconfig has no context {name}; kubectl config get-contexts lists what it has")
        }
        error => anyhow!(
            "the kubeconfig cannot be used: {}; give --kubeconfig or set KUBECONFIG",
            kubeconfig::fault(error)
        ),
    }
}

pub(crate) struct UserSession {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) clock: Clock,
    /// What could not be read, as sentences.
    pub(crate) unreadable: RefCell<Vec<String>>,
}

/// A kind of object that can be listed.
pub(crate) trait Listed: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug {}

impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug> Listed for K {}

/// One whose objects are in namespaces.
pub(crate) trait Namespaced: Listed + Resource<Scope = NamespaceResourceScope> {}

impl<K: Listed + Resource<Scope = NamespaceResourceScope>> Namespaced for K {}

impl UserSession {
    pub(crate) fn new(client: Client, namespace: String, clock: Clock) -> Self {
        Self { client, namespace, clock, unreadable: RefCell::default() }
    }

    /// The objects of a kind in the session's namespace.
    pub(crate) fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn connection(&self, name: &str) -> anyhow::Result<IntegrationConnection> {
        self.api().get(name).await.map_err(|error| absent(error, name, &self.namespace))
    }

    /// Changes a connection, and no other of the same name.
    pub(crate) async fn patch(
        &self,
        before: &IntegrationConnection,
        mut change: Value,
    ) -> anyhow::Result<()> {
        change["metadata"]["uid"] = json!(before.metadata.uid);
        let connections: Api<IntegrationConnection> = self.api();
        let (name, merge) = (before.name_any(), Patch::Merge(&change));
        connections.patch(&name, &PatchParams::default(), &merge).await.map(drop).map_err(plain)
    }

    /// The user's name, as this API server spells it.
    pub(crate) async fn user(&self) -> anyhow::Result<String> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let question = SelfSubjectReview::default();
        let answer = reviews.create(&PostParams::default(), &question).await.map_err(plain)?;
        let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
        user.context("the API server does not say who you are")
    }

    pub(crate) async fn annotate(
        &self,
        before: &IntegrationConnection,
        annotation: &str,
        value: &str,
    ) -> anyhow::Result<()> {
        self.patch(before, json!({"metadata": {"annotations": {annotation: value}}})).await
    }
}

/// A refusal in the API server's own words; kube's own message is a dump of the whole answer.
pub(crate) fn plain(error: kube::Error) -> anyhow::Error {
    match error {
        // The answer about an absent object names it; the one about an unknown kind does not.
        kube::Error::Api(status) if status.is_not_found() && names_nothing(&status) => {
            anyhow!("the cluster does not know Bowline's kinds: is it installed? ({})", status.message)
        }
        kube::Error::Api(status) if is_lack_of_rights(&status) => anyhow!(
            "{}; an administrator of the cluster can give you that right (docs/permissions.md says by which role)",
            status.message
        ),
        kube::Error::Api(status) => anyhow!("{}", said(&status.message)),
        kube::Error::SerdeError(error) => {
            anyhow!("the answer cannot be read: {error}; is this plug-in older than the operator?")
        }
        // Each layer above the innermost cause says only that something happened.
        other => anyhow!(
            "the API server cannot be reached: {}; kubectl cluster-info shows whether that is the network, the cluster or the context",
            anyhow!(other).root_cause()
        ),
    }
}

/// Whether RBAC refuses. A policy says in its own words who may.
fn is_lack_of_rights(status: &Status) -> bool {
    status.is_forbidden() && status.message.contains(" cannot ") && status.message.contains(" resource ")
}

/// What a policy says, without the names of policy and binding before it: a user who is refused cannot use them.
fn said(message: &str) -> &str {
    match message.split_once(" denied request: ") {
        Some((before, said)) if before.contains("ValidatingAdmissionPolicy '") => said,
        _ => message,
    }
}

/// [`plain`], for one connection by name: the wrong namespace is the usual cause of an absent one.
fn absent(error: kube::Error, name: &str, namespace: &str) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.is_not_found() && !names_nothing(&status) => {
            anyhow!(
                "there is no connection {name} in namespace {namespace}; kubectl bowline list -n {namespace} shows what is there, and -n chooses another namespace"
            )
        }
        other => plain(other),
    }
}

fn names_nothing(status: &Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn not_found(name: &str) -> kube::Error {
        let details = StatusDetails {
            name: name.into(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        kube::Error::Api(Box::new(
            Status::failure("could not find it", "NotFound").with_code(404).with_details(details),
        ))
    }

    #[test]
    fn a_refusal_is_shown_in_the_servers_words() {
        let forbidden = Status::failure("alice cannot list connections", "Forbidden").with_code(403);
        assert_eq!(plain(kube::Error::Api(Box::new(forbidden))).to_string(), "alice cannot list connections");
    }

    #[test]
    fn who_lacks_a_right_is_told_who_gives_it() {
        let refused =
            Status::failure(r#"User "bob" cannot get resource "pods" in API group """#, "Forbidden");
        let said = plain(kube::Error::Api(Box::new(refused.with_code(403)))).to_string();
        assert!(said.contains("\"pods\"") && said.contains("; an administrator of the cluster"), "{said}");
    }

    #[test]
    fn an_unreachable_server_is_told_by_what_happened_to_the_wire() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let said = plain(kube::Error::Service(Box::new(std::io::Error::other(refused)))).to_string();
        assert!(said.starts_with("the API server cannot be reached: connection refused; "), "{said}");
    }

    #[test]
    fn a_policys_message_is_shown_without_its_name() {
        let message =
            "ic \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: not yours";
        let refused = Status::failure(message, "Forbidden").with_code(403);
        assert_eq!(plain(kube::Error::Api(Box::new(refused))).to_string(), "not yours");
        assert_eq!(said("a webhook denied request: no"), "a webhook denied request: no");
    }

    #[test]
    fn an_absent_connection_is_told_with_the_namespace() {
        let error = absent(not_found("github"), "github", "team-a").to_string();
        assert!(error.starts_with("there is no connection github in namespace team-a; "), "{error}");
        assert!(absent(not_found(""), "github", "team-a").to_string().contains("is it installed?"));
    }

    #[test]
    fn a_cluster_without_bowline_is_told_from_a_missing_object() {
        assert!(plain(not_found("")).to_string().contains("is it installed?"));
        assert_eq!(plain(not_found("github")).to_string(), "could not find it");
    }
}
