//! What the operator keeps for itself between the steps of an attempt, sealed beside what the portal may read.

use bowline_oauth::app::App;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::grant::refusal::ConsentError;
use crate::grant::work::Job;
use crate::vault::seal::{Place, SealPurpose};
use crate::vault::{Binding, Sealer};

/// Attempts have no revisions: each is made once.
const REVISION: i64 = 0;

/// What an attempt is pledged to. The answer is taken only if all of it still holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pledge {
    /// Name of the attempt's Secret: one attempt's pledge is no other's.
    pub(crate) attempt: String,
    /// The PKCE verifier (RFC 7636 §4.1) or the device code (RFC 8628 §3.2).
    #[serde(serialize_with = "exposed")]
    pub(crate) secret: SecretString,
    /// The redirect URI of the request; empty for device flow.
    pub(crate) redirect_uri: String,
    /// Scopes that were asked for.
    pub(crate) scopes: Vec<String>,
    /// Whom and what the grant will be bound to.
    pub(crate) bound_to: Binding,
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Pledge {
    /// Seals it for one connection.
    pub(super) fn seal(&self, sealer: &Sealer, place: &Place) -> Result<ByteString, ConsentError> {
        let text = Zeroizing::new(serde_json::to_vec(self).map_err(|_| ConsentError::Unreadable)?);
        let bytes = sealer.seal(place, SealPurpose::Attempt, REVISION, &text);
        bytes.map(ByteString).map_err(|_| ConsentError::Unreadable)
    }

    /// Opens the pledge of this attempt on this connection, and of no other.
    pub(super) fn open(
        sealer: &Sealer,
        place: &Place,
        attempt: &str,
        bytes: &ByteString,
    ) -> Result<Self, ConsentError> {
        let text = sealer.open(place, SealPurpose::Attempt, REVISION, &bytes.0);
        let text = text.map_err(|_| ConsentError::Unreadable)?;
        let pledge: Self = serde_json::from_slice(&text).map_err(|_| ConsentError::Unreadable)?;
        if pledge.attempt == attempt { Ok(pledge) } else { Err(ConsentError::Unreadable) }
    }

    /// Whether owner, authority and client are what they were when the person was asked.
    pub(super) fn holds_for(&self, job: &Job, app: &App) -> bool {
        self.bound_to.fits(&job.terms(Some(app))).is_ok()
    }
}
