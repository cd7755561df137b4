//! `why`: from a pod to the Secrets it names, to the connections behind them, to who mends what is wrong.

mod page;

use anyhow::bail;
use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};

use super::describe::{About, about};
use super::exit::Usage;
use super::impact::references;
use super::rights::{Seen, seen};
use super::screen::Screen;
use super::session::{Session, plain};
use page::{Finding, Page, Source};

const EXAMPLES: &str = "Examples:
  kubectl bowline why pod/mailer-6c9f
  kubectl bowline why pod/mailer-6c9f -n team-a

Follows each Secret that the pod names in env, envFrom and volumes to its
connection, also where that is in another namespace and shared into this one.
Needs the right to get the pod and to list connections and shares beside it.";

/// Say why a pod does not get its token, who mends that, and how
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The pod, as pod/NAME
    #[arg(value_name = "pod/NAME")]
    pod: String,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(name) = pod_name(&self.pod) else {
            return Err(Usage("only pods are looked at: say pod/NAME").into());
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let Some(pod) = pods.get_opt(name).await.map_err(plain)? else {
            bail!("there is no pod {name} in namespace {}; -n chooses another namespace", session.namespace);
        };
        let named = pod.spec.as_ref().map(references).unwrap_or_default();
        if named.is_empty() {
            screen.progress(&format!("pod/{name} names no Secret in env, envFrom or volumes."));
            return Ok(());
        }
        let known = Known::read(session).await?;
        let mut findings = Vec::new();
        for (secret, via) in named {
            let source = known.source(session, &secret).await?;
            findings.push(Finding { secret, via, source });
        }
        let page = Page { findings, now: session.clock.now(), namespace: &session.namespace, pod: &pod };
        Ok(screen.result(&page.render())?)
    }
}

/// The name of a pod as kubectl takes it; `None` for other kinds.
fn pod_name(text: &str) -> Option<&str> {
    match text.split_once('/') {
        None => Some(text),
        Some(("pod" | "pods" | "po", name)) => Some(name),
        Some(_) => None,
    }
    .filter(|name| !name.is_empty() && !name.contains('/'))
}

/// What publishes Secrets in the namespace.
struct Known {
    connections: Vec<IntegrationConnection>,
    shares: Vec<ConnectionShare>,
}

impl Known {
    async fn read(session: &Session) -> anyhow::Result<Self> {
        let every = ListParams::default();
        let connections: Api<IntegrationConnection> =
            Api::namespaced(session.client.clone(), &session.namespace);
        let shares: Api<ConnectionShare> = Api::namespaced(session.client.clone(), &session.namespace);
        Ok(Self {
            connections: connections.list(&every).await.map_err(plain)?.items,
            shares: shares.list(&every).await.map_err(plain)?.items,
        })
    }

    async fn source(&self, session: &Session, secret: &str) -> anyhow::Result<Source> {
        if let Some(connection) = self.connections.iter().find(|one| publishes(one, secret)) {
            let about = about(session, connection).await?;
            return Ok(Source::Own(Box::new(connection.clone()), about));
        }
        if let Some(share) = self.shares.iter().find(|share| share.name_any() == secret) {
            return shared(session, share).await;
        }
        let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
        Ok(match seen(secrets.get_metadata_opt(secret).await)? {
            Seen::Yes(Some(found)) => strange(&found),
            Seen::Yes(None) => Source::Missing,
            Seen::MayNot => Source::Unknown,
        })
    }
}

/// The share, and the connection behind it as far as the user may read that.
async fn shared(session: &Session, share: &ConnectionShare) -> anyhow::Result<Source> {
    let of = &share.spec.connection;
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &of.namespace);
    let behind = seen(connections.get_opt(&of.name).await)?.yes().flatten();
    let behind = match behind.filter(|connection| connection.uid().as_deref() == Some(&of.uid)) {
        Some(connection) => Some((connection.clone(), about(session, &connection).await?)),
        None => None,
    };
    Ok(Source::Shared(Box::new(share.clone()), behind.map(Box::<(IntegrationConnection, About)>::new)))
}

/// A Secret that no connection or share here publishes now.
fn strange(found: &PartialObjectMeta<Secret>) -> Source {
    let ours = found.annotations().get(bowline_api::names::ANNOTATION_CONNECTION);
    ours.map_or(Source::Foreign, |id| Source::Left { id: id.clone() })
}

/// Whether a connection publishes its token under this name, or would.
fn publishes(connection: &IntegrationConnection, secret: &str) -> bool {
    let asked = connection.spec.secret.as_ref().and_then(|secret| secret.name.as_deref());
    asked.unwrap_or(&connection.name_any()) == secret
}

/// The connection that a Secret's name would stand for if it were shared: `<namespace>.<name>`.
fn as_id(secret: &str) -> Option<(&str, &str)> {
    let (namespace, name) = secret.split_once('.')?;
    let is_whole = !name.contains('.') && connection_id(namespace, name) == secret;
    (is_whole && !name.is_empty() && !namespace.is_empty()).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_as_kubectl_names_it() {
        for (text, name) in [
            ("pod/mailer", Some("mailer")),
            ("po/mailer", Some("mailer")),
            ("mailer", Some("mailer")),
            ("deployment/mailer", None),
            ("pod/", None),
            ("pod/a/b", None),
        ] {
            assert_eq!(pod_name(text), name, "{text}");
        }
    }

    #[test]
    fn only_a_name_of_two_parts_may_be_a_share() {
        assert_eq!(as_id("team-a.github"), Some(("team-a", "github")));
        assert_eq!(as_id("github"), None);
        assert_eq!(as_id("a.b.c"), None);
        assert_eq!(as_id(".b"), None);
    }
}
