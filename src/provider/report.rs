//! What is said about a provider: its next status. Pure.

use bowline_api::IntegrationProvider;
use bowline_api::attempt;
use bowline_api::condition::{ConditionType, Conditions, Truth};
use bowline_api::connection::Method;
use bowline_api::open::Open;
use bowline_api::provider::{IntegrationProviderStatus, Rotation};
use bowline_api::reason::{self, Reason};
use bowline_oauth::catalog::Description;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use url::Url;

use super::decide::Refusal;

/// What came of one look at a provider.
#[derive(Debug)]
pub(super) struct Found {
    /// What is known of the third party; `None` where the object does not get that far.
    pub(crate) facts: Option<Facts>,
    /// Whether it can be used, and why not.
    pub(crate) verdict: Result<(), Refusal>,
    /// When its issuer is to be asked again.
    pub(crate) next: Option<Timestamp>,
}

/// What status shows of the third party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    methods: Vec<Open<Method>>,
    rotation: Option<Open<Rotation>>,
}

impl Facts {
    /// The rotation is that of grants obtained in the usual way.
    pub(super) fn of(description: &Description) -> Self {
        let usual = description.methods.first();
        let rotation = usual.map(|method| description.rotation(*method).into());
        Self { methods: description.methods.iter().copied().map(Open::from).collect(), rotation }
    }
}

/// The next status. Facts that cannot be told now stay: the type never changes.
pub(super) fn status(
    provider: &IntegrationProvider,
    found: &Found,
    portal: Option<&Url>,
    now: Timestamp,
) -> IntegrationProviderStatus {
    let old = provider.status.clone().unwrap_or_default();
    let generation = provider.metadata.generation;
    let mut conditions = Conditions::after(&old.conditions, generation, now);
    match &found.verdict {
        Ok(()) => conditions.set(
            ConditionType::Ready,
            Truth::True,
            Reason::Ready,
            Reason::Ready.message(&reason::MessageFacts::default()),
        ),
        Err(refusal) => {
            conditions.set(ConditionType::Ready, Truth::False, refusal.reason, refusal.message.clone())
        }
    };
    let conditions = conditions.build();
    let facts = found.facts.clone().unwrap_or(Facts { methods: old.methods, rotation: old.rotation });
    IntegrationProviderStatus {
        callback_url: portal
            .filter(|_| facts.methods.contains(&Method::AuthorizationCode.into()))
            .map(|portal| attempt::redirect_uri(portal, &provider.name_any())),
        methods: facts.methods,
        rotation: facts.rotation,
        observed_generation: generation,
        conditions,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn found(verdict: Result<(), Refusal>, facts: Option<Facts>) -> Found {
        Found { facts, verdict, next: None }
    }

    #[test]
    fn a_status_that_says_the_same_is_equal_and_facts_outlive_a_refusal() {
        let spec = serde_json::from_value(json!({"type": "github"})).unwrap();
        let mut provider = IntegrationProvider::new("p", spec);
        provider.metadata.generation = Some(3);
        let (methods, rotation) = (vec![Method::AuthorizationCode.into()], Some(Rotation::SingleUse.into()));
        let facts = Facts { methods, rotation };
        let good = status(&provider, &found(Ok(()), Some(facts.clone())), None, at(0));
        provider.status = Some(good.clone());
        assert_eq!(status(&provider, &found(Ok(()), Some(facts)), None, at(60)), good);
        let refusal = Refusal::new(Reason::AppSecretNotFound, "There is no Secret.", Some("ops@example.com"));
        let bad = status(&provider, &found(Err(refusal), None), None, at(60));
        assert_eq!((&bad.methods, &bad.rotation), (&good.methods, &good.rotation));
        assert_eq!(bad.observed_generation, Some(3));
        let [ready] = bad.conditions.as_slice() else { unreachable!("one condition") };
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "AppSecretNotFound"));
        assert_eq!(
            ready.message,
            Reason::AppSecretNotFound.message(&reason::MessageFacts {
                contact: Some("ops@example.com"),
                detail: "There is no Secret.".into(),
                ..reason::MessageFacts::default()
            })
        );
        assert_eq!(ready.last_transition_time.0, at(60));
    }
}
