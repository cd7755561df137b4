//! The keyring: what it is called, its entries, and what can be read of them without a key.
//!
//! A keyring is a flat map of names to bytes, the data of the Secret `bowline-keyring` or the files of a directory:
//!
//! ```text
//! primary          the id of the key that seals from now on
//! <id>.key         that key in clear: exactly 32 random bytes, raw
//! <id>.wrapped     or encrypted by a KMS: a WrappedKey as JSON
//! <id>.created     when it was made: RFC 3339, e.g. 2026-03-01T00:00:00Z
//! ```
//!
//! An id is 32 lower-case hexadecimal digits (16 random bytes) and is never used again for another key. A key has either a
//! `.key` or a `.wrapped`, never both.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

/// The Secret, in the operator's namespace.
pub const SECRET: &str = "bowline-keyring";
/// The entry that names the key that seals.
pub const PRIMARY: &str = "primary";
/// Bytes of a key.
pub const KEY_LENGTH: usize = 32;
/// On the Secret: somebody asks the operator for another primary key. Only it can have one wrapped by the KMS. The value is when
/// they asked.
pub const ROTATION_REQUESTED: &str = "bowline.dev/key-rotation-requested";

/// What an entry says about a key; its text follows the key's id and a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEntry {
    /// The key itself.
    Clear,
    /// What a KMS made of it.
    Wrapped,
    /// When it was made.
    Created,
}

impl KeyEntry {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Clear, Self::Wrapped, Self::Created];

    /// How the entry's name ends.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Clear => "key",
            Self::Wrapped => "wrapped",
            Self::Created => "created",
        }
    }

    /// The entry's name for one key.
    pub fn of(self, id: &str) -> String {
        format!("{id}.{}", self.suffix())
    }

    /// The id of the key in the name of an entry, and what the entry says about it.
    pub fn parse(name: &str) -> Option<(&str, Self)> {
        let (id, suffix) = name.split_once('.')?;
        Some((id, *Self::ALL.iter().find(|entry| entry.suffix() == suffix)?))
    }
}

/// A key of the keyring, encrypted by a KMS. The fields from the KMS are what Kubernetes' KMS v2 API answers to Encrypt.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WrappedKey {
    /// The key of the KMS that encrypted it.
    pub kms_key_id: String,
    /// The encrypted key.
    pub ciphertext: ByteString,
    /// What the KMS wants back for decrypting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, ByteString>,
    /// Derived from the key and its id, so that another key is not taken for this one.
    pub check: ByteString,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_entry_is_read_as_it_is_written() {
        for entry in KeyEntry::ALL {
            assert_eq!(KeyEntry::parse(&entry.of("a0")), Some(("a0", *entry)));
        }
        for other in ["primary", "a0.keys", "a0", "a0.key.key"] {
            assert_eq!(KeyEntry::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_wrapped_key_is_written_in_base64_and_an_unknown_field_is_refused() {
        let text =
            r#"{"kmsKeyId":"k1","ciphertext":"AQI=","annotations":{"a.example.com":"Aw=="},"check":"BA=="}"#;
        let key: WrappedKey = serde_json::from_str(text).unwrap();
        assert_eq!(
            (key.ciphertext.0.as_slice(), key.annotations["a.example.com"].0.as_slice()),
            (&[1, 2][..], &[3][..])
        );
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        assert!(serde_json::from_str::<WrappedKey>(&text.replace("check", "checks")).is_err());
    }
}
