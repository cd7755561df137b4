//! The gate for requests to providers: when a request may be sent, how it is counted, and what its answer says about the
//! provider rather than about a grant.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationProvider;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_runtime::clock::{Clock, later};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::budget::RequestBudget;
use super::outcome::Outcome;
use super::pace::{Permit, ProviderQueues};
use super::registration::Registrations;
use super::schedule;
use super::work::Job;
use crate::metrics::{Metrics, Operation};
use crate::vault::Grant;

pub(crate) struct Gate {
    metrics: Arc<Metrics>,
    clock: Clock,
    queues: ProviderQueues,
    /// What providers say about our registrations.
    pub(crate) registrations: Registrations,
    /// Refreshes that people request.
    pub(crate) requests: RequestBudget,
    wake_provider: UnboundedSender<ObjectRef<IntegrationProvider>>,
    /// Cancelled when no new request may be started.
    pub(super) draining: CancellationToken,
}

impl Gate {
    /// `wake_provider` reconciles a provider when the rejection of its registration begins or ends.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        clock: Clock,
        wake_provider: UnboundedSender<ObjectRef<IntegrationProvider>>,
    ) -> Self {
        Self {
            metrics,
            clock,
            queues: ProviderQueues::default(),
            registrations: Registrations::default(),
            requests: RequestBudget::default(),
            wake_provider,
            draining: CancellationToken::new(),
        }
    }

    /// Waits for the provider's turn.
    pub(super) async fn admit(&self, job: &Job) -> Result<Permit, Outcome> {
        let (provider, now) = (job.target.provider(), self.clock.now());
        let held = |until| Outcome::Held { until };
        // A connection with its own app neither waits for the provider's registration nor uses up its probe.
        if job.own_app.is_none() {
            self.registrations.take_probe(provider, now).map_err(held)?;
        }
        let turn = self.queues.admit(provider, job.target.max_concurrent(), job.urgency, now);
        tokio::select! {
            biased;
            () = self.draining.cancelled() => Err(Outcome::Stale),
            turn = turn => turn.map_err(held),
        }
    }

    /// Runs a request to a provider, and counts its result and duration.
    pub(super) async fn timed<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let call = self.metrics.provider_call(operation);
        let result = request.await;
        call.finish(result.as_ref().err().map(|failure| failure.class));
        result
    }

    /// The registration works: if its connections were paused, they continue.
    pub(super) fn accepted(&self, job: &Job) {
        let provider = job.target.provider();
        if job.own_app.is_none() && self.registrations.accepted(provider) {
            self.wake(provider);
        }
    }

    /// Notes what a failure says about the provider. `grant` is the one in use, if that was sent.
    pub(super) fn failed(&self, job: &Job, failure: Failure, grant: Option<&Grant>) -> Failure {
        let mut failure = doubted(failure);
        let (provider, now) = (job.target.provider(), self.clock.now());
        if let Some(wait) = failure.retry_after {
            self.queues.hold(provider, later(now, wait));
        }
        let suspect = job.own_app.is_none() && failure.refuses_client();
        if suspect && self.registrations.heard_invalid_client(provider, &job.place.uid, now) {
            self.wake(provider);
        }
        let lifetime =
            job.target.description().grant.refresh_lifetime.map(bowline_api::duration::Duration::get);
        failure.proves_revoked |=
            failure.class == Class::Reauth && grant.is_some_and(|grant| ends_later(grant, lifetime, now));
        failure
    }

    fn wake(&self, provider: &str) {
        // There is no listener only while the process ends.
        let _ = self.wake_provider.send(ObjectRef::new(provider));
    }
}

/// An answer of a provider in trouble says nothing reliable about a grant, whatever code it contains.
fn doubted(mut failure: Failure) -> Failure {
    let about_the_grant =
        matches!(failure.class, Class::Reauth | Class::Consent | Class::Policy | Class::StepUp);
    if about_the_grant && failure.sent == Sent::MaybeSent {
        failure.class = Class::Transient;
        failure.proves_revoked = false;
    }
    failure
}

/// Whether the grant is known to live much longer: then a refusal means that somebody withdrew it.
fn ends_later(grant: &Grant, lifetime: Option<Duration>, now: Timestamp) -> bool {
    // In the catalogue the lifetime of a refresh token counts from when it was issued, not from each use.
    let by_catalogue = || Some(later(grant.refresh_issued_at?, lifetime?));
    let ends = grant.refresh_expires_at.or_else(by_catalogue);
    ends.is_some_and(|ends| ends > later(now, schedule::AFTER_STOPPING))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::grant::fixtures::{answer, at, oauth_grant};
    use crate::grant::slot::renewed;

    #[test]
    fn a_provider_in_trouble_is_not_believed_about_the_grant() {
        for class in [Class::Reauth, Class::Consent, Class::Policy, Class::StepUp, Class::Config, Class::Bug]
        {
            let said = |sent| Failure {
                class,
                code: None,
                status: Some(500),
                retry_after: None,
                sent,
                proves_revoked: class == Class::Reauth,
                summary: String::new(),
            };
            assert_eq!(doubted(said(Sent::Refused)), said(Sent::Refused));
            let kept = matches!(class, Class::Config | Class::Bug);
            let doubted = doubted(said(Sent::MaybeSent));
            assert_eq!(doubted.class, if kept { class } else { Class::Transient });
            assert!(!doubted.proves_revoked);
        }
    }

    #[test]
    fn a_lifetime_from_the_catalogue_counts_from_when_the_token_was_given() {
        let day = |day: i64| at(0) + SignedDuration::from_hours(24 * day);
        let lifetime = Some(Duration::from_hours(24 * 90));
        let imported = oauth_grant("sandbox", "old");
        let given = Grant { refresh_issued_at: Some(at(0)), ..imported.clone() };
        let kept = renewed(&given, answer(Some("old")), day(80));
        assert!(ends_later(&kept, lifetime, day(80)) && !ends_later(&kept, lifetime, day(89)));
        let replaced = renewed(&kept, answer(Some("new")), day(80));
        assert!(ends_later(&replaced, lifetime, day(89)), "another token, another ninety days");
        assert!(!ends_later(&imported, lifetime, at(0)), "nobody knows how old an imported token is");
        assert!(!ends_later(&replaced, None, at(0)));
    }
}
