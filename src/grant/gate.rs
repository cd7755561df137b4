//! The gate for requests to providers: when a request may be sent, how it is counted, and what its answer says about the
//! provider rather than about a grant.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::IntegrationProvider;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::{MaySend, Sent};
use bowline_runtime::clock::{Clock, later};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::budget::{RequestBudget, WITHIN};
use super::incident::{Hearing, Incident, Incidents, Trouble};
use super::outcome::Outcome;
use super::pace::{Permit, ProviderQueues};
use super::schedule::{RefreshBounds, jitter};
use super::work::{Job, Lane, Task};
use crate::metrics::{Metrics, Operation};
use crate::vault::Grant;

const TOO_MANY_REQUESTS: u16 = 429;

/// How long nobody asks a provider that says "too many requests" and not how long to wait: otherwise each of many grants would
/// have to hear it.
const BUSY_FOR: Duration = Duration::from_secs(30);

/// This many probes in a minute may be sent to one provider. With more grants than that allows, each is checked more rarely.
const PROBES: usize = 120;

/// Seconds that clocks may differ before it is logged: an answer may take twenty.
const CLOCKS_MAY_DIFFER: u64 = 60;

pub(crate) struct Gate {
    metrics: Arc<Metrics>,
    clock: Clock,
    queues: ProviderQueues,
    /// What providers refuse to everybody.
    pub(crate) incidents: Incidents,
    /// Refreshes that people request.
    pub(crate) requests: RequestBudget,
    /// All requests for tokens, where the provider limits them.
    rate: RequestBudget,
    /// Probes of the tokens in use.
    probes: RequestBudget,
    wake_provider: UnboundedSender<ObjectRef<IntegrationProvider>>,
    /// Cancelled when no new request may be started.
    pub(super) draining: CancellationToken,
    /// Whether this process leads.
    may_send: MaySend,
}

impl Gate {
    /// `wake_provider` reconciles a provider when an incident begins or ends.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        clock: Clock,
        wake_provider: UnboundedSender<ObjectRef<IntegrationProvider>>,
        bounds: RefreshBounds,
        may_send: MaySend,
    ) -> Self {
        Self {
            metrics,
            clock,
            queues: ProviderQueues::default(),
            incidents: Incidents::new(bounds.second_opinion_after),
            requests: RequestBudget::default(),
            rate: RequestBudget::default(),
            probes: RequestBudget::default(),
            wake_provider,
            draining: CancellationToken::new(),
            may_send,
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.may_send.allows()
    }

    /// Waits for the provider's turn. What holds it back is looked at again when the turn comes.
    pub(super) async fn admit(&self, job: &Job) -> Result<Permit, Outcome> {
        let (provider, lane) = (job.target.provider(), job.task.lane());
        let may_go = || {
            let now = self.clock.now();
            let held = self.queues.held_until(provider, lane, now);
            let probe = self.incident(job).map(|incident| incident.next_probe).filter(|at| *at > now);
            let free = limit_of(job).and_then(|limit| self.rate.free_at(provider, limit, now));
            // Who waits does not come back all at once for the one place that is free then.
            let turn = |free| later(free, WITHIN.mul_f64(jitter(&job.place.uid, now.as_second())));
            let paced = free.map(turn);
            held.max(probe).max(paced).map_or(Ok(now), |until| Err(Outcome::Held { until }))
        };
        may_go()?;
        let permit = self.turn(job).await?;
        let now = may_go()?;
        for trouble in troubles(job) {
            let probe = self.incidents.take_probe(provider, *trouble, witness(job), now);
            probe.map_err(|until| Outcome::Held { until })?;
        }
        if let Some(limit) = limit_of(job) {
            self.rate.take(provider, limit, now);
        }
        Ok(permit)
    }

    /// The same for a code that is lost if it is not sent now.
    pub(super) async fn admit_code(&self, job: &Job) -> Result<Permit, Outcome> {
        self.turn(job).await
    }

    /// Whether a probe may be sent now, or from when it may be asked again. It waits in no queue, so that a provider that does
    /// not answer holds up no refresh.
    pub(super) fn admit_probe(&self, job: &Job) -> Result<(), Timestamp> {
        let (provider, now) = (job.target.provider(), self.clock.now());
        let held = [Lane::Refresh, Lane::Probe].map(|lane| self.queues.held_until(provider, lane, now));
        let troubled = |trouble| Some(self.incidents.present(provider, trouble, now)?.next_probe);
        let incidents = [Trouble::Registration, Trouble::Grants].map(troubled);
        let full = self.probes.free_at(provider, PROBES, now);
        // Those that wait do not come back all at once.
        let spread =
            |at: Timestamp| later(at.max(now), WITHIN.mul_f64(jitter(&job.place.uid, now.as_second())));
        if let Some(until) = held.into_iter().chain(incidents).chain([full]).flatten().max() {
            return Err(spread(until));
        }
        if self.draining.is_cancelled() {
            return Err(spread(now));
        }
        self.incidents.take_probe(provider, Trouble::Tokens, witness(job), now)?;
        self.probes.take(provider, PROBES, now);
        Ok(())
    }

    /// A probe worked. If those of others were not believed, they are again.
    pub(super) fn token_works(&self, job: &Job, grant: &Grant) {
        self.works(job, Trouble::Tokens, account(job, grant));
    }

    /// A probe was refused. Returns whether that is about this token alone.
    pub(super) fn token_refused(&self, job: &Job, grant: &Grant) -> bool {
        self.hears(job, Trouble::Tokens, account(job, grant)) == Hearing::Alone
    }

    /// A probe failed in a way that says nothing about the token. The provider may ask to wait.
    pub(super) fn probe_failed(&self, job: &Job, failure: &Failure) {
        let busy = failure.status == Some(TOO_MANY_REQUESTS);
        if let Some(wait) = failure.retry_after.or(busy.then_some(BUSY_FOR)) {
            self.queues.hold(job.target.provider(), Lane::Probe, later(self.clock.now(), wait));
        }
    }

    async fn turn(&self, job: &Job) -> Result<Permit, Outcome> {
        let Job { target, urgency, task, .. } = job;
        let turn = self.queues.turn(target.provider(), task.lane(), target.max_concurrent(), *urgency);
        tokio::select! {
            biased;
            () = self.draining.cancelled() => Err(Outcome::Stale),
            () = job.gives_way.cancelled(), if task.gives_way() => Err(Outcome::GaveWay),
            turn = turn => turn.ok_or(Outcome::Stale),
        }
    }

    /// The incident that holds this job back, with the later probe.
    fn incident(&self, job: &Job) -> Option<Incident> {
        let now = self.clock.now();
        let present = |trouble: &Trouble| self.incidents.present(job.target.provider(), *trouble, now);
        troubles(job).iter().filter_map(present).max_by_key(|incident| incident.next_probe)
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

    /// Notes how far the provider's clock is from ours. Lifetimes are counted on ours, so that costs no token; a signed assertion
    /// or a stated end of another clock may be refused.
    pub(super) fn compared_clocks(&self, job: &Job, theirs: Timestamp) {
        let ahead = theirs.duration_since(self.clock.now()).as_secs();
        let before = self.metrics.provider_clock_ahead(&job.target.description().entry, ahead);
        let differ = |ahead: i64| ahead.unsigned_abs() > CLOCKS_MAY_DIFFER;
        // Once, and not with each refresh.
        if differ(ahead) && !differ(before) {
            let provider = job.target.provider();
            tracing::warn!(provider, ahead, "the provider's clock is that many seconds ahead of ours");
        }
    }

    /// The registration works: if its connections were paused, they continue.
    pub(super) fn accepted(&self, job: &Job) {
        self.works(job, Trouble::Registration, witness(job));
    }

    /// The provider accepted this grant: if the others waited, they continue.
    pub(super) fn honored(&self, job: &Job, grant: &Grant) {
        self.works(job, Trouble::Grants, account(job, grant));
    }

    fn works(&self, job: &Job, trouble: Trouble, witness: &str) {
        let provider = job.target.provider();
        if job.own_app.is_none() && self.incidents.works(provider, trouble, witness) {
            self.wake(provider);
        }
    }

    /// Notes what a failure says about the provider. `grant` is the one in use, if that was sent.
    pub(super) fn failed(&self, job: &Job, failure: Failure, grant: Option<&Grant>) -> Failure {
        let failure = doubted(failure);
        let (provider, now) = (job.target.provider(), self.clock.now());
        let busy = failure.status == Some(TOO_MANY_REQUESTS) && is_witness(job) && job.own_app.is_none();
        if let Some(wait) = failure.retry_after.or(busy.then_some(BUSY_FOR)) {
            self.queues.hold(provider, job.task.lane(), later(now, wait));
        }
        if failure.refuses_client() && is_witness(job) {
            self.hears(job, Trouble::Registration, witness(job));
        }
        let is_about_grants = match failure.class {
            Class::Reauth => true,
            Class::Ambiguous => grant.is_some_and(|it| it.expires_at.is_some_and(|expires| expires <= now)),
            _ => false,
        };
        match grant.filter(|_| is_about_grants) {
            Some(grant) if self.hears(job, Trouble::Grants, account(job, grant)) != Hearing::Alone => {
                of_everybody(failure)
            }
            _ => failure,
        }
    }

    fn hears(&self, job: &Job, trouble: Trouble, witness: &str) -> Hearing {
        if job.own_app.is_some() {
            return Hearing::Alone;
        }
        let provider = job.target.provider();
        let hearing = self.incidents.heard(provider, trouble, witness, self.clock.now());
        if hearing == Hearing::Begins {
            tracing::warn!(
                provider,
                ?trouble,
                "the provider refuses several at once: their work waits for a probe"
            );
            self.wake(provider);
        }
        hearing
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

/// A refusal that several grants receive at once says nothing about this one.
fn of_everybody(failure: Failure) -> Failure {
    let summary =
        format!("the provider refuses the grants of several connections at once ({})", failure.summary);
    Failure { class: Class::Transient, proves_revoked: false, summary, ..failure }
}

/// The provider's limit of requests in a minute, if this job counts: refreshes and mints with the provider's own registration.
/// People who connect neither wait for it nor use it up.
fn limit_of(job: &Job) -> Option<usize> {
    job.target.per_minute().filter(|_| is_witness(job) && job.own_app.is_none())
}

/// Whether a refusal of the registration counts. A person's try to connect says nothing about a registration that refreshes:
/// redirect URI, scopes or PKCE may be at fault, and whoever may try could pause everybody.
fn is_witness(job: &Job) -> bool {
    job.task.lane() == Lane::Refresh
}

/// What this job waits for during an incident. One with an app of its own neither waits for the provider's registration nor
/// uses up its probe. A person who connects waits for nothing, and is a probe beside the others.
fn troubles(job: &Job) -> &'static [Trouble] {
    match &job.task {
        _ if job.own_app.is_some() || !is_witness(job) => &[],
        Task::Refresh { .. } => &[Trouble::Registration, Trouble::Grants],
        _ => &[Trouble::Registration],
    }
}

fn witness(job: &Job) -> &str {
    &job.place.uid
}

/// Whose refusal it is: all grants of one account end together.
fn account<'a>(job: &'a Job, grant: &'a Grant) -> &'a str {
    grant.bound_to.account.as_ref().map_or(witness(job), |account| &account.id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::grant::desk::Submission;
    use crate::grant::fixtures::{Bench, at, grant, job, oauth_grant, place, target_at};
    use crate::vault::Credential;

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
                client_refused: false,
                summary: String::new(),
            };
            assert_eq!(doubted(said(Sent::Refused)), said(Sent::Refused));
            let kept = matches!(class, Class::Config | Class::Bug);
            let doubted = doubted(said(Sent::MaybeSent));
            assert_eq!(doubted.class, if kept { class } else { Class::Transient });
            assert!(!doubted.proves_revoked);
        }
    }

    fn invalid_grant() -> Failure {
        Failure {
            class: Class::Reauth,
            code: Some("invalid_grant".to_owned()),
            status: Some(400),
            retry_after: None,
            sent: Sent::Refused,
            proves_revoked: false,
            client_refused: false,
            summary: "the provider no longer accepts the grant".to_owned(),
        }
    }

    fn refresh_of(uid: &str) -> Job {
        Job { place: place(uid), ..job("sandbox", Task::Refresh { request: None }) }
    }

    #[tokio::test]
    async fn class_24_only_the_providers_word_proves_that_a_grant_was_revoked() {
        let bench = Bench::start().await;
        let lives_on = Grant { refresh_expires_at: Some(at(90 * 86_400)), ..oauth_grant("sandbox", "r") };
        let judged = bench.engine().gate.failed(&refresh_of("u1"), invalid_grant(), Some(&lives_on));
        assert_eq!(judged, invalid_grant(), "it should live for months, and that proves nothing");
    }

    #[tokio::test]
    async fn class_24_what_many_grants_hear_is_no_refusal_of_any_and_one_probe_goes_at_a_time() {
        let bench = Bench::start().await;
        let gate = &bench.engine().gate;
        let grant = oauth_grant("sandbox", "r");
        let explicit = Failure { proves_revoked: true, ..invalid_grant() };
        for (uid, class) in [("u1", Class::Reauth), ("u2", Class::Reauth), ("u3", Class::Transient)] {
            let judged = gate.failed(&refresh_of(uid), explicit.clone(), Some(&grant));
            assert_eq!((judged.class, judged.proves_revoked), (class, class == Class::Reauth), "{uid}");
        }
        let held = gate.admit(&refresh_of("u4")).await.err();
        assert!(matches!(held, Some(Outcome::Held { until }) if until == at(60)), "{held:?}");
        let consent = job("sandbox", Task::Judge);
        assert!(gate.admit(&consent).await.is_ok(), "a new grant is not held");
        bench.clock.advance(SignedDuration::from_secs(60));
        assert!(gate.admit(&refresh_of("u4")).await.is_ok());
        assert!(gate.admit(&refresh_of("u5")).await.is_err());
        gate.honored(&refresh_of("u4"), &grant);
        assert!(gate.admit(&refresh_of("u5")).await.is_ok());
        let again = gate.failed(&refresh_of("u1"), invalid_grant(), Some(&grant));
        assert_eq!(again.class, Class::Reauth, "it works for others, so this is about its own grant");
    }

    /// Refreshes that take every place.
    async fn crowd(gate: &Gate) -> Vec<Permit> {
        let job = refresh_of("u1");
        let permits = (0..job.target.max_concurrent()).map(|_| gate.admit(&job));
        futures::future::try_join_all(permits).await.ok().unwrap()
    }

    #[tokio::test]
    async fn class_25_who_waits_is_held_back_when_the_provider_asks_to_wait_meanwhile() {
        let bench = Bench::start().await;
        let gate = &bench.engine().gate;
        let mut permits = crowd(gate).await;
        let job = refresh_of("u2");
        let mut waiting = Box::pin(gate.admit(&job));
        assert!((&mut waiting).now_or_never().is_none());
        let busy = Failure {
            class: Class::Transient,
            status: Some(429),
            retry_after: Some(std::time::Duration::from_mins(10)),
            ..invalid_grant()
        };
        gate.failed(&refresh_of("u1"), busy, None);
        permits.pop();
        let held = waiting.await.err();
        assert!(matches!(held, Some(Outcome::Held { until }) if until == at(600)), "{held:?}");
    }

    #[tokio::test]
    async fn class_25_a_consent_waits_for_no_refresh_and_its_own_connections_refresh_gives_way() {
        let bench = Bench::start().await;
        let _permits = crowd(&bench.engine().gate).await;
        let key = "generic-api-key";
        let candidate = grant(key, Credential::ApiKey { api_key: "k".into() });
        let record = bench.holding("u1", &oauth_grant("sandbox", "r"));
        let record = record.with_candidate(&bench.engine().records.sealer, &candidate).unwrap();
        bench.keep(record).await;
        let (refresh, judge) = (job_at_gate(), job(key, Task::Judge));
        assert_eq!(bench.desk.submit(refresh), Submission::Started);
        assert_eq!(bench.desk.submit(judge.clone()), Submission::Busy);
        let seen = bench.worked("u1").await;
        assert!(matches!(seen.finished.unwrap().outcome, Outcome::GaveWay));
        assert!(seen.rest_until.is_some() && seen.consent_rest_until.is_none());
        assert_eq!(bench.desk.submit(judge), Submission::Started);
        let seen = bench.worked("u1").await;
        assert!(matches!(seen.finished.unwrap().outcome, Outcome::Committed { accepted: true }));
    }

    /// A refresh with an app, which comes as far as the queue.
    fn job_at_gate() -> Job {
        Job { target: target_at("sandbox", "http://127.0.0.1:9/token"), ..refresh_of("u1") }
    }
}
