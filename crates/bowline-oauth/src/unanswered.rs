//! Requests without a complete answer: why, and whether they may have had an effect all the same.

use std::time::Duration;

use http::StatusCode;
use rustls::AlertDescription;

use super::guard::{AddressRefused, DnsError};

/// Whether a failed request may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No byte of the request was sent: the token was certainly not spent.
    NotSent,
    /// Bytes may have reached the provider and its answer is missing or unreadable: the token may be spent.
    MaybeSent,
    /// The provider answered, and the answer says that it did nothing.
    Refused,
}

/// A request without a complete answer. Messages name the host, never the path or query.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Refused(#[from] AddressRefused),
    #[error("the address is not a URL")]
    BadUrl,
    #[error("{host} was not found")]
    NotFound { host: String },
    /// The connection stood, but [`MaySend`](super::http::MaySend) said no before the body was sent.
    #[error("this replica of the operator does not lead now")]
    NotLeading,
    /// No connection, or no TLS session, within the limit for that.
    #[error("no connection to {host} (a NetworkPolicy, a firewall or TLS)")]
    Connect { host: String, source: reqwest::Error },
    /// The server ended the TLS session because of the client certificate, before it read the request (RFC 8446 §6.2).
    #[error("{host} does not accept our TLS client certificate ({alert})")]
    CertificateRefused { host: String, alert: &'static str },
    /// The same because there was none.
    #[error("{host} requires a TLS client certificate: put tls.crt and tls.key into the app Secret")]
    CertificateRequired { host: String },
    /// No TLS client can be made with the certificate.
    #[error("the TLS client certificate cannot be used")]
    UnusableCertificate(#[source] reqwest::Error),
    /// No complete answer within the limit for all of it; with the `status`, if at least that was received.
    #[error("{host} did not answer within {}s", .after.as_secs_f32())]
    Deadline { host: String, after: Duration, status: Option<StatusCode> },
    #[error("{host} closed the connection without an answer")]
    Broken { host: String, source: reqwest::Error },
    /// The connection broke while the body was read.
    #[error("the answer of {host} broke off")]
    Truncated { host: String, status: StatusCode, source: reqwest::Error },
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge { host: String, status: StatusCode, limit: usize },
}

impl SendError {
    /// Whether bytes of the request may have reached the provider.
    pub(crate) fn sent(&self) -> Sent {
        match self {
            Self::Refused(_)
            | Self::BadUrl
            | Self::NotFound { .. }
            | Self::NotLeading
            | Self::UnusableCertificate(_)
            | Self::Connect { .. } => Sent::NotSent,
            Self::CertificateRefused { .. } | Self::CertificateRequired { .. } => Sent::Refused,
            Self::Deadline { .. } | Self::Broken { .. } | Self::Truncated { .. } | Self::TooLarge { .. } => {
                Sent::MaybeSent
            }
        }
    }

    /// The status, if one was received.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Truncated { status, .. } | Self::TooLarge { status, .. } => Some(*status),
            Self::Deadline { status, .. } => *status,
            _ => None,
        }
    }
}

/// Why a body was not written.
#[derive(Debug, thiserror::Error)]
#[error("this process may not act any more")]
pub(crate) struct Halted;

/// Classifies the cases without an answer. `is_connect` covers lookup, TCP, TLS and the connect timeout: in `reqwest` all of
/// them happen in the connector, before the request is written.
pub(crate) fn failed(error: reqwest::Error, host: &str) -> SendError {
    let host = host.to_owned();
    match cause::<DnsError>(&error) {
        Some(DnsError::Refused(refused)) => return SendError::Refused(refused.clone()),
        Some(DnsError::Failed(_)) => return SendError::NotFound { host },
        None => {}
    }
    if let Some(alert) = certificate_alert(&error) {
        match alert {
            AlertDescription::CertificateRequired => SendError::CertificateRequired { host },
            alert => SendError::CertificateRefused { host, alert: alert.as_str().unwrap_or("unknown alert") },
        }
    } else if cause::<Halted>(&error).is_some() {
        SendError::NotLeading
    } else if error.is_builder() {
        SendError::BadUrl
    } else if error.is_connect() {
        SendError::Connect { host, source: error }
    } else {
        SendError::Broken { host, source: error }
    }
}

/// The alert by which a server refuses a client certificate, or that there is none. With TLS 1.3 it comes after our side of the
/// handshake, when the request may be on its way; no server reads that before it has accepted the certificate.
fn certificate_alert(error: &reqwest::Error) -> Option<AlertDescription> {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, DecryptError, UnknownCA, UnsupportedCertificate,
    };
    let tls = cause::<std::io::Error>(error)?.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = tls else { return None };
    let is_about_it = matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | DecryptError
            | UnknownCA
            | UnsupportedCertificate
    );
    is_about_it.then_some(*alert)
}

fn cause<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |error| error.source()).find_map(|error| error.downcast_ref())
}
