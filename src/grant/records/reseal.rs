//! After a rotation of the keyring: what another key than the primary has sealed is sealed again, so that the key can be removed.
//!
//! Each record is a write of its own and says itself which key sealed it, so a process that dies in between is continued by the
//! next one.

use bowline_runtime::telemetry::chain;

use super::Records;
use crate::vault::{Record, TransitionError};

impl Records {
    /// How many records and endings another key than the primary has sealed.
    pub(crate) fn under_former_keys(&self) -> usize {
        let records = self.store.iter().filter(|record| self.is_former(record)).count();
        records + self.endings.iter().filter(|ending| self.is_former(ending.record())).count()
    }

    /// Seals at most so many of them again. A record that somebody works on is left for the next time: nothing may come between
    /// a request and its answer, and an ending names a candidate by when it was sealed.
    pub(crate) async fn seal_again(&self, at_most: usize, is_busy: impl Fn(&str) -> bool) {
        let at_rest = |record: &Record| {
            record.candidate().is_none() && record.intents().next().is_none() && !is_busy(record.uid())
        };
        let due = |record: &Record| self.is_former(record) && at_rest(record);
        let records = self.store.iter().filter(|record| due(record) && self.opens(record));
        for record in records.take(at_most) {
            let again = |record: Record| if due(&record) { self.again(record) } else { Ok(record) };
            self.note(record.uid(), "a record under the primary key", again).await;
        }
        let endings = self.endings.iter().filter(|ending| self.is_former(ending.record()));
        for ending in endings.filter(|ending| self.opens(ending.record())).take(at_most) {
            let Some(loaded) = self.endings.get(ending.key()).ok().flatten() else { continue };
            let Ok(record) = self.again(loaded.record.record().clone()) else { continue };
            let next = loaded.record.as_ref().clone().with_record(record);
            if let Err(error) = self.endings.replace(loaded.version, next).await {
                tracing::warn!(error = %chain(&error), "an ending could not be sealed again now");
            }
        }
    }

    fn is_former(&self, record: &Record) -> bool {
        !record.is_sealed_with(&self.sealer.primary())
    }

    /// Whether its key is still there: if not, its connection says so.
    fn opens(&self, record: &Record) -> bool {
        record.open_grant(&self.sealer).is_ok()
    }

    fn again(&self, record: Record) -> Result<Record, TransitionError> {
        let place = record.place().clone();
        record.sealed_again(&self.sealer, place)
    }
}
