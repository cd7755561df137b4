//! `refresh`: ask for a new token now, and see what came of it.

use bowline_api::IntegrationConnection;
use bowline_api::connection::{FailureStatus, TokenStatus};
use bowline_api::names::ANNOTATION_REFRESH_REQUESTED;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::age::relative;
use super::exit::NotInTime;
use super::list::condition;
use super::screen::Screen;
use super::session::{Session, plain};
use super::wait::{WaitArgs, until, words};

const EXAMPLES: &str = "Examples:
  kubectl bowline refresh github-work               ask, wait up to a minute
  kubectl bowline refresh github-work --timeout 5m  be more patient
  kubectl bowline refresh github-work --wait=false  only ask

The request goes the same way and heeds the same limits as a planned refresh.
It is an annotation, so you need the right to patch the connection.";

/// Ask for a new token now
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, wait } = self;
        let connections: Api<IntegrationConnection> =
            Api::namespaced(session.client.clone(), &session.namespace);
        let before = session.connection(&name).await?;
        let request = request(&before, session.clock.now());
        let patch = json!({"metadata": {"annotations": {ANNOTATION_REFRESH_REQUESTED: request}}});
        connections.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(plain)?;
        if !wait.wait {
            screen.progress(&format!("A refresh of {name} is asked for."));
            return Ok(());
        }
        screen.progress(&format!(
            "A refresh of {name} is asked for; waiting up to {} ...",
            words(wait.timeout)
        ));
        let settled = |connection: &IntegrationConnection| handled(connection) == Some(request.as_str());
        let Some(after) = until(&connections, &name, wait.timeout.into(), settled).await? else {
            let what = format!("the operator has not handled the request for {name} yet; it stays asked for");
            return Err(NotInTime { limit: wait.timeout, what }.into());
        };
        let outcome = Outcome::between(&before, &after);
        screen.result(&outcome.sentence(&name, session.clock.now()))?;
        if outcome.is_good() { Ok(()) } else { Err(anyhow::anyhow!("{name} was not refreshed")) }
    }
}

/// A value that was never asked with before: each accepted request gives the connection a new resourceVersion.
fn request(connection: &IntegrationConnection, now: Timestamp) -> String {
    format!("{now}/{}", connection.metadata.resource_version.as_deref().unwrap_or("0"))
}

fn handled(connection: &IntegrationConnection) -> Option<&str> {
    connection.status.as_ref()?.last_handled_refresh.as_deref()
}

fn token(connection: &IntegrationConnection) -> Option<&TokenStatus> {
    connection.status.as_ref()?.token.as_ref()
}

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Outcome<'a> {
    /// The provider gave a token.
    Refreshed(&'a TokenStatus),
    /// It was tried and failed.
    Failed(&'a FailureStatus),
    /// It was not tried.
    NotTried { reason: &'a str, message: &'a str },
}

impl<'a> Outcome<'a> {
    fn between(before: &IntegrationConnection, after: &'a IntegrationConnection) -> Self {
        if let Some(now) = token(after) {
            // The revision counts commits; times have whole seconds, and two refreshes may share one.
            let earlier = token(before);
            if now.revision > earlier.and_then(|token| token.revision) {
                return Self::Refreshed(now);
            }
            if let Some(failure) = &now.last_failure
                && Some(failure) != earlier.and_then(|token| token.last_failure.as_ref())
            {
                return Self::Failed(failure);
            }
        }
        let verdict = condition(after, "TokenFresh").or_else(|| condition(after, "Ready"));
        Self::NotTried {
            reason: verdict.map_or("Unknown", |verdict| &verdict.reason),
            message: verdict.map_or("the operator gives no reason", |verdict| &verdict.message),
        }
    }

    fn is_good(&self) -> bool {
        matches!(self, Self::Refreshed(_))
    }

    fn sentence(&self, name: &str, now: Timestamp) -> String {
        match self {
            Self::Refreshed(token) => match &token.expires_at {
                Some(end) => {
                    format!("{name} refreshed; the token expires {} ({}).\n", relative(end, now), end.0)
                }
                None => format!("{name} refreshed; the provider names no end of the token.\n"),
            },
            Self::Failed(failure) => format!("{name}: {}: {}\n", failure.reason, failure.message),
            Self::NotTried { reason, message } => format!("{name}: not tried: {reason}: {message}\n"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn connection(token: &Value) -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "github"}, "spec": {"provider": "github", "owner": "alice"},
            "status": {"token": token, "conditions": [{
                "type": "TokenFresh", "status": "False", "reason": "Suspended", "message": "Suspended by its spec.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        }))
        .unwrap()
    }

    fn told(before: &Value, after: &Value) -> (bool, String) {
        let (before, after) = (connection(before), connection(after));
        let outcome = Outcome::between(&before, &after);
        (outcome.is_good(), outcome.sentence("github", "2026-01-01T00:00:00Z".parse().unwrap()))
    }

    #[test]
    fn the_outcome_is_told_in_one_sentence() {
        let failed = |at| json!({"revision": 3, "lastFailure": {"at": at, "reason": "RefreshFailing", "message": "The provider answered 503."}});
        let rows = [
            (
                json!({"revision": 3}),
                json!({"revision": 4, "expiresAt": "2026-01-01T01:00:00Z"}),
                (true, "github refreshed; the token expires in 60m (2026-01-01T01:00:00Z).\n"),
            ),
            (
                Value::Null,
                json!({"revision": 1}),
                (true, "github refreshed; the provider names no end of the token.\n"),
            ),
            (
                failed("2026-01-01T00:00:00Z"),
                failed("2026-01-01T00:00:09Z"),
                (false, "github: RefreshFailing: The provider answered 503.\n"),
            ),
            (
                failed("2026-01-01T00:00:00Z"),
                failed("2026-01-01T00:00:00Z"),
                (false, "github: not tried: Suspended: Suspended by its spec.\n"),
            ),
        ];
        for (before, after, (good, sentence)) in rows {
            assert_eq!(told(&before, &after), (good, sentence.to_owned()));
        }
    }
}
