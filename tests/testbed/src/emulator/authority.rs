//! A certificate authority of the emulator's own.

use std::ops::RangeInclusive;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::random;

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of a name that no other has, or certificates of two would seem to be of one.
        let name = random::hex(4).unwrap_or_default();
        params.distinguished_name.push(DnType::CommonName, format!("emulator {name}"));
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Itself, as what a verifier trusts.
    pub fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        Ok(roots)
    }

    /// The certificate of a host, and its key.
    pub fn host(
        &self,
        host: &str,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Box<dyn std::error::Error + Send + Sync>>
    {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der())?))
    }

    /// The certificate of a client and its key, in PEM, valid from the first day of the first year to that of the last.
    pub fn client(&self, years: RangeInclusive<i32>) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["client.example.com".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(*years.start(), 1, 1);
        params.not_after = rcgen::date_time_ymd(*years.end(), 1, 1);
        Ok((params.signed_by(&key, &self.0)?.pem(), key.serialize_pem()))
    }
}
