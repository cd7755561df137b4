//! Secrets are removed before anything is reported: if a share of many bindings ends, they are withdrawn one after the other, and
//! their statuses and Events would hold up the rest.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long after the last withdrawal they are over.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// The longest time for which nothing is reported.
const LONGEST: Duration = Duration::from_secs(10);

/// The withdrawals of this process that follow each other.
#[derive(Default)]
pub(crate) struct Withdrawals(Mutex<Option<Series>>);

#[derive(Clone, Copy)]
struct Series {
    begun: Instant,
    last: Instant,
}

impl Withdrawals {
    /// One was carried out.
    pub(crate) fn note(&self) {
        let (now, mut series) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = series.filter(|series| now - series.last < PAUSE).map_or(now, |series| series.begun);
        *series = Some(Series { begun, last: now });
    }

    /// Whether their reports have to wait.
    pub(crate) fn go_on(&self) -> bool {
        let now = Instant::now();
        let series = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        series.is_some_and(|series| now - series.last < PAUSE && now - series.begun < LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_wait_for_the_last_of_them_and_not_for_ever() {
        let withdrawals = Withdrawals::default();
        assert!(!withdrawals.go_on());
        for step in 0_u32..25 {
            withdrawals.note();
            assert_eq!(withdrawals.go_on(), step < 20, "after {step} half seconds");
            tokio::time::advance(PAUSE / 2).await;
        }
        tokio::time::advance(PAUSE).await;
        assert!(!withdrawals.go_on());
        withdrawals.note();
        assert!(withdrawals.go_on(), "others begin");
    }
}
