//! One try to connect: a short-lived Secret through which portal and operator speak.
//!
//! The portal carries, the operator knows: only the operator has the client secret and opens the PKCE verifier, so a code that
//! the portal brings is of no use to anybody else. Each step is a conditional write, so each is taken once, by whichever process
//! comes first.
//!
//! ```text
//! portal   Asked ──────────────┐            Sent ── Returned ─┐
//! operator                     └ Prepared ┘                   └ (exchanged) ── Ended
//! operator (device flow)         Waiting ──────────────────────────────────── Ended
//! ```
//!
//! [`secret`] has an attempt as a Secret, and back; pure.

pub mod secret;

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

use crate::opaque::Digest;

/// How long a try may take, from the first click to the last answer.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// How many tries one user may have open at once.
pub const OPEN_PER_USER: usize = 5;

const NAME_PREFIX: &str = "attempt-";

/// Name of the Secret of the try with this state: who has no state cannot find it.
pub fn attempt_name(state: &str) -> String {
    format!("{NAME_PREFIX}{}", Digest::of(state).short())
}

/// The redirect URI of a provider object, given the portal's address: one for each, so that an answer of one provider is never
/// taken for another's (RFC 9700 §4.4.2).
pub fn redirect_uri(portal: &Url, provider: &str) -> String {
    format!("{}/callback/{provider}", portal.as_str().trim_end_matches('/'))
}

/// The page of a connection in the portal.
pub fn connection_page(portal: &Url, namespace: &str, name: &str) -> String {
    format!("{}/connections/{namespace}/{name}", portal.as_str().trim_end_matches('/'))
}

/// One try to connect. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The Kubernetes user who tries, and finishes.
    pub user: String,
    /// The person behind that name, where the sign-in tells: see [`Digest::of_person`].
    pub person: Option<Digest>,
    /// What is to be connected.
    pub connection: ConnectionRef,
    /// Name of its `IntegrationProvider`: a callback must come to this one's redirect URI.
    pub provider: String,
    /// When it was made.
    pub started_at: Timestamp,
    /// After this it is worth nothing, and is swept.
    pub expires_at: Timestamp,
    /// How far it has come.
    pub step: Step,
}

/// A connection, and no other of the same name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConnectionRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// How far a try has come. What a step no longer needs is not in the next one.
#[derive(Clone, Debug)]
pub enum Step {
    /// Made by the portal. The operator builds the authorization request next.
    Asked {
        /// Who began: digest of the browser's session. Only that session may finish.
        session: Digest,
        /// Goes into the request (RFC 6749 §4.1.1); erased with the next step.
        state: SecretString,
    },
    /// The address to send the browser to. The portal takes it once.
    Prepared {
        /// Who began.
        session: Digest,
        /// The authorization request.
        address: SecretString,
        /// For the operator alone: the PKCE verifier and what the grant will be bound to.
        sealed: ByteString,
    },
    /// The browser is at the provider.
    Sent {
        /// Who began.
        session: Digest,
        /// For the operator alone.
        sealed: ByteString,
    },
    /// The browser came back, to the one who began. The operator exchanges the code next, once.
    Returned {
        /// What the provider sent along.
        answer: Answer,
        /// For the operator alone.
        sealed: ByteString,
    },
    /// Device flow: the operator asks the provider from time to time (RFC 8628 §3.4).
    Waiting {
        /// Shown to the owner.
        code: DeviceCode,
        /// Not before this.
        next_poll: Timestamp,
        /// Least time between two polls, in seconds; grows when the provider says `slow_down`.
        interval: u32,
        /// For the operator alone: the device code and what the grant will be bound to.
        sealed: ByteString,
    },
    /// The operator took the code; nobody can take it again.
    Exchanging,
    /// It is over. Kept until it expires, so that a page can say how it went.
    Ended(Ending),
}

/// What the browser brought back from the provider.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Consent.
    Code {
        /// The authorization code.
        code: SecretString,
        /// Who says so (RFC 9207).
        issuer: Option<String>,
    },
    /// None.
    Error {
        /// RFC 6749 §4.1.2.1. Hostile text, cut to a bounded length.
        error: String,
        /// For people. Hostile text, cut to a bounded length.
        description: Option<String>,
        /// Who says so (RFC 9207).
        issuer: Option<String>,
    },
}

/// What the owner types at the provider (RFC 8628 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCode {
    /// The code for people.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// The same page with the code filled in.
    pub verification_uri_complete: Option<String>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// What came of it.
    pub result: EndResult,
    /// A constant of [`crate::reason`].
    pub reason: String,
    /// What happened, what to do, who has to do it.
    pub message: String,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndResult {
    /// A grant that is in use now.
    Connected,
    /// A grant that is on record, and not judged yet: the connection's status tells of it from here on.
    Kept,
    /// Nothing.
    Failed,
}

impl Ending {
    /// The end of a try that came to nothing.
    pub fn failed(reason: &str, message: String) -> Self {
        Self { result: EndResult::Failed, reason: reason.to_owned(), message }
    }

    /// Whether a grant came of it that is in use now.
    pub fn is_connected(&self) -> bool {
        self.result == EndResult::Connected
    }
}

impl Attempt {
    /// Whether its time is over.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whether somebody still has something to do.
    pub fn is_open_at(&self, now: Timestamp) -> bool {
        !self.is_expired_at(now) && !matches!(self.step, Step::Ended(_))
    }

    /// The session that began it, while that still matters.
    pub fn session(&self) -> Option<&Digest> {
        match &self.step {
            Step::Asked { session, .. } | Step::Prepared { session, .. } | Step::Sent { session, .. } => {
                Some(session)
            }
            Step::Returned { .. } | Step::Waiting { .. } | Step::Exchanging | Step::Ended(_) => None,
        }
    }

    /// The next step; what this one held and the next does not is gone with it.
    #[must_use]
    pub fn with(self, step: Step) -> Self {
        Self { step, ..self }
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
