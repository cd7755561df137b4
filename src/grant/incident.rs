//! What several connections hear of one provider at once is about the provider, not about each of them.
//!
//! `invalid_client` says nothing about a person's grant, and `invalid_grant` for many says nothing about each. If three
//! witnesses hear the same within five minutes, that is an *incident*: no grant is blamed, one probe at a time is sent, and
//! everything resumes with the first success (or, for our registration, with a new app Secret).

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::lock;

/// This many witnesses must hear it …
const WITNESSES: usize = 3;
/// … within this time.
const WITHIN: Duration = Duration::from_mins(5);
/// How often one connection may ask while our registration is refused: a person has to fix that.
const PROBE_EVERY: Duration = Duration::from_mins(5);
/// How long an incident goes on that no probe confirms.
const LAPSES_AFTER: Duration = Duration::from_mins(15);
/// How long a probe is kept for a connection that has not been one yet.
const FIRST_CHOICE: Duration = Duration::from_secs(10);

/// What the provider refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// Our app registration: `invalid_client`.
    Registration,
    /// Grants: `invalid_grant`, or the provider's own word for it.
    Grants,
    /// Tokens or keys, when they were checked: that is about the call, or about the provider.
    Tokens,
}

/// The present incident of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// When the earliest of its witnesses heard it.
    pub(crate) since: Timestamp,
    pub(crate) next_probe: Timestamp,
}

/// What a refusal is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It is about the connection that heard it.
    Alone,
    /// It is the last witness of an incident that begins now.
    Begins,
    /// It is one more of an incident.
    Continues,
}

/// The incidents of all providers.
pub(crate) struct Incidents {
    known: Mutex<HashMap<(String, Trouble), Witnesses>>,
    /// How often one connection may ask while grants are refused: that ends by itself, and tokens expire meanwhile.
    grant_probe_every: Duration,
}

/// Who heard it from one provider. A witness is an account, or else a connection.
#[derive(Default)]
struct Witnesses {
    /// When each last heard it.
    heard: HashMap<String, Timestamp>,
    incident: Option<Incident>,
    /// When somebody last heard it.
    last_heard: Option<Timestamp>,
    /// Those that were probes in this incident.
    probes: HashSet<String>,
    /// Those that heard it, and then it worked for another: that was about them alone, until it works for them.
    disproved: HashSet<String>,
}

impl Witnesses {
    /// Ends an incident that nobody has heard of for a while: where no grant is due, no probe would ever end it.
    fn lapse(&mut self, now: Timestamp) {
        if self.last_heard.is_some_and(|heard| later(heard, LAPSES_AFTER) <= now) {
            self.incident = None;
            self.probes.clear();
        }
    }
}

impl Incidents {
    pub(super) fn new(grant_probe_every: Duration) -> Self {
        Self { known: Mutex::default(), grant_probe_every }
    }

    const fn probe_every(&self, trouble: Trouble) -> Duration {
        match trouble {
            Trouble::Registration => PROBE_EVERY,
            Trouble::Grants | Trouble::Tokens => self.grant_probe_every,
        }
    }

    pub(super) fn heard(&self, provider: &str, trouble: Trouble, witness: &str, now: Timestamp) -> Hearing {
        let mut all = lock(&self.known);
        let known = all.entry((provider.to_owned(), trouble)).or_default();
        known.lapse(now);
        known.last_heard = Some(now);
        if known.incident.is_some() {
            return Hearing::Continues;
        }
        if known.disproved.contains(witness) {
            return Hearing::Alone;
        }
        known.heard.insert(witness.to_owned(), now);
        known.heard.retain(|_, heard| later(*heard, WITHIN) > now);
        if known.heard.len() < WITNESSES {
            return Hearing::Alone;
        }
        let since = known.heard.values().copied().min().unwrap_or(now);
        known.incident = Some(Incident { since, next_probe: later(now, self.probe_every(trouble)) });
        Hearing::Begins
    }

    /// It worked for `witness`. Returns whether that ended an incident.
    pub(super) fn works(&self, provider: &str, trouble: Trouble, witness: &str) -> bool {
        let mut all = lock(&self.known);
        let Some(known) = all.get_mut(&(provider.to_owned(), trouble)) else { return false };
        let heard = known.heard.drain().map(|(witness, _)| witness);
        // Of a registration there is only one: what works for one works for all.
        known.disproved.extend(heard.filter(|_| trouble != Trouble::Registration));
        known.disproved.remove(witness);
        known.probes.clear();
        known.incident.take().is_some()
    }

    /// What it was about is another one now. Returns whether that ended an incident.
    pub(crate) fn replaced(&self, provider: &str, trouble: Trouble) -> bool {
        lock(&self.known)
            .remove(&(provider.to_owned(), trouble))
            .is_some_and(|known| known.incident.is_some())
    }

    /// Goes on with the incident that an earlier process knew of.
    pub(crate) fn resume(&self, provider: &str, trouble: Trouble, since: Timestamp, now: Timestamp) {
        let mut all = lock(&self.known);
        let known = all.entry((provider.to_owned(), trouble)).or_default();
        known.incident.get_or_insert(Incident { since, next_probe: now });
        known.last_heard = Some(now);
    }

    pub(crate) fn present(&self, provider: &str, trouble: Trouble, now: Timestamp) -> Option<Incident> {
        let mut all = lock(&self.known);
        let known = all.get_mut(&(provider.to_owned(), trouble))?;
        known.lapse(now);
        known.incident
    }

    /// Takes the probe of an incident: one witness at a time gets it, the others learn when the next is due. One that was a
    /// probe already comes last, because its own grant may be at fault.
    pub(super) fn take_probe(
        &self,
        provider: &str,
        trouble: Trouble,
        witness: &str,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let mut all = lock(&self.known);
        let Some(known) = all.get_mut(&(provider.to_owned(), trouble)) else { return Ok(()) };
        let Some(incident) = &mut known.incident else { return Ok(()) };
        let waits = if known.probes.contains(witness) { FIRST_CHOICE } else { Duration::ZERO };
        let due = later(incident.next_probe, waits);
        if now < due {
            return Err(due);
        }
        incident.next_probe = later(now, self.probe_every(trouble));
        known.probes.insert(witness.to_owned());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Trouble::{Grants, Registration};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn begun(trouble: Trouble) -> Incidents {
        let incidents = Incidents::new(Duration::from_mins(1));
        for (second, witness) in (0..).zip(["a", "b", "c"]) {
            let expected = if witness == "c" { Hearing::Begins } else { Hearing::Alone };
            assert_eq!(incidents.heard("p", trouble, witness, at(second)), expected);
        }
        incidents
    }

    #[test]
    fn three_witnesses_within_five_minutes_make_an_incident() {
        let incidents = Incidents::new(Duration::from_mins(1));
        for (second, witness) in [(0, "a"), (1, "a"), (2, "b")] {
            assert_eq!(incidents.heard("p", Registration, witness, at(second)), Hearing::Alone);
        }
        assert!(incidents.present("p", Registration, at(2)).is_none(), "the same connection counts once");
        assert_eq!(incidents.heard("p", Registration, "c", at(3)), Hearing::Begins);
        assert_eq!(incidents.heard("p", Registration, "d", at(4)), Hearing::Continues);
        assert_eq!(incidents.present("p", Registration, at(4)).unwrap().since, at(1));
        for other in [("q", Registration), ("p", Grants)] {
            assert!(incidents.present(other.0, other.1, at(4)).is_none());
        }
    }

    #[test]
    fn witnesses_are_forgotten_after_five_minutes() {
        let incidents = Incidents::new(Duration::from_mins(1));
        for (second, witness) in [(0, "a"), (1, "b"), (300, "c")] {
            assert_eq!(incidents.heard("p", Registration, witness, at(second)), Hearing::Alone);
        }
    }

    #[test]
    fn one_probe_is_sent_at_a_time_and_success_ends_the_pause() {
        let incidents = begun(Registration);
        let probe = |witness, second| incidents.take_probe("p", Registration, witness, at(second));
        assert_eq!(probe("a", 301), Err(at(302)));
        assert_eq!(probe("a", 302), Ok(()));
        assert_eq!(probe("b", 303), Err(at(602)));
        assert_eq!(probe("a", 602), Err(at(612)), "another may be luckier");
        assert_eq!(probe("b", 602), Ok(()));
        assert!(incidents.works("p", Registration, "b"));
        assert!(probe("c", 603).is_ok() && !incidents.works("p", Registration, "b"));
    }

    #[test]
    fn who_is_refused_while_it_works_for_others_is_no_witness() {
        let incidents = begun(Grants);
        assert!(incidents.works("p", Grants, "d"));
        for witness in ["a", "b", "c", "a", "b", "c"] {
            assert_eq!(incidents.heard("p", Grants, witness, at(10)), Hearing::Alone);
        }
        assert!(!incidents.works("p", Grants, "a"));
        for (witness, expected) in [("a", Hearing::Alone), ("x", Hearing::Alone), ("y", Hearing::Begins)] {
            assert_eq!(incidents.heard("p", Grants, witness, at(20)), expected, "{witness}");
        }
    }

    #[test]
    fn an_incident_that_nobody_confirms_is_over() {
        let incidents = begun(Registration);
        let present = |second| incidents.present("p", Registration, at(second)).is_some();
        assert!(present(901));
        assert_eq!(incidents.heard("p", Registration, "a", at(901)), Hearing::Continues);
        assert!(present(1_800) && !present(1_801));
        assert_eq!(incidents.heard("p", Registration, "a", at(1_802)), Hearing::Alone);
    }

    #[test]
    fn an_incident_outlives_the_process() {
        let incidents = Incidents::new(Duration::from_mins(1));
        incidents.resume("p", Grants, at(0), at(100));
        assert_eq!(incidents.present("p", Grants, at(100)).unwrap().since, at(0));
        assert!(incidents.take_probe("p", Grants, "a", at(100)).is_ok());
        assert!(incidents.take_probe("p", Grants, "b", at(100)).is_err());
    }
}
