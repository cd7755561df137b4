//! What this process remembers of objects.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One value per object, by name or UID, until it is forgotten.
pub(crate) struct Memory<V>(Mutex<HashMap<String, V>>);

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Memory<V> {
    pub(crate) fn get(&self, object: &str) -> Option<V> {
        self.lock().get(object).cloned()
    }

    pub(crate) fn set(&self, object: &str, value: V) {
        self.lock().insert(object.to_owned(), value);
    }

    pub(crate) fn forget(&self, object: &str) {
        self.lock().remove(object);
    }

    // A panic elsewhere cannot leave it half changed, so a poisoned lock is as good as a healthy one.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
