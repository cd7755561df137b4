//! `token`: where the access token is and who gets it; the token itself only on request.

use std::fmt::Write as _;

use anyhow::{Context, anyhow, bail};
use bowline_api::connection::SecretStatus;
use bowline_api::{ConnectionShare, IntegrationConnection};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};

use super::age::relative;
use super::describe::shares;
use super::rights::Seen;
use super::screen::Screen;
use super::session::{Session, plain};

/// Keys that hold the one secret of a connection, in the formats Raw and Env.
const KEYS: &[&str] = &["access_token", "ACCESS_TOKEN", "api_key", "API_KEY"];

const EXAMPLES: &str = "Examples:
  kubectl bowline token github-work         where it is, and who gets it there
  kubectl bowline token github-work --show  the token itself, and nothing else
  TOKEN=$(kubectl bowline token github-work --show)

The token is read from the published Secret, with your own right to get it. It
is short-lived; the refresh token is never in reach of this command.";

/// Say where the access token is and who could read it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
    /// Print the token to stdout
    #[arg(long)]
    show: bool,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        if !self.show {
            let shares = shares(session, &connection).await?;
            return Ok(screen.result(&whereabouts(&connection, &shares, session.clock.now()))?);
        }
        let published = published(&connection)?;
        let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
        let secret =
            secrets.get(&published.name).await.map_err(plain).context("the Secret cannot be read")?;
        let token = token(&secret, published)?;
        warn_if_over(&connection, session.clock.now(), screen);
        Ok(screen.result(&format!("{}\n", token.expose_secret()))?)
    }
}

fn published(connection: &IntegrationConnection) -> anyhow::Result<&SecretStatus> {
    connection.status.as_ref().and_then(|status| status.secret.as_ref()).ok_or_else(|| {
        anyhow!(
            "nothing is published for {name}; kubectl bowline describe {name} -n {} says why",
            connection.namespace().unwrap_or_default(),
            name = connection.name_any(),
        )
    })
}

/// The token, if this is the Secret that the operator has published.
fn token(secret: &Secret, published: &SecretStatus) -> anyhow::Result<SecretString> {
    if secret.uid().as_deref() != Some(&published.uid) {
        bail!("Secret {} is not the one that was published: somebody else made it", published.name);
    }
    let data = secret.data.clone().unwrap_or_default();
    let Some(value) = KEYS.iter().find_map(|key| data.get(*key)) else {
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        bail!(
            "Secret {} has the keys {}, none of them a token by itself; read the one you mean with kubectl get secret",
            published.name,
            keys.join(", ")
        );
    };
    let text = String::from_utf8(value.0.clone()).map_err(|_| anyhow!("the token is not text"))?;
    Ok(text.into())
}

fn warn_if_over(connection: &IntegrationConnection, now: Timestamp, screen: &mut Screen) {
    let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
    if let Some(end) = token.and_then(|token| token.expires_at.as_ref()).filter(|end| end.0 <= now) {
        screen.progress(&format!("The token expired {}.", relative(end, now)));
    }
}

fn whereabouts(
    connection: &IntegrationConnection,
    shares: &Seen<Vec<ConnectionShare>>,
    now: Timestamp,
) -> String {
    let status = connection.status.as_ref();
    let mut text = match status.and_then(|status| status.token.as_ref()?.expires_at.as_ref()) {
        Some(end) if end.0 <= now => format!("The token expired {}.\n", relative(end, now)),
        Some(end) => format!("The token ends {} ({}).\n", relative(end, now), end.0),
        None => String::new(),
    };
    text.push_str("Whoever may read Secrets or run pods in these namespaces gets it:\n");
    let mut nowhere = true;
    if let (Some(secret), Some(namespace)) =
        (status.and_then(|status| status.secret.as_ref()), connection.namespace())
    {
        nowhere = false;
        let _ = writeln!(text, "  {namespace}: Secret {}", secret.name);
    }
    match shares {
        Seen::Yes(shares) => {
            for share in shares {
                let Some(secret) = share.status.as_ref().and_then(|status| status.secret_name.as_ref())
                else {
                    continue;
                };
                nowhere = false;
                let namespace = share.namespace().unwrap_or_default();
                let _ = writeln!(text, "  {namespace}: Secret {secret} (workspace {})", share.spec.workspace);
            }
        }
        Seen::MayNot => {
            nowhere = false;
            let workspace = connection.spec.workspace.as_deref().unwrap_or_default();
            let _ = writeln!(text, "  those of workspace {workspace}, which you may not list");
        }
    }
    if nowhere { "It is published nowhere.\n".to_owned() } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connection(status: &Value) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice", "workspace": "marketing", "shared": true},
            "status": status}))
        .unwrap()
    }

    fn secret(keys: &[(&str, &str)]) -> Secret {
        let data = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), k8s_openapi::ByteString(value.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.uid = Some("u1".into());
        secret
    }

    fn named(uid: &str) -> SecretStatus {
        SecretStatus { name: "github".into(), uid: uid.into(), ..SecretStatus::default() }
    }

    #[test]
    fn only_what_the_operator_published_is_printed() {
        for keys in [&[("access_token", "t1")][..], &[("ACCESS_TOKEN", "t1")], &[("API_KEY", "t1")]] {
            assert_eq!(token(&secret(keys), &named("u1")).unwrap().expose_secret(), "t1");
        }
        let stranger = token(&secret(&[("access_token", "t1")]), &named("u2")).unwrap_err().to_string();
        assert!(stranger.contains("somebody else made it") && !stranger.contains("t1"), "{stranger}");
        let rendered =
            token(&secret(&[("config.yaml", "t1"), ("x", "y")]), &named("u1")).unwrap_err().to_string();
        assert!(rendered.contains("config.yaml, x") && !rendered.contains("t1"), "{rendered}");
    }

    #[test]
    fn who_could_read_it_is_told_by_namespace() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let it = connection(&json!({"token": {"expiresAt": "2026-01-01T00:10:00Z"},
            "secret": {"name": "github", "uid": "u1", "resourceVersion": "1", "revision": 1}}));
        assert_eq!(
            whereabouts(&it, &Seen::MayNot, now),
            "The token ends in 10m (2026-01-01T00:10:00Z).\n\
             Whoever may read Secrets or run pods in these namespaces gets it:\n  team-a: Secret github\n\
             \x20 those of workspace marketing, which you may not list\n"
        );
        let nothing = connection(&json!({}));
        assert_eq!(whereabouts(&nothing, &Seen::Yes(Vec::new()), now), "It is published nowhere.\n");
        let error = published(&nothing).unwrap_err().to_string();
        assert!(error.contains("kubectl bowline describe github -n team-a"), "{error}");
    }
}
