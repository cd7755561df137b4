//! Private keys in PEM (RFC 7468), and names for what was found instead of one.

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::alg_id::{ECDSA_P256, ECDSA_P384, ECDSA_P521, ED448, RSA_ENCRYPTION};
use rustls_pki_types::pem::PemObject;

/// What a text has that is not a private key to use. Names the kind of what was found, and repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemFlaw {
    #[error("it is not PEM, which has a line that begins with -----BEGIN")]
    NotPem,
    #[error("it is encrypted: write it again without a passphrase, for example with openssl pkey")]
    Encrypted,
    #[error("it holds {0} and no private key")]
    Other(&'static str),
    #[error("it holds more than one private key")]
    Several,
    #[error("its PEM is damaged")]
    Damaged,
    #[error("it holds {0}")]
    Unusable(&'static str),
}

/// PEM labels that stand for something else than a private key without a passphrase.
const OTHER_LABELS: [(&str, PemFlaw); 8] = [
    ("ENCRYPTED PRIVATE KEY", PemFlaw::Encrypted),
    ("OPENSSH PRIVATE KEY", PemFlaw::Other("a key in the format of OpenSSH")),
    ("DSA PRIVATE KEY", PemFlaw::Other("a DSA key")),
    ("CERTIFICATE", PemFlaw::Other("a certificate")),
    ("CERTIFICATE REQUEST", PemFlaw::Other("a certificate request")),
    ("PUBLIC KEY", PemFlaw::Other("a public key")),
    ("RSA PUBLIC KEY", PemFlaw::Other("a public key")),
    ("EC PARAMETERS", PemFlaw::Other("parameters of an elliptic curve")),
];

/// The one private key in a text: PKCS #8 (`PRIVATE KEY`), PKCS #1 (`RSA PRIVATE KEY`) or SEC 1 (`EC PRIVATE KEY`). What else
/// the text has, such as the curve's parameters that OpenSSL writes before a key, is skipped.
pub(crate) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, PemFlaw> {
    // Header fields of this kind are all that a legacy PEM says of its encryption (RFC 1421 §4.6.1.1).
    if pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemFlaw::Encrypted);
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem.as_bytes());
    match (keys.next(), keys.next()) {
        (Some(Ok(key)), None) => Ok(key),
        (Some(Ok(_)), Some(_)) => Err(PemFlaw::Several),
        (Some(Err(_)), _) => Err(PemFlaw::Damaged),
        (None, _) => Err(instead_of_a_key(pem)),
    }
}

fn instead_of_a_key(pem: &str) -> PemFlaw {
    let begins = |label: &str| pem.contains(&format!("-----BEGIN {label}-----"));
    let known = OTHER_LABELS.iter().find(|(label, _)| begins(label)).map(|(_, flaw)| *flaw);
    known.unwrap_or(if pem.contains("-----BEGIN ") { PemFlaw::Damaged } else { PemFlaw::NotPem })
}

/// What to say of a key that nothing could be done with.
pub(crate) fn unusable(key: &PrivateKeyDer<'_>) -> PemFlaw {
    // The algorithm's identifier stands in the key as it is.
    let names = |algorithm: &[u8]| key.secret_der().windows(algorithm.len()).any(|part| part == algorithm);
    let is_sec1 = matches!(key, PrivateKeyDer::Sec1(_));
    PemFlaw::Unusable(match key {
        PrivateKeyDer::Pkcs1(_) => "an RSA key of another size, or a damaged one",
        _ if names(&RSA_ENCRYPTION) => "an RSA key of another size, or a damaged one",
        _ if names(curve(&ECDSA_P256)) || names(curve(&ECDSA_P384)) => {
            "an elliptic curve key without its public part, or a damaged one: openssl pkey writes it whole"
        }
        _ if names(curve(&ECDSA_P521)) => "a key on the elliptic curve P-521",
        _ if names(&ED448) => "an Ed448 key",
        _ if is_sec1 => "a key on another elliptic curve, or one that does not name it",
        _ => "a key of another algorithm",
    })
}

/// The curve in the identifier of a key on an elliptic curve, which begins with nine bytes that are the same for all (RFC 5480
/// §2.1).
fn curve(algorithm: &[u8]) -> &[u8] {
    algorithm.get(9..).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_private_key_is_named_and_not_repeated() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nY2FuYXJ5\n-----END {label}-----\n");
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nY2FuYXJ5\n-----END RSA PRIVATE KEY-----";
        let rows = [
            ("canary", PemFlaw::NotPem),
            ("", PemFlaw::NotPem),
            (&block("ENCRYPTED PRIVATE KEY"), PemFlaw::Encrypted),
            (legacy, PemFlaw::Encrypted),
            (&block("CERTIFICATE"), PemFlaw::Other("a certificate")),
            (&block("PUBLIC KEY"), PemFlaw::Other("a public key")),
            (&block("OPENSSH PRIVATE KEY"), PemFlaw::Other("a key in the format of OpenSSH")),
            (&block("PRIVATE KEY").repeat(2), PemFlaw::Several),
            ("-----BEGIN PRIVATE KEY-----\nY2FuYXJ5", PemFlaw::Damaged),
            (&block("SOMETHING"), PemFlaw::Damaged),
        ];
        for (text, want) in rows {
            assert_eq!(private_key(text).unwrap_err(), want, "{text}");
            assert!(!want.to_string().contains("canary"));
        }
        assert!(private_key(&(block("EC PARAMETERS") + &block("EC PRIVATE KEY"))).is_ok());
    }
}
