//! Keys that we issued: their digests, since when and until when each is valid. Pure.

use bowline_api::issued_key::MAX_KEYS;
use bowline_api::opaque::Digest;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Credential, Grant};

/// The keys of one connection, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedKeys(Vec<IssuedKey>);

/// A key that we issued. The key itself was never here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssuedKey {
    pub(crate) id: String,
    pub(crate) sha256: Digest,
    pub(crate) created_at: Timestamp,
    /// The user who requested it.
    pub(crate) created_by: String,
    /// `None`: it does not expire by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

/// Why keys cannot be changed like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyChangeError {
    #[error("{MAX_KEYS} keys are valid. Revoke one, or wait until one expires.")]
    TooMany,
    #[error("There is already another key with the id {id}. Create the key again.")]
    IdTaken { id: String },
    #[error("There is no valid key with the id {id}: it has expired, or was revoked before.")]
    Unknown { id: String },
}

impl IssuedKeys {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &IssuedKey> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are valid then.
    pub(crate) fn valid_at(&self, now: Timestamp) -> Self {
        Self(self.0.iter().filter(|key| !key.is_expired_at(now)).cloned().collect())
    }

    /// With a new key. The others stay valid no longer than until `overlap_ends`.
    pub(crate) fn with(&self, key: IssuedKey, overlap_ends: Timestamp) -> Result<Self, KeyChangeError> {
        match self.0.iter().find(|known| known.id == key.id) {
            // The same order again, after a crash.
            Some(known) if known.sha256 == key.sha256 => return Ok(self.clone()),
            Some(_) => return Err(KeyChangeError::IdTaken { id: key.id }),
            None => {}
        }
        let limited = |known: &IssuedKey| {
            let expires_at = known.expires_at.map_or(overlap_ends, |at| at.min(overlap_ends));
            IssuedKey { expires_at: Some(expires_at), ..known.clone() }
        };
        let now = key.created_at;
        let others = Self(self.0.iter().map(limited).collect()).valid_at(now).0;
        if others.len() >= MAX_KEYS {
            return Err(KeyChangeError::TooMany);
        }
        Ok(Self([key].into_iter().chain(others).collect()))
    }

    pub(crate) fn without(&self, id: &str) -> Result<Self, KeyChangeError> {
        let rest: Vec<_> = self.0.iter().filter(|key| key.id != id).cloned().collect();
        if rest.len() == self.0.len() {
            return Err(KeyChangeError::Unknown { id: id.to_owned() });
        }
        Ok(Self(rest))
    }

    /// When the first of them expires.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|key| key.expires_at).min()
    }

    /// When the last of them expires; `None` if one does not, or if there is none.
    pub(crate) fn last_expiry(&self) -> Option<Timestamp> {
        let expiries: Option<Vec<_>> = self.0.iter().map(|key| key.expires_at).collect();
        expiries?.into_iter().max()
    }
}

impl Grant {
    /// The keys that we issued, if that is what the grant consists of.
    pub(crate) fn issued_keys(&self) -> Option<&IssuedKeys> {
        let Credential::IssuedKeys { keys } = &self.credential else { return None };
        Some(keys)
    }

    /// The grant with these keys. It expires with the last of them.
    pub(crate) fn with_issued_keys(self, keys: IssuedKeys) -> Self {
        let expires_at = keys.last_expiry();
        Self {
            expires_at,
            refresh_expires_at: expires_at,
            refresh_end_moves: expires_at.map(|_| false),
            credential: Credential::IssuedKeys { keys },
            ..self
        }
    }
}

impl IssuedKey {
    fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn key(id: &str, second: i64, expires: Option<i64>) -> IssuedKey {
        IssuedKey {
            id: id.to_owned(),
            sha256: Digest::of(id),
            created_at: at(second),
            created_by: "alice".to_owned(),
            expires_at: expires.map(at),
        }
    }

    fn ids(keys: &IssuedKeys) -> Vec<&str> {
        keys.iter().map(|key| key.id.as_str()).collect()
    }

    #[test]
    fn an_earlier_key_stays_valid_for_the_overlap_and_not_longer() {
        let first = IssuedKeys::default().with(key("a", 0, None), at(60)).unwrap();
        assert_eq!((first.next_expiry(), first.last_expiry()), (None, None), "the first has no predecessor");
        let both = first.with(key("b", 100, None), at(160)).unwrap();
        assert_eq!(ids(&both), ["b", "a"]);
        assert_eq!(both.next_expiry(), Some(at(160)));
        assert_eq!(both.last_expiry(), None);
        assert_eq!(ids(&both.valid_at(at(159))), ["b", "a"]);
        assert_eq!(ids(&both.valid_at(at(160))), ["b"]);
        // Another key never prolongs one that is about to expire.
        let three = both.with(key("c", 150, None), at(900)).unwrap();
        let expiries: Vec<_> = three.iter().map(|key| key.expires_at).collect();
        assert_eq!(expiries, [None, Some(at(900)), Some(at(160))]);
    }

    #[test]
    fn without_an_overlap_the_others_end_at_once() {
        let first = IssuedKeys::default().with(key("a", 0, Some(1000)), at(60)).unwrap();
        let next = first.with(key("b", 100, Some(1100)), at(100)).unwrap();
        assert_eq!(ids(&next), ["b"]);
        assert_eq!((next.next_expiry(), next.last_expiry()), (Some(at(1100)), Some(at(1100))));
    }

    #[test]
    fn a_key_is_revoked_by_its_id() {
        let both = IssuedKeys::default().with(key("a", 0, None), at(60)).unwrap();
        let both = both.with(key("b", 1, None), at(60)).unwrap();
        assert_eq!(ids(&both.without("b").unwrap()), ["a"]);
        assert_eq!(both.without("c"), Err(KeyChangeError::Unknown { id: "c".into() }));
        let none = both.without("a").unwrap().without("b").unwrap();
        assert!(none.is_empty() && none.last_expiry().is_none());
    }

    #[test]
    fn there_is_room_for_five_and_an_id_names_one() {
        let mut keys = IssuedKeys::default();
        for id in ["a", "b", "c", "d", "e"] {
            keys = keys.with(key(id, 0, None), at(60)).unwrap();
        }
        assert_eq!(keys.with(key("f", 1, None), at(60)), Err(KeyChangeError::TooMany));
        assert!(keys.with(key("f", 61, None), at(120)).is_ok(), "the earlier ones have expired");
        assert_eq!(keys.with(key("a", 1, None), at(60)).unwrap(), keys, "the same order again");
        let other = IssuedKey { sha256: Digest::of("x"), ..key("a", 1, None) };
        assert_eq!(keys.with(other, at(60)), Err(KeyChangeError::IdTaken { id: "a".into() }));
    }
}
