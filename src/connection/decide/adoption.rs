//! Whether the record of a former object is adopted.

use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::jiff::Timestamp;

use super::input::Input;
use super::verdict::ConditionVerdict;
use crate::connection::adoption::Agreed;
use crate::connection::observed::Adoptable;
use crate::grant::target::Target;

/// The verdict while there is a record to adopt and no grant.
pub(super) fn offered(input: &Input, target: &Target) -> Option<ConditionVerdict> {
    let adoptable =
        input.observed.adoptable.as_ref().filter(|_| !input.observed.is_minted(&input.connection.spec))?;
    Some(match (Agreed::by(input.connection), spent_since(adoptable, target, input.now)) {
        (Some(Agreed::EvenIfSpent), _) | (Some(Agreed::Record), None) => input
            .verdict(Reason::AuthorizationInProgress, "The record of the former object is being adopted."),
        (None, None) => input.verdict(Reason::AdoptionOffered, ""),
        (Some(Agreed::Record) | None, Some(at)) => {
            let at = at.to_string();
            ConditionVerdict::of(Reason::AdoptionHeld, &MessageFacts { at: Some(&at), ..input.facts() })
        }
    })
}

/// The former object whose record is to be adopted now, or of whose adoption something is left.
pub(super) fn adopted(input: &Input, authorized: &ConditionVerdict) -> Option<String> {
    let adoptable = input.observed.adoptable.as_ref()?;
    let agreed = Agreed::by(input.connection)?;
    let is_left = input.observed.record.present().is_some();
    let target = input.observed.target().filter(|_| authorized.reason == Reason::AuthorizationInProgress);
    let is_due = || {
        let spent = spent_since(adoptable, target?, input.now);
        (spent.is_none() || agreed == Agreed::EvenIfSpent).then_some(())
    };
    (is_left || is_due().is_some()).then(|| adoptable.former.clone())
}

/// Since when its refresh token should have been replaced, if a use ends it: whoever kept the token fresh until the backup has
/// probably refreshed it after that.
fn spent_since(adoptable: &Adoptable, target: &Target, now: Timestamp) -> Option<Timestamp> {
    adoptable.expires_at.filter(|at| *at <= now && target.needs_intent())
}
