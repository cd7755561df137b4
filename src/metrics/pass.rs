//! One reconcile, counted whatever becomes of it.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec};

use super::labels::{ABANDONED, PassOutcome};

/// A guard around one reconcile: counts it as abandoned unless it is finished, and measures its duration either way.
#[must_use = "a pass that is dropped at once counts as abandoned"]
pub(crate) struct Pass {
    passes: IntCounterVec,
    durations: HistogramVec,
    controller: &'static str,
    begun: Instant,
    outcome: Option<PassOutcome>,
}

impl Pass {
    pub(super) fn begin(passes: IntCounterVec, durations: HistogramVec, controller: &'static str) -> Self {
        Self { passes, durations, controller, begun: Instant::now(), outcome: None }
    }

    /// Counts the pass under this outcome.
    pub(crate) fn finish(mut self, outcome: PassOutcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let outcome = self.outcome.map_or(ABANDONED, PassOutcome::label);
        self.passes.with_label_values(&[self.controller, outcome]).inc();
        self.durations.with_label_values(&[self.controller]).observe(self.begun.elapsed().as_secs_f64());
    }
}
