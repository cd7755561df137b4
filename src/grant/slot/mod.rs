//! Spending a refresh token, with the same care for the grant in use and for a candidate: the intent is on record before
//! anything is sent, and the answer before anything in it is judged.

mod answer;
mod keep;
mod mark;
mod spend;

use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::classify::Failure;
use bowline_oauth::limits::Oversized;
use k8s_openapi::jiff::Timestamp;

use super::outcome::Outcome;
use crate::vault::Loaded;
use crate::vault::record::GrantVersion;

pub(super) use answer::{access_token, is_same, refresh_token, renewed, useless};
pub(super) use keep::replay;
pub(crate) use mark::Marks;
pub(crate) use spend::may_be_sent_again;
pub(super) use spend::{send, spend};

/// An answer that is on record.
pub(crate) struct Spent {
    pub(crate) answer: TokenAnswer,
    /// The record with the new grant in the slot.
    pub(crate) loaded: Loaded,
}

/// Why there is no answer on record.
pub(crate) enum NotSpent {
    /// Nothing was sent: it is too early.
    NotAdmitted(Outcome),
    /// Nothing was sent: there is no refresh token, or the record has changed, or the API server accepts no writes.
    Stale,
    /// Nothing was sent: the grant is bound to another owner, authority or client.
    Misfit,
    /// Nothing was sent: there is an intent of another process.
    Respected { until: Timestamp },
    /// Nothing was sent: an earlier request may have spent the token, and sending it again could end another grant.
    MaybeSpent,
    /// The provider issued nothing, and the token is unchanged.
    Failed { used: Option<GrantVersion>, failure: Failure },
    /// It is not known whether the token was spent, and the intent stays. `before`: an earlier request left that open.
    Unknown { used: Option<GrantVersion>, failure: Failure, before: bool },
    /// The provider answered, and the answer could not be put on record.
    AnswerLost,
    /// The provider answered, and no record can hold the answer: what the request gave is lost.
    NoRoom { used: Option<GrantVersion> },
    /// The provider answered with a token that is too long to be kept. The rest is on record, as this grant.
    Oversized { used: Option<GrantVersion>, oversized: Oversized },
}
