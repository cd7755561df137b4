//! Client credentials: the app registration itself is the grant, and tokens are minted from it (RFC 6749 §4.4).

use bowline_oauth::refresh::client_credentials;

use super::engine::Engine;
use super::outcome::{Origin, Outcome};
use super::records::Patience;
use super::slot::renewed;
use super::target::requested;
use super::work::Job;
use crate::metrics::Operation;
use crate::vault::record::SealedField;
use crate::vault::{Consent, Credential, Grant, Record};

/// Mints a token. Nothing is spent, so no intent is needed.
pub(super) async fn mint(engine: &Engine, job: &Job) -> Outcome {
    let Engine { records, gate, .. } = engine;
    let app = match engine.secrets.client(job).await {
        Ok(app) => app,
        Err(outcome) => return outcome,
    };
    let _permit = match gate.admit(job).await {
        Ok(permit) => permit,
        Err(why) => return why.into(),
    };
    let asked_at = records.clock.now();
    let scopes = requested(&job.target, &job.scopes);
    let mint = client_credentials(job.target.http(), job.target.description(), &app, &scopes, asked_at);
    match gate.timed(Operation::ClientCredentials, mint).await {
        Ok(granted) => {
            gate.accepted(job);
            let nothing = Grant::empty(job.binding(Some(&app)), Consent::default(), asked_at);
            keep(engine, job, without_refresh_token(renewed(&nothing, granted.answer, asked_at))).await
        }
        Err(failure) => {
            Outcome::Failed { revision: tried(engine, job), failure: gate.failed(job, failure, None) }
        }
    }
}

/// The revision a failure is counted for, as the reconcile sees it: of the grant; of the record while there is none.
fn tried(engine: &Engine, job: &Job) -> i64 {
    let loaded = engine.records.get(&job.place.uid);
    loaded.map_or(0, |loaded| loaded.record.grant().map_or(loaded.record.revision(), SealedField::revision))
}

async fn keep(engine: &Engine, job: &Job, grant: Grant) -> Outcome {
    let (records, place) = (&engine.records, &job.place);
    let change = |record: Record| record.minted(&records.sealer, &grant);
    match records.write(&place.uid, Some(place), Patience::Brief, change).await {
        Ok(Some(loaded)) => Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Minted },
        _ => Outcome::Stale,
    }
}

/// A refresh token, should one come with minted tokens, is ignored: the app registration is the grant.
fn without_refresh_token(mut grant: Grant) -> Grant {
    if let Credential::OAuth { refresh_token, .. } = &mut grant.credential {
        *refresh_token = None;
    }
    grant
}
