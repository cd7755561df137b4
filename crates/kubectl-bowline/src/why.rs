//! `why`: from a pod to the Secrets it names, to the connections behind them, to who can fix what is wrong.

mod page;

use anyhow::bail;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};

use crate::exit::Usage;
use crate::impact::references;
use crate::reading::{Readable, seen};
use crate::related::provider_of;
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use bowline_api::names::{ANNOTATION_CONNECTION, connection_id};
use bowline_api::{ConnectionShare, IntegrationConnection};
use page::{NamedSecret, PodPage, SecretSource};

const EXAMPLES: &str = "Examples:
  kubectl bowline why pod/mailer-6c9f
  kubectl bowline why pod/mailer-6c9f -n team-a

Follows each Secret that the pod names in env, envFrom and volumes to its
connection, also where that is in another namespace and shared into this one.
Needs the right to get the pod and to list connections and shares beside it.";

/// Show why a pod does not get its token, and who can fix that, how
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArgs {
    /// The pod, as pod/NAME
    #[arg(value_name = "pod/NAME")]
    pod: String,
}

impl WhyArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(name) = pod_name(&self.pod) else {
            return Err(Usage("only pods can be explained: pass pod/NAME").into());
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
        let publishers = Publishers::read(session).await?;
        let mut findings = Vec::new();
        for (secret, via) in named {
            let source = publishers.source(session, &secret).await?;
            findings.push(NamedSecret { secret, via, source });
        }
        let page = PodPage { findings, now: session.clock.now(), namespace: &session.namespace, pod: &pod };
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
struct Publishers {
    connections: Vec<IntegrationConnection>,
    shares: Vec<ConnectionShare>,
}

impl Publishers {
    async fn read(session: &UserSession) -> anyhow::Result<Self> {
        let connections = session.within(&session.namespace).await.map_err(plain)?;
        let shares = session.within(&session.namespace).await.map_err(plain)?;
        Ok(Self { connections, shares })
    }

    async fn source(&self, session: &UserSession, secret: &str) -> anyhow::Result<SecretSource> {
        if let Some(connection) = self.connections.iter().find(|one| one.secret_name() == secret) {
            let provider = provider_of(session, connection).await?;
            return Ok(SecretSource::Own(Box::new((connection.clone(), provider))));
        }
        if let Some(share) = self.shares.iter().find(|share| share.name_any() == secret) {
            return shared(session, share).await;
        }
        let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
        Ok(match seen(secrets.get_metadata_opt(secret).await)? {
            Readable::Yes(Some(found)) => leftover(&found),
            Readable::Yes(None) => SecretSource::Missing,
            Readable::MayNot => SecretSource::Unknown,
        })
    }
}

/// The share, and the connection behind it as far as the user may read that.
async fn shared(session: &UserSession, share: &ConnectionShare) -> anyhow::Result<SecretSource> {
    let of = &share.spec.connection;
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &of.namespace);
    let behind = seen(connections.get_opt(&of.name).await)?.yes().flatten();
    let behind = match behind.filter(|connection| connection.uid().as_deref() == Some(&of.uid)) {
        Some(connection) => {
            let provider = provider_of(session, &connection).await?;
            Some(Box::new((connection, provider)))
        }
        None => None,
    };
    Ok(SecretSource::Shared(Box::new(share.clone()), behind))
}

/// A Secret that no connection or share here publishes now.
fn leftover(found: &PartialObjectMeta<Secret>) -> SecretSource {
    let ours = found.annotations().get(ANNOTATION_CONNECTION);
    ours.map_or(SecretSource::Foreign, |id| SecretSource::Left { id: id.clone() })
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
