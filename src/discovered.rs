//! What issuers publish about their addresses, kept in memory: read again once a day, and kept through outages.

use std::sync::Arc;
use std::time::Duration;

use bowline_oauth::catalog::{DiscoveredEndpoints, MetadataSource};
use bowline_oauth::discovery::DiscoveryError;
use bowline_oauth::network::Network;
use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;

/// The maximum age of metadata before it is read again.
const FRESH_FOR: Duration = Duration::from_hours(24);
/// How soon a failed read is repeated; doubled with each failure …
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_mins(10);

/// An issuer's metadata, the issuer already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerMetadata {
    /// They are valid only for descriptions that name this issuer, or this resource.
    pub(crate) source: MetadataSource,
    pub(crate) endpoints: DiscoveredEndpoints,
}

/// The question. An answer is valid only for the same question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerQuestion {
    pub(crate) source: MetadataSource,
    /// How it may be reached.
    pub(crate) network: Network,
}

/// The results of the last reads of one provider's issuer.
#[derive(Clone, Debug)]
pub(crate) struct IssuerReading {
    pub(crate) question: IssuerQuestion,
    metadata: Option<Arc<IssuerMetadata>>,
    /// Why the last read failed, if it did.
    failure: Option<Arc<DiscoveryError>>,
    /// How often it has failed since the last good copy.
    failures: u32,
    /// When it is to be read again.
    pub(crate) next: Timestamp,
}

impl IssuerReading {
    /// What is known after a read, given what was known before.
    pub(crate) fn after(
        last: Option<Self>,
        question: IssuerQuestion,
        read: Result<DiscoveredEndpoints, DiscoveryError>,
        now: Timestamp,
    ) -> Self {
        let last = last.filter(|last| last.question == question);
        match read {
            Ok(endpoints) => {
                let metadata = IssuerMetadata { source: question.source.clone(), endpoints };
                let (metadata, next) = (Some(Arc::new(metadata)), later(now, FRESH_FOR));
                Self { question, metadata, failure: None, failures: 0, next }
            }
            Err(error) => {
                let (metadata, failures) = last.map_or((None, 0), |last| (last.metadata, last.failures));
                let wait = FIRST_RETRY.saturating_mul(1 << failures.min(6)).min(LAST_RETRY);
                let (failures, next) = (failures.saturating_add(1), later(now, wait));
                Self { question, metadata, failure: Some(Arc::new(error)), failures, next }
            }
        }
    }

    /// What can be used: the last good copy, unless the issuer's present answer contradicts it. The error says why there is
    /// nothing.
    pub(crate) fn usable(&self) -> Result<&Arc<IssuerMetadata>, String> {
        match (&self.metadata, &self.failure) {
            (Some(metadata), None) => Ok(metadata),
            (Some(metadata), Some(failure)) if failure.passes() => Ok(metadata),
            (_, Some(failure)) => Err(chain(&**failure).to_string()),
            (None, None) => Err("the issuer's metadata was not read".to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn question(issuer: &str) -> IssuerQuestion {
        let source = MetadataSource::Issuer(issuer.parse().unwrap());
        IssuerQuestion { source, network: Network::default() }
    }

    fn down() -> Result<DiscoveredEndpoints, DiscoveryError> {
        Err(DiscoveryError::Unavailable(StatusCode::BAD_GATEWAY))
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_up_to_ten_minutes() {
        let asked = question("https://id.example.com");
        let mut known = None;
        for want in [10, 20, 40, 80, 160, 320, 600, 600, 600] {
            let next = IssuerReading::after(known, asked.clone(), down(), at(0));
            assert_eq!(next.next, at(want));
            known = Some(next);
        }
        let good = IssuerReading::after(known, asked.clone(), Ok(DiscoveredEndpoints::default()), at(0));
        assert_eq!(good.next, at(24 * 3600));
        assert_eq!(IssuerReading::after(Some(good), asked, down(), at(0)).next, at(10), "it starts again");
    }

    #[test]
    fn the_last_good_copy_counts_during_an_outage_and_not_against_a_contradiction() {
        let asked = question("https://id.example.com");
        let good = IssuerReading::after(None, asked.clone(), Ok(DiscoveredEndpoints::default()), at(0));
        let rows: [(Result<_, _>, bool); 3] = [
            (down(), true),
            (Err(DiscoveryError::OtherIssuer { asked: String::new(), found: String::new() }), false),
            (Err(DiscoveryError::NoTokenEndpoint), false),
        ];
        for (read, usable) in rows {
            let known = IssuerReading::after(Some(good.clone()), asked.clone(), read, at(1));
            assert_eq!(known.usable().is_ok(), usable, "{known:?}");
        }
        assert!(IssuerReading::after(None, asked, down(), at(1)).usable().is_err());
    }

    #[test]
    fn what_one_issuer_said_counts_for_no_other() {
        let (one, other) = (question("https://id.example.com"), question("https://id.example.org"));
        let good = IssuerReading::after(None, one.clone(), Ok(DiscoveredEndpoints::default()), at(0));
        assert!(good.question == one && good.question != other);
        assert!(IssuerReading::after(Some(good), other, down(), at(1)).usable().is_err());
    }
}
