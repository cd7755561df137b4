//! Whose cluster, as whom, in which namespace.

use std::cell::RefCell;
use std::fmt::Debug;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{DeserializeGuard, NamespaceResourceScope, Status};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use bowline_api::IntegrationConnection;
use bowline_runtime::clock::Clock;
use bowline_runtime::kubeconfig;

use crate::screen::Screen;
use crate::table::Cell;

/// Heading of these options: between a command's own they would hide those.
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
        let kubeconfig = match &kubeconfig {
            Some(path) => Kubeconfig::read_from(path).map_err(|error| unusable(&error))?,
            None => Kubeconfig::read().map_err(|error| unusable(&error))?,
        };
        let options = KubeConfigOptions { context, ..Default::default() };
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?;
        // A person waits: an answer of 503 is shown, not tried fifteen times.
        config.default_retry = false;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(UserSession::new(client, namespace, Clock::System))
    }
}

fn unusable(error: &KubeconfigError) -> anyhow::Error {
    if let KubeconfigError::LoadContext(name) = error {
        return anyhow!(
            "the kubeconfig has no context {name}; kubectl config get-contexts lists what it has"
        );
    }
    anyhow!(
        "the kubeconfig cannot be used: {}; give --kubeconfig or set KUBECONFIG",
        kubeconfig::fault(error)
    )
}

/// A client, the namespace meant, and the time.
pub(crate) struct UserSession {
    /// Acts as the user.
    pub(crate) client: Client,
    /// The namespace of commands that have one.
    pub(crate) namespace: String,
    /// For ages and for request values.
    pub(crate) clock: Clock,
    /// What could not be read, as sentences.
    unreadable: RefCell<Vec<String>>,
}

impl UserSession {
    pub(crate) fn new(client: Client, namespace: String, clock: Clock) -> Self {
        Self { client, namespace, clock, unreadable: RefCell::default() }
    }

    /// The connections of the namespace.
    pub(crate) fn connections(&self) -> Api<IntegrationConnection> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One of them.
    pub(crate) async fn connection(&self, name: &str) -> anyhow::Result<IntegrationConnection> {
        self.connections().get(name).await.map_err(|error| absent(error, name, &self.namespace))
    }

    /// Changes a connection, and no other of the same name.
    pub(crate) async fn patch(
        &self,
        before: &IntegrationConnection,
        mut change: Value,
    ) -> anyhow::Result<()> {
        change["metadata"]["uid"] = json!(before.metadata.uid);
        let (name, merge) = (before.name_any(), Patch::Merge(&change));
        self.connections().patch(&name, &PatchParams::default(), &merge).await.map(drop).map_err(plain)
    }

    pub(crate) async fn annotate(
        &self,
        before: &IntegrationConnection,
        annotation: &str,
        value: &str,
    ) -> anyhow::Result<()> {
        self.patch(before, json!({"metadata": {"annotations": {annotation: value}}})).await
    }

    /// All objects of a kind that can be read. One that cannot hides no other: it is set aside, and told of at the end.
    pub(crate) async fn all<K>(&self, params: &ListParams) -> Result<Vec<K>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.read(Api::all(self.client.clone()), params).await
    }

    /// [`Self::all`], of one namespace.
    pub(crate) async fn within<K>(&self, namespace: &str) -> Result<Vec<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        self.read(Api::namespaced(self.client.clone(), namespace), &ListParams::default()).await
    }

    async fn read<K>(
        &self,
        objects: Api<DeserializeGuard<K>>,
        params: &ListParams,
    ) -> Result<Vec<K>, kube::Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let list = objects.list(params).await?;
        Ok(list.items.into_iter().filter_map(|object| self.readable(object)).collect())
    }

    /// The object, if it can be read.
    pub(crate) fn readable<K: Resource<DynamicType = ()>>(&self, object: DeserializeGuard<K>) -> Option<K> {
        let invalid = match object.0 {
            Ok(object) => return Some(object),
            Err(invalid) => invalid,
        };
        let of = invalid.metadata.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let name = invalid.metadata.name.unwrap_or_default();
        let line = format!("{} {of}{name} cannot be read and is left out: {}", K::kind(&()), invalid.error);
        let mut unreadable = self.unreadable.borrow_mut();
        if !unreadable.contains(&line) {
            unreadable.push(line);
        }
        None
    }

    /// Says what could not be read since the last time.
    pub(crate) fn warn(&self, screen: &mut Screen) {
        for line in self.unreadable.take() {
            screen.progress(&format!("warning: {}", Cell::new(line).text));
        }
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
        other => anyhow!(
            "the API server cannot be reached: {}; kubectl cluster-info shows whether that is the network, the cluster or the context",
            innermost(&other)
        ),
    }
}

/// Whether it is RBAC that refuses. A policy has words of its own on who may.
fn is_lack_of_rights(status: &Status) -> bool {
    status.is_forbidden() && status.message.contains(" cannot ") && status.message.contains(" resource ")
}

/// What happened below all the layers that each say that something happened.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What a policy says, without the names of policy and binding before it: they help nobody who is refused.
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
