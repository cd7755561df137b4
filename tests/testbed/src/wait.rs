//! Waiting for a condition, with a deadline.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// Deadlines say how long something takes on a machine that does nothing else. It gets this many times that, so that no test depends
/// on what else runs: what is late by a factor does not come.
pub const BUSY: u32 = 5;
/// The shortest and the longest pause between two looks; in between, a tenth of the time waited so far. Many tests wait at once
/// for something that takes minutes, and their looks must not be what the machine is busy with.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// A condition did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("{description}: not within {within:?}; last seen: {last_seen}")]
pub struct TimedOut {
    description: String,
    within: Duration,
    last_seen: String,
}

/// One check of a condition: `Some` and `Ok` end the waiting; `None`, or `Err` with what was seen instead, continues it.
pub trait Look {
    /// The result of waiting.
    type Value;

    /// The value, or what was seen instead.
    fn verdict(self) -> Result<Self::Value, String>;
}

impl<T> Look for Option<T> {
    type Value = T;

    fn verdict(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl<T, E: Display> Look for Result<T, E> {
    type Value = T;

    fn verdict(self) -> Result<T, String> {
        self.map_err(|seen| seen.to_string())
    }
}

/// Calls `look`, at first every 50 ms and later twice a second, until it finds what it looks for, at least once, until `within` has
/// passed [`BUSY`] times.
///
/// A call that hangs is cancelled at the deadline.
pub async fn wait_for<L: Look>(
    description: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> L,
) -> Result<L::Value, TimedOut> {
    let (start, within) = (Instant::now(), within * BUSY);
    let mut last_seen = "the first look did not end".to_owned();
    loop {
        let left = within.saturating_sub(start.elapsed()).max(PAUSES.0);
        match tokio::time::timeout(left, look()).await.map(Look::verdict) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last_seen = seen,
            Err(_) => {}
        }
        if start.elapsed() >= within {
            return Err(TimedOut { description: description.to_owned(), within, last_seen });
        }
        tokio::time::sleep((start.elapsed() / 10).clamp(PAUSES.0, PAUSES.1)).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_value_as_soon_as_it_is_there() {
        let mut looks = 0;
        let found = wait_for("third look", Duration::from_secs(5), async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_missed_deadline_tells_what_was_seen_last() {
        let result: Result<(), _> =
            wait_for("the share", Duration::from_millis(60), async || Err("phase Pending")).await;
        assert_eq!(result.unwrap_err().to_string(), "the share: not within 300ms; last seen: phase Pending");
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off_at_the_deadline() {
        let result = wait_for("an answer", Duration::from_millis(60), async || {
            std::future::pending::<Option<()>>().await
        });
        assert!(result.await.unwrap_err().to_string().contains("did not end"));
    }
}
