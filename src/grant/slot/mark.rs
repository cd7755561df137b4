//! The intent under which a refresh token is sent: whose stand, since when those of others are watched, and when one is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_runtime::clock::{Clock, later};
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;

use super::NotSpent;
use crate::grant::records::Records;
use crate::grant::work::Job;
use crate::grant::{Engine, lock};
use crate::kube_ext::lease::is_same_pod;
use crate::vault::{Intent, IntentId, IntentState, Loaded, Opened, Record, Slot, Version, WriteError};

/// How many intents under which nothing was spent are remembered for one record.
const HARMLESS_KEPT: usize = 4;

/// The intents of others. Their age is counted on our own clock from when we first saw them, because the wall times of two
/// machines differ.
pub(crate) struct Marks {
    holder: String,
    ttl: Duration,
    clock: Clock,
    /// By UID of the connection, or key of an ending.
    watched: Mutex<HashMap<String, Vec<(IntentId, Timestamp)>>>,
    /// The last intents of ours, on record or perhaps so, under which nothing was spent: their outcome is known. By record.
    harmless: Mutex<HashMap<String, Vec<IntentId>>>,
}

impl Marks {
    /// `holder` is this process in intents; an intent of another process is respected for `ttl`.
    pub(crate) fn new(holder: String, ttl: Duration, clock: Clock) -> Self {
        Self { holder, ttl, clock, watched: Mutex::default(), harmless: Mutex::default() }
    }

    /// Takes note of the intents of others on this record, or on the one in the ending with this key.
    pub(crate) fn sees(&self, key: &str, record: &Record) {
        let now = self.clock.now();
        let foreign: Vec<_> = record.intents().filter(|intent| intent.holder != self.holder).collect();
        let mut watched = lock(&self.watched);
        if foreign.is_empty() {
            watched.remove(key);
            return;
        }
        let watched = watched.entry(key.to_owned()).or_default();
        watched.retain(|(id, _)| foreign.iter().any(|intent| intent.id == *id));
        for intent in foreign {
            if watched.iter().all(|(id, _)| *id != intent.id) {
                watched.push((intent.id, now));
            }
        }
    }

    /// Notes that nothing was spent under an intent of ours. Its record may show it for a while, or for long, if it cannot be
    /// cleared.
    pub(in crate::grant) fn spent_nothing(&self, uid: &str, id: IntentId) {
        let mut harmless = lock(&self.harmless);
        let of_record = harmless.entry(uid.to_owned()).or_default();
        of_record.insert(0, id);
        of_record.truncate(HARMLESS_KEPT);
    }

    /// Whether this intent on a record leaves open what became of a request.
    pub(in crate::grant) fn is_open(&self, uid: &str, intent: &Intent) -> bool {
        !lock(&self.harmless).get(uid).is_some_and(|harmless| harmless.contains(&intent.id))
    }

    /// Something is about to be sent under it.
    fn is_used_again(&self, uid: &str, id: IntentId) {
        if let Some(harmless) = lock(&self.harmless).get_mut(uid) {
            harmless.retain(|known| *known != id);
        }
    }

    /// Whether another replica may be at work under the intent of this slot. A former process of this pod is not.
    pub(in crate::grant) fn are_others_at(&self, key: &str, record: &Record, slot: Slot) -> bool {
        let open = record.intent(slot).filter(|intent| intent.state == IntentState::Open);
        open.filter(|intent| !is_same_pod(&intent.holder, &self.holder))
            .is_some_and(|intent| later(self.watched_since(key, record, intent), self.ttl) > self.clock.now())
    }

    pub(in crate::grant) fn forget(&self, uid: &str) {
        lock(&self.watched).remove(uid);
        lock(&self.harmless).remove(uid);
    }

    /// `since`: since when, on our own clock, the intent has been there.
    fn opening(
        &self,
        uid: &str,
        standing: Option<&Intent>,
        needed: bool,
        since: Timestamp,
        now: Timestamp,
    ) -> Opening {
        match standing {
            None if needed => Opening::Mark,
            None => Opening::Unmarked,
            Some(intent) if intent.holder == self.holder => {
                Opening::Resume { id: intent.id, was_unknown: self.is_open(uid, intent) }
            }
            Some(intent) if later(since, self.ttl) <= now => Opening::TakeOver(intent.id),
            Some(_) => Opening::Respect { until: later(since, self.ttl) },
        }
    }

    /// Since when we have watched another process's intent on this record.
    fn watched_since(&self, key: &str, record: &Record, intent: &Intent) -> Timestamp {
        self.sees(key, record);
        let watched = lock(&self.watched);
        let mut watched = watched.get(key).into_iter().flatten();
        watched.find(|(id, _)| *id == intent.id).map_or_else(|| self.clock.now(), |(_, since)| *since)
    }
}

/// How spending begins, given the present intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// Write an intent, then send.
    Mark,
    /// Send without one: the old token stays valid.
    Unmarked,
    /// Our own intent is there: continue under it. As a rule the outcome of its request is not known.
    Resume { id: IntentId, was_unknown: bool },
    /// Another process's intent was watched for long enough: replace it.
    TakeOver(IntentId),
    /// Another process's intent must be respected until then.
    Respect { until: Timestamp },
}

/// What allows sending a refresh token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The intent; `None` if the old token certainly stays valid.
    pub(crate) intent: Option<IntentId>,
    /// Whether an earlier request under it may have had an effect.
    pub(crate) was_unknown: bool,
}

/// Puts the intent on record if one is needed. This also proves that the API server accepts writes now.
pub(super) async fn mark(
    engine: &Engine,
    job: &Job,
    loaded: Loaded,
    opened: &Opened,
) -> Result<Mark, NotSpent> {
    let Engine { records, marks, .. } = engine;
    let Loaded { record, version } = loaded;
    let (slot, now) = (opened.slot(), records.clock.now());
    let standing = record.intent(slot);
    let watched = standing.map_or(now, |intent| marks.watched_since(record.uid(), &record, intent));
    let stale = match marks.opening(record.uid(), standing, job.target.needs_intent(), watched, now) {
        Opening::Respect { until } => return Err(NotSpent::Respected { until }),
        Opening::Unmarked => return Ok(Mark { intent: None, was_unknown: false }),
        Opening::Resume { id, was_unknown } => {
            marks.is_used_again(record.uid(), id);
            return Ok(Mark { intent: Some(id), was_unknown });
        }
        Opening::Mark => None,
        Opening::TakeOver(stale) => Some(stale),
    };
    let id = IntentId::generate().map_err(|_| NotSpent::Stale)?;
    let record = Record::clone(&record);
    // This write happens anyway, so it removes the predecessor whose window has passed.
    let record = match slot {
        Slot::InUse if !job.target.predecessor_works(&opened.grant, now) => record.without_previous(),
        Slot::InUse | Slot::Candidate => record,
    };
    let marked = record.with_intent(slot, stale, id, &marks.holder, now);
    let marked = marked.map_err(|_| NotSpent::Stale)?;
    let written = write(records, version, marked, id).await;
    // What is sent is what was opened, so that must be what is marked.
    if !written.is_some_and(|written| opened.stands_on(&written)) {
        // The write may have happened all the same.
        marks.spent_nothing(&job.place.uid, id);
        return Err(NotSpent::Stale);
    }
    Ok(Mark { intent: Some(id), was_unknown: stale.is_some() })
}

/// Writes the intent. A write whose answer was lost counts if the record shows our id.
async fn write(records: &Records, version: Version, next: Record, id: IntentId) -> Option<Arc<Record>> {
    match records.store.replace(version, next.clone()).await {
        Ok(_) => Some(Arc::new(next)),
        Err(WriteError::Conflict | WriteError::OutcomeUnknown(_)) => {
            let seen = records.store.reread(next.uid()).await.ok()??.record;
            let is_ours = seen.intents().any(|intent| intent.id == id);
            is_ours.then_some(seen)
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "nothing was sent: the intent could not be written");
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::grant::fixtures::{Bench, Fault, at, job, oauth_grant, target};
    use crate::grant::work::Task;

    const TTL: Duration = Duration::from_mins(1);

    fn marks() -> Marks {
        Marks::new("us".to_owned(), TTL, Clock::System)
    }

    #[test]
    fn a_request_begins_as_the_record_allows() {
        let intent = |holder: &str| Intent {
            id: IntentId::generate().unwrap(),
            holder: holder.to_owned(),
            at: at(0),
            state: IntentState::Open,
        };
        let (ours, theirs) = (intent("us"), intent("them"));
        let rows = [
            ("a token that may die needs an intent", None, true, 0, Opening::Mark),
            ("a token that lives on needs none", None, false, 0, Opening::Unmarked),
            (
                "our own whose answer is missing goes on",
                Some(&ours),
                true,
                0,
                Opening::Resume { id: ours.id, was_unknown: true },
            ),
            (
                "another's is respected for a minute",
                Some(&theirs),
                true,
                59,
                Opening::Respect { until: at(60) },
            ),
            ("and then taken over", Some(&theirs), true, 60, Opening::TakeOver(theirs.id)),
        ];
        for (name, standing, needs_intent, second, expected) in rows {
            assert_eq!(marks().opening("u1", standing, needs_intent, at(0), at(second)), expected, "{name}");
        }
    }

    /// Marks a grant that was refreshed at 0 s and whose predecessor still works, and says whether that one is still kept.
    async fn predecessor_is_kept_at(second: i64) -> bool {
        let bench = Bench::start().await;
        let sealer = &bench.engine().records.sealer;
        let [old, new] = ["old", "new"].map(|token| oauth_grant("sandbox-grace", token));
        let record = bench.holding("u1", &old);
        let opened = record.open(sealer, Slot::InUse).unwrap().unwrap();
        let loaded = bench.keep(record.answered(sealer, &opened, None, &new, Some(&old)).unwrap()).await;
        bench.clock.advance(SignedDuration::from_secs(second));
        let opened = bench.engine().records.open("u1", Slot::InUse).unwrap();
        let job = job("sandbox-grace", Task::Refresh { request: None });
        mark(bench.engine(), &job, loaded, &opened).await.ok().unwrap();
        let record = bench.loaded("u1").record;
        assert!(record.intent(Slot::InUse).is_some());
        record.previous().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_predecessor_is_forgotten_with_the_first_intent_after_its_grace_window() {
        let window = target("sandbox-grace").grace().unwrap().as_secs();
        let window = i64::try_from(window).unwrap();
        assert!(predecessor_is_kept_at(window - 1).await);
        assert!(!predecessor_is_kept_at(window).await);
    }

    #[tokio::test(start_paused = true)]
    async fn class_27_a_young_intent_of_another_replica_says_that_it_is_at_work() {
        let bench = Bench::start().await;
        let record = bench.holding("u1", &oauth_grant("sandbox", "r1"));
        let marks = Marks::new("us/2".to_owned(), TTL, Clock::Manual(bench.clock.clone()));
        let marked = |holder: &str| {
            let (record, id) = (record.clone(), IntentId::generate().unwrap());
            record.with_intent(Slot::InUse, None, id, holder, at(0)).unwrap()
        };
        let theirs = marked("them/1");
        assert!(marks.are_others_at("u1", &theirs, Slot::InUse));
        assert!(!marks.are_others_at("u1", &theirs, Slot::Candidate));
        assert!(
            !marks.are_others_at("u1", &marked("us/1"), Slot::InUse),
            "a former process of this pod is gone"
        );
        let unknown = marked("them/2");
        let id = unknown.intent(Slot::InUse).unwrap().id;
        let unknown = unknown.intent_unknown(Slot::InUse, id).unwrap();
        assert!(!marks.are_others_at("u1", &unknown, Slot::InUse), "it said so itself");

        assert!(marks.are_others_at("u1", &theirs, Slot::InUse));
        bench.clock.advance(SignedDuration::try_from(TTL).unwrap());
        assert!(!marks.are_others_at("u1", &theirs, Slot::InUse), "it had its time");
    }

    #[tokio::test(start_paused = true)]
    async fn class_19_an_intent_whose_write_went_unanswered_leaves_nothing_open() {
        let bench = Bench::start().await;
        let loaded = bench.keep(bench.holding("u1", &oauth_grant("sandbox", "r1"))).await;
        let opened = bench.engine().records.open("u1", Slot::InUse).unwrap();
        let job = job("sandbox", Task::Refresh { request: None });
        bench.api.next(Fault::AnswerLost);
        bench.api.without_reads(true);
        let unmarked = mark(bench.engine(), &job, loaded, &opened).await;
        assert!(matches!(unmarked, Err(NotSpent::Stale)), "nothing is sent");

        bench.api.without_reads(false);
        let store = &bench.engine().records.store;
        let landed = store.reread("u1").await.unwrap().unwrap();
        let intent = landed.record.intent(Slot::InUse).unwrap().clone();
        assert!(!bench.desk.is_open("u1", &intent), "it was called an unknown outcome");
        let marked = mark(bench.engine(), &job, landed, &opened).await.ok().unwrap();
        assert_eq!((marked.intent, marked.was_unknown), (Some(intent.id), false));
        assert!(bench.desk.is_open("u1", &intent), "now something is sent under it");
    }
}
