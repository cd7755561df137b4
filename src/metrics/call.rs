//! One request to a provider, counted whatever becomes of it.

use std::time::Instant;

use bowline_oauth::catalog::errors::Class;
use prometheus::{HistogramVec, IntCounterVec};

use super::labels::{self, ABANDONED, Operation, SUCCESS};

/// A guard around one request: counts it as abandoned unless it is finished, and measures its duration either way.
#[must_use = "a call that is dropped at once counts as abandoned"]
pub(crate) struct Call {
    requests: IntCounterVec,
    durations: HistogramVec,
    operation: Operation,
    begun: Instant,
    class: &'static str,
}

impl Call {
    pub(super) fn begin(requests: IntCounterVec, durations: HistogramVec, operation: Operation) -> Self {
        Self { requests, durations, operation, begun: Instant::now(), class: ABANDONED }
    }

    /// Counts the request under the class of its failure, or as a success.
    pub(crate) fn finish(mut self, failure: Option<Class>) {
        self.class = failure.map_or(SUCCESS, labels::class);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let operation = self.operation.label();
        self.requests.with_label_values(&[operation, self.class]).inc();
        self.durations.with_label_values(&[operation]).observe(self.begun.elapsed().as_secs_f64());
    }
}
