//! Keys that Bowline issues: their format, and what a client asks the operator to do with them. Pure but for random bytes.
//!
//! The client that shows a key generates it and passes on its digest, so neither the operator nor the cluster ever has the
//! key itself.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::duration::Duration;
use crate::opaque::{Digest, NoRandomness, random_bytes};

/// How many keys of one connection may be valid at once.
pub const MAX_KEYS: usize = 5;

/// The longest time for which earlier keys may stay valid beside a new one.
pub const MAX_OVERLAP: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Key of an intake Secret whose value is a [`KeyOrder`] in JSON.
pub const ORDER: &str = "key_order";

const ID_LETTERS: usize = 8;
/// 43 letters of 62 are 256 random bits.
const SECRET_LETTERS: usize = 43;
const CHECKSUM_LETTERS: u32 = 6;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just generated: its prefix, its id, 256 random bits, and a checksum, by which a scanner of leaked secrets
/// knows it without asking anybody. `Debug` shows its id alone.
pub struct NewKey {
    id: String,
    text: SecretString,
}

impl NewKey {
    /// `prefix` is the provider's, such as `wkz_`.
    pub fn generate(prefix: &str) -> Result<Self, NoRandomness> {
        let id = random_letters(ID_LETTERS)?;
        let secret = SecretString::from(random_letters(SECRET_LETTERS)?);
        let unchecked = SecretString::from(format!("{prefix}{id}{}", secret.expose_secret()));
        let unchecked = unchecked.expose_secret();
        Ok(Self { text: format!("{unchecked}{}", checksum(unchecked)).into(), id })
    }

    /// Part of the key that names it, and tells nothing about the rest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its holder presents.
    pub const fn text(&self) -> &SecretString {
        &self.text
    }

    /// Asks the operator to accept it. See [`KeyOrder::Create`].
    pub fn order(&self, overlap: Option<Duration>) -> KeyOrder {
        KeyOrder::Create { id: self.id.clone(), sha256: Digest::of(self.text.expose_secret()), overlap }
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({})", self.id)
    }
}

/// What a client asks the operator to do with the keys of a connection.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum KeyOrder {
    /// Accept a new key. The earlier ones stay valid for `overlap`, at most; absent means as long as the provider object says.
    Create { id: String, sha256: Digest, overlap: Option<Duration> },
    /// End the key with this id at once.
    Revoke { id: String },
    /// End all keys at once.
    RevokeAll,
}

/// Why an order cannot be carried out, whatever keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFlaw {
    #[error("it is not an order that this version understands")]
    Unreadable,
    #[error("the id of a key has {ID_LETTERS} letters and digits")]
    Id,
    #[error("the digest of a key is SHA-256 in 64 lower-case hexadecimal digits")]
    Digest,
    #[error("earlier keys stay valid for at most {} h", MAX_OVERLAP.as_secs() / 3600)]
    Overlap,
}

impl KeyOrder {
    /// Reads an order from JSON, and checks it.
    pub fn read(json: &[u8]) -> Result<Self, OrderFlaw> {
        let order: Self = serde_json::from_slice(json).map_err(|_| OrderFlaw::Unreadable)?;
        order.checked()
    }

    /// The order, if its parts have the right form.
    pub fn checked(self) -> Result<Self, OrderFlaw> {
        let (id, sha256, overlap) = match &self {
            Self::Create { id, sha256, overlap } => (Some(id), Some(sha256), *overlap),
            Self::Revoke { id } => (Some(id), None, None),
            Self::RevokeAll => (None, None, None),
        };
        if id.is_some_and(|id| !is_key_id(id)) {
            return Err(OrderFlaw::Id);
        }
        if sha256.is_some_and(|sha256| !sha256.is_well_formed()) {
            return Err(OrderFlaw::Digest);
        }
        if overlap.is_some_and(|overlap| overlap.get() > MAX_OVERLAP) {
            return Err(OrderFlaw::Overlap);
        }
        Ok(self)
    }
}

/// Whether a text has the form of a key's id.
pub fn is_key_id(text: &str) -> bool {
    text.len() == ID_LETTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Letters of which each is equally likely.
fn random_letters(count: usize) -> Result<String, NoRandomness> {
    // The largest multiple of 62 below 256: higher bytes would favour the first letters.
    const FAIR: u8 = 248;
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        let bytes = random_bytes::<64>()?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR).take(count - letters.len());
        letters.extend(fair.map(|byte| letter(u32::from(*byte))));
    }
    Ok(letters)
}

/// CRC-32 of the text, in base 62.
fn checksum(text: &str) -> String {
    let sum = crc32fast::hash(text.as_bytes());
    let places = (0..CHECKSUM_LETTERS).rev().map(|place| 62u32.pow(place));
    places.map(|place| letter(sum / place)).collect()
}

fn letter(number: u32) -> char {
    char::from(LETTERS[number as usize % LETTERS.len()])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_has_its_prefix_its_id_256_random_bits_and_a_checksum() {
        let form = regex::Regex::new("^wkz_[0-9A-Za-z]{57}$").unwrap();
        let keys: Vec<_> = (0..200).map(|_| NewKey::generate("wkz_").unwrap()).collect();
        for key in &keys {
            let text = key.text().expose_secret();
            assert!(form.is_match(text), "{text}");
            assert_eq!(&text[4..12], key.id());
            let (before, sum) = text.split_at(text.len() - 6);
            assert_eq!(checksum(before), sum);
            assert!(!format!("{key:?}").contains(&text[12..]), "{key:?}");
        }
        let different: BTreeSet<_> = keys.iter().map(|key| key.text().expose_secret()).collect();
        assert_eq!(different.len(), keys.len());
        let letters: BTreeSet<char> = different.iter().flat_map(|text| text[12..55].chars()).collect();
        assert_eq!(letters.len(), 62, "every letter occurs");
    }

    /// Computed with another implementation (`zlib.crc32` of Python).
    #[test]
    fn a_checksum_is_crc_32_in_base_62() {
        assert_eq!(checksum("wkz_abc"), "17EOBU");
        assert_eq!(checksum(""), "000000");
    }

    #[test]
    fn an_order_has_the_digest_and_never_the_key() {
        let key = NewKey::generate("wkz_").unwrap();
        let order = key.order(Some("1h".parse().unwrap()));
        let json = serde_json::to_vec(&order).unwrap();
        assert_eq!(KeyOrder::read(&json).unwrap(), order);
        let json = String::from_utf8(json).unwrap();
        assert!(json.contains(Digest::of(key.text().expose_secret()).as_str()));
        assert!(!json.contains(&key.text().expose_secret()[12..]), "{json}");
    }

    #[test]
    fn an_order_of_another_form_is_refused() {
        let digest = "a".repeat(64);
        let create = |id: &str, sha256: &str, rest: &str| {
            format!(r#"{{"create":{{"id":"{id}","sha256":"{sha256}"{rest}}}}}"#)
        };
        assert!(KeyOrder::read(create("Ab3dEf9K", &digest, "").as_bytes()).is_ok());
        assert_eq!(KeyOrder::read(br#""revokeAll""#), Ok(KeyOrder::RevokeAll));
        for (json, flaw) in [
            (create("Ab3", &digest, ""), OrderFlaw::Id),
            (create("Ab3dEf9/", &digest, ""), OrderFlaw::Id),
            (create("Ab3dEf9K", "a", ""), OrderFlaw::Digest),
            (create("Ab3dEf9K", &"G".repeat(64), ""), OrderFlaw::Digest),
            (create("Ab3dEf9K", &"A".repeat(64), ""), OrderFlaw::Digest),
            (create("Ab3dEf9K", &digest, r#","overlap":"721h""#), OrderFlaw::Overlap),
            (create("Ab3dEf9K", &digest, r#","overlap":"soon""#), OrderFlaw::Unreadable),
            (create("Ab3dEf9K", &digest, r#","key":"wkz_""#), OrderFlaw::Unreadable),
            (r#"{"revoke":{"id":"../.."}}"#.to_owned(), OrderFlaw::Id),
            ("{}".to_owned(), OrderFlaw::Unreadable),
            ("key".to_owned(), OrderFlaw::Unreadable),
        ] {
            assert_eq!(KeyOrder::read(json.as_bytes()), Err(flaw), "{json}");
        }
    }
}
