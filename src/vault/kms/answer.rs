//! Checks of what a KMS answers. The limits are those of the API server. Pure.

use super::Encrypted;
use super::wire::{EncryptResponse, StatusResponse, shortened};

/// Kubernetes calls the two equivalent.
const VERSIONS: &[&str] = &["v2", "v2beta1"];
const HEALTHY: &str = "ok";
/// Bytes of the id of a KMS's key.
const KEY_ID_LIMIT: usize = 1024;
/// Bytes of what a KMS makes of a secret.
const CIPHERTEXT_LIMIT: usize = 1024;
/// Bytes of all annotations, keys and values.
const ANNOTATIONS_LIMIT: usize = 32 * 1024;
const DOMAIN_LIMIT: usize = 253;
const LABEL_LIMIT: usize = 63;

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongAnswer {
    #[error("it speaks version {version:?}, not v2")]
    Version { version: String },
    #[error("it says that it is not well ({healthz:?})")]
    NotHealthy { healthz: String },
    #[error("it names no key")]
    NoKeyId,
    #[error("the id of its key has {length} bytes, which is more than 1024")]
    KeyIdTooLong { length: usize },
    #[error("the ciphertext is empty")]
    NoCiphertext,
    #[error("the ciphertext has {length} bytes, which is more than 1024")]
    CiphertextTooLong { length: usize },
    #[error("the secret is readable in it")]
    SecretReadable,
    #[error("the annotation {name:?} is not a domain name")]
    AnnotationNotADomain { name: String },
    #[error("the annotations have {length} bytes, which is more than 32768")]
    AnnotationsTooLong { length: usize },
    #[error("it encrypted with another key than it named in Status")]
    OtherKey,
    #[error("what it encrypted was something else")]
    OtherSecret,
}

/// The key that encrypts, if all is well.
pub(super) fn of_status(answer: StatusResponse) -> Result<String, WrongAnswer> {
    let StatusResponse { version, healthz, key_id } = answer;
    if !VERSIONS.contains(&version.as_str()) {
        return Err(WrongAnswer::Version { version: shortened(&version) });
    }
    if healthz != HEALTHY {
        return Err(WrongAnswer::NotHealthy { healthz: shortened(&healthz) });
    }
    of_key_id(key_id)
}

pub(super) fn of_encrypt(answer: EncryptResponse, secret: &[u8]) -> Result<Encrypted, WrongAnswer> {
    let EncryptResponse { ciphertext, key_id, annotations } = answer;
    let key_id = of_key_id(key_id)?;
    if ciphertext.is_empty() {
        return Err(WrongAnswer::NoCiphertext);
    }
    if ciphertext.len() > CIPHERTEXT_LIMIT {
        return Err(WrongAnswer::CiphertextTooLong { length: ciphertext.len() });
    }
    if let Some(name) = annotations.keys().find(|name| !is_domain_name(name)) {
        return Err(WrongAnswer::AnnotationNotADomain { name: shortened(name) });
    }
    let length = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if length > ANNOTATIONS_LIMIT {
        return Err(WrongAnswer::AnnotationsTooLong { length });
    }
    let has_secret = |bytes: &[u8]| bytes.windows(secret.len().max(1)).any(|part| part == secret);
    let parts = annotations.values().map(Vec::as_slice).chain([ciphertext.as_slice(), key_id.as_bytes()]);
    if parts.into_iter().any(has_secret) {
        return Err(WrongAnswer::SecretReadable);
    }
    Ok(Encrypted { key_id, ciphertext, annotations })
}

fn of_key_id(key_id: String) -> Result<String, WrongAnswer> {
    match key_id.len() {
        0 => Err(WrongAnswer::NoKeyId),
        length if length > KEY_ID_LIMIT => Err(WrongAnswer::KeyIdTooLong { length }),
        _ => Ok(key_id),
    }
}

/// A fully qualified domain name as Kubernetes has it: labels of RFC 1123, at least two, and a dot at the end does not count.
fn is_domain_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_label = |label: &str| {
        (1..=LABEL_LIMIT).contains(&label.len())
            && label.chars().all(|letter| is_inner(letter) || letter == '-')
            && label.starts_with(is_inner)
            && label.ends_with(is_inner)
    };
    name.len() <= DOMAIN_LIMIT && name.split('.').count() > 1 && name.split('.').all(is_label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &[u8] = &[7; 32];

    type Change<T> = fn(&mut T);

    fn status() -> StatusResponse {
        StatusResponse { version: "v2".into(), healthz: "ok".into(), key_id: "k".repeat(KEY_ID_LIMIT) }
    }

    /// At every limit.
    fn encrypt() -> EncryptResponse {
        let (name, value) = ("a.example.com", vec![1; ANNOTATIONS_LIMIT - 13]);
        EncryptResponse {
            ciphertext: vec![1; CIPHERTEXT_LIMIT],
            key_id: "k".repeat(KEY_ID_LIMIT),
            annotations: [(name.to_owned(), value)].into(),
        }
    }

    #[test]
    fn a_status_at_the_limits_is_well_and_beyond_them_it_is_not() {
        assert_eq!(of_status(status()), Ok("k".repeat(KEY_ID_LIMIT)));
        assert!(of_status(StatusResponse { version: "v2beta1".into(), ..status() }).is_ok());
        let table: &[(Change<StatusResponse>, WrongAnswer)] = &[
            (|it| it.version = "v1".into(), WrongAnswer::Version { version: "v1".into() }),
            (|it| it.version.clear(), WrongAnswer::Version { version: String::new() }),
            (
                |it| it.healthz = "down\n\u{1b}[1m".into(),
                WrongAnswer::NotHealthy { healthz: "down \u{fffd}[1m".into() },
            ),
            (|it| it.key_id.clear(), WrongAnswer::NoKeyId),
            (|it| it.key_id.push('k'), WrongAnswer::KeyIdTooLong { length: KEY_ID_LIMIT + 1 }),
        ];
        for (change, expected) in table {
            let mut answer = status();
            change(&mut answer);
            assert_eq!(of_status(answer).unwrap_err(), *expected);
        }
    }

    #[test]
    fn a_ciphertext_at_the_limits_is_taken_and_beyond_them_it_is_not() {
        assert_eq!(of_encrypt(encrypt(), SECRET).unwrap().ciphertext.len(), CIPHERTEXT_LIMIT);
        let table: &[(Change<EncryptResponse>, WrongAnswer)] = &[
            (|it| it.ciphertext.clear(), WrongAnswer::NoCiphertext),
            (|it| it.ciphertext.push(1), WrongAnswer::CiphertextTooLong { length: CIPHERTEXT_LIMIT + 1 }),
            (|it| it.key_id.clear(), WrongAnswer::NoKeyId),
            (|it| it.key_id.push('k'), WrongAnswer::KeyIdTooLong { length: KEY_ID_LIMIT + 1 }),
            (
                |it| drop(it.annotations.insert("a.b".into(), vec![])),
                WrongAnswer::AnnotationsTooLong { length: ANNOTATIONS_LIMIT + 3 },
            ),
            (
                |it| drop(it.annotations.insert("nodot".into(), vec![])),
                WrongAnswer::AnnotationNotADomain { name: "nodot".into() },
            ),
            (|it| it.ciphertext = SECRET.to_vec(), WrongAnswer::SecretReadable),
            (
                |it| it.annotations = [("a.example.com".into(), [&[1], SECRET, &[2]].concat())].into(),
                WrongAnswer::SecretReadable,
            ),
        ];
        for (change, expected) in table {
            let mut answer = encrypt();
            change(&mut answer);
            assert_eq!(of_encrypt(answer, SECRET).unwrap_err(), *expected);
        }
    }

    #[test]
    fn domain_names_are_those_of_kubernetes() {
        for name in ["a.b", "kms.example.com", "0.example.com.", "a-b.c"] {
            assert!(is_domain_name(name), "{name}");
        }
        let long = format!("{}.com", "a".repeat(LABEL_LIMIT + 1));
        for name in
            ["", ".", "a", "A.b", "a_b.c", "-a.b", "a-.b", "a..b", "a.b/c", "ä.b", &long, &"a.".repeat(130)]
        {
            assert!(!is_domain_name(name), "{name}");
        }
    }
}
