//! One reconcile, counted whatever becomes of it.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec};

use super::labels::{ABANDONED, Controller, PassOutcome};

/// What a reconcile hands to [`Pass::finish`].
pub trait PassResult {
    /// How it ended.
    fn pass_outcome(&self) -> PassOutcome;
}

impl PassResult for PassOutcome {
    fn pass_outcome(&self) -> PassOutcome {
        *self
    }
}

/// A guard around one reconcile: counts it as abandoned unless it is finished, and measures its duration either way.
#[must_use = "a pass that is dropped at once counts as abandoned"]
pub struct Pass {
    passes: IntCounterVec,
    durations: HistogramVec,
    controller: Controller,
    begun: Instant,
    outcome: Option<PassOutcome>,
}

impl Pass {
    pub(super) fn begin(passes: IntCounterVec, durations: HistogramVec, controller: Controller) -> Self {
        Self { passes, durations, controller, begun: Instant::now(), outcome: None }
    }

    /// Counts the pass under the outcome of `result`, which it gives back.
    pub fn finish<R: PassResult>(mut self, result: R) -> R {
        self.outcome = Some(result.pass_outcome());
        result
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let controller = self.controller.label();
        let outcome = self.outcome.map_or(ABANDONED, PassOutcome::label);
        self.passes.with_label_values(&[controller, outcome]).inc();
        self.durations.with_label_values(&[controller]).observe(self.begun.elapsed().as_secs_f64());
    }
}
