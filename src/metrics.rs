//! What the operator counts, under names `bowline_*`, in a registry of its own.
//!
//! Label values come from the enums of this module and from catalogue types, so the number of series is bounded however many
//! connections there are: never a user or an account, and a namespace or an object's name only in the series of single
//! connections, whose number an administrator chooses ([`connections`]).

mod connections;
mod families;
mod labels;
mod timer;

pub(crate) use connections::ConnectionSample;
pub(crate) use labels::{
    EndsWithin, Label, NotificationOutcome, NotificationType, Operation, PassOutcome, PublishOutcome,
    RefreshOutcome,
};
pub(crate) use timer::OutcomeTimer;

use std::time::Duration;

use bowline_api::connection::Phase;
use bowline_oauth::catalog::errors::Class;
use bowline_runtime::metrics::{Family, MetricRegistry, MetricsError};
use prometheus::{Gauge, Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use connections::ConnectionSeries;
use families as family;

/// How work on a grant is called where controllers are named.
pub(crate) const GRANT_WORK: &str = "grant";

/// Every metric of one operator. Clones share the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: MetricRegistry,
    passes: IntCounterVec,
    pass_duration: HistogramVec,
    refreshes: IntCounterVec,
    refresh_lateness: Histogram,
    provider_clock_ahead: IntGaugeVec,
    provider_requests: IntCounterVec,
    provider_request_duration: HistogramVec,
    publishes: IntCounterVec,
    notifications: IntCounterVec,
    certificates_ending: IntGaugeVec,
    connections: IntGaugeVec,
    grants_ending: IntGaugeVec,
    pub(crate) records: IntGauge,
    pub(crate) records_under_former_keys: IntGauge,
    pub(crate) endings: IntGauge,
    /// Secrets of connections that are gone which could not be removed yet.
    pub(crate) withdrawal_debts: IntGauge,
    pub(crate) shares: IntGauge,
    pub(crate) bindings: IntGauge,
    pub(crate) leader: IntGauge,
    pub(crate) keyring_key_age: Gauge,
    pub(crate) keys_under_former_kms_keys: IntGauge,
    pub(crate) kms_failing: IntGauge,
    pub(crate) store_ready: IntGauge,
    /// Without a series until somebody has looked: 0 would be a false alarm.
    policy_present: IntGaugeVec,
    unreadable: IntGaugeVec,
    panics: IntCounterVec,
    pub(crate) namespaces_unreadable: IntGauge,
    /// Where single connections have series.
    of_connections: Option<ConnectionSeries>,
}

impl Metrics {
    /// `own_series`: how many connections have series of their own.
    // long: one line for each metric.
    pub(crate) fn new(own_series: usize) -> Result<Self, MetricsError> {
        let registry = MetricRegistry::new()?;
        let counters = |it: &Family| registry.counters(it);
        let (gauges, gauge) = (|it: &Family| registry.gauges(it), |it: &Family| registry.gauge(it));
        let of_connections = (own_series > 0).then(|| ConnectionSeries::new(own_series, &registry));
        let metrics = Self {
            passes: counters(&family::PASSES)?,
            pass_duration: registry.histograms(&family::PASS_DURATION)?,
            refreshes: counters(&family::REFRESHES)?,
            refresh_lateness: registry.histogram(&family::REFRESH_LATENESS)?,
            provider_clock_ahead: gauges(&family::PROVIDER_CLOCK_AHEAD)?,
            provider_requests: counters(&family::PROVIDER_REQUESTS)?,
            provider_request_duration: registry.histograms(&family::PROVIDER_REQUEST_DURATION)?,
            publishes: counters(&family::PUBLISHES)?,
            notifications: counters(&family::NOTIFICATIONS)?,
            certificates_ending: gauges(&family::CERTIFICATES_ENDING)?,
            connections: gauges(&family::CONNECTIONS)?,
            grants_ending: gauges(&family::GRANTS_ENDING)?,
            records: gauge(&family::RECORDS)?,
            records_under_former_keys: gauge(&family::RECORDS_UNDER_FORMER_KEYS)?,
            endings: gauge(&family::ENDINGS)?,
            withdrawal_debts: gauge(&family::WITHDRAWAL_DEBTS)?,
            shares: gauge(&family::SHARES)?,
            bindings: gauge(&family::BINDINGS)?,
            leader: gauge(&family::LEADER)?,
            keyring_key_age: registry.fraction(&family::KEYRING_KEY_AGE)?,
            keys_under_former_kms_keys: registry.gauge(&family::KEYS_UNDER_FORMER_KMS_KEYS)?,
            kms_failing: registry.gauge(&family::KMS_FAILING)?,
            store_ready: gauge(&family::STORE_READY)?,
            policy_present: gauges(&family::POLICY_PRESENT)?,
            unreadable: gauges(&family::UNREADABLE_OBJECTS)?,
            panics: counters(&family::PANICS)?,
            namespaces_unreadable: gauge(&family::NAMESPACES_UNREADABLE)?,
            of_connections: of_connections.transpose()?,
            registry: registry.clone(),
        };
        gauges(&family::BUILD_INFO)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.start_at_zero();
        Ok(metrics)
    }

    pub(crate) fn pass(&self, controller: &'static str) -> OutcomeTimer {
        OutcomeTimer::begin(&self.passes, &self.pass_duration, controller)
    }

    /// A controller starts: its series exist from now on.
    pub(crate) fn expect_passes(&self, controller: &'static str) {
        for outcome in PassOutcome::ALL.iter().map(|outcome| outcome.label()).chain([labels::ABANDONED]) {
            self.passes.with_label_values(&[controller, outcome]);
        }
        self.pass_duration.with_label_values(&[controller]);
        self.panics.with_label_values(&[controller]);
    }

    /// A reconcile of a controller, or work on a grant, panicked.
    pub(crate) fn panicked(&self, controller: &'static str) {
        self.panics.with_label_values(&[controller]).inc();
    }

    /// A provider of this type exists: its series do from now on. An alert on their growth would otherwise miss the first event.
    pub(crate) fn expect_refreshes(&self, catalogue_type: &str) {
        for outcome in RefreshOutcome::ALL {
            self.refreshes.with_label_values(&[catalogue_type, outcome.label()]);
        }
    }

    /// `catalogue_type` is the provider's type, a name from the catalogue.
    pub(crate) fn refresh_ended(&self, catalogue_type: &str, outcome: RefreshOutcome) {
        self.refreshes.with_label_values(&[catalogue_type, outcome.label()]).inc();
    }

    pub(crate) fn refresh_begun_late_by(&self, lateness: Duration) {
        self.refresh_lateness.observe(lateness.as_secs_f64());
    }

    /// `catalogue_type` as above. Returns how far it was ahead before, zero if that is not known.
    pub(crate) fn provider_clock_ahead(&self, catalogue_type: &str, seconds: i64) -> i64 {
        let gauge = self.provider_clock_ahead.with_label_values(&[catalogue_type]);
        let before = gauge.get();
        gauge.set(seconds);
        before
    }

    pub(crate) fn provider_call(&self, operation: Operation) -> OutcomeTimer {
        OutcomeTimer::begin(&self.provider_requests, &self.provider_request_duration, operation.label())
    }

    pub(crate) fn published(&self, outcome: PublishOutcome) {
        self.publishes.with_label_values(&[outcome.label()]).inc();
    }

    pub(crate) fn notified(&self, type_: NotificationType, outcome: NotificationOutcome) {
        self.notifications.with_label_values(&[type_.label(), outcome.label()]).inc();
    }

    pub(crate) fn set_connections(&self, phase: Phase, count: usize) {
        self.connections.with_label_values(&[phase.label()]).set(whole(count));
    }

    pub(crate) fn set_grants_ending(&self, within: EndsWithin, count: usize) {
        self.grants_ending.with_label_values(&[within.label()]).set(whole(count));
    }

    pub(crate) fn set_certificates_ending(&self, within: EndsWithin, count: usize) {
        self.certificates_ending.with_label_values(&[within.label()]).set(whole(count));
    }

    pub(crate) fn set_unreadable(&self, kind: &str, count: usize) {
        self.unreadable.with_label_values(&[kind]).set(whole(count));
    }

    /// The admission policies were looked at.
    pub(crate) fn set_policy_present(&self, present: bool) {
        self.policy_present.with_label_values::<&str>(&[]).set(present.into());
    }

    /// Replaces what is served of single connections, if an administrator wants that.
    pub(crate) fn set_samples(&self, samples: impl FnOnce() -> Vec<ConnectionSample>) {
        if let Some(series) = &self.of_connections {
            series.replace(samples());
        }
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn encode(&self) -> Result<String, MetricsError> {
        self.registry.encode()
    }

    /// You cannot alert on a series that is absent until its first event: `increase` sees no growth in one that begins with it.
    fn start_at_zero(&self) {
        for phase in Phase::ALL {
            self.set_connections(*phase, 0);
        }
        for within in EndsWithin::ALL {
            self.set_grants_ending(*within, 0);
            self.set_certificates_ending(*within, 0);
        }
        for outcome in PublishOutcome::ALL {
            self.publishes.with_label_values(&[outcome.label()]);
        }
        for type_ in NotificationType::ALL {
            for outcome in NotificationOutcome::ALL {
                self.notifications.with_label_values(&[type_.label(), outcome.label()]);
            }
        }
        for operation in Operation::ALL.iter().map(|operation| operation.label()) {
            let failures = Class::ALL.iter().map(|class| Some(*class).label());
            for class in failures.chain([None::<Class>.label(), labels::ABANDONED]) {
                self.provider_requests.with_label_values(&[operation, class]);
            }
            self.provider_request_duration.with_label_values(&[operation]);
        }
        self.panics.with_label_values(&[GRANT_WORK]);
    }
}

/// A count in the type of a gauge.
pub(crate) fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod monitoring_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
