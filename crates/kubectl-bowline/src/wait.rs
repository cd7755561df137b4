//! Waiting for the operator, with a deadline.

use std::pin::pin;

use anyhow::Context;
use bowline_api::IntegrationConnection;
use bowline_api::duration::Duration;
use futures::TryStreamExt;
use kube::Api;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::watch_object;
use tokio::time::{Instant, timeout, timeout_at};

use super::age::span;

/// `--wait` and `--timeout`.
#[derive(clap::Args, Debug, Clone, Copy)]
pub(super) struct WaitArgs {
    /// Wait for the outcome; --wait=false only asks for it
    #[arg(
        long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true, hide_possible_values = true
    )]
    pub wait: bool,
    /// How long to wait, such as 30s or 2m
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: Duration,
}

/// A length of time as people write it: 10m, not 600s.
pub(super) fn words(limit: Duration) -> String {
    let seconds = limit.get().as_secs();
    span(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The connection as soon as it is as `settled` says; `None` when that did not happen within `limit`.
pub(super) async fn until(
    connections: &Api<IntegrationConnection>,
    name: &str,
    limit: std::time::Duration,
    settled: impl Fn(&IntegrationConnection) -> bool,
) -> anyhow::Result<Option<IntegrationConnection>> {
    // A deleted connection settles the wait too: nothing more will happen to it.
    let condition = |connection: Option<&IntegrationConnection>| connection.is_none_or(&settled);
    match timeout(limit, await_condition(connections.clone(), name, condition)).await {
        Err(_) => Ok(None),
        Ok(Ok(Some(connection))) => Ok(Some(connection)),
        Ok(Ok(None)) => anyhow::bail!("the connection {name} was deleted meanwhile"),
        Ok(Err(error)) => Err(error).context("the connection cannot be watched"),
    }
}

/// Looks at the connection as it is and after each change, until `look` finds what it looks for; `None` when that did
/// not happen before the deadline.
pub(super) async fn follow<T>(
    connections: &Api<IntegrationConnection>,
    name: &str,
    deadline: Instant,
    mut look: impl FnMut(&IntegrationConnection) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let mut states = pin!(watch_object(connections.clone(), name));
    let following = async {
        while let Some(state) = states.try_next().await.context("the connection cannot be watched")? {
            let Some(connection) = state else {
                anyhow::bail!("the connection {name} was deleted meanwhile");
            };
            if let Some(found) = look(&connection)? {
                return Ok(found);
            }
        }
        anyhow::bail!("the watch of {name} broke off")
    };
    match timeout_at(deadline, following).await {
        Err(_) => Ok(None),
        Ok(found) => found.map(Some),
    }
}
