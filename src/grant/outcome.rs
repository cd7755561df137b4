//! How a job ended, for the reconcile that requested it.

use std::time::Duration;

use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::refusal::{ConsentError, IntakeError};
use crate::metrics::RefreshOutcome;
use crate::vault::record::GrantVersion;

#[derive(Clone, Debug)]
pub(crate) struct FinishedWork {
    /// Distinguishes this outcome from an earlier one of the same connection.
    pub(crate) id: u64,
    pub(crate) at: Timestamp,
    /// The refresh request it served.
    pub(crate) request: Option<String>,
    /// The request for a device flow it served.
    pub(crate) authorization: Option<String>,
    /// The announcement of the intake Secret it took.
    pub(crate) announcement: Option<String>,
    /// The version of the credentials or intake Secret whose content it judged: UID and resourceVersion.
    pub(crate) source: Option<(String, String)>,
    pub(crate) app_version: Option<String>,
    pub(crate) outcome: Outcome,
}

/// Work that cannot continue returns its outcome as `Err`, so that `?` ends it.
pub(super) type WorkResult = Result<Outcome, Outcome>;

/// The result. `used` is the grant that was used, `None` before there is one; `failure` what the provider said, in our words.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A new revision of the grant is durable: of what somebody provided or consented to (`accepted`), or of what was in use.
    Committed { accepted: bool },
    /// The provider refused, or a passing failure kept the request from having an effect. The grant is as it was.
    Failed { used: Option<GrantVersion>, failure: Failure },
    /// The provider answered with a token that is too long to be kept. What could be kept is this grant.
    Oversized { used: Option<GrantVersion>, failure: Failure },
    /// The request was sent and its effect is not known. The intent stays.
    Unknown { used: Option<GrantVersion>, failure: Failure },
    /// Refused while the effect of an earlier request was not known: the provider very likely replaced the token and
    /// its answer was lost. Only the owner can fix it.
    Lost { used: Option<GrantVersion>, failure: Failure },
    /// What an intake or credentials Secret provides, or a consent gave, cannot be used. An older grant is unchanged.
    IntakeRefused { why: IntakeError },
    /// What was provided could not be judged for a temporary cause; it waits as candidate or in its Secret.
    IntakeDelayed { message: String },
    /// What was provided was sent to prove it, and no answer was understood. It is on record as candidate, with its intent.
    IntakeInDoubt,
    /// The app registration's Secret is missing, of the wrong type, or incomplete: what is missing and who can fix it.
    SecretMissing { message: String },
    /// The grant is bound to another owner, authority or client than the spec names now. Nothing was sent.
    ConsentOutdated,
    /// The provider asked all clients to wait, or rejects our registration. Nothing was sent.
    Held { until: Timestamp },
    /// A step of an attempt came in between, and this still waited for its turn. Nothing was sent.
    GaveWay,
    /// Another process's intent is on the record and must be watched longer. Nothing was sent.
    Foreign { until: Timestamp },
    /// An attempt took a step, and the grant is as it was.
    Stepped,
    /// Device flow: nobody has decided yet. Poll again then.
    Polled { until: Timestamp },
    /// The record changed, the API server did not accept a write, or the process is ending. Nothing was sent.
    Stale,
}

/// How long the watch may take to show a step that was taken.
const SETTLING: Duration = Duration::from_secs(1);
/// How long we wait until the cause that prevented the work is over.
const PASSING: Duration = Duration::from_secs(5);
/// The same where a person or another system has to act, or the provider could not be asked.
pub(super) const SLOW: Duration = Duration::from_secs(30);

impl Outcome {
    pub(super) fn delayed(message: &str) -> Self {
        Self::IntakeDelayed { message: message.to_owned() }
    }

    /// Whether the work is still to be done: it waits for a temporary cause, or for somebody's Secret.
    pub(crate) fn is_undone(&self) -> bool {
        matches!(self, Self::IntakeDelayed { .. } | Self::SecretMissing { .. } | Self::Stale)
    }

    /// Until when more work on the same grant makes no sense: what is still due would be repeated at once, forever.
    pub(crate) fn rest_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Held { until } | Self::Foreign { until } => Some(*until),
            // Until the watch has shown the step, it would look as if it was still missing.
            Self::Stepped => Some(later(now, SETTLING)),
            Self::Stale | Self::GaveWay => Some(later(now, PASSING)),
            Self::IntakeDelayed { .. }
            | Self::IntakeInDoubt
            | Self::SecretMissing { .. }
            | Self::ConsentOutdated => Some(later(now, SLOW)),
            // These have their own times, or leave nothing to do.
            Self::Committed { .. }
            | Self::Failed { .. }
            | Self::Oversized { .. }
            | Self::Unknown { .. }
            | Self::Lost { .. }
            | Self::IntakeRefused { .. }
            | Self::Polled { .. } => None,
        }
    }
}

impl From<IntakeError> for Outcome {
    fn from(why: IntakeError) -> Self {
        Self::IntakeRefused { why }
    }
}

impl From<ConsentError> for Outcome {
    fn from(why: ConsentError) -> Self {
        Self::IntakeRefused { why: why.into() }
    }
}

impl From<&Outcome> for RefreshOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Committed { .. } => Self::Refreshed,
            Outcome::Unknown { .. } => Self::Unknown,
            Outcome::Lost { .. } => Self::Ended,
            Outcome::Failed { failure, .. } => match failure.class {
                Class::Reauth => Self::Ended,
                Class::Transient => Self::Transient,
                Class::Config => Self::AppRejected,
                _ => Self::Refused,
            },
            Outcome::Held { .. } | Outcome::SecretMissing { .. } => Self::Transient,
            Outcome::ConsentOutdated | Outcome::Oversized { .. } => Self::Refused,
            // Foreign, Stale or GaveWay: a refresh ends in none of the other ways.
            Outcome::Foreign { .. }
            | Outcome::GaveWay
            | Outcome::Stale
            | Outcome::IntakeRefused { .. }
            | Outcome::IntakeDelayed { .. }
            | Outcome::IntakeInDoubt
            | Outcome::Stepped
            | Outcome::Polled { .. } => Self::Superseded,
        }
    }
}
