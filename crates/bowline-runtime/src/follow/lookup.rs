//! Finding entries by what they refer to, without visiting the others.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// What an entry can be found by: the kind of reference, and its value, such as `("provider", "github")`.
pub type LookupKey = (&'static str, String);

/// Entries `E`, known by their names `N`, by their keys.
#[derive(Debug)]
pub(super) struct Lookup<N, E> {
    keys: fn(&E) -> Vec<LookupKey>,
    entries: HashMap<LookupKey, HashSet<N>>,
}

impl<N: Hash + Eq + Clone, E> Lookup<N, E> {
    pub(super) fn by(keys: fn(&E) -> Vec<LookupKey>) -> Self {
        Self { keys, entries: HashMap::new() }
    }

    pub(super) fn having(&self, key: &LookupKey) -> impl Iterator<Item = &N> {
        self.entries.get(key).into_iter().flatten()
    }

    pub(super) fn change(&mut self, name: &N, before: Option<&E>, now: Option<&E>) {
        let keys = |entry: Option<&E>| entry.map(self.keys).unwrap_or_default();
        let (before, now) = (keys(before), keys(now));
        for key in before.iter().filter(|key| !now.contains(key)) {
            if let Some(names) = self.entries.get_mut(key) {
                names.remove(name);
                if names.is_empty() {
                    self.entries.remove(key);
                }
            }
        }
        for key in now.into_iter().filter(|key| !before.contains(key)) {
            self.entries.entry(key).or_default().insert(name.clone());
        }
    }
}
