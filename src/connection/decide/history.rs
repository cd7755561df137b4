//! The results of earlier refreshes: read from status and the actor's newest outcome. Pure.

use bowline_api::connection::{FailureStatus, RulingStatus};
use bowline_api::reason::Reason;
use bowline_api::{IntegrationConnection, IntegrationConnectionStatus};
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::connection::observed::ObservedConnection;
use crate::grant::incident::Incident;
use crate::grant::outcome::{FinishedWork, Outcome};
use crate::grant::probe::DECISIVE;
use crate::grant::schedule::{self, Policy};
use crate::vault::Grant;
use crate::vault::record::Pause;

/// What is remembered about refreshes of the grant in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// In a row.
    pub(crate) failures: i32,
    /// In a row.
    pub(crate) refusals: i32,
    /// Since the last success.
    pub(crate) last_failure: Option<FailureStatus>,
    /// When the next refresh is due, while failing.
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) ruling: Option<RulingStatus>,
    /// The last refresh request that was carried out or refused.
    pub(crate) handled_refresh: Option<String>,
    /// The last request for a device flow that was taken up or refused.
    pub(crate) handled_authorization: Option<String>,
    /// Whether what somebody provided or consented to came into use just now.
    pub(crate) accepted: bool,
}

impl History {
    /// What status remembers about the grant in use, and the newest outcome.
    pub(super) fn of(
        connection: &IntegrationConnection,
        observed: &ObservedConnection,
        policy: &Policy,
        jitter: f64,
    ) -> Self {
        let remembered =
            Self::remembered(connection.status.as_ref(), observed).reopened(observed.incident, policy);
        let history = match &observed.actor.finished {
            Some(finished) => remembered.absorb(finished, observed, policy, jitter),
            None => remembered,
        };
        let grant = observed.record.grant();
        let is_final = grant.is_some_and(|grant| !observed.is_refreshable(&connection.spec, grant));
        if is_final { history.probed(observed) } else { history }
    }

    /// What probes say about a grant that cannot be refreshed: several refusals end it, and a success lifts that. What was
    /// decided while the provider refused everybody is taken back.
    fn probed(mut self, observed: &ObservedConnection) -> Self {
        let began = observed.token_incident.map(|incident| incident.since);
        let is_taken_back = self.condemned_since().zip(began).is_some_and(|(since, began)| since >= began);
        let Some(view) = &observed.probe else { return self };
        if is_taken_back || view.accepted && self.condemned_since().is_some() {
            self.ruling = None;
        }
        if let Some(failure) = view.refusal.as_ref().filter(|_| view.refusals >= DECISIVE) {
            let since = self.condemned_since().unwrap_or(view.since);
            self.ruling = ruled(failure).map(|reason| ruling(reason, &failure.summary, since));
        }
        self
    }

    /// What status says about another grant is ignored, and a pause imposed for another app registration is over.
    fn remembered(status: Option<&IntegrationConnectionStatus>, observed: &ObservedConnection) -> Self {
        let pause = observed.record.present().and_then(|present| present.pause.as_ref());
        let app_version = observed.app_version.as_deref();
        let Some(status) = status else {
            let retry_at = pause.and_then(|pause| unless_replaced(pause, app_version));
            return Self { retry_at, ..Self::default() };
        };
        let requests = Self {
            handled_refresh: status.last_handled_refresh.clone(),
            handled_authorization: status.last_handled_authorization.clone(),
            ..Self::default()
        };
        if !is_about(status, observed) {
            return requests;
        }
        let token = status.token.clone().unwrap_or_default();
        // A pause without a plan (while suspended, for example) is over once there is a plan again.
        let said = token.last_failure.as_ref().map(|last| Pause {
            not_before: token.next_refresh_at.as_ref().unwrap_or(&last.at).0,
            app_version: last.app_version.clone(),
        });
        // Before the first grant there is no record, and what status says counts alone.
        let pause = pause.or(said.as_ref());
        Self {
            failures: token.consecutive_failures.unwrap_or_default(),
            refusals: token.consecutive_refusals.unwrap_or_default(),
            retry_at: pause.and_then(|pause| unless_replaced(pause, app_version)),
            ruling: status.ruling.clone().filter(|ruling| ruling.reason.known().is_some()),
            last_failure: token.last_failure,
            ..requests
        }
    }

    /// Takes back what was decided while the provider refused everybody.
    fn reopened(mut self, incident: Option<Incident>, policy: &Policy) -> Self {
        let began = incident.map(|incident| incident.since);
        if self.condemned_since().zip(began).is_some_and(|(since, began)| since >= began) {
            self.ruling = None;
            self.refusals = 1;
            self.retry_at = self.second_opinion_at(policy);
        }
        self
    }

    fn absorb(
        mut self,
        finished: &FinishedWork,
        observed: &ObservedConnection,
        policy: &Policy,
        jitter: f64,
    ) -> Self {
        self.answer(finished);
        let (now, version) = (finished.at, observed.record.version());
        match &finished.outcome {
            Outcome::Committed { accepted } => {
                let Self { handled_refresh, handled_authorization, .. } = self;
                Self { handled_refresh, handled_authorization, accepted: *accepted, ..Self::default() }
            }
            // Before the first grant there is no version, but a failure counts already.
            Outcome::Failed { used, failure } if *used == version && failure.class == Class::Ambiguous => {
                self.ambiguous(failure, finished, observed.record.grant().map(AsRef::as_ref), policy)
            }
            Outcome::Failed { used, failure } if *used == version => {
                self.failed(failure, finished, policy, jitter)
            }
            Outcome::Oversized { used, failure } if used.is_some() && *used == version => {
                self.failed(failure, finished, policy, jitter)
            }
            Outcome::Unknown { used, failure } if used.is_some() && *used == version => {
                self.note(Reason::RotationOutcomeUnknown, failure, finished);
                let again = schedule::after_outage(now, self.failures, failure.retry_after, jitter, policy);
                Self { retry_at: Some(again), ..self }
            }
            Outcome::Lost { used, failure } if used.is_some() && *used == version => {
                self.note(Reason::RefreshTokenLost, failure, finished);
                Self { ruling: Some(ruling(Reason::RefreshTokenLost, &failure.summary, now)), ..self }
            }
            Outcome::SecretMissing { message } => {
                Self { ruling: Some(ruling(Reason::CredentialsNotFound, message, now)), ..self }
            }
            _ => self,
        }
    }

    /// A request still waits if a temporary cause kept it from being sent. If somebody has to fix something, it is answered.
    fn answer(&mut self, finished: &FinishedWork) {
        if matches!(
            finished.outcome,
            Outcome::Held { .. } | Outcome::Foreign { .. } | Outcome::Stale | Outcome::GaveWay
        ) {
            return;
        }
        let FinishedWork { request, authorization, .. } = finished;
        self.handled_refresh = request.clone().or(self.handled_refresh.take());
        self.handled_authorization = authorization.clone().or(self.handled_authorization.take());
    }

    fn failed(mut self, failure: &Failure, finished: &FinishedWork, policy: &Policy, jitter: f64) -> Self {
        if let Some(since) = self.condemned_since() {
            return self.still_condemned(failure, finished, since);
        }
        let counts_from = self.second_opinion_at(policy);
        if failure.class == Class::Reauth && counts_from.is_some_and(|at| finished.at < at) {
            // Too soon for a second opinion: the first refusal stands as noted, and so does the time of the next request.
            self.failures += 1;
            self.retry_at = counts_from;
            return self;
        }
        self.refused(failure, finished, policy, jitter)
    }

    /// The provider refused and does not say whether that is about the grant. As long as a token works nothing is decided; after
    /// that, several such refusals mean that the owner has to connect again.
    fn ambiguous(
        mut self,
        failure: &Failure,
        finished: &FinishedWork,
        grant: Option<&Grant>,
        policy: &Policy,
    ) -> Self {
        if let Some(since) = self.condemned_since() {
            return self.still_condemned(failure, finished, since);
        }
        let now = finished.at;
        let (obtained_at, expires_at) = grant.map_or((now, None), |it| (it.obtained_at, it.expires_at));
        let is_over = expires_at.is_some_and(|expires| expires <= now);
        let last = self.last_failure.as_ref().map(|failure| failure.at.0);
        let goes_on = last.zip(expires_at).is_some_and(|(last, expires)| last >= expires);
        // Only what was refused when no token worked any more counts.
        self.refusals = if is_over && goes_on { self.refusals + 1 } else { i32::from(is_over) };
        self.note(Reason::RefreshFailing, failure, finished);
        let decided = is_over && self.refusals >= schedule::AMBIGUOUS_REFUSALS;
        self.retry_at = Some(match expires_at {
            _ if decided => schedule::after_vague_verdict(now, now),
            Some(expires) => schedule::after_ambiguity(now, self.failures, obtained_at, expires, policy),
            None => schedule::after_refusal(now, self.failures),
        });
        self.ruling = decided.then(|| ruling(Reason::GrantExpired, &failure.summary, now));
        self
    }

    fn refused(mut self, failure: &Failure, finished: &FinishedWork, policy: &Policy, jitter: f64) -> Self {
        let now = finished.at;
        if failure.class == Class::Reauth && !self.doubts_the_grant() {
            // The first of its kind: a refusal for another reason is no second opinion on the grant.
            self.refusals = 1;
        } else if failure.class != Class::Transient && failure.class != Class::Config {
            self.refusals += 1;
        }
        let ruled = ruled(failure);
        let is_first = matches!(finished.outcome, Outcome::Failed { used: None, .. });
        let usual = if is_first { Reason::MintFailed } else { Reason::RefreshFailing };
        self.note(ruled.unwrap_or(usual), failure, finished);
        self.retry_at = Some(match failure.class {
            Class::Transient => {
                schedule::after_outage(now, self.failures, failure.retry_after, jitter, policy)
            }
            // Approvals and policies change slowly.
            Class::Consent | Class::Policy | Class::StepUp => later(now, schedule::AFTER_STOPPING),
            // The registration is at fault, not the grant: refreshes never slow down to once a day.
            Class::Config => schedule::after_refusal(now, self.failures.min(schedule::REFUSALS_TO_STOP - 1)),
            Class::Reauth if self.refusals == 1 => later(now, policy.bounds.second_opinion_after),
            Class::Reauth => schedule::after_verdict(now, now),
            _ => schedule::after_refusal(now, self.refusals),
        });
        // One `invalid_grant` may be caused by a race or a hiccup: only the second one, a while later, is believed.
        if failure.class != Class::Reauth || self.refusals > 1 {
            let before = self.ruling.take();
            let since = |reason| before.filter(|it| it.reason.is(reason)).map_or(now, |it| it.since.0);
            self.ruling = ruled.map(|reason| ruling(reason, &failure.summary, since(reason)));
        }
        self
    }

    /// A final verdict was looked at again, and was not lifted: only a success does that. The provider's explicit word
    /// makes it more severe.
    fn still_condemned(mut self, failure: &Failure, finished: &FinishedWork, since: Timestamp) -> Self {
        let ruled = ruled(failure).filter(|_| failure.class == Class::Reauth);
        self.note(ruled.unwrap_or(Reason::RefreshFailing), failure, finished);
        if ruled == Some(Reason::GrantRevoked) {
            self.ruling = Some(ruling(Reason::GrantRevoked, &failure.summary, since));
        }
        self.retry_at = Some(self.again_after(finished.at, since));
        self
    }

    /// When a verdict is looked at again. One that the provider did not put into words may be about something that passes, and
    /// only such a one takes so many refusals.
    fn again_after(&self, last: Timestamp, since: Timestamp) -> Timestamp {
        let in_words = self.refusals < schedule::AMBIGUOUS_REFUSALS || self.doubts_the_grant();
        if in_words {
            schedule::after_verdict(last, since)
        } else {
            schedule::after_vague_verdict(last, since)
        }
    }

    /// Since when the provider's refusals of the grant are believed.
    pub(super) fn condemned_since(&self) -> Option<Timestamp> {
        let refused = [Reason::GrantRevoked, Reason::GrantExpired];
        let ruling = self.ruling.as_ref()?;
        refused.iter().any(|reason| ruling.reason.is(*reason)).then_some(ruling.since.0)
    }

    /// Whether that is what the connection shows.
    pub(super) fn is_condemned_as(&self, reason: Reason) -> bool {
        self.condemned_since().is_some()
            && self.ruling.as_ref().is_some_and(|ruling| ruling.reason.is(reason))
    }

    /// When a refusal that is believed is looked at again.
    pub(super) fn looked_at_again(&self) -> Option<Timestamp> {
        let since = self.condemned_since()?;
        let last = self.last_failure.as_ref().map_or(since, |failure| failure.at.0);
        Some(self.again_after(last, since))
    }

    /// Whether the last failure was a first refusal of the grant itself, which is not believed yet.
    fn doubts_the_grant(&self) -> bool {
        let last = self.last_failure.as_ref().and_then(|last| last.reason.known());
        matches!(last, Some(Reason::GrantRevoked | Reason::GrantExpired))
    }

    /// The time from which another refusal of the grant counts; `None` while none is doubted.
    pub(crate) fn second_opinion_at(&self, policy: &Policy) -> Option<Timestamp> {
        let first =
            self.last_failure.as_ref().filter(|_| self.ruling.is_none() && self.doubts_the_grant())?;
        Some(later(first.at.0, policy.bounds.second_opinion_after))
    }

    fn note(&mut self, reason: Reason, failure: &Failure, finished: &FinishedWork) {
        self.failures += 1;
        let (at, message) = (Time(finished.at), failure.summary.clone());
        let app_version = finished.app_version.clone();
        self.last_failure = Some(FailureStatus { at, reason: reason.into(), message, app_version });
    }

    pub(crate) fn stopped(&self) -> bool {
        self.refusals >= schedule::REFUSALS_TO_STOP
    }

    pub(crate) fn pause(&self) -> Option<Pause> {
        let (not_before, failure) = (self.retry_at?, self.last_failure.as_ref()?);
        Some(Pause { not_before, app_version: failure.app_version.clone() })
    }
}

/// Whether status describes the grant on record. An answer that could be kept only in part is a new revision, and counts as
/// one more failure of the same grant.
fn is_about(status: &IntegrationConnectionStatus, observed: &ObservedConnection) -> bool {
    let (Some(known), Some(present)) = (&status.grant, observed.record.version()) else {
        return status.grant.is_none() && observed.record.version().is_none();
    };
    let outcome = observed.actor.finished.as_ref().map(|finished| &finished.outcome);
    let goes_on = matches!(outcome, Some(Outcome::Oversized { .. }));
    known.id == present.id.to_string() && (known.revision == present.revision || goes_on)
}

/// The end of a pause, unless the app registration it was imposed for has been replaced since.
fn unless_replaced(pause: &Pause, app_version: Option<&str>) -> Option<Timestamp> {
    let replaced =
        pause.app_version.as_deref().zip(app_version).is_some_and(|(failed_with, now)| failed_with != now);
    (!replaced).then_some(pause.not_before)
}

fn ruled(failure: &Failure) -> Option<Reason> {
    match failure.class {
        Class::Reauth if failure.proves_revoked => Some(Reason::GrantRevoked),
        Class::Reauth => Some(Reason::GrantExpired),
        Class::Consent => Some(Reason::AdminConsentRequired),
        Class::Policy => Some(Reason::PolicyBlocked),
        Class::StepUp => Some(Reason::StepUpRequired),
        Class::Transient
        | Class::Config
        | Class::Ambiguous
        | Class::Alive
        | Class::Cancelled
        | Class::Bug => None,
    }
}

fn ruling(reason: Reason, message: &str, since: Timestamp) -> RulingStatus {
    RulingStatus {
        reason: reason.into(),
        since: Time(since),
        is_final: matches!(reason, Reason::GrantRevoked | Reason::GrantExpired | Reason::RefreshTokenLost),
        grant: None,
        message: message.to_owned(),
    }
}
