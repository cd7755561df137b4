//! Client credentials: the app registration itself is the grant, and tokens are minted from it (RFC 6749 §4.4).

use super::actor::Grants;
use super::candidate::binding;
use super::outcome::{Origin, Outcome};
use super::work::Job;
use crate::metrics::Operation;
use crate::vault::record::SealedField;
use crate::vault::{Consent, Credential, Grant, Record, Spent};

impl Grants {
    /// Mints a token from the app registration (RFC 6749 §4.4). Nothing is spent, so no intent is needed.
    pub(super) async fn mint(&self, job: &Job) -> Outcome {
        let app = match self.app(job).await {
            Ok(Some(app)) => app,
            Ok(None) => return Outcome::Stale,
            Err(none) => return none.into(),
        };
        let _permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        let asked_at = self.clock.now();
        let http = job.target.http();
        let scopes = super::target::requested(&job.target, &job.scopes);
        let description = job.target.description();
        let mint =
            bowline_oauth::client_credentials::client_credentials(http, description, &app, &scopes, asked_at);
        match self.timed(Operation::ClientCredentials, mint).await {
            Ok(granted) => {
                self.accepted(job);
                let nothing = Grant::empty(binding(job, Some(&app)), Consent::default(), asked_at);
                let grant = super::refresh::renewed(&nothing, granted.answer, asked_at);
                self.keep_minted(job, without_refresh_token(grant)).await
            }
            Err(failure) => {
                let revision = self.minted_from(job);
                Outcome::Failed { revision, failure: self.heard(job, failure, None) }
            }
        }
    }

    /// The revision a failure is counted for, as the reconcile sees it: of the grant; of the record while there is none.
    fn minted_from(&self, job: &Job) -> i64 {
        let loaded = self.store.get(&job.place.uid).ok().flatten();
        loaded
            .map_or(0, |loaded| loaded.record.grant().map_or(loaded.record.revision(), SealedField::revision))
    }

    async fn keep_minted(&self, job: &Job, grant: Grant) -> Outcome {
        if let Ok(None) = self.store.get(&job.place.uid)
            && self.store.create(Record::new(job.place.clone())).await.is_err()
        {
            return Outcome::Stale;
        }
        let change = |record: Record| {
            // A mark may stand from when the connection had a refresh token: a minted token answers it too.
            let spent = record.intent().map_or(Spent::Unmarked, |intent| Spent::Marked(intent.attempt));
            record.committed(&self.sealer, &grant, spent, None)
        };
        match self.settle(&job.place.uid, change).await {
            Ok(Some(loaded)) => {
                Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Minted }
            }
            _ => Outcome::Stale,
        }
    }
}

/// A refresh token, should one come with minted tokens, is ignored: the app registration is the grant.
fn without_refresh_token(mut grant: Grant) -> Grant {
    if let Credential::OAuth { refresh_token, .. } = &mut grant.credential {
        *refresh_token = None;
    }
    grant
}
