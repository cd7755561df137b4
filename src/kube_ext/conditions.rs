//! The list of conditions of one object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim holds.
    True,
    /// The claim does not hold.
    False,
    /// Nobody can say now.
    Unknown,
}

impl Verdict {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Builds an object's next conditions from its last ones.
///
/// Only what is set appears in the result, in the order it was set. The transition time stays while the verdict does,
/// so a status that says the same is equal to the last one.
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

    /// Sets one condition; setting it again replaces it in its place.
    pub fn set(
        &mut self,
        type_: &str,
        verdict: Verdict,
        reason: &str,
        message: impl Into<String>,
    ) -> &mut Self {
        let status = verdict.as_str();
        let since = self
            .last
            .iter()
            .find(|last| last.type_ == type_ && last.status == status)
            .map_or(Time(self.now), |last| last.last_transition_time.clone());
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            last_transition_time: since,
            observed_generation: self.generation,
        };
        match self.next.iter_mut().find(|present| present.type_ == type_) {
            Some(present) => *present = condition,
            None => self.next.push(condition),
        }
        self
    }

    /// The condition as set so far.
    pub fn get(&self, type_: &str) -> Option<&Condition> {
        get(&self.next, type_)
    }

    /// Whether the condition was set, and to True.
    pub fn is_true(&self, type_: &str) -> bool {
        is_true(&self.next, type_)
    }

    /// The conditions for status.
    pub fn build(self) -> Vec<Condition> {
        self.next
    }
}

/// The condition of that type in a status.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a status has the condition, and it is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn built(last: &[Condition], second: i64, verdict: Verdict, reason: &str) -> Vec<Condition> {
        let mut conditions = Conditions::after(last, Some(3), at(second));
        conditions.set("Authorized", verdict, reason, "m").set("Ready", Verdict::True, "Connected", "");
        conditions.build()
    }

    #[test]
    fn the_transition_time_moves_with_the_verdict_and_not_with_the_reason() {
        let first = built(&[], 10, Verdict::False, "A");
        let same = built(&first, 20, Verdict::False, "B");
        let turned = built(&same, 30, Verdict::Unknown, "B");
        let time = |c: &[Condition]| get(c, "Authorized").unwrap().last_transition_time.0;
        assert_eq!((time(&first), time(&same), time(&turned)), (at(10), at(10), at(30)));
        assert_eq!(get(&same, "Authorized").unwrap().reason, "B");
    }

    #[test]
    fn saying_the_same_again_gives_an_equal_list_in_the_same_order() {
        let first = built(&[], 10, Verdict::True, "A");
        assert_eq!(built(&first, 99, Verdict::True, "A"), first);
        assert_eq!(first.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Authorized", "Ready"]);
        assert!(first.iter().all(|c| c.observed_generation == Some(3)));
    }

    #[test]
    fn setting_twice_keeps_the_place_and_what_is_not_set_is_gone() {
        let last = built(&[], 10, Verdict::True, "A");
        let mut conditions = Conditions::after(&last, None, at(20));
        conditions.set("Ready", Verdict::True, "A", "").set("Ready", Verdict::False, "B", "");
        assert!(!conditions.is_true("Ready"));
        assert!(conditions.get("Authorized").is_none());
        assert_eq!(conditions.build().len(), 1);
    }
}
