//! Secret text as JSON, for `#[serde(serialize_with)]`. Written only here, and only into bytes that are sealed next.

use std::collections::BTreeMap;
use std::io;

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret that serializes, for as long as a grant is written.
struct Exposed<'a>(&'a SecretString);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

pub(super) fn one<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    Exposed(secret).serialize(serializer)
}

#[allow(clippy::ref_option, reason = "serde gives a reference to the field")]
pub(super) fn optional<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Exposed).serialize(serializer)
}

pub(super) fn named<S: Serializer>(
    secrets: &BTreeMap<String, SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, Exposed(secret))))
}

/// JSON of `value` in a buffer that leaves no copy behind when it grows or is dropped.
pub(super) fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut buffer = WipedBuffer(Zeroizing::new(Vec::with_capacity(4096)));
    serde_json::to_writer(&mut buffer, value)?;
    Ok(buffer.0)
}

struct WipedBuffer(Zeroizing<Vec<u8>>);

impl io::Write for WipedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            // A plain Vec would move its content and free the old place as it is.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_longer_than_the_first_buffer_is_complete() {
        let long = "x".repeat(100_000);
        assert_eq!(to_json(&long).unwrap().as_slice(), serde_json::to_vec(&long).unwrap());
    }
}
