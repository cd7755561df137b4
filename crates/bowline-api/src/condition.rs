//! Conditions: their types, and what every kind is asked about its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

pub use crate::condition_type::{ConditionType, Truth};
use crate::reason::Reason;

/// An object with conditions.
pub trait Conditioned {
    /// Empty before the operator has seen the object.
    fn conditions(&self) -> &[Condition];

    fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        self.conditions().iter().find(|condition| condition.type_ == type_.as_str())
    }

    /// Whether the condition of this type is True.
    fn is(&self, type_: ConditionType) -> bool {
        self.condition(type_).is_some_and(|condition| condition.status == Truth::True.as_str())
    }

    /// The reason of the condition of this type; `None` where it is absent, or where this version does not know the reason.
    fn reason_of(&self, type_: ConditionType) -> Option<Reason> {
        Reason::parse(&self.condition(type_)?.reason)
    }
}

macro_rules! conditioned {
    ($($field:ident: $kind:ty,)+) => {
        $(impl Conditioned for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
            }
        })+
    };
}

crate::kinds!(conditioned);

impl Conditioned for [Condition] {
    fn conditions(&self) -> &[Condition] {
        self
    }
}

/// Builds an object's next conditions from its last ones.
///
/// Only what is set is in the result, in the order it was set. The transition time stays while the status does, so unchanged
/// conditions are equal to the last ones.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    last: &'a [Condition],
    next: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// Starts from the conditions as last written; `generation` is the object's own.
    pub fn after(last: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { last, next: Vec::new(), generation, now }
    }

    pub fn set(
        &mut self,
        type_: ConditionType,
        truth: Truth,
        reason: Reason,
        message: impl Into<String>,
    ) -> &mut Self {
        let status = truth.as_str();
        let since = self
            .last
            .condition(type_)
            .filter(|last| last.status == status)
            .map_or(Time(self.now), |last| last.last_transition_time.clone());
        self.next.push(Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.into(),
            last_transition_time: since,
            observed_generation: self.generation,
        });
        self
    }

    pub fn build(self) -> Vec<Condition> {
        self.next
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn built(last: &[Condition], second: i64, truth: Truth, reason: Reason) -> Vec<Condition> {
        let mut conditions = Conditions::after(last, Some(3), at(second));
        conditions.set(ConditionType::Authorized, truth, reason, "m").set(
            ConditionType::Ready,
            Truth::True,
            Reason::Connected,
            "",
        );
        conditions.build()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_and_not_with_the_reason() {
        let first = built(&[], 10, Truth::False, Reason::GrantExpired);
        let same = built(&first, 20, Truth::False, Reason::GrantRevoked);
        let turned = built(&same, 30, Truth::Unknown, Reason::GrantRevoked);
        let time = |c: &[Condition]| c.condition(ConditionType::Authorized).unwrap().last_transition_time.0;
        assert_eq!((time(&first), time(&same), time(&turned)), (at(10), at(10), at(30)));
        assert_eq!(same.reason_of(ConditionType::Authorized), Some(Reason::GrantRevoked));
    }

    #[test]
    fn saying_the_same_again_gives_an_equal_list_in_the_same_order() {
        let first = built(&[], 10, Truth::True, Reason::Authorized);
        assert_eq!(built(&first, 99, Truth::True, Reason::Authorized), first);
        assert_eq!(first.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Authorized", "Ready"]);
        assert!(first.iter().all(|c| c.observed_generation == Some(3)));
    }

    #[test]
    fn what_is_not_set_is_gone_and_an_unknown_reason_is_none() {
        let mut last = built(&[], 10, Truth::True, Reason::Authorized);
        let mut conditions = Conditions::after(&last, None, at(20));
        conditions.set(ConditionType::Ready, Truth::True, Reason::Connected, "");
        assert_eq!(conditions.build().len(), 1);
        last[0].reason = "OfALaterVersion".to_owned();
        assert_eq!(last.reason_of(ConditionType::Authorized), None);
        assert!(last.is(ConditionType::Authorized));
    }
}
