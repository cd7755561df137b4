//! The certificate with which a client proves itself in TLS (RFC 8705), and its private key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use k8s_openapi::jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use webpki::{EndEntityCert, Error as WebPkiError, KeyUsage};

use super::pem::{self, PemFlaw};

/// Key of the certificate in an app Secret, the client's own first and then those that issued it, as in `kubernetes.io/tls`.
pub const CERTIFICATE: &str = "tls.crt";
/// Key of its private key.
pub const CERTIFICATE_KEY: &str = "tls.key";

/// A certificate with its chain and its private key. Cloning shares it, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Pair>);

struct Pair {
    /// The chain and the key.
    pem: SecretString,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// A certificate and key that cannot be used. Names the keys of the app Secret, and repeats nothing of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFlaw {
    #[error("{CERTIFICATE} is there and {CERTIFICATE_KEY} is not: one is of no use without the other")]
    NoKey,
    #[error("{CERTIFICATE_KEY} is there and {CERTIFICATE} is not: one is of no use without the other")]
    NoCertificate,
    #[error("{CERTIFICATE} holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")]
    NotPem,
    #[error("{CERTIFICATE} holds a private key, which belongs into {CERTIFICATE_KEY} alone")]
    KeyInCertificate,
    #[error("{CERTIFICATE} holds a certificate that cannot be read as X.509 version 3")]
    Unreadable,
    #[error(
        "{CERTIFICATE} holds several chains: after the client's own certificate, each must be that of the issuer of the one before it"
    )]
    SeveralChains,
    #[error(
        "{CERTIFICATE_KEY}: {0}. A private key in PEM is accepted (PKCS #8, PKCS #1 or SEC 1): RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519"
    )]
    Key(PemFlaw),
    #[error("{CERTIFICATE_KEY} is not the key of the certificate in {CERTIFICATE}")]
    OtherKey,
    #[error("the certificate in {CERTIFICATE} is not valid before {0}")]
    NotYetValid(Timestamp),
    #[error("the certificate in {CERTIFICATE} expired at {0}")]
    Expired(Timestamp),
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.pem.expose_secret() == other.0.pem.expose_secret()
    }
}

impl ClientCertificate {
    /// A chain and a key in PEM that fit each other. Whether they are valid now is checked when they are used.
    pub fn read(certificate: &str, key: &str) -> Result<Self, CertificateFlaw> {
        let chain = chain(certificate)?;
        let der = pem::private_key(key).map_err(CertificateFlaw::Key)?;
        let unusable = CertificateFlaw::Key(pem::unusable(&der));
        CertifiedKey::from_der(chain.clone(), der, &rustls::crypto::ring::default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => CertificateFlaw::OtherKey,
                _ => unusable,
            },
        )?;
        let periods = chain.iter().map(validity).collect::<Result<Vec<_>, _>>()?;
        let not_before = periods.iter().map(|(first, _)| *first).max();
        let not_after = periods.iter().map(|(_, last)| *last).min();
        let (not_before, not_after) = not_before.zip(not_after).ok_or(CertificateFlaw::NotPem)?;
        let pem = format!("{certificate}\n{key}\n").into();
        Ok(Self(Arc::new(Pair { pem, not_before, not_after })))
    }

    /// The end of its validity, or of the first certificate in its chain that ends.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// Whether it is valid now.
    pub fn check(&self, now: Timestamp) -> Result<(), CertificateFlaw> {
        let Pair { not_before, not_after, .. } = &*self.0;
        if now < *not_before {
            return Err(CertificateFlaw::NotYetValid(*not_before));
        }
        if now > *not_after { Err(CertificateFlaw::Expired(*not_after)) } else { Ok(()) }
    }

    /// Has the connection of a request present it, if the server asks for one.
    pub(crate) fn present(&self, request: &mut Extensions, now: Timestamp) -> Result<(), CertificateFlaw> {
        self.check(now)?;
        request.insert(self.clone());
        Ok(())
    }

    /// The certificate that a request presents.
    pub(crate) fn of(request: &Extensions) -> Option<&Self> {
        request.get()
    }

    /// As a TLS client takes it.
    pub(crate) fn identity(&self) -> reqwest::Result<reqwest::Identity> {
        reqwest::Identity::from_pem(self.0.pem.expose_secret().as_bytes())
    }
}

/// The certificates in a text, each of the issuer of the one before it.
fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateFlaw> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(CertificateFlaw::KeyInCertificate);
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(CertificateFlaw::NotPem)?;
    let read = chain.iter().map(EndEntityCert::try_from).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| CertificateFlaw::Unreadable)?;
    let goes_on = |pair: &[EndEntityCert<'_>]| match pair {
        [one, issuer] => one.issuer() == issuer.subject(),
        _ => true,
    };
    if read.windows(2).all(goes_on) { Ok(chain) } else { Err(CertificateFlaw::SeveralChains) }
}

/// First and last second in which a certificate is valid.
fn validity(der: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), CertificateFlaw> {
    let certificate = EndEntityCert::try_from(der).map_err(|_| CertificateFlaw::Unreadable)?;
    // webpki tells the period in its refusal at another time, which comes before it looks for an issuer.
    let refusal = |second| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(second));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::client_auth(), None, None).err()
    };
    let not_before = match refusal(0) {
        Some(WebPkiError::CertNotValidYet { not_before, .. }) => timestamp(not_before)?,
        _ => Timestamp::UNIX_EPOCH,
    };
    match refusal(u64::MAX) {
        Some(WebPkiError::CertExpired { not_after, .. }) => Ok((not_before, timestamp(not_after)?)),
        _ => Err(CertificateFlaw::Unreadable),
    }
}

fn timestamp(time: UnixTime) -> Result<Timestamp, CertificateFlaw> {
    let second = i64::try_from(time.as_secs()).map_err(|_| CertificateFlaw::Unreadable)?;
    Timestamp::from_second(second).map_err(|_| CertificateFlaw::Unreadable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    };

    use super::*;

    /// An authority, and what it issues.
    pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

    fn named(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    impl Authority {
        pub(crate) fn new(name: &str) -> Self {
            let mut params = named(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        pub(crate) fn pem(&self) -> String {
            self.0.pem()
        }

        /// Certificate and key in PEM, valid in these years.
        pub(crate) fn issues(&self, client: &str, first: i32, last: i32) -> (String, String) {
            let (mut params, key) = (named(client), KeyPair::generate().unwrap());
            params.not_before = rcgen::date_time_ymd(first, 1, 1);
            params.not_after = rcgen::date_time_ymd(last, 1, 1);
            (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
        }

        pub(crate) fn certificate(&self, client: &str) -> ClientCertificate {
            let (certificate, key) = self.issues(client, 2020, 2060);
            ClientCertificate::read(&certificate, &key).unwrap()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_certificate_with_its_key_is_valid_between_its_dates() {
        let authority = Authority::new("authority");
        let (certificate, key) = authority.issues("bowline", 2026, 2028);
        for chain in [certificate.clone(), certificate.clone() + &authority.pem()] {
            let read = ClientCertificate::read(&chain, &key).unwrap();
            assert_eq!(read.not_after(), at("2028-01-01T00:00:00Z"));
            assert_eq!(read.check(at("2027-06-01T00:00:00Z")), Ok(()));
            let early = read.check(at("2025-12-31T23:59:59Z")).unwrap_err().to_string();
            assert_eq!(early, "the certificate in tls.crt is not valid before 2026-01-01T00:00:00Z");
            let late = read.check(at("2028-01-01T00:00:01Z")).unwrap_err().to_string();
            assert_eq!(late, "the certificate in tls.crt expired at 2028-01-01T00:00:00Z");
            assert_eq!(format!("{read:?}"), "ClientCertificate");
            assert!(read.identity().is_ok());
        }
    }

    #[test]
    fn a_pair_that_cannot_be_used_is_refused_by_name() {
        let (one, other) = (Authority::new("one"), Authority::new("other"));
        let (certificate, key) = one.issues("bowline", 2026, 2028);
        let (foreign, foreign_key) = other.issues("bowline", 2026, 2028);
        let rows = [
            (certificate.clone(), foreign_key, CertificateFlaw::OtherKey),
            (certificate.clone(), "key".to_owned(), CertificateFlaw::Key(PemFlaw::NotPem)),
            (certificate.clone(), certificate.clone(), CertificateFlaw::Key(PemFlaw::Other("a certificate"))),
            (key.clone(), key.clone(), CertificateFlaw::KeyInCertificate),
            (certificate.clone() + &key, key.clone(), CertificateFlaw::KeyInCertificate),
            ("certificate".to_owned(), key.clone(), CertificateFlaw::NotPem),
            (certificate.clone() + &foreign, key.clone(), CertificateFlaw::SeveralChains),
            (certificate.clone() + &other.pem(), key.clone(), CertificateFlaw::SeveralChains),
            (certificate.clone() + &certificate, key.clone(), CertificateFlaw::SeveralChains),
            (
                "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n".to_owned(),
                key.clone(),
                CertificateFlaw::Unreadable,
            ),
        ];
        for (certificate, key, want) in rows {
            let flaw = ClientCertificate::read(&certificate, &key).unwrap_err();
            assert_eq!(flaw, want);
            assert!(!flaw.to_string().contains("canary"));
        }
    }
}
