//! One reconcile or one request to a provider, counted and timed however it ends.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec};

use super::labels::{ABANDONED, Label};

/// Counts as abandoned unless it is finished, and measures the duration either way.
#[must_use = "a timer that is dropped at once counts as abandoned"]
pub(crate) struct OutcomeTimer {
    counter: IntCounterVec,
    durations: HistogramVec,
    /// The controller, or what the provider is asked.
    subject: &'static str,
    outcome: &'static str,
    begun: Instant,
}

impl OutcomeTimer {
    pub(super) fn begin(counter: &IntCounterVec, durations: &HistogramVec, subject: &'static str) -> Self {
        let (counter, durations) = (counter.clone(), durations.clone());
        Self { counter, durations, subject, outcome: ABANDONED, begun: Instant::now() }
    }

    pub(crate) fn finish(mut self, outcome: impl Label) {
        self.outcome = outcome.label();
    }
}

impl Drop for OutcomeTimer {
    fn drop(&mut self) {
        self.counter.with_label_values(&[self.subject, self.outcome]).inc();
        self.durations.with_label_values(&[self.subject]).observe(self.begun.elapsed().as_secs_f64());
    }
}
