//! An answer to a question about a connection, and what follows from it.

use bowline_api::condition::Truth;
use bowline_api::reason::{Effect, MessageFacts, Reason};

/// One condition: its reason, its words, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why.
    pub(crate) reason: Reason,
    /// What happened, what to do, who does it.
    pub(crate) message: String,
    /// What follows; as a rule what the table of reasons says.
    pub(crate) effect: Effect,
}

impl Verdict {
    /// As the table of reasons has it.
    pub(crate) fn of(reason: Reason, facts: &MessageFacts<'_>) -> Self {
        Self::said(reason, reason.message(facts))
    }

    /// In words that are known already.
    pub(crate) fn said(reason: Reason, message: String) -> Self {
        Self { reason, message, effect: reason.row().effect }
    }

    /// Whether it holds.
    pub(crate) fn truth(&self) -> Truth {
        self.reason.row().status
    }

    /// Whether it holds for sure.
    pub(crate) fn is_true(&self) -> bool {
        self.truth() == Truth::True
    }
}
