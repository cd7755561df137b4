//! `refresh`: request a new token now, and show the outcome.

use anyhow::ensure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::age::relative;
use crate::table::printable;
use crate::wait::WaitArgs;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::condition::{
    ConditionType::{Ready, TokenFresh},
    Conditioned,
};
use bowline_api::connection::{FailureStatus, GrantStatus};
use bowline_api::names::ANNOTATION_REFRESH_REQUESTED;

const EXAMPLES: &str = "Examples:
  kubectl bowline refresh github-work               wait up to a minute
  kubectl bowline refresh github-work --timeout 5m  wait longer
  kubectl bowline refresh github-work --wait=false  only request it

The request is carried out like a planned refresh, within the same limits. It
is an annotation, so you need the right to patch the connection.";

/// Request a new token now
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RefreshArgs {
    /// The connection
    name: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl RefreshArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, wait } = self;
        let before = session.connection(&name).await?;
        let request = request(&before, session.clock.now());
        session.annotate(&before, ANNOTATION_REFRESH_REQUESTED, &request).await?;
        if !wait.begin(&format!("Requested a refresh of {name}"), screen) {
            return Ok(());
        }
        let settled = |now: &IntegrationConnection| {
            now.status.as_ref().and_then(|status| status.last_handled_refresh.as_ref()) == Some(&request)
        };
        let so_far = |_: &IntegrationConnection| {
            format!("the operator has not handled the request for {name} yet; it stays requested")
        };
        let after = wait.until(session, &name, settled, so_far).await?;
        let outcome = outcome(&before, &after, session.clock.now());
        screen.result(&format!("{}\n", printable(outcome.sentence)))?;
        ensure!(outcome.is_refreshed, "{name} was not refreshed");
        Ok(())
    }
}

/// A value that was never used before: each accepted request gives the connection a new resourceVersion.
pub(crate) fn request(connection: &IntegrationConnection, now: Timestamp) -> String {
    format!("{now}/{}", connection.metadata.resource_version.as_deref().unwrap_or("0"))
}

struct RefreshOutcome {
    /// Whether the provider issued a token.
    is_refreshed: bool,
    sentence: String,
}

fn outcome(before: &IntegrationConnection, after: &IntegrationConnection, now: Timestamp) -> RefreshOutcome {
    let name = after.name_any();
    // Times have whole seconds, and two refreshes may share one; the revision counts them.
    let revision = |grant: &GrantStatus| grant.revision;
    if after.grant().map(revision) > before.grant().map(revision) {
        let expires = after.token_expires_at().map_or_else(
            || "the provider names no time at which the token expires".to_owned(),
            |at| format!("the token expires {} ({at})", relative(&Time(at), now)),
        );
        return RefreshOutcome { is_refreshed: true, sentence: format!("{name} refreshed; {expires}.") };
    }
    let failure = after.token().and_then(|token| token.last_failure.as_ref());
    let earlier = before.token().and_then(|token| token.last_failure.as_ref());
    if let Some(FailureStatus { reason, message, .. }) = failure.filter(|_| failure != earlier) {
        return RefreshOutcome { is_refreshed: false, sentence: format!("{name}: {reason}: {message}") };
    }
    let why = after.condition(TokenFresh).or_else(|| after.condition(Ready));
    let (reason, message) = why.map_or(("Unknown", "the operator gives no reason"), |why| {
        (why.reason.as_str(), why.message.as_str())
    });
    RefreshOutcome { is_refreshed: false, sentence: format!("{name}: not tried: {reason}: {message}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn connection(revision: Option<i64>, token: &Value) -> IntegrationConnection {
        let grant = revision.map(
            |revision| json!({"id": "7f3c", "revision": revision, "obtainedAt": "2026-01-01T00:00:00Z"}),
        );
        serde_json::from_value(json!({
            "metadata": {"name": "github"}, "spec": {"provider": "github", "owner": "alice"},
            "status": {"token": token, "grant": grant, "conditions": [{
                "type": "TokenFresh", "status": "False", "reason": "Suspended", "message": "Suspended by its spec.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        }))
        .unwrap()
    }

    fn failed(at: &str) -> Value {
        json!({"lastFailure": {"at": at, "reason": "RefreshFailing", "message": "The provider answered 503."}})
    }

    #[test]
    fn what_came_of_it_is_said_in_one_sentence() {
        let first = failed("2026-01-01T00:00:00Z");
        let rows = vec![
            (
                connection(Some(3), &json!({})),
                connection(Some(4), &json!({"expiresAt": "2026-01-01T01:00:00Z"})),
                (true, "github refreshed; the token expires in 60m (2026-01-01T01:00:00Z)."),
            ),
            (
                connection(None, &Value::Null),
                connection(Some(1), &json!({})),
                (true, "github refreshed; the provider names no time at which the token expires."),
            ),
            (
                connection(Some(3), &first),
                connection(Some(3), &failed("2026-01-01T00:00:09Z")),
                (false, "github: RefreshFailing: The provider answered 503."),
            ),
            (
                connection(Some(3), &first),
                connection(Some(3), &first),
                (false, "github: not tried: Suspended: Suspended by its spec."),
            ),
        ];
        for (before, after, (good, sentence)) in rows {
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let outcome = outcome(&before, &after, now);
            assert_eq!((outcome.is_refreshed, outcome.sentence.as_str()), (good, sentence));
        }
    }
}
