//! Waiting for the operator, with a deadline.

use std::pin::pin;

use anyhow::{Context, bail};
use futures::TryStreamExt;
use kube::runtime::watcher::watch_object;
use tokio::time::{Instant, timeout_at};

use crate::age::length;
use crate::exit::NotInTime;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::duration::Duration;

/// `--wait` and `--timeout`.
#[derive(clap::Args, Debug, Clone, Copy)]
pub(crate) struct WaitArgs {
    /// Wait for the outcome; --wait=false only requests it
    #[arg(
        long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true, hide_possible_values = true
    )]
    pub(crate) wait: bool,
    /// How long to wait, such as 30s or 10m
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(crate) timeout: Duration,
}

impl WaitArgs {
    /// Says what is being done, and whether the command waits for it.
    pub(crate) fn begin(self, doing: &str, screen: &mut Screen) -> bool {
        let Self { wait, timeout } = self;
        let how_long = if wait { format!("; waiting up to {} ...", length(timeout)) } else { ".".to_owned() };
        screen.progress(&format!("{doing}{how_long}"));
        wait
    }

    pub(crate) fn deadline(self) -> Instant {
        Instant::now() + self.timeout.get()
    }

    /// The connection as soon as `settled` is true of it. If that takes too long, the error contains what `so_far` says of it.
    pub(crate) async fn until(
        self,
        session: &UserSession,
        name: &str,
        settled: impl Fn(&IntegrationConnection) -> bool,
        so_far: impl FnOnce(&IntegrationConnection) -> String,
    ) -> anyhow::Result<IntegrationConnection> {
        let look = |now: &IntegrationConnection| Ok(settled(now).then(|| now.clone()));
        let Some(settled) = follow(session, name, self.deadline(), look).await? else {
            return Err(self.late(so_far(&session.connection(name).await?)));
        };
        Ok(settled)
    }

    pub(crate) fn late(self, what: String) -> anyhow::Error {
        NotInTime { limit: self.timeout, what }.into()
    }
}

/// Whether status is about the present spec.
pub(crate) fn is_current(connection: &IntegrationConnection) -> bool {
    let observed = connection.status.as_ref().and_then(|status| status.observed_generation);
    observed == connection.metadata.generation
}

/// Looks at the connection as it is and after each change, until `look` returns something; `None` if that did
/// not happen before the deadline.
pub(crate) async fn follow<T>(
    session: &UserSession,
    name: &str,
    deadline: Instant,
    mut look: impl FnMut(&IntegrationConnection) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let mut states = pin!(watch_object(session.api::<IntegrationConnection>(), name));
    let following = async {
        while let Some(state) = states.try_next().await.context("the connection cannot be watched")? {
            let Some(connection) = state else { bail!("the connection {name} was deleted meanwhile") };
            if let Some(found) = look(&connection)? {
                return Ok(Some(found));
            }
        }
        bail!("the watch of {name} ended")
    };
    timeout_at(deadline, following).await.unwrap_or(Ok(None))
}
