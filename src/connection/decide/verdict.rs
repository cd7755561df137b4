//! An answer to a question about a connection, and what follows from it.

use bowline_api::condition::Truth;
use bowline_api::reason::{Effect, Facts, Reason};

/// One condition: its reason, its words, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// What happened, what to do, who does it.
    pub message: String,
    /// What follows; as a rule what the table of reasons says.
    pub effect: Effect,
}

impl Verdict {
    /// As the table of reasons has it.
    pub fn of(reason: Reason, facts: &Facts<'_>) -> Self {
        Self::said(reason, reason.message(facts))
    }

    /// In words that are known already.
    pub fn said(reason: Reason, message: String) -> Self {
        Self { reason, message, effect: reason.row().effect }
    }

    /// Whether it holds.
    pub fn truth(&self) -> Truth {
        self.reason.row().status
    }

    /// Whether it holds for sure.
    pub fn is_true(&self) -> bool {
        self.truth() == Truth::True
    }
}
