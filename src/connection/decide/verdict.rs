//! The answer to a question about a connection, and what follows from it.

use bowline_api::condition::Truth;
use bowline_api::reason::{Effect, MessageFacts, Reason};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConditionVerdict {
    pub(crate) reason: Reason,
    /// What happened, what to do, who does it.
    pub(crate) message: String,
    /// What follows; usually what the table of reasons says.
    pub(crate) effect: Effect,
}

impl ConditionVerdict {
    pub(crate) fn of(reason: Reason, facts: &MessageFacts<'_>) -> Self {
        Self::said(reason, reason.message(facts))
    }

    /// With a message that exists already.
    pub(crate) fn said(reason: Reason, message: String) -> Self {
        Self { reason, message, effect: reason.row().effect }
    }

    pub(crate) fn truth(&self) -> Truth {
        self.reason.row().status
    }

    pub(crate) fn is_true(&self) -> bool {
        self.truth() == Truth::True
    }
}
