//! The request that ends a grant at its provider.

use bowline_oauth::app::App;
use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::revoke::{Revocation, Tokens, needs_live_access_token};

use crate::grant::Engine;
use crate::grant::slot::{refresh_token, renewed, send};
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::record::Ending;
use crate::vault::{Credential, Grant, Opened, Record, Terms};

/// Revokes a grant at the provider, with the given tokens, if the provider supports revocation.
pub(super) async fn revoke(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    grant: &Grant,
) -> Result<(), String> {
    may_be_sent(job, app, grant)?;
    let (Credential::OAuth { refresh_token, access_token, .. }, Some(app)) = (&grant.credential, app) else {
        return Ok(());
    };
    let (gate, description) = (&engine.gate, job.target.description());
    let account = grant.bound_to.account.as_ref().map(|account| account.id.as_str());
    let tokens = Tokens { refresh: refresh_token.as_ref(), access: access_token.as_ref(), account };
    let now = engine.records.clock.now();
    let revocation = bowline_oauth::revoke::revoke(job.target.http(), description, app, tokens, now);
    match gate.timed(Operation::Revoke, revocation).await {
        Ok(Revocation::Revoked | Revocation::AlreadyGone) => Ok(()),
        Ok(Revocation::Unsupported { .. }) if has_lost_revocation(job, grant) => {
            Err("the provider object no longer states the address for revocations that was consented to"
                .to_owned())
        }
        Ok(Revocation::Unsupported { .. }) => {
            let provider = job.target.provider();
            tracing::info!(provider, "the provider knows no revocation; the local copy is erased");
            Ok(())
        }
        Err(failure) => Err(gate.failed(job, failure, None).summary),
    }
}

/// The same for a grant on record. Some providers revoke only by a call with a valid access token: then the refresh token is
/// used first, and the answer is stored; returns whether that was so.
pub(super) async fn revoke_opened(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    opened: Opened,
    record: &Record,
) -> Result<bool, String> {
    let now = engine.records.clock.now();
    let expired = opened.grant.expires_at.is_some_and(|expires| expires <= now);
    let client = app.filter(|_| expired && needs_live_access_token(job.target.description()));
    let (Some(token), Some(client)) = (refresh_token(&opened.grant), client) else {
        return revoke(engine, job, app, &opened.grant).await.map(|()| false);
    };
    may_be_sent(job, app, &opened.grant)?;
    match send(engine, job, client, token).await {
        Ok(answer) => {
            let (slot, grant) = (opened.slot(), renewed(&opened.grant, answer, now));
            let intent = record.intent(slot).map(|intent| intent.id);
            let change = |ending: Ending| ending.answered(&engine.records.sealer, &opened, intent, &grant);
            engine.records.settle_ending(&job.place.uid, change).await;
            revoke(engine, job, app, &grant).await.map(|()| true)
        }
        // Without a working refresh token there is nothing left to revoke with, and no risk.
        Err(failure) if failure.class == Class::Reauth => {
            revoke(engine, job, app, &opened.grant).await.map(|()| false)
        }
        Err(failure) => Err(failure.summary),
    }
}

/// Whether it could be revoked when it was consented to, at an address that is gone since.
fn has_lost_revocation(job: &Job, grant: &Grant) -> bool {
    let (bound, now) = (&grant.bound_to.addresses, job.target.addresses());
    Description::REVOCATION_PLACES.iter().any(|place| bound.contains_key(*place) && !now.contains_key(*place))
}

/// Revoking sends the tokens as well: only to where they came from, and as the client they were issued to. Their account
/// does not matter, and the connection may be gone.
fn may_be_sent(job: &Job, app: Option<&App>, grant: &Grant) -> Result<(), String> {
    let terms = Terms { owner: None, ..job.terms(app) };
    let mismatch = |what| format!("nothing was sent, because this is not what was consented to: {what}");
    grant.bound_to.fits(&terms).map_err(mismatch)
}
