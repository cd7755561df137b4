//! What the operator counts, under names `bowline_*`, in a registry of its own.
//!
//! Labels come from the enums of this module and from catalogue types, so the number of series has a fixed bound however
//! many connections there are: never a namespace, an object's name, a user or an account.

mod call;
mod families;
mod labels;
mod pass;

pub(crate) use call::Call;
pub(crate) use families::Description;
pub(crate) use labels::{Operation, PassOutcome, PublishOutcome, RefreshOutcome};
pub(crate) use pass::Pass;

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use bowline_api::connection::Phase;
use families as family;

/// A metric could not be made or written: a fault of this program, never of its input.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be kept")]
pub struct Error(#[from] prometheus::Error);

/// Every metric of one operator. Clones share the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    pass_duration: HistogramVec,
    refreshes: IntCounterVec,
    refresh_lateness: Histogram,
    provider_requests: IntCounterVec,
    provider_request_duration: HistogramVec,
    publishes: IntCounterVec,
    connections: IntGaugeVec,
    records: IntGauge,
    endings: IntGauge,
    shares: IntGauge,
    keyring_key_age: Gauge,
    store_ready: IntGauge,
    policy_present: IntGauge,
    unreadable: IntGaugeVec,
}

impl Metrics {
    /// All metrics at zero, registered under their names.
    pub(crate) fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let build = int_gauges(&registry, &family::BUILD_INFO)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            passes: counters(&registry, &family::PASSES)?,
            pass_duration: histograms(&registry, &family::PASS_DURATION)?,
            refreshes: counters(&registry, &family::REFRESHES)?,
            refresh_lateness: histogram(&registry, &family::REFRESH_LATENESS)?,
            provider_requests: counters(&registry, &family::PROVIDER_REQUESTS)?,
            provider_request_duration: histograms(&registry, &family::PROVIDER_REQUEST_DURATION)?,
            publishes: counters(&registry, &family::PUBLISHES)?,
            connections: int_gauges(&registry, &family::CONNECTIONS)?,
            records: int_gauge(&registry, &family::RECORDS)?,
            endings: int_gauge(&registry, &family::ENDINGS)?,
            shares: int_gauge(&registry, &family::SHARES)?,
            keyring_key_age: gauge(&registry, &family::KEYRING_KEY_AGE)?,
            store_ready: int_gauge(&registry, &family::STORE_READY)?,
            policy_present: int_gauge(&registry, &family::POLICY_PRESENT)?,
            unreadable: int_gauges(&registry, &family::UNREADABLE_OBJECTS)?,
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Begins one reconcile; see [`Pass`].
    pub(crate) fn pass(&self, controller: &'static str) -> Pass {
        Pass::begin(self.passes.clone(), self.pass_duration.clone(), controller)
    }

    /// A controller starts: its series are there from now on.
    pub(crate) fn expect_passes(&self, controller: &'static str) {
        for outcome in PassOutcome::ALL.iter().map(|outcome| outcome.label()).chain([labels::ABANDONED]) {
            self.passes.with_label_values(&[controller, outcome]);
        }
    }

    /// One refresh came to an end. `catalogue_type` is the provider's type, a name out of the catalogue.
    pub(crate) fn refresh_ended(&self, catalogue_type: &str, outcome: RefreshOutcome) {
        self.refreshes.with_label_values(&[catalogue_type, outcome.label()]).inc();
    }

    /// A planned refresh was begun this long after its time.
    pub(crate) fn refresh_begun_late_by(&self, lateness: Duration) {
        self.refresh_lateness.observe(lateness.as_secs_f64());
    }

    /// Begins one request to a provider; see [`Call`].
    pub(crate) fn provider_call(&self, operation: Operation) -> Call {
        Call::begin(self.provider_requests.clone(), self.provider_request_duration.clone(), operation)
    }

    /// A Secret was to be brought to its desired state.
    pub(crate) fn published(&self, outcome: PublishOutcome) {
        self.publishes.with_label_values(&[outcome.label()]).inc();
    }

    /// How many connections are in `phase` now.
    pub(crate) fn set_connections(&self, phase: Phase, count: usize) {
        self.connections.with_label_values(&[labels::phase(phase)]).set(whole(count));
    }

    /// How many records the store holds.
    pub(crate) fn set_records(&self, count: usize) {
        self.records.set(whole(count));
    }

    /// How many of them wait to be revoked and erased.
    pub(crate) fn set_endings(&self, count: usize) {
        self.endings.set(whole(count));
    }

    /// How many shares exist.
    pub(crate) fn set_shares(&self, count: usize) {
        self.shares.set(whole(count));
    }

    /// How many objects of a kind are there and cannot be read.
    pub(crate) fn set_unreadable(&self, kind: &str, count: usize) {
        self.unreadable.with_label_values(&[kind]).set(whole(count));
    }

    /// Age of the key that new records are sealed with.
    pub(crate) fn set_keyring_key_age(&self, age: Duration) {
        self.keyring_key_age.set(age.as_secs_f64());
    }

    /// Whether the records are loaded and a keyring opens them.
    pub(crate) fn set_store_ready(&self, ready: bool) {
        self.store_ready.set(i64::from(ready));
    }

    /// Whether the admission policies are installed and bound.
    pub(crate) fn set_policy_present(&self, present: bool) {
        self.policy_present.set(i64::from(present));
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub(crate) fn encode(&self) -> Result<String, Error> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// A series that is absent until its first event cannot be alerted on.
    fn start_at_zero(&self) {
        for phase in Phase::ALL {
            self.set_connections(*phase, 0);
        }
        for outcome in PublishOutcome::ALL {
            self.publishes.with_label_values(&[outcome.label()]);
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn options(family: &Description) -> Opts {
    Opts::new(family.name, family.help)
}

fn counters(registry: &Registry, family: &Description) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(options(family), family.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn int_gauges(registry: &Registry, family: &Description) -> Result<IntGaugeVec, prometheus::Error> {
    let metric = IntGaugeVec::new(options(family), family.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn int_gauge(registry: &Registry, family: &Description) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::with_opts(options(family))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, family: &Description) -> Result<Gauge, prometheus::Error> {
    let metric = Gauge::with_opts(options(family))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(registry: &Registry, family: &Description) -> Result<HistogramVec, prometheus::Error> {
    let metric = HistogramVec::new(buckets(family), family.labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(registry: &Registry, family: &Description) -> Result<Histogram, prometheus::Error> {
    let metric = Histogram::with_opts(buckets(family))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn buckets(family: &Description) -> HistogramOpts {
    HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
