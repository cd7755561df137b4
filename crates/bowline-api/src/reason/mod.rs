//! The table of reasons: what can be reported about an object, and everything that follows from it.
//!
//! This is the only list of reasons. Conditions, Events, the portal's line and button, the plug-in's advice and
//! `docs/conditions.md` are made from [`Row`]s; the text is [`Reason::message`].

mod remedy;
mod table;
mod words;

use std::fmt;

pub use self::remedy::{Entrance, Fixer, Remedy};
pub use self::table::Reason;
#[cfg(test)]
pub(crate) use self::words::capitalized;
pub use self::words::{MessageFacts, quoted};
use crate::condition_type::{ConditionType, Truth};

/// What the operator may do with the grant and with what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Everything as usual.
    Serve,
    /// Send nothing to the provider; what is published stays until it expires.
    Coast,
    /// Refresh as usual, but publish nothing newer; what is published stays until it expires.
    Withhold,
    /// Send nothing to the provider and remove what is published; the grant is kept.
    Withdraw,
    /// Remove what is published, then revoke and erase the grant.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

/// Where a reason can appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonPlace {
    Connection(ConditionType),
    /// `Ready` of an `IntegrationProvider`.
    Provider,
    /// `Ready` of a `Workspace`.
    Workspace,
    /// `Ready` of a `ConnectionShare`.
    Share,
    /// `Ready` of a `ConnectionBinding`.
    Binding,
    /// `Delivered` of a `ConnectionBinding`.
    Delivery,
    /// Only an Event.
    Event,
}

/// Everything that follows from a reason.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub places: &'static [ReasonPlace],
    /// The condition's status.
    pub status: Truth,
    pub effect: Effect,
    /// Who can change it.
    pub fixer: Fixer,
    pub remedy: Remedy,
    /// Whether nothing changes until a person acts, and that is not normal to wait for (kstatus).
    pub stalled: bool,
    /// The Event that reports it when a condition turns to it.
    pub event: Option<EventType>,
    /// What happened; placeholders like `{provider}` are filled from [`MessageFacts`].
    pub sentence: &'static str,
}

const REFRESH: &str = "kubectl bowline refresh {name} -n {namespace}";
const SHARES: &str = "kubectl get cshare -A -l bowline.dev/connection-name={name},bowline.dev/connection-namespace={namespace}";

impl Reason {
    /// The command line that does it, or shows what is needed.
    pub fn command(self, facts: &MessageFacts<'_>, entrance: Entrance) -> String {
        let row = self.row();
        facts.command(match (row.remedy, row.places) {
            // Nobody has to wait for the next refresh.
            (Remedy::Wait, [ReasonPlace::Connection(ConditionType::TokenFresh), ..]) => REFRESH,
            (Remedy::Wait, [ReasonPlace::Connection(ConditionType::Shared), ..]) => SHARES,
            (remedy, _) => remedy.command(entrance),
        })
    }

    /// The reason with this text; `None` for one that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reasons_are_camel_case_and_unique() {
        let mut seen = BTreeSet::new();
        for reason in Reason::ALL {
            let text = reason.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(text.len() <= 128 && text.chars().all(char::is_alphanumeric), "{text}");
            assert!(text.starts_with(char::is_uppercase), "{text}");
            assert_eq!(Reason::parse(text), Some(*reason));
        }
        assert_eq!(Reason::parse("Invented"), None);
    }

    #[test]
    fn each_row_agrees_with_itself() {
        for reason in Reason::ALL {
            let row = reason.row();
            let events_only = row.places == [ReasonPlace::Event];
            assert!(!row.places.is_empty(), "{reason} stands nowhere");
            assert!(row.sentence.ends_with('.') && row.sentence.len() > 10, "{reason}: {}", row.sentence);
            assert!(!events_only || row.event.is_some(), "{reason} is told nowhere");
            assert!(!row.stalled || row.status != Truth::True, "{reason} is well and stalled");
            assert!(
                !row.stalled || row.fixer != Fixer::Nobody,
                "{reason}: nobody can change what is stalled"
            );
            let takes_away = matches!(row.effect, Effect::Withdraw | Effect::End);
            assert!(!takes_away || row.status == Truth::False, "{reason} is taken away and not refused");
            assert!(
                row.fixer == Fixer::Nobody || row.remedy != Remedy::None,
                "{reason} names somebody and nothing to do"
            );
        }
    }

    #[test]
    fn only_authorized_decides_about_the_grant() {
        let authorized = ReasonPlace::Connection(ConditionType::Authorized);
        let of_the_grant = |reason: &&Reason| reason.row().places.contains(&authorized);
        for reason in Reason::ALL.iter().filter(|reason| !of_the_grant(reason)) {
            assert!(matches!(reason.row().effect, Effect::Serve | Effect::Coast), "{reason}");
        }
    }
}
