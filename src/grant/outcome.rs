//! What a piece of work came to, for the reconcile that asked for it.

use std::time::Duration;

use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::gate::NotAdmitted;
use super::refusal::IntakeError;
use crate::metrics::RefreshOutcome;

/// One piece of finished work.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// Tells this outcome from an earlier one of the same connection.
    pub(crate) id: u64,
    /// When it ended.
    pub(crate) at: Timestamp,
    /// The value of the refresh request it served, if it served one.
    pub(crate) request: Option<String>,
    /// The value of the request for a device flow it served, if it served one.
    pub(crate) authorization: Option<String>,
    /// The announcement of the intake Secret it took, if it took one.
    pub(crate) announcement: Option<String>,
    /// The version of the app registration it was done with.
    pub(crate) app_version: Option<String>,
    /// How it ended.
    pub(crate) outcome: Outcome,
}

/// How a piece of work ended. `revision` is that of the grant that was tried, `failure` what the provider said, in our words.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A new revision of the grant is durable.
    Committed { revision: i64, origin: Origin },
    /// The provider refused, or a passing failure kept the request from having an effect. The grant is as it was.
    Failed { revision: i64, failure: Failure },
    /// The request was sent and its effect is not known. The intent stands.
    Unknown { revision: i64, failure: Failure },
    /// Refused while the effect of an earlier request was not known: the provider very likely replaced the token and
    /// its answer was lost. Only the owner can fix it.
    Lost { revision: i64, failure: Failure },
    /// What an intake or credentials Secret provides, or a consent gave, cannot be used. An older grant is untouched.
    IntakeRefused { why: IntakeError },
    /// What was provided could not be judged for a passing cause; it waits as candidate or in its Secret.
    IntakeDelayed { message: String },
    /// What was provided was sent to prove it, and no answer was understood. It stands as candidate, with its intent; an older
    /// grant is untouched.
    IntakeInDoubt,
    /// The app registration's Secret is missing, of the wrong type, or incomplete: what is missing and who can fix it. Nothing was
    /// sent, and nothing is until somebody fixes it: a request is answered with that.
    SecretMissing { message: String },
    /// The grant is bound to another owner, authority or client than the spec names now. Nothing was sent.
    ConsentOutdated,
    /// The provider asked everybody to wait. Nothing was sent.
    Held { until: Timestamp },
    /// Somebody else's intent stands on the record until it was watched for long enough. Nothing was sent.
    Foreign { until: Timestamp },
    /// An attempt took a step, and the grant is as it was.
    Stepped,
    /// Device flow: nobody has decided yet. Ask again then.
    Polled { until: Timestamp },
    /// The record changed under the work, or the API server did not take a write. Nothing was sent.
    Stale,
}

/// The watch is given this long to show a step that was taken.
const SETTLING: Duration = Duration::from_secs(1);
/// What kept work from being done is given this long to pass.
const PASSING: Duration = Duration::from_secs(5);
/// The same where a person or another system has to act, or the provider could not be asked.
const SLOW: Duration = Duration::from_secs(30);

impl Outcome {
    /// Whether what was to be done is still to be done: it waits for a passing cause, or for somebody else's Secret.
    pub(crate) fn is_undone(&self) -> bool {
        matches!(self, Self::IntakeDelayed { .. } | Self::SecretMissing { .. } | Self::Stale)
    }

    /// Until when no work on the same grant is worth a try. Without it, what is still due would be tried at once, for ever.
    pub(crate) fn rest_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Held { until } | Self::Foreign { until } => Some(*until),
            // Until the watch has shown the step, it would be taken for one that is still to come.
            Self::Stepped => Some(later(now, SETTLING)),
            Self::Stale => Some(later(now, PASSING)),
            Self::IntakeDelayed { .. }
            | Self::IntakeInDoubt
            | Self::SecretMissing { .. }
            | Self::ConsentOutdated => Some(later(now, SLOW)),
            // These come with times of their own, or leave nothing to do.
            Self::Committed { .. }
            | Self::Failed { .. }
            | Self::Unknown { .. }
            | Self::Lost { .. }
            | Self::IntakeRefused { .. }
            | Self::Polled { .. } => None,
        }
    }

    /// When a device flow may be asked about again. The grant in use goes on meanwhile.
    pub(crate) fn poll_at(&self) -> Option<Timestamp> {
        match self {
            Self::Polled { until } => Some(*until),
            _ => None,
        }
    }
}

impl From<NotAdmitted> for Outcome {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::OnHold { until } => Self::Held { until },
            NotAdmitted::Draining => Self::Stale,
        }
    }
}

impl From<&Outcome> for RefreshOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Committed { .. } => Self::Refreshed,
            Outcome::Unknown { .. } | Outcome::IntakeInDoubt => Self::Unknown,
            Outcome::Lost { .. } => Self::Ended,
            Outcome::Failed { failure, .. } => match failure.class {
                Class::Reauth => Self::Ended,
                Class::Transient => Self::Transient,
                Class::Config => Self::AppRejected,
                _ => Self::Refused,
            },
            Outcome::Held { .. } | Outcome::SecretMissing { .. } | Outcome::IntakeDelayed { .. } => {
                Self::Transient
            }
            Outcome::IntakeRefused { .. } | Outcome::ConsentOutdated => Self::Refused,
            Outcome::Foreign { .. } | Outcome::Stale | Outcome::Stepped | Outcome::Polled { .. } => {
                Self::Superseded
            }
        }
    }
}

/// Where a new revision came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A candidate was judged and promoted.
    Accepted,
    /// The refresh token was used.
    Refreshed,
    /// A token was minted from the app registration.
    Minted,
}
