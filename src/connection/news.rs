//! Which changes of a status are worth an Event and an entry of its history. Pure: read from the table of reasons.

use bowline_api::IntegrationConnection;
use bowline_api::IntegrationConnectionStatus as Status;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{
    AttemptMethod, HISTORY_ENTRIES, HistoryEntry, IssuedKeyStatus, LastAttempt, ReminderStatus,
};
use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::observed::{EndingView, ObservedConnection};
use crate::grant::outcome::{FinishedWork, Outcome};
use crate::vault::record::RevocationResult;

/// The reason and note of one Event; the table says whether it is a warning.
pub(super) type EventNote = (Reason, String);

/// The longest message of an entry.
const MESSAGE_BYTES: usize = 512;

fn news_of(reason: Reason) -> EventNote {
    (reason, reason.message(&MessageFacts::default()))
}

/// The Events to publish, given the status before and after.
pub(super) fn news(
    old: Option<&Status>,
    new: &Status,
    finished: Option<&FinishedWork>,
    now: Timestamp,
) -> Vec<EventNote> {
    let attempt = failed_attempt(old, new);
    let mut all: Vec<EventNote> = turned(old, new).collect();
    // Without a grant in use, Authorized says how the attempt ended: one Event is enough.
    all.retain(|(reason, _)| attempt.as_ref().is_none_or(|attempt| attempt.0 != *reason));
    all.extend(attempt);
    all.extend(reminded(old, new));
    all.extend(left_workspace(old, new));
    all.extend(replaced(old, new));
    all.extend(keys(old, new, now));
    all.extend(answered(finished));
    all.extend(recovered(old, new));
    all
}

/// What became of grants that ended: of each one that is done, and of the one that is shown if that is new.
pub(super) fn ended(
    connection: &IntegrationConnection,
    new: &Status,
    observed: &ObservedConnection,
) -> Vec<EventNote> {
    let old = connection.status.as_ref();
    let known = old.and_then(|status| status.revocation.as_ref()).map(|it| &it.reason);
    let is_news = new.revocation.as_ref().map(|it| &it.reason) != known;
    let shown = observed.shown_ending().filter(|shown| !shown.is_done && is_news);
    let done = observed.endings.iter().filter(|ending| ending.is_done);
    let note = |ending: &EndingView| {
        let RevocationResult { reason, detail } = ending.result.as_ref()?;
        let facts = MessageFacts { detail: detail.as_str().into(), ..connection.facts() };
        let (reason, note) = (*reason, reason.message(&facts));
        // An ending that could not be erased is seen again.
        let is_it = |told: &HistoryEntry| {
            told.at.0 >= ending.since && told.reason.is(reason) && told.message == shortened(&note)
        };
        let is_told = ending.is_done && old.is_some_and(|status| status.history.iter().any(is_it));
        (!is_told).then_some((reason, note))
    };
    done.chain(shown).filter_map(note).collect()
}

fn shortened(note: &str) -> &str {
    &note[..note.floor_char_boundary(MESSAGE_BYTES)]
}

/// Puts the news at the beginning of the status's history. Where there are none, it stays as it is: a history must not cause
/// a write of its own.
pub(super) fn record(status: &mut Status, news: &[EventNote], now: Timestamp) {
    let entry = |(reason, note): &EventNote| HistoryEntry {
        at: Time(now),
        reason: (*reason).into(),
        message: shortened(note).to_owned(),
    };
    // Within one pass, what was found last follows from what was found first.
    status.history.splice(0..0, news.iter().rev().map(entry));
    status.history.truncate(HISTORY_ENTRIES);
}

/// Conditions that changed to a reason with an Event.
fn turned(old: Option<&Status>, new: &Status) -> impl Iterator<Item = EventNote> {
    use ConditionType::{Authorized, Members, SecretPublished, Shared, TokenFresh};
    [Authorized, TokenFresh, SecretPublished, Shared, Members].into_iter().filter_map(move |type_| {
        let now = new.conditions.condition(type_)?;
        let reason = new.conditions.reason_of(type_)?;
        let before = old.and_then(|old| old.conditions.reason_of(type_));
        // Each reminder is told, not only the first: see `reminded`.
        let is_reminder = reason == Reason::GrantExpiringSoon;
        let is_news = reason.row().event.is_some() && before != Some(reason) && !is_reminder;
        is_news.then(|| (reason, now.message.clone()))
    })
}

/// A reminder that the grant ends by itself, once each.
fn reminded(old: Option<&Status>, new: &Status) -> Option<EventNote> {
    let reminder = |status: &Status| {
        status.grant.as_ref().and_then(|grant| Some((grant.id.clone(), grant.reminder.clone()?)))
    };
    let (id, now) = reminder(new)?;
    let is_known = |(known, before): (String, ReminderStatus)| known == id && before.days <= now.days;
    if old.and_then(reminder).is_some_and(is_known) {
        return None;
    }
    let said = new.conditions.condition(ConditionType::Authorized);
    let said = said.filter(|condition| condition.reason == Reason::GrantExpiringSoon.as_str());
    let at = now.ends_at.0.to_string();
    let general =
        || Reason::GrantExpiringSoon.message(&MessageFacts { at: Some(&at), ..MessageFacts::default() });
    Some((Reason::GrantExpiringSoon, said.map_or_else(general, |condition| condition.message.clone())))
}

/// An attempt that ended without a grant, or whose outcome is unknown.
fn failed_attempt(old: Option<&Status>, new: &Status) -> Option<EventNote> {
    let attempt = new.last_attempt.as_ref().filter(|attempt| attempt.failed())?;
    let is_known = |known: &LastAttempt| known.id == attempt.id && known.reason == attempt.reason;
    if old.and_then(|old| old.last_attempt.as_ref()).is_some_and(is_known) {
        return None;
    }
    let reason = attempt.reason.as_ref()?.known()?;
    Some((reason, attempt.message.clone()))
}

/// A connection that was shared and no longer is.
fn left_workspace(old: Option<&Status>, new: &Status) -> Option<EventNote> {
    let is_shared = |status: &Status| {
        matches!(
            status.conditions.reason_of(ConditionType::Shared),
            Some(Reason::Shared | Reason::PartiallyPublished)
        )
    };
    old.filter(|old| is_shared(old) && !is_shared(new))?;
    let Some(now) = new.conditions.condition(ConditionType::Shared) else {
        return Some(news_of(Reason::Unshared));
    };
    let owner_left = now.reason == Reason::OwnerNotMember.as_str();
    Some((if owner_left { Reason::OwnerRemoved } else { Reason::Unshared }, now.message.clone()))
}

/// Somebody changed the credentials Secret: all who use the connection now work with another key.
fn replaced(old: Option<&Status>, new: &Status) -> Option<EventNote> {
    let id = |status: &Status| status.grant.as_ref().map(|grant| grant.id.clone());
    let before = old.and_then(id)?;
    let came_by_secret =
        new.last_attempt.as_ref().is_some_and(|attempt| attempt.method.is(AttemptMethod::Credentials));
    let is_news = id(new).is_some_and(|now| now != before);
    (is_news && came_by_secret).then(|| news_of(Reason::GrantReplaced))
}

/// Issued keys that came or went. Where the grant itself is gone, that is told.
fn keys(old: Option<&Status>, new: &Status, now: Timestamp) -> Vec<EventNote> {
    let Some(old) = old.filter(|_| new.grant.is_some()) else { return Vec::new() };
    let is_among =
        |keys: &[IssuedKeyStatus], key: &IssuedKeyStatus| keys.iter().any(|other| other.id == key.id);
    let gone = old.issued_keys.iter().filter(|key| !is_among(&new.issued_keys, key)).map(|key| {
        let is_over = key.expires_at.as_ref().is_some_and(|at| at.0 <= now);
        (if is_over { Reason::KeyExpired } else { Reason::KeyRevoked }, key)
    });
    let came = new.issued_keys.iter().filter(|key| !is_among(&old.issued_keys, key));
    let told = gone.chain(came.map(|key| (Reason::KeyCreated, key))).map(|(reason, key)| {
        let (id, by) = (Some(key.id.as_str()), Some(key.created_by.as_str()));
        (reason, reason.message(&MessageFacts { list: id, owner: by, ..MessageFacts::default() }))
    });
    told.collect()
}

fn answered(finished: Option<&FinishedWork>) -> Option<EventNote> {
    let finished = finished.filter(|finished| finished.request.is_some())?;
    matches!(finished.outcome, Outcome::Committed { .. }).then(|| news_of(Reason::Refreshed))
}

/// A connection that was not ready is ready again.
fn recovered(old: Option<&Status>, new: &Status) -> Option<EventNote> {
    let old = old.filter(|old| old.connected_at.is_some())?;
    let ready = |status: &Status| status.conditions.is(ConditionType::Ready);
    (!ready(old) && ready(new)).then(|| news_of(Reason::Recovered))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::connection::GrantStatus;

    use super::*;

    #[test]
    fn keys_that_came_and_went_are_told_with_their_ids() {
        let key = |id: &str, expires: Option<i64>| IssuedKeyStatus {
            id: id.to_owned(),
            created_at: Time(Timestamp::UNIX_EPOCH),
            created_by: "bob".to_owned(),
            expires_at: expires.map(|at| Time(Timestamp::from_second(at).unwrap())),
        };
        let grant = GrantStatus {
            id: "g".to_owned(),
            revision: 1,
            ordinal: None,
            obtained_at: Time(Timestamp::UNIX_EPOCH),
            expires_at: None,
            reminder: None,
        };
        let status = |keys: &[IssuedKeyStatus]| Status {
            grant: Some(grant.clone()),
            issued_keys: keys.to_vec(),
            ..Status::default()
        };
        let old = status(&[key("stays", None), key("over", Some(60)), key("revoked", Some(90))]);
        let new = status(&[key("fresh", None), key("stays", None)]);
        let now = Timestamp::from_second(60).unwrap();
        let told = news(Some(&old), &new, None, now);
        let expected = [
            (Reason::KeyExpired, "The key over has expired."),
            (Reason::KeyRevoked, "The key revoked was revoked."),
            (Reason::KeyCreated, "bob created the key fresh."),
        ];
        assert_eq!(told, expected.map(|(reason, note)| (reason, note.to_owned())));
        assert!(news(Some(&new), &new, None, now).is_empty());
        assert!(
            news(Some(&old), &Status::default(), None, now).is_empty(),
            "disconnecting is told by itself"
        );
    }

    #[test]
    fn a_history_has_the_newest_first_and_an_end() {
        let mut status = Status::default();
        let noted = |reason| (reason, "Ä".repeat(400));
        record(&mut status, &[noted(Reason::Authorized), noted(Reason::Shared)], Timestamp::UNIX_EPOCH);
        let told = status.clone();
        record(&mut status, &[], Timestamp::MAX);
        assert_eq!(status, told, "no news, no change");
        assert_eq!(status.history[0].reason, Reason::Shared.into());
        assert_eq!(status.history[1].message.len(), MESSAGE_BYTES);
        for _ in 0..HISTORY_ENTRIES {
            record(&mut status, &[noted(Reason::Recovered)], Timestamp::UNIX_EPOCH);
        }
        assert_eq!(status.history.len(), HISTORY_ENTRIES);
        assert!(status.history.iter().all(|entry| entry.reason == Reason::Recovered.into()));
    }
}
