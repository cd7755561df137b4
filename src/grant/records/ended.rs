//! Records whose grant ends: what they hold moves into endings.

use std::time::Duration;

use bowline_runtime::clock::later;
use bowline_runtime::telemetry::chain;
use tokio::time::sleep;

use super::{FIRST_PAUSE, LONGEST_PAUSE, Records, WRITES};
use crate::vault::record::{Debt, EndTerms, Ending, SealedField, Withdrawal};
use crate::vault::{Grant, LiveReadError, Loaded, Place, Record, Slot, TransitionError, Version, WriteError};

/// So many former grants of a connection wait to be revoked.
const WAITING_KEPT: usize = 10;

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

    /// Moves the record of a former object to the connection at `place`, which replaces it. The new one is written first: a crash
    /// between the two leaves both, and the next call erases the former.
    pub(crate) async fn adopt(&self, former: &str, place: &Place) -> bool {
        let Some(Loaded { record, version }) = self.get(former) else { return true };
        let is_moved = match self.store.get(&place.uid) {
            Ok(None) => self.moved_to(&record, place).await,
            Ok(Some(present)) => present.record.grant_version() == record.grant_version(),
            Err(_) => false,
        };
        if is_moved {
            self.erase(version).await;
        }
        is_moved
    }

    async fn moved_to(&self, record: &Record, place: &Place) -> bool {
        let adopted = match record.clone().claimed().sealed_again(&self.sealer, place.clone()) {
            Ok(adopted) => adopted,
            Err(error) => {
                tracing::warn!(name = place.name, %error, "a record could not be adopted");
                return false;
            }
        };
        match self.store.create(adopted).await {
            Ok(_) => {
                let (namespace, name, former) = (&place.namespace, &place.name, record.uid());
                tracing::info!(namespace, name, former, "the record of the former object was adopted");
                true
            }
            Err(error) => {
                tracing::warn!(name = place.name, error = %chain(&error), "a record could not be adopted now");
                false
            }
        }
    }

    /// Puts a grant that its record is about to lose, while the connection goes on, into an ending of its own: the grant in use
    /// for another one, or the candidate, with what judging has found out about it. Like every ending it counts only once the
    /// record has lost it. It is left alone for a time, in which pods get the next token.
    pub(in crate::grant) async fn retire(
        &self,
        uid: &str,
        slot: Slot,
        judged: Option<&Grant>,
        after: Duration,
        terms: EndTerms,
    ) {
        let Some(Loaded { record, version }) = self.get(uid) else { return };
        let Some(sealed_at) = record.sealed(slot).map(SealedField::revision) else { return };
        let record = Record::clone(&record);
        let record = match judged {
            Some(grant) => record.with_judged(&self.sealer, grant),
            None => Ok(record),
        };
        let not_before = later(self.clock.now(), after);
        let ending = record
            .map(|record| Ending::beside(record, (slot, sealed_at), &version.read().uid, not_before, terms));
        let put = match ending {
            Ok(ending) => self.endings.put(ending).await.map(drop).map_err(|error| chain(&error).to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = put {
            tracing::warn!(uid, error, "a grant of no use is not on record: it is not revoked");
        }
        self.limit_waiting(uid).await;
    }

    /// Forgets the oldest of a connection's grants that wait for another to end: whoever consents again and again must not fill
    /// the cluster.
    async fn limit_waiting(&self, uid: &str) {
        let mut waiting = self.endings.of(uid);
        waiting.retain(|it| it.record.progress().waits.is_some());
        waiting.sort_by_key(|it| it.record.progress().since);
        let surplus = waiting.len().saturating_sub(WAITING_KEPT);
        for oldest in waiting.into_iter().take(surplus) {
            tracing::warn!(
                uid,
                "too many former grants wait to be revoked: the oldest is forgotten, and lives on"
            );
            self.erase_ending(oldest.version).await;
        }
    }

    /// Whether the record that an ending came from still has its grant: then it has not moved, and may be in use.
    pub(crate) fn is_unmoved(&self, ending: &Ending) -> bool {
        let uid = ending.record().uid();
        self.store.has_object(uid, ending.record_object())
            // What cannot be read is unknown, not gone.
            && self.store.get(uid).map_or(true, |found| {
                found.is_some_and(|loaded| ending.is_still_in(&loaded.record))
            })
    }

    /// Drops endings whose grant did not leave its record, for a connection that wants its grant: nothing was done about them.
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
            let key = ending.record.key().to_owned();
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
            let key = read.record.key().to_owned();
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::grant::fixtures::{Bench, oauth_grant};
    use crate::vault::Credential;

    fn token(ending: &Ending, records: &Records, slot: Slot) -> Option<String> {
        let opened = ending.record().open(&records.sealer, slot).unwrap()?;
        let Credential::OAuth { refresh_token, .. } = opened.grant.credential else { return None };
        refresh_token.map(|token| token.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_former_grant_ends_only_once_another_one_has_replaced_it() {
        let bench = Bench::start().await;
        let records = &bench.engine().records;
        bench.keep(bench.holding("u1", &oauth_grant("sandbox", "former"))).await;
        records.retire("u1", Slot::InUse, None, Duration::ZERO, EndTerms::default()).await;
        let ending = records.endings.of("u1").remove(0).record;
        assert!(records.is_unmoved(&ending), "a crash before the other one is in place ends nothing");
        let replaced = |record: Record| {
            let next = record.with_candidate(&records.sealer, &oauth_grant("sandbox", "next"))?;
            let judged = next.open(&records.sealer, Slot::Candidate).unwrap().unwrap();
            next.promoted(&records.sealer, &judged, None)
        };
        records.settle("u1", replaced).await.unwrap();
        assert!(!records.is_unmoved(&ending));
        records.drop_unmoved("u1").await;
        let kept = records.endings.of("u1").remove(0).record;
        assert_eq!(token(&kept, records, Slot::InUse).as_deref(), Some("former"));
        assert_eq!(token(&kept, records, Slot::Candidate), None);
    }

    #[tokio::test]
    async fn a_refused_candidate_ends_with_what_judging_has_found_out() {
        let bench = Bench::start().await;
        let records = &bench.engine().records;
        let record = bench.holding("u1", &oauth_grant("sandbox", "in use"));
        let mut candidate = oauth_grant("sandbox", "refused");
        bench.keep(record.with_candidate(&records.sealer, &candidate).unwrap()).await;
        candidate.bound_to.owner = "found out".to_owned();
        records.retire("u1", Slot::Candidate, Some(&candidate), Duration::ZERO, EndTerms::default()).await;
        let ending = records.endings.of("u1").remove(0).record;
        assert!(records.is_unmoved(&ending), "it may be judged again");
        records.note("u1", "the refusal of a candidate", Record::candidate_refused).await;
        assert!(!records.is_unmoved(&ending));
        let opened = ending.record().open(&records.sealer, Slot::Candidate).unwrap().unwrap();
        assert_eq!(opened.grant.bound_to.owner, "found out");
        assert_eq!(token(&ending, records, Slot::InUse), None, "the one in use is not touched");
    }
}
