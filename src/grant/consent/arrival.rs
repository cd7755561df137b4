//! From the provider's answer to the grant in use: on record first, then judged, then promoted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_api::attempt::{EndResult, Ending};
use bowline_api::{names, reason};
use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::App;
use bowline_runtime::attempts::Kept;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use tokio::time::sleep;

use super::ConsentError;
use super::pledge::Pledge;
use crate::grant::actor::Grants;
use crate::grant::commit::Unsettled;
use crate::grant::former::is_revoked_for;
use crate::grant::judge::from_catalog;
use crate::grant::outcome::{Origin, Outcome};
use crate::grant::proof::is_same;
use crate::grant::refresh::renewed;
use crate::grant::work::Job;
use crate::vault::{Consent, Grant, Record, TransitionError, Way};

/// Before the record is written once more, should the API server not take it.
const PAUSE: Duration = Duration::from_secs(1);

/// What an answer belongs to.
pub(super) struct Arrival<'a> {
    /// The try, which is told how it ended.
    pub kept: Kept,
    /// What the grant is bound to.
    pub pledge: &'a Pledge,
    /// The app it was given to.
    pub app: &'a App,
    /// How it came.
    pub way: Way,
    /// When the request was sent.
    pub asked_at: Timestamp,
}

impl Grants {
    /// Puts the answer on record before anything in it is judged, judges it, and tells the attempt's page.
    pub(super) async fn arrived(&self, job: &Job, arrival: Arrival<'_>, answer: TokenAnswer) -> Outcome {
        self.accepted(job);
        let Arrival { kept, pledge, app, way, asked_at } = arrival;
        let account = answer.account.clone().map(from_catalog);
        let person = self.person_behind(job, &kept);
        let consent = Consent { way, asked: pledge.scopes.clone(), confirmed: false, person };
        let nothing = Grant::empty(pledge.bound_to.clone(), consent, asked_at);
        let mut grant = renewed(&nothing, answer, asked_at);
        grant.bound_to.account = account;
        let erased = match self.put_on_record(job, app, &grant).await {
            Ok(erased) => erased,
            Err(why) => return self.fail(kept, why).await,
        };
        let outcome = self.judge(job).await;
        self.conclude(kept, ending(&outcome)).await;
        // It was published nowhere, so nobody is waited for.
        if let Some(erased) = erased.filter(|erased| is_revoked_for(job, &grant, erased)) {
            self.revoke_former(job, &erased).await;
        }
        outcome
    }

    /// Keeps what may be the only copy of a grant: tried until it is written. Where the connection is being ended meanwhile,
    /// the grant is given back instead. Gives the candidate that it took the place of, if there was one.
    async fn put_on_record(
        &self,
        job: &Job,
        app: &App,
        grant: &Grant,
    ) -> Result<Option<Grant>, ConsentError> {
        let uid = &job.place.uid;
        let erased = Mutex::new(None);
        let change = |record: Record| self.with_newer(record, grant, &erased);
        loop {
            if self.is_gone(uid) {
                self.give_back(job, app, grant).await;
                return Err(ConsentError::NotWanted);
            }
            if matches!(self.store.get(uid), Ok(None))
                && let Err(error) = self.store.create(Record::new(job.place.clone())).await
            {
                tracing::warn!(error = %chain(&error), "a new grant has no record yet; trying again");
                sleep(PAUSE).await;
                continue;
            }
            match self.settle(uid, change).await {
                Ok(Some(_)) => return Ok(erased.into_inner().unwrap_or_else(PoisonError::into_inner)),
                Err(Unsettled::Transition(TransitionError::Ending)) => {
                    self.give_back(job, app, grant).await;
                    return Err(ConsentError::NotWanted);
                }
                Err(error @ (Unsettled::Transition(_) | Unsettled::Unreadable(_))) => {
                    tracing::error!(error = %chain(&error), "a new grant cannot be put on record");
                    self.give_back(job, app, grant).await;
                    return Err(ConsentError::NotKept);
                }
                Ok(None) | Err(Unsettled::Unreachable) => {
                    tracing::warn!("a new grant is not on record yet; trying again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The record with this answer as candidate; what stood there before is noted in `erased`.
    fn with_newer(
        &self,
        record: Record,
        grant: &Grant,
        erased: &Mutex<Option<Grant>>,
    ) -> Result<Record, TransitionError> {
        if self.holds(&record, grant) {
            return Ok(record);
        }
        let standing = record.open_candidate(&self.sealer).ok().flatten().map(|candidate| candidate.grant);
        *erased.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        let free = if record.candidate().is_some() { record.candidate_refused()? } else { record };
        free.with_candidate(&self.sealer, grant)
    }

    pub(in crate::grant) fn is_in_use(&self, uid: &str, grant: &Grant) -> bool {
        self.in_use(uid).is_some_and(|in_use| is_same(&in_use, grant))
    }

    /// The owner agrees to the account behind a grant that came by device flow.
    pub(super) async fn confirm(&self, job: &Job, account: &str) -> Outcome {
        let change = |record: Record| {
            let Ok(Some(mut grant)) = record.open_grant(&self.sealer) else { return Ok(record) };
            let named =
                grant.bound_to.account.as_ref().map_or(names::UNNAMED_ACCOUNT, |account| account.id.as_str());
            if named != account || grant.consent.confirmed {
                return Ok(record);
            }
            grant.consent.confirmed = true;
            record.agreed(&self.sealer, &grant)
        };
        match self.settle(&job.place.uid, change).await {
            Ok(Some(loaded)) => {
                let revision = loaded.record.grant().map_or(0, crate::vault::record::SealedField::revision);
                Outcome::Committed { revision, origin: Origin::Accepted }
            }
            Ok(None) | Err(_) => Outcome::Stale,
        }
    }
}

/// What the attempt's page says of it; the connection's status says the rest.
fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Committed { .. } => in_use(),
        Outcome::IntakeRefused { why } => Ending::failed(why.reason(), why.to_string()),
        _ => being_checked(),
    }
}

/// The grant is in use.
pub fn in_use() -> Ending {
    Ending {
        result: EndResult::Connected,
        reason: reason::CONNECTED.to_owned(),
        message: "Access was allowed.".to_owned(),
    }
}

/// The grant is on record, and nobody knows yet whether it will do.
pub fn being_checked() -> Ending {
    Ending {
        result: EndResult::Kept,
        reason: reason::AUTHORIZATION_IN_PROGRESS.to_owned(),
        message: "Access was allowed, and the grant is being checked with the provider.".to_owned(),
    }
}
