//! Records whose grant ends: what they hold moves into endings.

use bowline_runtime::telemetry::chain;
use tokio::time::sleep;

use super::{FIRST_PAUSE, LONGEST_PAUSE, Records, WRITES};
use crate::vault::record::{Debt, EndTerms, Ending, Withdrawal};
use crate::vault::{LiveReadError, Loaded, Record, TransitionError, Version, WriteError};

impl Records {
    /// Moves what a connection's record holds into an ending; returns whether no record is left. The ending is written first,
    /// and counts only once the record's Secret is erased: a crash between the two loses nothing and ends nothing.
    pub(crate) async fn end(&self, uid: &str, terms: &EndTerms, withdrawal: &Withdrawal) -> bool {
        let mut pause = FIRST_PAUSE;
        let mut seen = self.store.get(uid).ok();
        for _ in 0..WRITES {
            let is_moved = match seen.take() {
                Some(None) => true,
                Some(Some(loaded)) => self.moved(loaded, terms, withdrawal).await,
                None => false,
            };
            if is_moved {
                return true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            seen = match self.store.reread(uid).await {
                Ok(seen) => Some(seen),
                Err(error) => {
                    tracing::warn!(uid, error = %chain(&error), "the end of a grant could not be put on record now");
                    if matches!(error, LiveReadError::Unreadable(_)) {
                        return false;
                    }
                    None
                }
            };
        }
        false
    }

    async fn moved(&self, loaded: Loaded, terms: &EndTerms, withdrawal: &Withdrawal) -> bool {
        let Loaded { record, version } = loaded;
        let object = version.read().uid;
        let record = Record::clone(&record);
        let ending = match self.endings.get(&object).ok().flatten() {
            Some(begun) => Ending::clone(&begun.record).with_record(record),
            None => Ending::of(record, &object, self.clock.now(), terms.clone())
                .with_withdrawal(withdrawal.clone()),
        };
        if let Err(error) = self.endings.put(ending).await {
            tracing::warn!(error = %chain(&error), "the end of a grant could not be put on record now");
            return false;
        }
        match self.store.erase(version).await {
            Ok(()) => true,
            // Ordinary: an answer came in between, and belongs to the ending too.
            Err(WriteError::Conflict) => false,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a record whose grant ends could not be erased now");
                false
            }
        }
    }

    /// Whether the record that an ending came from exists still: then its grant has not moved, and may be in use.
    pub(crate) fn is_unmoved(&self, ending: &Ending) -> bool {
        self.store.has_object(ending.record().uid(), ending.record_object())
    }

    /// Drops endings whose record was not erased, for a connection that wants its grant: nothing was done about them.
    pub(crate) async fn drop_unmoved(&self, uid: &str) {
        for begun in self.endings.of(uid) {
            if self.is_unmoved(&begun.record)
                && let Err(error) = self.endings.erase(begun.version).await
            {
                tracing::warn!(uid, error = %chain(&error), "an ending that nobody wants any more is still there");
            }
        }
    }

    /// Keeps what could not be withdrawn, which may be nothing, with the ending of a connection that goes; returns whether that
    /// is on record. Without an ending there is none who could keep it, and garbage collection does the rest.
    pub(crate) async fn owe(&self, uid: &str, debts: &[Debt]) -> bool {
        for _ in 0..WRITES {
            let Some(ending) = self
                .endings
                .of(uid)
                .into_iter()
                .max_by_key(|ending| ending.record.withdrawal().is_open)
                .filter(|ending| !debts.is_empty() || ending.record.withdrawal().is_open)
            else {
                return true;
            };
            let key = ending.record.record_object().to_owned();
            let withdrawal = Withdrawal { debts: debts.to_vec(), ..Withdrawal::default() };
            let next = Ending::clone(&ending.record).with_withdrawal(withdrawal);
            if self.replace_ending(ending, next).await.is_some() {
                return true;
            }
            sleep(FIRST_PAUSE).await;
            // A read that fails is repeated by the next write.
            let _ = self.endings.reread(&key).await;
        }
        false
    }

    /// Erases the state of an ending that was read.
    pub(in crate::grant) async fn erase_ending(&self, version: Version) {
        if let Err(error) = self.endings.erase(version).await {
            tracing::warn!(error = %chain(&error), "an ending could not be erased now");
        }
    }

    /// Forgets an ending whose result is reported now, unless something of it is left.
    pub(crate) async fn reported(&self, key: &str) {
        let ending = self.endings.get(key).ok().flatten();
        let is_done = |it: &Loaded<Ending>| !it.record.has_grant() && it.record.withdrawal().is_settled();
        if let Some(done) = ending.filter(is_done) {
            self.erase_ending(done.version).await;
        }
    }

    /// Writes over exactly the ending that was read.
    pub(in crate::grant) async fn replace_ending(
        &self,
        read: Loaded<Ending>,
        next: Ending,
    ) -> Option<Version> {
        let written = self.endings.replace(read.version, next).await;
        if let Err(error) = &written {
            tracing::warn!(error = %chain(error), "an ending could not be written now");
        }
        written.ok()
    }

    /// Changes the ending that a request belongs to which was in progress when the grant ended, for as long as it takes.
    /// Returns whether there is one.
    pub(in crate::grant) async fn settle_ending(
        &self,
        uid: &str,
        change: impl Fn(Ending) -> Result<Ending, TransitionError>,
    ) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut endings = self.endings.of(uid).into_iter();
            let fits = endings.find_map(|read| {
                let next = change(Ending::clone(&read.record)).ok()?;
                Some((read, next))
            });
            let Some((read, next)) = fits else { return false };
            let key = read.record.record_object().to_owned();
            if *read.record == next || self.replace_ending(read, next).await.is_some() {
                return true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // A read that fails is repeated by the next write.
            let _ = self.endings.reread(&key).await;
        }
    }
}
