//! What a process counts and serves at `/metrics`: families that are described once, in one registry per process.
//!
//! Documentation and tests are made from the same descriptions, see [`families`](crate::families).

mod process;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use process::PROCESS_FAMILIES;

/// The media type of what [`MetricRegistry::encode`] returns.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

/// A metric: its name, unit and labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    pub name: &'static str,
    pub kind: MetricType,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets, in its unit. Empty for others.
    pub buckets: &'static [f64],
}

/// Describes families, sorted by name, with a constant for each and `ALL` for all of them:
/// `CONSTANT: Kind "name" ["label"] BUCKETS, "Meaning and unit.";`
#[macro_export]
macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $buckets:expr, $help:literal;)*) => {
        $(pub(crate) const $constant: $crate::metrics::Family = $crate::metrics::Family {
            name: $name,
            kind: $crate::metrics::MetricType::$kind,
            help: $help,
            labels: &[$($label),*],
            buckets: $buckets,
        };)*
        /// Every metric, sorted by name.
        pub const ALL: &[$crate::metrics::Family] = &[$($constant),*];
    };
}

/// A metric could not be created or written: a bug of this program, never a fault of its input.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be kept")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of one process, with those of the process itself (`process_*`). Clones share them.
#[derive(Clone)]
pub struct MetricRegistry(Registry);

impl MetricRegistry {
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        registry.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Self(registry))
    }

    pub fn counters(&self, family: &Family) -> Result<IntCounterVec, MetricsError> {
        self.registered(IntCounterVec::new(options(family), family.labels))
    }

    pub fn gauges(&self, family: &Family) -> Result<IntGaugeVec, MetricsError> {
        self.registered(gauges(family))
    }

    pub fn gauge(&self, family: &Family) -> Result<IntGauge, MetricsError> {
        self.registered(IntGauge::with_opts(options(family)))
    }

    /// A gauge of fractions.
    pub fn fraction(&self, family: &Family) -> Result<Gauge, MetricsError> {
        self.registered(Gauge::with_opts(options(family)))
    }

    pub fn histograms(&self, family: &Family) -> Result<HistogramVec, MetricsError> {
        self.registered(HistogramVec::new(buckets(family), family.labels))
    }

    pub fn histogram(&self, family: &Family) -> Result<Histogram, MetricsError> {
        self.registered(Histogram::with_opts(buckets(family)))
    }

    /// Registers what collects by itself.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.0.register(Box::new(collector))?)
    }

    /// Everything in Prometheus' text format, see [`MEDIA_TYPE`].
    pub fn encode(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.0.gather())?)
    }

    fn registered<M: Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> Result<M, MetricsError> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// Gauges of a family, not registered.
pub fn gauges(family: &Family) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(options(family), family.labels)
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn buckets(family: &Family) -> HistogramOpts {
    HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec())
}
