//! Whose cluster, as whom, in which namespace.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::clock::Clock;
use crate::kubeconfig;

/// Heading of these options: between a command's own they would hide those.
const CLUSTER: &str = "Cluster";

/// Options that every command has, with kubectl's names and meanings.
#[derive(clap::Args, Debug)]
pub(super) struct ClusterArgs {
    /// Kubeconfig file; without it $KUBECONFIG, then ~/.kube/config
    #[arg(long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub context: Option<String>,
    /// Namespace; without it the context's
    #[arg(short, long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub namespace: Option<String>,
}

impl ClusterArgs {
    /// Reads the kubeconfig and prepares a client; nothing is sent yet.
    pub async fn connect(self) -> anyhow::Result<Session> {
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
        Ok(Session { client, namespace, clock: Clock::System })
    }
}

fn unusable(error: &KubeconfigError) -> anyhow::Error {
    anyhow!(
        "the kubeconfig cannot be used: {}; give --kubeconfig or set KUBECONFIG",
        kubeconfig::fault(error)
    )
}

/// A client, the namespace meant, and the time.
pub struct Session {
    /// Speaks as the user.
    pub client: Client,
    /// The namespace of commands that have one.
    pub namespace: String,
    /// For ages and for request values.
    pub clock: Clock,
}

/// A refusal in the API server's own words; kube's own message is a dump of the whole answer.
pub(super) fn plain(error: kube::Error) -> anyhow::Error {
    match error {
        // An unknown kind is answered without details; an absent object is named in them.
        kube::Error::Api(status) if status.is_not_found() && names_nothing(&status) => {
            anyhow!("the cluster does not know Bowline's kinds: is it installed? ({})", status.message)
        }
        kube::Error::Api(status) => anyhow!("{}", said(&status.message)),
        other => anyhow::Error::new(other).context("the API server cannot be reached"),
    }
}

/// What a policy says, without the names of policy and binding before it: they help nobody who is refused.
fn said(message: &str) -> &str {
    match message.split_once(" denied request: ") {
        Some((before, said)) if before.contains("ValidatingAdmissionPolicy '") => said,
        _ => message,
    }
}

/// [`plain`], for one connection by name: the wrong namespace is the usual cause of an absent one.
pub(super) fn plain_in(error: kube::Error, name: &str, namespace: &str) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.is_not_found() && !names_nothing(&status) => {
            anyhow!("there is no connection {name} in namespace {namespace}: give the right one by -n")
        }
        other => plain(other),
    }
}

fn names_nothing(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
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
    fn refusals_speak_in_the_servers_words() {
        let forbidden = Status::failure("alice cannot list connections", "Forbidden").with_code(403);
        assert_eq!(plain(kube::Error::Api(Box::new(forbidden))).to_string(), "alice cannot list connections");
    }

    #[test]
    fn a_policy_speaks_without_its_name() {
        let message =
            "ic \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: not yours";
        let refused = Status::failure(message, "Forbidden").with_code(403);
        assert_eq!(plain(kube::Error::Api(Box::new(refused))).to_string(), "not yours");
        assert_eq!(said("a webhook denied request: no"), "a webhook denied request: no");
    }

    #[test]
    fn an_absent_connection_is_told_with_the_namespace() {
        let error = plain_in(not_found("github"), "github", "team-a").to_string();
        assert_eq!(error, "there is no connection github in namespace team-a: give the right one by -n");
        assert!(plain_in(not_found(""), "github", "team-a").to_string().contains("is it installed?"));
    }

    #[test]
    fn a_cluster_without_bowline_is_told_from_a_missing_object() {
        assert!(plain(not_found("")).to_string().contains("is it installed?"));
        assert_eq!(plain(not_found("github")).to_string(), "could not find it");
    }
}
