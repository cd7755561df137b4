//! What the portal counts.
//!
//! Labels are routes as the router has them, and words of closed sets: never a user, a namespace or an address.

use std::time::Duration;

use axum::http::StatusCode;
use bowline_runtime::families;
use bowline_runtime::metrics::{MetricRegistry, MetricsError};
use prometheus::{HistogramVec, IntCounterVec};

const PAGES: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

families! {
    ACTIONS: Counter "bowline_portal_actions_total" ["action", "result"] &[],
        "What people did, and whether it was done, refused, failed, or asked for something first; `begin_connecting` and `finish_connecting` are the ends of an attempt to connect in a browser.";
    BUILD: Gauge "bowline_portal_build_info" ["version"] &[],
        "Always 1; the label says which version runs.";
    RATE_LIMITED: Counter "bowline_portal_rate_limited_total" ["limit"] &[],
        "Requests that were refused because there were too many, by the limit that they exceeded.";
    DURATIONS: Histogram "bowline_portal_request_duration_seconds" ["route"] PAGES,
        "Time until a response began, in seconds; that of a stream begins at once.";
    REQUESTS: Counter "bowline_portal_requests_total" ["route", "status"] &[],
        "Requests by route and class of the status; `unknown` is every address that has no route.";
    SIGN_INS: Counter "bowline_portal_sign_ins_total" ["method", "result"] &[],
        "Sign-ins, by how and by what became of them.";
}

/// A limit that a request exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededLimit {
    /// Requests of one user.
    Requests,
    /// Requests from one address without a session.
    StrangersRequests,
    SignIns,
    Actions,
    /// Looks for one attempt.
    Callbacks,
    /// Open streams of changes.
    Streams,
    /// Open attempts to connect of one user.
    Attempts,
}

impl ExceededLimit {
    const ALL: [Self; 7] = [
        Self::Requests,
        Self::StrangersRequests,
        Self::SignIns,
        Self::Actions,
        Self::Callbacks,
        Self::Streams,
        Self::Attempts,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::StrangersRequests => "strangers_requests",
            Self::SignIns => "sign_ins",
            Self::Actions => "actions",
            Self::Callbacks => "callbacks",
            Self::Streams => "streams",
            Self::Attempts => "attempts",
        }
    }
}

/// What can become of an action.
pub(crate) const RESULTS: [&str; 4] = ["done", "refused", "failed", "asked"];
/// The classes of statuses; no response of ours is informational.
const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// How people sign in.
pub(crate) const METHODS: [&str; 3] = ["token", "oidc", "proxy"];

/// Every metric of one portal. Clones share the same numbers.
#[derive(Clone)]
pub(crate) struct PortalMetrics {
    registry: MetricRegistry,
    actions: IntCounterVec,
    rate_limited: IntCounterVec,
    durations: HistogramVec,
    requests: IntCounterVec,
    sign_ins: IntCounterVec,
}

impl PortalMetrics {
    /// Each counter is served at zero for every action, sign-in and limit; of routes, from their first request on.
    pub(crate) fn new(actions: impl Iterator<Item = &'static str>) -> Result<Self, MetricsError> {
        let registry = MetricRegistry::new()?;
        let metrics = Self {
            actions: registry.counters(&ACTIONS)?,
            rate_limited: registry.counters(&RATE_LIMITED)?,
            durations: registry.histograms(&DURATIONS)?,
            requests: registry.counters(&REQUESTS)?,
            sign_ins: registry.counters(&SIGN_INS)?,
            registry,
        };
        metrics.registry.gauges(&BUILD)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for action in actions {
            for result in RESULTS {
                metrics.actions.with_label_values(&[&word(action), result]);
            }
        }
        for (method, result) in METHODS.iter().flat_map(|method| RESULTS.map(|result| (*method, result))) {
            metrics.sign_ins.with_label_values(&[method, result]);
        }
        for limit in ExceededLimit::ALL {
            metrics.rate_limited.with_label_values(&[limit.label()]);
        }
        metrics.expect_route("unknown");
        Ok(metrics)
    }

    /// A request of this route was answered.
    pub(crate) fn requested(&self, route: &str, status: StatusCode, lasted: Duration) {
        self.expect_route(route);
        let class = STATUSES.iter().find(|class| class.as_bytes()[0] == status.as_str().as_bytes()[0]);
        self.requests.with_label_values(&[route, class.unwrap_or(&"5xx")]).inc();
        self.durations.with_label_values(&[route]).observe(lasted.as_secs_f64());
    }

    /// Somebody did something, with one of [`RESULTS`].
    pub(crate) fn acted(&self, action: &str, result: &str) {
        self.actions.with_label_values(&[&*word(action), result]).inc();
    }

    /// Somebody signed in or wanted to: one of [`METHODS`], with one of [`RESULTS`].
    pub(crate) fn signed_in(&self, method: &str, result: &str) {
        self.sign_ins.with_label_values(&[method, result]).inc();
    }

    pub(crate) fn limited(&self, limit: ExceededLimit) {
        self.rate_limited.with_label_values(&[limit.label()]).inc();
    }

    pub(crate) fn encode(&self) -> Result<String, MetricsError> {
        self.registry.encode()
    }

    fn expect_route(&self, route: &str) {
        for status in STATUSES {
            self.requests.with_label_values(&[route, status]);
        }
    }
}

/// An action as the value of a label.
fn word(action: &str) -> String {
    action.replace(' ', "_")
}
