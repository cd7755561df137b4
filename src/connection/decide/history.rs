//! What earlier attempts came to: read from status, with the newest outcome taken in.

use bowline_api::connection::{FailureStatus, IntegrationConnectionStatus, TokenStatus};
use bowline_api::reason;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::grant::intake::IntakeError;
use crate::grant::outcome::{Finished, Origin, Outcome};
use crate::grant::schedule::{self, Policy};

/// What status remembers of the present grant and of attempts on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Attempts that failed in a row.
    pub failures: i32,
    /// Refusals by the provider in a row.
    pub refusals: i32,
    /// The last failure since the last success.
    pub last_failure: Option<FailureStatus>,
    /// When the next attempt is due, while failing.
    pub retry_at: Option<Timestamp>,
    /// What the provider has decided about this grant, until a new one comes.
    pub ruling: Option<Ruling>,
    /// Why what was brought last cannot be used.
    pub intake_refused: Option<Refusal>,
    /// The last refresh request that was carried out or refused.
    pub handled_refresh: Option<String>,
    /// The last request for a device flow that was taken up or refused.
    pub handled_authorization: Option<String>,
    /// Where the newest revision came from, if it came just now.
    pub arrival: Option<Origin>,
}

/// Why what was brought cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its reason.
    pub reason: &'static str,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// A decision of the provider about a grant.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// Its reason.
    pub reason: &'static str,
    /// What happened, what to do, who.
    pub message: String,
    /// Whether it is final: then nothing is tried until a new grant comes.
    pub is_final: bool,
}

/// Reasons of `Authorized` that a provider's answer causes and that outlive a restart in status.
const RULINGS: &[(&str, bool)] = &[
    (reason::GRANT_REVOKED, true),
    (reason::GRANT_EXPIRED, true),
    (reason::ROTATION_OUTCOME_UNKNOWN, true),
    (reason::POLICY_BLOCKED, false),
    (reason::ADMIN_CONSENT_REQUIRED, false),
    (reason::STEP_UP_REQUIRED, false),
    (reason::APP_SECRET_NOT_FOUND, false),
];

/// Reasons of `Authorized` that say why what was brought last cannot be used, whatever an older grant does.
const REFUSALS: &[&str] = &[
    reason::INTAKE_REFUSED,
    reason::INTAKE_DELAYED,
    reason::INTAKE_OUTCOME_UNKNOWN,
    reason::ACCOUNT_MISMATCH,
    reason::ACCOUNT_ALREADY_CONNECTED,
    reason::AUTHORIZATION_FAILED,
];

/// Reasons that are told of a grant in use, and also of a try to connect that ended without one.
const TOLD_OF_TRIES_TOO: &[&str] =
    &[reason::ADMIN_CONSENT_REQUIRED, reason::POLICY_BLOCKED, reason::MISSING_SCOPES, reason::EXTRA_SCOPES];

/// Whether the condition tells of a try to connect. What was decided about the grant itself is noted as a failure, too; a try
/// leaves the grant as it was.
fn is_of_a_try(condition: &Condition, token: &TokenStatus) -> bool {
    let reason = condition.reason.as_str();
    let of_a_provider = RULINGS.iter().any(|(ruling, _)| *ruling == reason);
    TOLD_OF_TRIES_TOO.contains(&reason)
        && (condition.status == "True" || of_a_provider && token.last_failure.is_none())
}

impl History {
    /// Reads what `status` remembers of the grant at `revision`; a ruling on another revision is forgotten. A pause that was
    /// taken with another app registration than `app_version` is over.
    pub fn of(
        status: Option<&IntegrationConnectionStatus>,
        revision: Option<i64>,
        app_version: Option<&str>,
    ) -> Self {
        let Some(status) = status else { return Self::default() };
        let token = status.token.clone().unwrap_or_default();
        let authorized = status.conditions.iter().find(|condition| condition.type_ == "Authorized");
        let handled_refresh = status.last_handled_refresh.clone();
        let handled_authorization = status.last_handled_authorization.clone();
        let of_a_try = authorized.is_some_and(|condition| is_of_a_try(condition, &token));
        let intake_refused = authorized.and_then(|condition| Refusal::remembered(condition, of_a_try));
        if token.revision != revision {
            return Self { intake_refused, handled_refresh, handled_authorization, ..Self::default() };
        }
        let overlaid = Ruling::overlaid(&token);
        Self {
            failures: token.consecutive_failures.unwrap_or_default(),
            refusals: token.consecutive_refusals.unwrap_or_default(),
            retry_at: retry_at(&token, app_version),
            ruling: authorized.filter(|_| !of_a_try).and_then(Ruling::remembered).or(overlaid),
            last_failure: token.last_failure,
            intake_refused,
            handled_refresh,
            handled_authorization,
            arrival: None,
        }
    }

    /// Takes in the newest outcome.
    #[must_use]
    pub fn absorb(
        mut self,
        finished: Option<&Finished>,
        revision: Option<i64>,
        policy: &Policy,
        jitter: f64,
    ) -> Self {
        let Some(finished) = finished else { return self };
        self.answer(finished);
        let now = finished.at;
        match &finished.outcome {
            Outcome::Committed { origin, .. } => {
                let Self { handled_refresh, handled_authorization, .. } = self;
                Self { handled_refresh, handled_authorization, arrival: Some(*origin), ..Self::default() }
            }
            // Before the first record there is no revision, and what failed then counts all the same.
            Outcome::Failed { revision: tried, failure } if *tried == revision.unwrap_or_default() => {
                self.failed(failure, finished, policy, jitter)
            }
            Outcome::Unknown { revision: tried, failure } if Some(*tried) == revision => {
                self.note(reason::ROTATION_OUTCOME_UNKNOWN, failure, finished);
                let again = schedule::after_outage(now, self.failures, failure.retry_after, jitter, policy);
                Self { retry_at: Some(again), ..self }
            }
            Outcome::Lost { revision: tried, failure } if Some(*tried) == revision => {
                self.note(reason::ROTATION_OUTCOME_UNKNOWN, failure, finished);
                Self { ruling: Some(Ruling::lost()), ..self }
            }
            // Another try begins: what came of the last one is no news of this one.
            Outcome::Stepped if finished.authorization.is_some() => Self { intake_refused: None, ..self },
            Outcome::IntakeRefused { why } => Self { intake_refused: Some(Refusal::of(why)), ..self },
            Outcome::IntakeDelayed { message } => {
                let delay = Refusal { reason: reason::INTAKE_DELAYED, message: message.clone() };
                Self { intake_refused: Some(delay), ..self }
            }
            Outcome::SecretMissing { message } => Self { ruling: Some(Ruling::app_missing(message)), ..self },
            _ => self,
        }
    }

    /// Where nothing was sent for a passing cause the request still waits. What somebody has to mend first is an answer.
    fn answer(&mut self, finished: &Finished) {
        if matches!(finished.outcome, Outcome::Held { .. } | Outcome::Foreign { .. } | Outcome::Stale) {
            return;
        }
        let Finished { request, authorization, .. } = finished;
        self.handled_refresh = request.clone().or(self.handled_refresh.take());
        self.handled_authorization = authorization.clone().or(self.handled_authorization.take());
    }

    fn failed(mut self, failure: &Failure, finished: &Finished, policy: &Policy, jitter: f64) -> Self {
        let now = finished.at;
        let ruling = Ruling::of(failure);
        let counts_from = self.second_opinion_at(policy);
        if failure.class == Class::Reauth && counts_from.is_some_and(|at| now < at) {
            // Too soon to be a second opinion: the first one stands as it was noted, and so does the time of the next.
            self.failures += 1;
            self.retry_at = counts_from;
            return self;
        }
        if failure.class == Class::Reauth && !self.doubts_the_grant() {
            // The first of its kind: what was refused for other reasons is no second opinion on the grant.
            self.refusals = 1;
        } else if failure.class != Class::Transient && failure.class != Class::Config {
            self.refusals += 1;
        }
        let reason = ruling.as_ref().map_or(reason::REFRESH_FAILING, |ruling| ruling.reason);
        self.note(reason, failure, finished);
        self.retry_at = Some(match failure.class {
            Class::Transient => {
                schedule::after_outage(now, self.failures, failure.retry_after, jitter, policy)
            }
            // Approval and policies change at people's pace.
            Class::Consent | Class::Policy | Class::StepUp => later(now, schedule::AFTER_STOPPING),
            // The registration is at fault, not the grant: it never comes to the daily attempts of a stopped one.
            Class::Config => schedule::after_refusal(now, self.failures.min(schedule::REFUSALS_TO_STOP - 1)),
            Class::Reauth if self.refusals == 1 => later(now, policy.limits.second_opinion_after),
            _ => schedule::after_refusal(now, self.refusals),
        });
        // One `invalid_grant` may be a race or a hiccup: only the second, a while later, is believed.
        if failure.class != Class::Reauth || self.refusals > 1 {
            self.ruling = ruling;
        }
        self
    }

    /// Whether the last failure was a first refusal of the grant itself, which is not believed yet.
    fn doubts_the_grant(&self) -> bool {
        self.last_failure.as_ref().is_some_and(|last| is_of_reauth(&last.reason))
    }

    /// From when on another refusal of the grant counts; `None` while none is doubted.
    pub fn second_opinion_at(&self, policy: &Policy) -> Option<Timestamp> {
        let first =
            self.last_failure.as_ref().filter(|_| self.ruling.is_none() && self.doubts_the_grant())?;
        Some(later(first.at.0, policy.limits.second_opinion_after))
    }

    fn note(&mut self, reason: &str, failure: &Failure, finished: &Finished) {
        self.failures += 1;
        self.last_failure = Some(FailureStatus {
            at: Time(finished.at),
            reason: reason.to_owned(),
            message: failure.summary.clone(),
            app_version: finished.app_version.clone(),
        });
    }

    /// Whether the operator has stopped asking after ten refusals.
    pub fn stopped(&self) -> bool {
        self.refusals >= schedule::REFUSALS_TO_STOP
    }
}

/// The pause that status tells of, unless the app registration it was taken with was replaced since.
fn retry_at(token: &TokenStatus, app_version: Option<&str>) -> Option<Timestamp> {
    let last = token.last_failure.as_ref()?;
    let replaced =
        last.app_version.as_deref().zip(app_version).is_some_and(|(failed_with, now)| failed_with != now);
    // A pause in which nothing was planned (suspended, say) is over when something is planned again.
    let planned = token.next_refresh_at.as_ref().unwrap_or(&last.at);
    (!replaced).then_some(planned.0)
}

/// Whether a noted failure was a refusal of the grant itself.
fn is_of_reauth(reason: &str) -> bool {
    [reason::GRANT_REVOKED, reason::GRANT_EXPIRED].contains(&reason)
}

impl Refusal {
    fn remembered(condition: &Condition, of_a_try: bool) -> Option<Self> {
        let tries = TOLD_OF_TRIES_TOO.iter().filter(|_| of_a_try);
        let reason = REFUSALS.iter().chain(tries).find(|reason| condition.reason == **reason)?;
        Some(Self { reason, message: condition.message.clone() })
    }

    fn of(why: &IntakeError) -> Self {
        Self { reason: why.reason(), message: why.to_string() }
    }
}

impl Ruling {
    fn remembered(condition: &Condition) -> Option<Self> {
        let (reason, is_final) = RULINGS.iter().find(|(reason, _)| condition.reason == *reason)?;
        // "True" tells of something beside the grant, "Unknown" of a refresh that is not decided yet.
        let ruled = condition.status == "False";
        ruled.then(|| Self { reason, message: condition.message.clone(), is_final: *is_final })
    }

    /// A ruling that `Authorized` does not show because something else came before it: a missing provider, for instance.
    fn overlaid(token: &TokenStatus) -> Option<Self> {
        let last = token.last_failure.as_ref().filter(|last| is_of_reauth(&last.reason))?;
        if token.consecutive_refusals.unwrap_or_default() < 2 {
            return None;
        }
        let (reason, is_final) = RULINGS.iter().find(|(reason, _)| last.reason == *reason)?;
        let message = format!(
            "The provider no longer honours the grant. The owner must connect again. ({})",
            last.message
        );
        Some(Self { reason, message, is_final: *is_final })
    }

    fn of(failure: &Failure) -> Option<Self> {
        let (reason, message, is_final) = match failure.class {
            Class::Reauth if failure.proves_revoked => (
                reason::GRANT_REVOKED,
                "The grant was withdrawn at the provider. The owner must connect again.",
                true,
            ),
            Class::Reauth => (
                reason::GRANT_EXPIRED,
                "The provider no longer honours the grant. The owner must connect again.",
                true,
            ),
            Class::Consent => (
                reason::ADMIN_CONSENT_REQUIRED,
                "An administrator at the provider must approve the app first; then it goes on by itself.",
                false,
            ),
            Class::Policy => (
                reason::POLICY_BLOCKED,
                "A rule of the organization at the provider blocks it. Its administrator can say which.",
                false,
            ),
            Class::StepUp => (
                reason::STEP_UP_REQUIRED,
                "The provider wants the owner to sign in again. The owner must connect again.",
                false,
            ),
            Class::Transient | Class::Config | Class::Alive | Class::Cancelled | Class::Bug => return None,
        };
        Some(Self { reason, message: format!("{message} ({})", failure.summary), is_final })
    }

    fn app_missing(message: &str) -> Self {
        Self { reason: reason::APP_SECRET_NOT_FOUND, message: message.to_owned(), is_final: false }
    }

    fn lost() -> Self {
        Self {
            reason: reason::ROTATION_OUTCOME_UNKNOWN,
            message: "A refresh was sent, its answer never arrived, and the provider refuses the refresh token since: \
                      the new token is very likely lost. The owner must connect again."
                .to_owned(),
            is_final: true,
        }
    }
}
