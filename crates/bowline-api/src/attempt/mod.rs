//! An attempt: a short-lived Secret through which portal and operator connect an account together.
//!
//! Only the operator has the client secret and opens the PKCE verifier, so nobody else can use a code that the portal passes
//! on. Each step is a conditional write, so only the first process that takes it succeeds.
//!
//! ```text
//! portal   Asked ──────────────┐            Sent ── Returned ─┐
//! operator                     └ Prepared ┘                   └ (exchanged) ── Ended
//! operator (device flow)         Waiting ──────────────────────────────────── Ended
//! portal (issued keys)           Ordered ──────────────────────────────────── Ended (by the operator)
//! portal (keys, passwords)       Provided ─────────────────────────────────── Ended (by the operator)
//! ```

pub mod secret;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use url::Url;

use crate::issued_key::KeyOrder;
use crate::opaque::Digest;
use crate::open::Open;
use crate::reason::Reason;

/// How long an attempt may take, from the first click to the last answer.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// How many attempts one user may have open at once.
pub const OPEN_PER_USER: usize = 5;

/// Name of the Secret of the attempt with this state: nobody can find it without the state.
pub fn attempt_name(state: &str) -> String {
    format!("attempt-{}", Digest::of(state).short())
}

/// The redirect URI of a provider object, given the portal's address: one for each, so that an answer of one provider is
/// never taken for another's (RFC 9700 §4.4.2).
pub fn redirect_uri(portal: &Url, provider: &str) -> String {
    format!("{}/callback/{provider}", portal.as_str().trim_end_matches('/'))
}

pub fn connection_page(portal: &Url, namespace: &str, name: &str) -> String {
    format!("{}/connections/{namespace}/{name}", portal.as_str().trim_end_matches('/'))
}

/// One attempt. `Debug` shows no secret.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt<S = Step> {
    /// The Kubernetes user who begins, and finishes.
    pub user: String,
    /// The person behind that name, if the sign-in identifies them: see [`Digest::of_person`].
    pub person: Option<Digest>,
    pub connection: ConnectionRef,
    /// Device flow: the value of `bowline.dev/authorize-requested-at` that requested it.
    pub request: Option<String>,
    /// The digest of the terms that the page showed before ([`crate::terms::ConnectionTerms::digest`]); absent where none was shown.
    pub terms: Option<String>,
    /// Name of its `IntegrationProvider`: a callback must come to this one's redirect URI.
    pub provider: String,
    pub started_at: Timestamp,
    /// After this it is invalid, and is deleted.
    pub expires_at: Timestamp,
    pub step: S,
}

/// A connection, and no other of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// The step of an attempt. What a step no longer needs is not in the next one.
///
/// `session` is the digest of the browser session that began: only that session may finish. `sealed` is for the operator alone:
/// the PKCE verifier or device code, and what the grant will be bound to.
#[derive(Clone, Debug)]
pub enum Step {
    /// Created by the portal. The operator builds the authorization request next.
    Asked {
        session: Digest,
        /// Part of the request (RFC 6749 §4.1.1); erased with the next step.
        state: SecretString,
    },
    /// The authorization request to which the portal redirects the browser, once.
    Prepared { session: Digest, address: SecretString, sealed: ByteString },
    /// The browser is at the provider.
    Sent { session: Digest, sealed: ByteString },
    /// The browser came back, in the session that began. The operator exchanges the code next, once.
    Returned { answer: AuthorizationResponse, sealed: ByteString },
    /// Device flow: the operator polls the provider (RFC 8628 §3.4).
    Waiting {
        /// Shown to the owner.
        code: DeviceCode,
        /// Not before this time.
        next_poll: Timestamp,
        /// Minimum time between two polls, in seconds; grows when the provider says `slow_down`.
        interval: u32,
        sealed: ByteString,
    },
    /// Created by the portal: an order about the keys that are issued for the connection. The operator carries it out next.
    Ordered { order: KeyOrder },
    /// Created by the portal: a key, or a user name and password, under the names that an intake Secret has them. The operator
    /// puts it on record next, which erases it here.
    Provided { values: BTreeMap<String, SecretString> },
    /// The operator took the code; no other process can take it.
    Exchanging,
    /// It is over. Kept until it expires, so that a page can show the result.
    Ended(AttemptEnding),
}

/// The authorization response from the browser (RFC 6749 §4.1.2), with its issuer (RFC 9207).
///
/// `error` and `description` are hostile text, cut to a bounded length. `parameters` are those that the provider object reads
/// besides the standard's, as they came.
#[derive(Clone, Debug)]
pub enum AuthorizationResponse {
    Code { code: SecretString, issuer: Option<String>, parameters: BTreeMap<String, String> },
    Error { error: String, description: Option<String>, issuer: Option<String> },
}

/// What the owner types at the provider (RFC 8628 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCode {
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// The same page with the code filled in.
    pub verification_uri_complete: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEnding {
    pub result: EndResult,
    pub reason: Open<Reason>,
    /// What happened, what to do, who has to do it.
    pub message: String,
}

/// The result of an attempt that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndResult {
    /// Its grant is in use.
    Connected,
    /// Its grant is on record, and not judged yet: from here on the connection's status reports it.
    Kept,
    /// It has no usable grant.
    Failed,
}

impl AttemptEnding {
    pub fn failed(reason: Reason, message: String) -> Self {
        Self { result: EndResult::Failed, reason: reason.into(), message }
    }

    pub fn is_connected(&self) -> bool {
        self.result == EndResult::Connected
    }
}

impl Attempt {
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whether somebody still has something to do.
    pub fn is_open_at(&self, now: Timestamp) -> bool {
        !self.is_expired_at(now) && !matches!(self.step, Step::Ended(_))
    }

    /// The session that began it, while that is still needed.
    pub fn session(&self) -> Option<&Digest> {
        match &self.step {
            Step::Asked { session, .. } | Step::Prepared { session, .. } | Step::Sent { session, .. } => {
                Some(session)
            }
            Step::Returned { .. }
            | Step::Waiting { .. }
            | Step::Ordered { .. }
            | Step::Provided { .. }
            | Step::Exchanging
            | Step::Ended(_) => None,
        }
    }
}

impl<S> Attempt<S> {
    /// The attempt at another step; what this step contained and the next does not is gone.
    #[must_use]
    pub fn with<T>(self, step: T) -> Attempt<T> {
        let Self { user, person, connection, request, terms, provider, started_at, expires_at, step: _ } =
            self;
        Attempt { user, person, connection, request, terms, provider, started_at, expires_at, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_digest_and_not_the_state() {
        let name = attempt_name("abc");
        assert_eq!(name, "attempt-ba7816bf8f01cfea414140de5dae2223b00361a3");
        assert!(!name.contains("abc"));
    }
}
