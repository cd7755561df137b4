//! `token`: where the access token is and who gets it; the token itself only on request.

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use secrecy::SecretString;

use crate::age::relative;
use crate::next::describe_command;
use crate::reading::Readable;
use crate::related::{shares_of, whereabouts};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use bowline_api::connection::SecretStatus;
use bowline_api::{ConnectionShare, IntegrationConnection};

/// Keys that hold the one secret of a connection, in the formats Raw and Env.
const KEYS: &[&str] = &["access_token", "ACCESS_TOKEN", "api_key", "API_KEY"];

const EXAMPLES: &str = "Examples:
  kubectl bowline token github-work         where it is, and who gets it there
  kubectl bowline token github-work --show  the token itself, and nothing else
  TOKEN=$(kubectl bowline token github-work --show)

The token is read from the published Secret, with your own right to get it. It
is short-lived; this command never has the refresh token.";

/// Show where the access token is and who can read it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TokenArgs {
    /// The connection
    name: String,
    /// Print the token to stdout
    #[arg(long)]
    show: bool,
}

impl TokenArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        if !self.show {
            let shares = shares_of(session, &connection).await?;
            return Ok(screen.result(&overview(&connection, &shares, session.clock.now()))?);
        }
        let published = published(&connection)?;
        let secret = session.api::<Secret>().get(&published.name).await;
        let token = token(&secret.map_err(plain).context("the Secret cannot be read")?, &connection)?;
        let now = session.clock.now();
        if connection.token_expires_at().is_some_and(|at| at <= now) {
            screen.progress(&validity(&connection, now).unwrap_or_default());
        }
        Ok(screen.secret(&token)?)
    }
}

fn published(connection: &IntegrationConnection) -> anyhow::Result<&SecretStatus> {
    connection.status.as_ref().and_then(|status| status.secret.as_ref()).ok_or_else(|| {
        let (name, describe) = (connection.name_any(), describe_command(connection));
        anyhow!("nothing is published for {name}; {describe} says why")
    })
}

/// The token, if the Secret is the connection's own.
fn token(secret: &Secret, connection: &IntegrationConnection) -> anyhow::Result<SecretString> {
    let name = secret.name_any();
    let owners = secret.owner_references().iter();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    if !controllers.any(|owner| Some(&owner.uid) == connection.metadata.uid.as_ref()) {
        bail!("Secret {name} is not the one that was published: somebody else created it");
    }
    let data = secret.data.clone().unwrap_or_default();
    let Some(value) = KEYS.iter().find_map(|key| data.get(*key)) else {
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        bail!(
            "Secret {name} has the keys {}, none of them a token by itself; read the one you mean with kubectl get secret",
            keys.join(", ")
        );
    };
    let text = String::from_utf8(value.0.clone()).map_err(|_| anyhow!("the token is not text"))?;
    Ok(text.into())
}

/// Until when the token is valid, if the provider says so.
fn validity(connection: &IntegrationConnection, now: Timestamp) -> Option<String> {
    let at = connection.token_expires_at()?;
    let when = relative(&Time(at), now);
    Some(if at <= now {
        format!("The token expired {when}.")
    } else {
        format!("The token expires {when} ({at}).")
    })
}

/// Until when it is valid, and where.
fn overview(
    connection: &IntegrationConnection,
    shares: &Readable<Vec<ConnectionShare>>,
    now: Timestamp,
) -> String {
    let Some(places) = whereabouts(connection, shares) else {
        return "It is published nowhere.\n".to_owned();
    };
    validity(connection, now).map(|line| line + "\n").unwrap_or_default() + &places
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use secrecy::ExposeSecret;

    use super::*;
    use crate::reading::Forbidden;

    fn connection(status: &Value) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a", "uid": "u1"},
            "spec": {"provider": "github", "owner": "alice", "workspace": "marketing", "shared": true},
            "status": status}))
        .unwrap()
    }

    fn secret(keys: &[(&str, &str)], owner: &str, controller: bool) -> Secret {
        let data: BTreeMap<_, _> = keys
            .iter()
            .map(|(key, value)| (*key, k8s_openapi::ByteString(value.as_bytes().to_vec())))
            .collect();
        serde_json::from_value(json!({"data": data, "metadata": {"name": "github", "ownerReferences": [{
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "name": "github", "uid": owner,
            "controller": controller}]}}))
        .unwrap()
    }

    #[test]
    fn only_what_the_operator_published_is_printed() {
        let it = connection(&json!({}));
        for keys in [&[("access_token", "t1")][..], &[("ACCESS_TOKEN", "t1")], &[("API_KEY", "t1")]] {
            assert_eq!(token(&secret(keys, "u1", true), &it).unwrap().expose_secret(), "t1");
        }
        for (owner, controller) in [("u2", true), ("u1", false)] {
            let refused = token(&secret(&[("access_token", "t1")], owner, controller), &it);
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("somebody else created it") && !said.contains("t1"), "{said}");
        }
        let rendered = secret(&[("config.yaml", "t1"), ("x", "y")], "u1", true);
        let said = token(&rendered, &it).unwrap_err().to_string();
        assert!(said.contains("config.yaml, x") && !said.contains("t1"), "{said}");
    }

    #[test]
    fn who_can_read_it_is_said_by_namespace() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let it = connection(&json!({"token": {"expiresAt": "2026-01-01T00:10:00Z"},
            "secret": {"name": "github"}}));
        assert_eq!(
            overview(&it, &Err(Forbidden::default()), now),
            "The token expires in 10m (2026-01-01T00:10:00Z).\n\
             \x20 team-a: Secret github\n  in namespaces of workspace marketing whose shares you may not list\n\
             \x20 Whoever may read Secrets or run pods in these namespaces gets the token.\n"
        );
        let nothing = connection(&json!({}));
        assert_eq!(overview(&nothing, &Ok(Vec::new()), now), "It is published nowhere.\n");
        let error = published(&nothing).unwrap_err().to_string();
        assert!(error.contains("kubectl bowline describe github -n team-a"), "{error}");
    }
}
