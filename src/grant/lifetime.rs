//! How long tokens live by a clock that nobody sets.
//!
//! When a token was obtained and when it expires are wall times. If the wall clock was ahead then and is set back later, the
//! token would be used for too long by the difference.

use std::sync::atomic::{AtomicI64, Ordering};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::kube_ext::memory::Memory;
use crate::vault::record::GrantVersion;

/// What this process saw of the wall clock since it first saw a grant.
#[derive(Default)]
pub(crate) struct Lifetimes {
    /// By how many seconds the wall clock was set back since the process started.
    set_back: AtomicI64,
    /// The grant in use, by UID of the connection, and the above when it was first seen.
    first_seen: Memory<(GrantVersion, i64)>,
}

impl Lifetimes {
    /// The wall clock was set. Forwards it only says that more time has passed, which is the safe side.
    pub(crate) fn clock_was_set(&self, by: SignedDuration) {
        if by.is_negative() {
            self.set_back.fetch_add(by.abs().as_secs(), Ordering::SeqCst);
        }
    }

    /// When the token of a grant expires by the wall clock as it is now.
    pub(crate) fn expiry(&self, uid: &str, version: GrantVersion, by_record: Timestamp) -> Timestamp {
        let now = self.set_back.load(Ordering::SeqCst);
        let known = self.first_seen.get(uid).filter(|(seen, _)| *seen == version);
        let then = known.map_or_else(
            || {
                self.first_seen.set(uid, (version, now));
                now
            },
            |(_, then)| then,
        );
        by_record.saturating_sub(SignedDuration::from_secs(now - then)).unwrap_or(Timestamp::MIN)
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.first_seen.forget(uid);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::at;

    #[test]
    fn class_21_a_clock_that_is_set_back_does_not_lengthen_the_life_of_a_token() {
        let (lifetimes, hour) = (Lifetimes::default(), SignedDuration::from_hours(1));
        let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
        let version = |revision| GrantVersion { id, revision, ordinal: 1 };
        assert_eq!(lifetimes.expiry("u1", version(1), at(600)), at(600));
        lifetimes.clock_was_set(hour);
        assert_eq!(
            lifetimes.expiry("u1", version(1), at(600)),
            at(600),
            "forwards: it is used for less, not longer"
        );
        lifetimes.clock_was_set(-hour);
        assert_eq!(lifetimes.expiry("u1", version(1), at(600)), at(600) - hour);
        assert_eq!(lifetimes.expiry("u1", version(1), at(600)), at(600) - hour, "the same each time");
        assert_eq!(
            lifetimes.expiry("u1", version(2), at(600)),
            at(600),
            "obtained by the clock as it is now"
        );
        lifetimes.forget("u1");
        assert_eq!(lifetimes.expiry("u1", version(1), at(600)), at(600));
    }
}
