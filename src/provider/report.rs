//! What is reported about a provider: its next status. Pure.

use std::time::Duration;

use bowline_api::IntegrationProvider;
use bowline_api::attempt;
use bowline_api::condition::{ConditionType, Conditions, Truth};
use bowline_api::connection::Method;
use bowline_api::open::Open;
use bowline_api::provider::IntegrationProviderStatus;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use url::Url;

use super::act::ProviderOutcome;

/// How long before its end a client certificate is announced.
const REMINDED: Duration = Duration::from_hours(30 * 24);

/// The next status. What is not known about the third party now stays: the type never changes.
pub(super) fn status(
    provider: &IntegrationProvider,
    outcome: &ProviderOutcome,
    portal: Option<&Url>,
    now: Timestamp,
) -> IntegrationProviderStatus {
    let old = provider.status.clone().unwrap_or_default();
    let generation = provider.metadata.generation;
    let (truth, reason, message) = ready(provider, outcome, now);
    let mut conditions = Conditions::after(&old.conditions, generation, now);
    conditions.set(ConditionType::Ready, truth, reason, message);
    let conditions = conditions.build();
    let (methods, rotation) = match &outcome.sketch {
        Some(sketch) => (
            sketch.methods.iter().copied().map(Open::from).collect(),
            // For grants obtained with the usual method.
            sketch.methods.first().map(|usual| sketch.rotation(*usual).into()),
        ),
        None => (old.methods, old.rotation),
    };
    // Also that of one that has ended.
    let kept_end = old.certificate_expires_at.filter(|_| outcome.refusal.is_some());
    let callback_url = portal
        .filter(|_| methods.iter().filter_map(Open::known).any(Method::goes_by_browser))
        .map(|portal| attempt::redirect_uri(portal, &provider.name_any()));
    IntegrationProviderStatus {
        callback_url,
        methods,
        rotation,
        certificate_expires_at: outcome.certificate_ends.map(Time).or(kept_end),
        observed_generation: generation,
        conditions,
    }
}

/// Whether it can be used, and why.
fn ready(
    provider: &IntegrationProvider,
    outcome: &ProviderOutcome,
    now: Timestamp,
) -> (Truth, Reason, String) {
    if let Some(refusal) = &outcome.refusal {
        return (refusal.reason.row().status, refusal.reason, refusal.message.clone());
    }
    let ending = outcome.certificate_ends.filter(|ends| *ends <= later(now, REMINDED));
    let reason = if ending.is_some() { Reason::CertificateExpiringSoon } else { Reason::Ready };
    let (at, contact) = (ending.map(|ends| ends.to_string()), provider.spec.contact.as_deref());
    let facts = MessageFacts { at: at.as_deref(), contact, ..MessageFacts::default() };
    (Truth::True, reason, reason.message(&facts))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_oauth::catalog;
    use serde_json::json;

    use super::*;
    use crate::world::ProviderRefusal;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_status_that_says_the_same_is_equal_and_what_is_known_outlives_a_refusal() {
        let spec = serde_json::from_value(json!({"type": "github"})).unwrap();
        let mut provider = IntegrationProvider::new("p", spec);
        provider.metadata.generation = Some(3);
        let sketch = catalog::sketch(catalog::get("github").unwrap(), &provider.spec, "p").unwrap();
        let usable = ProviderOutcome { sketch: Some(sketch), ..ProviderOutcome::default() };
        let good = status(&provider, &usable, None, at(0));
        assert!(good.methods.contains(&Method::AuthorizationCode.into()) && good.rotation.is_some());
        provider.status = Some(good.clone());
        assert_eq!(status(&provider, &usable, None, at(60)), good);
        let contact = Some("ops@example.com");
        let refusal = ProviderRefusal::new(Reason::AppSecretNotFound, "There is no Secret.", contact);
        let refused = ProviderOutcome { refusal: Some(refusal.clone()), ..ProviderOutcome::default() };
        let bad = status(&provider, &refused, None, at(60));
        assert_eq!((&bad.methods, &bad.rotation), (&good.methods, &good.rotation));
        assert_eq!(bad.observed_generation, Some(3));
        let [ready] = bad.conditions.as_slice() else { unreachable!("one condition") };
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "AppSecretNotFound"));
        assert_eq!(ready.message, refusal.message);
        assert_eq!(ready.last_transition_time.0, at(60));
    }

    #[test]
    fn the_end_of_a_certificate_is_told_thirty_days_ahead_and_the_provider_stays_ready() {
        let spec = json!({"type": "github", "contact": "ops@example.com"});
        let provider = IntegrationProvider::new("p", serde_json::from_value(spec).unwrap());
        let ends = at(40 * 86_400);
        let outcome = ProviderOutcome { certificate_ends: Some(ends), ..ProviderOutcome::default() };
        for (now, reason) in [(at(0), "Ready"), (at(10 * 86_400), "CertificateExpiringSoon")] {
            let told = status(&provider, &outcome, None, now);
            let ready = &told.conditions[0];
            assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", reason));
            assert_eq!(told.certificate_expires_at, Some(Time(ends)));
            let is_named = ready.message.contains("2027-02-24T08:00:00Z") && ready.message.contains("ops@");
            assert_eq!(is_named, reason != "Ready", "{}", ready.message);
        }
    }
}
