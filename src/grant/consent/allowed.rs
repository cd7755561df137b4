//! Who may consent, and in the name of which app.

use std::sync::Arc;

use bowline_api::attempt::Attempt;
use bowline_oauth::app::App;
use bowline_oauth::classify::Failure;
use bowline_runtime::attempts::StoredAttempt;

use super::Consenting;
use crate::grant::gate::NotAdmitted;
use crate::grant::outcome::Outcome;
use crate::grant::refusal::ConsentError;
use crate::grant::work::Job;
use crate::vault::Grant;

/// Why a person was not asked.
pub(super) enum NotAsked {
    /// The attempt ends.
    Refused(ConsentError),
    /// Nothing was decided; it is gone on with later.
    Later(Outcome),
}

impl From<ConsentError> for NotAsked {
    fn from(why: ConsentError) -> Self {
        Self::Refused(why)
    }
}

impl From<Outcome> for NotAsked {
    fn from(outcome: Outcome) -> Self {
        Self::Later(outcome)
    }
}

impl From<NotAdmitted> for NotAsked {
    fn from(why: NotAdmitted) -> Self {
        Self::Later(why.into())
    }
}

/// The app in whose name a person is asked.
pub(super) async fn app(at: Consenting<'_>) -> Result<Arc<App>, NotAsked> {
    match at.engine.secrets.app(at.job).await {
        Ok(Some(app)) => Ok(app),
        Ok(None) => Err(not_offered(at.job).into()),
        Err(none) => Err(Outcome::from(none).into()),
    }
}

/// What a failed request means for the attempt; what it says of the provider is taken in.
pub(super) fn declined(at: Consenting<'_>, failure: Failure) -> ConsentError {
    let failure = at.engine.gate.failed(at.job, failure, None);
    ConsentError::of(&failure, at.job.target.whom_to_ask())
}

pub(super) fn not_offered(job: &Job) -> ConsentError {
    ConsentError::NotOffered { whom_to_ask: job.target.whom_to_ask() }
}

/// The first consent is the owner's, and so is the first under a new owner. Later, who may connect may renew it, and the
/// account's pin keeps it the same one.
///
/// Asked again when the answer comes: the grant that was to be renewed may be gone by then.
pub(super) fn may_consent(at: Consenting<'_>, kept: &StoredAttempt) -> Result<(), ConsentError> {
    let (job, attempt) = (at.job, &kept.attempt);
    let renewed = renewed(at);
    if !is_owners(attempt, job) {
        let renews = renewed.is_some_and(|grant| grant.bound_to.account.is_some());
        return if renews { Ok(()) } else { Err(ConsentError::NotTheOwner { owner: job.owner.clone() }) };
    }
    let pinned = renewed.and_then(|grant| grant.consent.person);
    match (pinned, &attempt.person) {
        (Some(pinned), Some(person)) if pinned != person.as_str() => {
            Err(ConsentError::OtherPerson { owner: job.owner.clone() })
        }
        _ => Ok(()),
    }
}

/// The person who consents in the owner's name. Who renews a grant does not change whose it is, and neither does a way to
/// sign in that tells nothing.
pub(super) fn person_behind(at: Consenting<'_>, kept: &StoredAttempt) -> Option<String> {
    let own = kept.attempt.person.as_ref().filter(|_| is_owners(&kept.attempt, at.job));
    own.map(|person| person.as_str().to_owned()).or_else(|| renewed(at)?.consent.person)
}

/// The owner's grant that this consent would renew.
fn renewed(at: Consenting<'_>) -> Option<Grant> {
    at.engine.records.in_use(&at.job.place.uid).filter(|grant| grant.bound_to.owner == at.job.owner)
}

/// Whether the attempt is the owner's own: the first consent is nobody else's to give.
fn is_owners(attempt: &Attempt, job: &Job) -> bool {
    attempt.user == job.owner
}
