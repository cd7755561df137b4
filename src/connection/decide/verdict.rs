//! An answer to a question about a connection, and what follows from it.

pub use crate::kube_ext::conditions::Verdict as Truth;

/// What a verdict on the grant lets the operator do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish, refresh, take in: all as usual.
    Serve,
    /// No provider traffic; what is published stays until it expires.
    Coast,
    /// Refresh as usual, but do not publish what came; what is published stays until it expires.
    Withhold,
    /// No provider traffic, and what is published is removed; the grant is kept.
    Withdraw,
    /// What is published is removed and the grant is revoked and erased.
    End,
}

/// One condition with its reason, its words, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub truth: Truth,
    /// A constant of `api::reason`.
    pub reason: &'static str,
    /// What happened, what to do, who has to do it.
    pub message: String,
    /// What follows.
    pub effect: Effect,
}

impl Verdict {
    /// It holds.
    pub fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { truth: Truth::True, reason, message: message.into(), effect: Effect::Serve }
    }

    /// It does not hold.
    pub fn no(reason: &'static str, effect: Effect, message: impl Into<String>) -> Self {
        Self { truth: Truth::False, reason, message: message.into(), effect }
    }

    /// Nobody can tell now; what is published stays.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { truth: Truth::Unknown, reason, message: message.into(), effect: Effect::Coast }
    }
}
