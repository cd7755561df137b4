//! Whose intents stand, and since when we have watched those of others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_runtime::clock::Clock;
use k8s_openapi::jiff::Timestamp;

use crate::vault::{Intent, IntentId, Record};

/// The intents that other processes left, or earlier work of this one that did not see its end.
///
/// Their age is counted on our own clock from when we first saw them, because the wall times of two machines differ.
pub(crate) struct Marks {
    pub(super) holder: String,
    pub(super) ttl: Duration,
    clock: Clock,
    watched: Mutex<HashMap<String, Vec<(IntentId, Timestamp)>>>,
}

impl Marks {
    /// `holder` is this process in intents; another's is respected for `ttl`.
    pub(crate) fn new(holder: String, ttl: Duration, clock: Clock) -> Self {
        Self { holder, ttl, clock, watched: Mutex::default() }
    }

    /// Takes note of the intents of others on this record.
    pub(super) fn sees(&self, record: &Record) {
        let now = self.clock.now();
        let foreign: Vec<_> = record.intents().filter(|intent| intent.holder != self.holder).collect();
        let mut watched = self.lock();
        if foreign.is_empty() {
            watched.remove(record.uid());
            return;
        }
        let watched = watched.entry(record.uid().to_owned()).or_default();
        watched.retain(|(id, _)| foreign.iter().any(|intent| intent.id == *id));
        for intent in foreign {
            if watched.iter().all(|(id, _)| *id != intent.id) {
                watched.push((intent.id, now));
            }
        }
    }

    /// Forgets a connection that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Since when another process's intent on this record has been watched.
    pub(super) fn watched_since(&self, record: &Record, intent: &Intent) -> Timestamp {
        self.sees(record);
        let watched = self.lock();
        let watched = watched.get(record.uid()).map(Vec::as_slice).unwrap_or_default();
        let since = watched.iter().find(|(id, _)| *id == intent.id).map(|(_, since)| *since);
        since.unwrap_or_else(|| self.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(IntentId, Timestamp)>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
