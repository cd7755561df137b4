//! The terms of a consent: who may consent, for which app, and what the operator stores about that until the answer arrives.

use std::sync::Arc;

use bowline_api::connection::Method;
use bowline_api::owner::SubjectKind;
use bowline_api::terms::ConnectionTerms;
use bowline_oauth::app::App;
use bowline_oauth::classify::Failure;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::grant::Engine;
use crate::grant::outcome::Outcome;
use crate::grant::records::Records;
use crate::grant::refusal::ConsentError;
use crate::grant::work::{AgreeingTerms, Job};
use crate::vault::seal::{Place, SealPurpose};
use crate::vault::{Binding, Grant, Sealer};

/// Attempts have no revisions: each is created once.
const REVISION: i64 = 0;

/// The terms of an attempt, sealed beside what the portal may read. The answer is accepted only if all of them still hold.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pledge {
    /// Name of the attempt's Secret: the terms of one attempt do not count for another.
    pub(crate) attempt: String,
    /// The PKCE verifier (RFC 7636 §4.1) or the device code (RFC 8628 §3.2).
    #[serde(serialize_with = "exposed")]
    pub(crate) secret: SecretString,
    /// Whether the request carried the challenge of that verifier. An attempt that was kept before this was noted did, as nearly
    /// all do.
    #[serde(default = "sent")]
    pub(crate) sent_challenge: bool,
    /// The redirect URI of the request; empty for device flow.
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Vec<String>,
    /// What the grant will be sealed with; `None` of an attempt that was kept before this was noted.
    #[serde(default)]
    pub(crate) agreed: Option<ConnectionTerms>,
    pub(crate) bound_to: Binding,
}

const fn sent() -> bool {
    true
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Pledge {
    pub(super) fn seal(&self, sealer: &Sealer, place: &Place) -> Result<ByteString, ConsentError> {
        let text = Zeroizing::new(serde_json::to_vec(self).map_err(|_| ConsentError::Unreadable)?);
        let bytes = sealer.seal(place, SealPurpose::Attempt, REVISION, &text);
        bytes.map(ByteString).map_err(|_| ConsentError::Unreadable)
    }

    /// Opens the terms of this attempt on this connection, and of no other, before the attempt expires.
    pub(super) fn open(
        engine: &Engine,
        job: &Job,
        kept: &StoredAttempt,
        sealed: &ByteString,
    ) -> Result<Self, ConsentError> {
        let Records { sealer, clock, .. } = &engine.records;
        if kept.attempt.is_expired_at(clock.now()) {
            return Err(ConsentError::TooLate);
        }
        let text = sealer.open(&job.place, SealPurpose::Attempt, REVISION, &sealed.0);
        let pledge: Option<Self> = text.ok().and_then(|text| serde_json::from_slice(&text).ok());
        pledge.filter(|pledge| pledge.attempt == kept.name).ok_or(ConsentError::Unreadable)
    }
}

/// What a consent in a browser agrees to, with its scopes. The owner agrees to what the page showed, or nothing is asked; whoever
/// else renews the grant agrees to nothing new.
pub(super) fn agreed<'a>(
    job: &'a Job,
    kept: &StoredAttempt,
) -> Result<(ConnectionTerms, &'a [String]), ConsentError> {
    let AgreeingTerms { proposed, scopes, unseen } = &job.agreeing;
    match kept.attempt.terms.as_ref().filter(|_| is_owners(job, kept)) {
        Some(shown) if *shown == proposed.digest() => Ok((proposed.clone().as_shown(), scopes)),
        Some(_) => Err(ConsentError::TermsChanged),
        None => Ok((unseen.clone(), &job.scopes)),
    }
}

/// The app for which a person is asked to consent.
pub(super) async fn app(engine: &Engine, job: &Job) -> Result<Arc<App>, Outcome> {
    engine.secrets.app(job).await?.ok_or_else(|| not_offered(job).into())
}

/// The app for which the person was asked, if owner, authority and client are still the same.
pub(super) async fn pledged_app(engine: &Engine, job: &Job, pledge: &Pledge) -> Result<Arc<App>, Outcome> {
    let app = engine.secrets.app(job).await?;
    let holds = |app: &Arc<App>| pledge.bound_to.fits(&job.terms(Some(app))).is_ok();
    app.filter(holds).ok_or_else(|| ConsentError::TermsMoved.into())
}

/// The result of a failed request for the attempt; what it says about the provider is noted.
pub(super) fn declined(engine: &Engine, job: &Job, failure: Failure) -> ConsentError {
    let failure = engine.gate.failed(job, failure, None);
    ConsentError::of(failure.class, failure.summary, job.target.whom_to_ask())
}

/// Whether a person may consent in this way: the provider offers it, and the owner is no `ServiceAccount`.
pub(super) fn offers(job: &Job, method: Method) -> bool {
    job.target.methods().contains(&method) && SubjectKind::of(&job.owner) == Some(SubjectKind::User)
}

pub(super) fn not_offered(job: &Job) -> ConsentError {
    ConsentError::NotOffered { whom_to_ask: job.target.whom_to_ask() }
}

/// The first consent must be the owner's, and so must the first under a new owner. Later, everybody who may connect may
/// renew it; the pinned account keeps it the same one, and keys that we issue are of no account.
///
/// Checked again when the answer comes: the grant that was to be renewed may be gone by then.
pub(super) fn may_consent(engine: &Engine, job: &Job, kept: &StoredAttempt) -> Result<(), ConsentError> {
    let renewed = renewed(engine, job);
    let owner = || job.owner.clone();
    if !is_owners(job, kept) {
        let renews =
            renewed.is_some_and(|grant| grant.bound_to.account.is_some() || grant.issued_keys().is_some());
        return if renews { Ok(()) } else { Err(ConsentError::NotTheOwner { owner: owner() }) };
    }
    let pinned = renewed.and_then(|grant| grant.consent.person);
    match (pinned, &kept.attempt.person) {
        (Some(pinned), Some(person)) if pinned != person.as_str() => {
            Err(ConsentError::OtherPerson { owner: owner() })
        }
        _ => Ok(()),
    }
}

/// The person who consents in the owner's name. Whoever renews a grant does not change whose it is, and neither does a
/// sign-in that does not identify the person.
pub(super) fn person_behind(engine: &Engine, job: &Job, kept: &StoredAttempt) -> Option<String> {
    let own = kept.attempt.person.as_ref().filter(|_| is_owners(job, kept));
    own.map(|person| person.as_str().to_owned()).or_else(|| renewed(engine, job)?.consent.person)
}

/// The owner's grant that this consent would renew.
fn renewed(engine: &Engine, job: &Job) -> Option<Grant> {
    engine.records.in_use(&job.place.uid).filter(|grant| grant.bound_to.owner == job.owner)
}

pub(super) fn is_owners(job: &Job, kept: &StoredAttempt) -> bool {
    kept.attempt.user == job.owner
}
