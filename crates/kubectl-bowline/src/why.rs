//! `why`: from a pod to the Secrets it names, to the connections behind them, to who can fix what is wrong.

mod page;

use anyhow::bail;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt};

use crate::exit::Usage;
use crate::impact::references;
use crate::reading::seen;
use crate::related::{ProviderFacts, provider_of};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use bowline_api::names::ANNOTATION_CONNECTION;
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
        let namespace = &session.namespace;
        let Some(pod) = session.api::<Pod>().get_opt(name).await.map_err(plain)? else {
            bail!("there is no pod {name} in namespace {namespace}; -n chooses another namespace");
        };
        let named = pod.spec.as_ref().map(references).unwrap_or_default();
        if named.is_empty() {
            screen.progress(&format!("pod/{name} names no Secret in env, envFrom or volumes."));
            return Ok(());
        }
        let publishers = Publishers {
            connections: session.within(namespace).await??,
            shares: session.within(namespace).await??,
        };
        let mut findings = Vec::new();
        for (secret, via) in named {
            let source = publishers.source(session, &secret).await?;
            findings.push(NamedSecret { secret, via, source });
        }
        let page = PodPage { findings, now: session.clock.now(), namespace, pod: &pod };
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

struct Publishers {
    connections: Vec<IntegrationConnection>,
    shares: Vec<ConnectionShare>,
}

impl Publishers {
    async fn source(&self, session: &UserSession, secret: &str) -> anyhow::Result<SecretSource> {
        if let Some(connection) = self.connections.iter().find(|one| one.secret_name() == secret) {
            let provider = provider_of(session, connection).await?;
            return Ok(SecretSource::Own(Box::new((connection.clone(), provider))));
        }
        if let Some(share) = self.shares.iter().find(|share| share.name_any() == secret) {
            return Ok(SecretSource::Shared(Box::new((share.clone(), behind(session, share).await?))));
        }
        Ok(match seen(session.api::<Secret>().get_metadata_opt(secret).await)? {
            Ok(None) => SecretSource::Missing,
            Ok(Some(found)) => match found.annotations().get(ANNOTATION_CONNECTION) {
                Some(id) => SecretSource::Left { id: id.clone() },
                None => SecretSource::Foreign,
            },
            Err(_) => SecretSource::Unknown,
        })
    }
}

/// The connection behind a share, as far as the user may read it.
async fn behind(
    session: &UserSession,
    share: &ConnectionShare,
) -> anyhow::Result<Option<(IntegrationConnection, ProviderFacts)>> {
    let of = &share.spec.connection;
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &of.namespace);
    let found = seen(connections.get_opt(&of.name).await)?.ok().flatten();
    let Some(connection) = found.filter(|it| it.uid().as_deref() == Some(&of.uid)) else { return Ok(None) };
    let provider = provider_of(session, &connection).await?;
    Ok(Some((connection, provider)))
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
}
