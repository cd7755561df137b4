//! `wait`: until a connection works, with time left on its token.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::age::length;
use crate::table::printable;
use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType::Ready, Conditioned};
use bowline_api::duration::Duration;

const EXAMPLES: &str = "Examples:
  kubectl bowline wait github-work
  kubectl bowline wait github-work --valid-for 10m --timeout 5m

For a pipeline that takes the token and works with it for some time. Ask for
less than half of the token's lifetime: it is renewed only then. In a pod use
an init container with bowline gate. For a binding there is
kubectl wait --for=condition=Ready connectionbinding/NAME.";

/// Wait until a connection works
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitForArgs {
    /// The connection
    name: String,
    /// How long its token must be valid from now on
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    valid_for: Duration,
    /// How long to wait, such as 30s or 10m
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: Duration,
}

impl WaitForArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, valid_for, timeout } = self;
        let wait = WaitArgs { wait: true, timeout };
        let lasts = |now: &IntegrationConnection| lasts(now, valid_for, session.clock.now());
        let so_far = |now: &IntegrationConnection| {
            printable(match now.condition(Ready) {
                Some(_) if now.is(Ready) => {
                    format!("the token of {name} is not valid for {}", length(valid_for))
                }
                Some(ready) => format!("{name} is not ready: {}", ready.message),
                None => format!("the operator has not looked at {name} yet"),
            })
        };
        wait.until(session, &name, lasts, so_far).await?;
        Ok(screen.result(&format!("{name} works.\n"))?)
    }
}

/// Whether it works, and its token is valid for so long. One that never expires is.
fn lasts(connection: &IntegrationConnection, valid_for: Duration, now: Timestamp) -> bool {
    let needed = SignedDuration::try_from(valid_for.get()).unwrap_or(SignedDuration::MAX);
    let is_long = connection.token_expires_at().is_none_or(|at| at.duration_since(now) >= needed);
    is_current(connection) && connection.is(Ready) && is_long
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_that_works_has_a_token_that_lasts() {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        for (status, expires_at, waits_no_more) in [
            ("True", Some("2026-03-01T00:10:00Z"), true),
            ("True", Some("2026-03-01T00:09:59Z"), false),
            ("True", None, true),
            ("False", Some("2026-03-01T01:00:00Z"), false),
        ] {
            let connection = serde_json::from_value(json!({
                "metadata": {"name": "c", "generation": 1}, "spec": {"provider": "p", "owner": "alice"},
                "status": {"observedGeneration": 1, "token": {"expiresAt": expires_at},
                    "conditions": [{"type": "Ready", "status": status, "reason": "Connected", "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}));
            let is_over = lasts(&connection.unwrap(), "10m".parse().unwrap(), now);
            assert_eq!(is_over, waits_no_more, "{status} {expires_at:?}");
        }
    }
}
