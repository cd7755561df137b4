//! Where the session keys are: a file, or a Secret that the first replica creates and every replica reads again each minute.
//!
//! The Secret may hold several. The entry `key` is the first one; `key-2026-12-01` seals from that day on, so that every
//! replica knows it before it is used. An entry that is removed ends the sessions that it sealed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::opaque::{NoRandomness, random_text};
use bowline_runtime::clock::Clock;
use bowline_runtime::telemetry::chain;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::civil::Date;
use k8s_openapi::jiff::tz::TimeZone;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::session_key::{KeyTooShort, SessionKey, SessionKeys};
use crate::settings::ServerFlags;

pub const SECRET: &str = "bowline-portal-session";
const ENTRY: &str = "key";

/// How often the Secret is read.
const AGAIN: Duration = Duration::from_mins(1);

/// How often an old key is warned of.
const REMIND: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the session key from {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    TooShort(#[from] KeyTooShort),
    #[error("cannot read or make the Secret {SECRET}, which holds the session keys")]
    Secret(#[source] kube::Error),
    #[error("the Secret {SECRET} has no entry {ENTRY}")]
    NoEntry,
    #[error(
        "the Secret {SECRET} has an entry that is neither {ENTRY} nor named by a day, such as {ENTRY}-2026-12-01"
    )]
    NoDay,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The keys of the Secret, the one that seals first.
struct StoredKeys {
    keys: Arc<[SessionKey]>,
    /// Since when it does.
    since: Option<Timestamp>,
}

impl StoredKeys {
    fn read(secret: &Secret, now: Timestamp) -> Result<Self, KeyError> {
        let made = secret.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let mut dated = Vec::new();
        for (entry, bytes) in secret.data.iter().flatten() {
            dated.push((day_of(entry)?, SessionKey::new(&bytes.0)?));
        }
        dated.sort_by_key(|(day, _)| *day);
        // Before any day has come, the earliest one seals.
        let has_come = |day: &Option<Timestamp>| day.is_none_or(|day| day <= now);
        let seals = dated.iter().rposition(|(day, _)| has_come(day)).unwrap_or_default();
        if dated.is_empty() {
            return Err(KeyError::NoEntry);
        }
        let (day, first) = dated.remove(seals);
        let others = dated.into_iter().rev().map(|(_, key)| key);
        Ok(Self { keys: std::iter::once(first).chain(others).collect(), since: day.or(made) })
    }

    /// How old the key is that seals, if that is too old.
    fn overdue(&self, max_age: Duration, now: Timestamp) -> Option<SignedDuration> {
        let age = now.duration_since(self.since?);
        (!age.is_negative() && age.unsigned_abs() >= max_age).then_some(age)
    }
}

/// The beginning of the day that an entry is named by, in UTC; `None` for the first key.
fn day_of(entry: &str) -> Result<Option<Timestamp>, KeyError> {
    if entry == ENTRY {
        return Ok(None);
    }
    let day = entry.strip_prefix(ENTRY).and_then(|rest| rest.strip_prefix('-')).ok_or(KeyError::NoDay)?;
    let day: Date = day.parse().map_err(|_| KeyError::NoDay)?;
    let begins = day.to_zoned(TimeZone::UTC).map_err(|_| KeyError::NoDay)?;
    Ok(Some(begins.timestamp()))
}

/// Reads the keys, or creates the first one, and follows the Secret until `stop`.
pub(crate) async fn obtain(
    client: &Client,
    server: &ServerFlags,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Arc<SessionKeys>, KeyError> {
    if let Some(path) = &server.session_key_file {
        let bytes = std::fs::read(path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        return Ok(Arc::new(SessionKeys::new(&bytes)?));
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &server.namespace);
    let mut follower = Follower {
        max_age: server.session_key_max_age.get(),
        clock: clock.clone(),
        reminded_at: None,
        secrets,
    };
    let stored = StoredKeys::read(&follower.secret().await?, clock.now())?;
    follower.remind(&stored);
    let keys = Arc::new(SessionKeys::of(stored.keys));
    let (known, stop) = (Arc::clone(&keys), stop.clone());
    tokio::spawn(async move { stop.run_until_cancelled(follower.follow(&known)).await });
    Ok(keys)
}

struct Follower {
    secrets: Api<Secret>,
    max_age: Duration,
    clock: Clock,
    reminded_at: Option<Timestamp>,
}

impl Follower {
    async fn secret(&self) -> Result<Secret, KeyError> {
        if let Some(secret) = self.secrets.get_opt(SECRET).await.map_err(KeyError::Secret)? {
            return Ok(secret);
        }
        match self.secrets.create(&PostParams::default(), &new_secret()?).await {
            // Another replica was faster: its key counts.
            Err(kube::Error::Api(status)) if status.is_already_exists() => self.secrets.get(SECRET).await,
            result => result,
        }
        .map_err(KeyError::Secret)
    }

    async fn follow(mut self, keys: &SessionKeys) {
        loop {
            tokio::time::sleep(AGAIN).await;
            match self.look().await {
                Ok(Some(stored)) => {
                    self.remind(&stored);
                    keys.replace(stored.keys);
                }
                // To sign everybody out, it is deleted and the portal restarted: then the first replica creates a new one.
                Ok(None) => tracing::warn!("the Secret {SECRET} is gone: its keys are used until a restart"),
                Err(error) => tracing::warn!(error = %chain(&error), "session keys stay as they are"),
            }
        }
    }

    async fn look(&self) -> Result<Option<StoredKeys>, KeyError> {
        let secret = self.secrets.get_opt(SECRET).await.map_err(KeyError::Secret)?;
        secret.map(|secret| StoredKeys::read(&secret, self.clock.now())).transpose()
    }

    /// Warns of a key that is too old, at most once a day.
    fn remind(&mut self, stored: &StoredKeys) {
        let now = self.clock.now();
        let Some(age) = stored.overdue(self.max_age, now) else { return };
        if self.reminded_at.is_none_or(|last| now.duration_since(last) >= REMIND) {
            self.reminded_at = Some(now);
            let days = age.as_hours() / 24;
            tracing::warn!(
                days,
                "the session key is older than --session-key-max-age: add an entry {ENTRY}-YEAR-MONTH-DAY to the Secret {SECRET}"
            );
        }
    }
}

fn new_secret() -> Result<Secret, NoRandomness> {
    let key = random_text()?.expose_secret().as_bytes().to_vec();
    Ok(Secret {
        metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(key))])),
        ..Secret::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::session_key::Purpose;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn secret(entries: &[&str]) -> Secret {
        let entry = |name: &&str| ((*name).to_owned(), ByteString(name.repeat(32).into_bytes()));
        let metadata = ObjectMeta {
            creation_timestamp: Some(Time(at("2026-01-01T12:00:00Z"))),
            ..ObjectMeta::default()
        };
        Secret { metadata, data: Some(entries.iter().map(entry).collect()), ..Secret::default() }
    }

    /// Which of its entries seals.
    fn seals(entries: &[&str], now: &str) -> String {
        let stored = StoredKeys::read(&secret(entries), at(now)).unwrap();
        assert_eq!(stored.keys.len(), entries.len(), "all open");
        let sealed = SessionKeys::of(stored.keys).seal(Purpose::Session, &1).unwrap();
        let opens = |name: &&&str| {
            let key = SessionKeys::new(name.repeat(32).as_bytes()).unwrap();
            key.open::<u8>(Purpose::Session, &sealed).is_some()
        };
        (*entries.iter().find(opens).unwrap()).to_owned()
    }

    #[test]
    fn the_newest_key_whose_day_has_come_seals() {
        let all = ["key", "key-2026-03-01", "key-2026-06-01"];
        assert_eq!(seals(&all, "2026-02-28T23:59:59Z"), "key");
        assert_eq!(seals(&all, "2026-03-01T00:00:00Z"), "key-2026-03-01");
        assert_eq!(seals(&all, "2027-01-01T00:00:00Z"), "key-2026-06-01");
        assert_eq!(seals(&all[1..], "2026-01-01T00:00:00Z"), "key-2026-03-01", "none has come yet");
    }

    #[test]
    fn an_old_key_is_noticed_by_its_day_or_by_the_age_of_the_secret() {
        let days = |count: u64| Duration::from_hours(24 * count);
        let age = |entries: &[&str], max| {
            StoredKeys::read(&secret(entries), at("2026-06-11T00:00:00Z"))
                .unwrap()
                .overdue(max, at("2026-06-11T00:00:00Z"))
        };
        assert!(age(&["key"], days(90)).is_some());
        assert!(age(&["key", "key-2026-06-01"], days(90)).is_none());
        assert_eq!(age(&["key", "key-2026-06-01"], days(9)).unwrap().as_hours(), 240);
    }

    #[test]
    fn entries_with_other_names_are_refused() {
        let read =
            |entries: &[&str]| StoredKeys::read(&secret(entries), at("2026-06-01T00:00:00Z")).map(drop);
        assert!(matches!(read(&[]), Err(KeyError::NoEntry)));
        for name in ["old", "key-2", "key-2026-13-01", "keys", "key-2026-06-01T00:00:00Z"] {
            assert!(matches!(read(&["key", name]), Err(KeyError::NoDay)), "{name}");
        }
    }
}
