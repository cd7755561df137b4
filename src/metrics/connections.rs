//! Series of single connections: for those who want to see and alert on each one, and know how many there are.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_runtime::metrics::{Family, MetricRegistry, MetricsError, gauges};
use k8s_openapi::jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec};

use super::{families as family, whole};

/// What is served of one connection. Ordered by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionSample {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The name of its provider object.
    pub(crate) provider: String,
    pub(crate) phase: String,
    pub(crate) ready: bool,
    pub(crate) token_expires_at: Option<Timestamp>,
    pub(crate) grant_ends_at: Option<Timestamp>,
}

const FAMILIES: [&Family; 4] = [
    &family::CONNECTION_INFO,
    &family::CONNECTION_READY,
    &family::CONNECTION_TOKEN_EXPIRES,
    &family::CONNECTION_GRANT_ENDS,
];

/// The series of the first connections by namespace and name. Replaced as a whole, so that a scrape never sees half of them.
#[derive(Clone)]
pub(super) struct ConnectionSeries {
    most: usize,
    omitted: IntGauge,
    descriptions: Arc<[Desc]>,
    served: Arc<Mutex<Vec<MetricFamily>>>,
}

impl ConnectionSeries {
    /// Series of at most so many connections, registered.
    pub(super) fn new(most: usize, registry: &MetricRegistry) -> Result<Self, MetricsError> {
        let omitted = registry.gauge(&family::CONNECTION_SERIES_OMITTED)?;
        let mut descriptions = Vec::new();
        for family in FAMILIES {
            descriptions.extend(gauges(family)?.desc().into_iter().cloned());
        }
        let series = Self { most, omitted, descriptions: descriptions.into(), served: Arc::default() };
        registry.register(series.clone())?;
        Ok(series)
    }

    pub(super) fn replace(&self, mut samples: Vec<ConnectionSample>) {
        samples.sort_unstable();
        self.omitted.set(whole(samples.len().saturating_sub(self.most)));
        samples.truncate(self.most);
        match collected(&samples) {
            Ok(families) => *self.served.lock().unwrap_or_else(PoisonError::into_inner) = families,
            Err(error) => tracing::error!(%error, "the series of single connections cannot be made"),
        }
    }
}

fn collected(samples: &[ConnectionSample]) -> prometheus::Result<Vec<MetricFamily>> {
    let [info, ready, token, grant] = FAMILIES.map(gauges);
    let (info, ready, token, grant) = (info?, ready?, token?, grant?);
    let at = |gauges: &IntGaugeVec, key: &[&str], time: Option<Timestamp>| {
        if let Some(time) = time {
            gauges.with_label_values(key).set(time.as_second());
        }
    };
    for it in samples {
        let ConnectionSample { namespace, name, provider, phase, .. } = it;
        let key = [namespace.as_str(), name.as_str()];
        info.with_label_values(&[key[0], key[1], provider, phase]).set(1);
        ready.with_label_values(&key).set(it.ready.into());
        at(&token, &key, it.token_expires_at);
        at(&grant, &key, it.grant_ends_at);
    }
    Ok([info, ready, token, grant].iter().flat_map(Collector::collect).collect())
}

impl Collector for ConnectionSeries {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
