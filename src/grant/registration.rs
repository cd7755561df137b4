//! Whether a provider accepts our app registration.
//!
//! `invalid_client` says nothing about a person's grant. If three connections receive it within five minutes, the
//! registration itself is suspected: its connections pause, no grant is blamed, one probe is sent every five minutes, and
//! everything resumes with the first success or a new app Secret.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bowline_runtime::clock::later;
use k8s_openapi::jiff::Timestamp;

use super::lock;

/// This many connections must receive `invalid_client` …
const WITNESSES: usize = 3;
/// … within this time.
const WITHIN: Duration = Duration::from_mins(5);
/// How often one connection may ask while the registration is rejected.
const PROBE_EVERY: Duration = Duration::from_mins(5);

/// What is known of every provider's registration, by provider.
#[derive(Default)]
pub(crate) struct Registrations(Mutex<HashMap<String, Registration>>);

#[derive(Default)]
struct Registration {
    /// Connection UID → when it last received `invalid_client`.
    witnesses: HashMap<String, Timestamp>,
    /// Set while the registration is rejected.
    next_probe: Option<Timestamp>,
}

impl Registrations {
    /// A connection received `invalid_client`. Returns whether the registration is rejected from now on.
    pub(crate) fn heard_invalid_client(&self, provider: &str, connection: &str, now: Timestamp) -> bool {
        let mut all = lock(&self.0);
        let registration = all.entry(provider.to_owned()).or_default();
        registration.witnesses.insert(connection.to_owned(), now);
        registration.witnesses.retain(|_, heard| later(*heard, WITHIN) > now);
        if registration.next_probe.is_some() || registration.witnesses.len() < WITNESSES {
            return false;
        }
        registration.next_probe = Some(later(now, PROBE_EVERY));
        true
    }

    /// The provider accepted the registration, or its Secret changed. Returns whether it had been rejected.
    pub(crate) fn accepted(&self, provider: &str) -> bool {
        lock(&self.0).remove(provider).is_some_and(|registration| registration.next_probe.is_some())
    }

    pub(crate) fn is_rejected(&self, provider: &str) -> bool {
        self.next_probe(provider).is_some()
    }

    pub(crate) fn next_probe(&self, provider: &str) -> Option<Timestamp> {
        lock(&self.0).get(provider)?.next_probe
    }

    /// Takes the probe of a rejected registration: one caller in five minutes gets it, the others learn when the next is due.
    pub(crate) fn take_probe(&self, provider: &str, now: Timestamp) -> Result<(), Timestamp> {
        let mut all = lock(&self.0);
        let next_probe = all.get_mut(provider).and_then(|registration| registration.next_probe.as_mut());
        let Some(due) = next_probe else { return Ok(()) };
        if now < *due {
            return Err(*due);
        }
        *due = later(now, PROBE_EVERY);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn three_connections_within_five_minutes_reject_the_registration() {
        let registrations = Registrations::default();
        assert!(!registrations.heard_invalid_client("p", "a", at(0)));
        assert!(!registrations.heard_invalid_client("p", "a", at(1)), "the same connection counts once");
        assert!(!registrations.heard_invalid_client("p", "b", at(2)));
        assert!(!registrations.is_rejected("p"));
        assert!(registrations.heard_invalid_client("p", "c", at(3)));
        assert!(registrations.is_rejected("p") && !registrations.is_rejected("q"));
    }

    #[test]
    fn witnesses_are_forgotten_after_five_minutes() {
        let registrations = Registrations::default();
        registrations.heard_invalid_client("p", "a", at(0));
        registrations.heard_invalid_client("p", "b", at(1));
        assert!(!registrations.heard_invalid_client("p", "c", at(300)));
    }

    #[test]
    fn one_probe_goes_out_every_five_minutes_and_success_ends_the_pause() {
        let registrations = Registrations::default();
        for connection in ["a", "b", "c"] {
            registrations.heard_invalid_client("p", connection, at(0));
        }
        assert_eq!(registrations.take_probe("p", at(299)), Err(at(300)));
        assert_eq!(registrations.take_probe("p", at(300)), Ok(()));
        assert_eq!(registrations.take_probe("p", at(301)), Err(at(600)));
        assert!(registrations.accepted("p"));
        assert!(registrations.take_probe("p", at(302)).is_ok() && !registrations.accepted("p"));
    }
}
