//! The request that ends a grant at its provider, and what came of it.

use bowline_api::reason::Reason;
use bowline_oauth::app::App;
use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::revoke::{Revocation, Tokens, needs_live_access_token};

use super::after::{TokenCheck, check, words};
use crate::grant::Engine;
use crate::grant::slot::{access_token, refresh_token, renewed, send};
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::record::{Ending, RevocationResult};
use crate::vault::{Credential, Grant, Opened, Record, Terms};

/// Revokes a grant at the provider, with the given tokens, and says what became of it there. `None`: it never was there.
pub(super) async fn revoke(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    grant: &Grant,
) -> Result<Option<RevocationResult>, String> {
    may_be_sent(job, app, grant)?;
    let (refresh, access) = match (&grant.credential, app) {
        (Credential::IssuedKeys { .. }, _) => return Ok(None),
        (Credential::OAuth { refresh_token, access_token, .. }, Some(_)) => (refresh_token, access_token),
        _ => return Ok(Some(unsupported(job, grant, None))),
    };
    let account = grant.bound_to.account.as_ref().map(|account| account.id.as_str());
    let all = Tokens { refresh: refresh.as_ref(), access: access.as_ref(), account };
    let before = check(engine, job, app, grant).await;
    let (reason, by_hand) = match sent(engine, job, app, all).await? {
        Revocation::Revoked => (Reason::Revoked, None),
        Revocation::AlreadyGone => (Reason::AlreadyRevoked, None),
        Revocation::Unsupported { .. } if has_lost_revocation(job, grant) => {
            return Err(
                "the provider object no longer states the address for revocations that was consented to"
                    .to_owned(),
            );
        }
        Revocation::Unsupported { by_hand } => (Reason::RevocationUnsupported, by_hand),
    };
    if reason == Reason::RevocationUnsupported {
        return Ok(Some(unsupported(job, grant, by_hand)));
    }
    let after = left(engine, job, app, grant, before).await;
    Ok(Some(RevocationResult { reason, detail: words(after, grant, engine.records.clock.now()) }))
}

/// What a revocation left of the access token. Where nobody knows what one ends, and this one is not seen to have ended the
/// access token, that is revoked by itself.
async fn left(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    grant: &Grant,
    before: TokenCheck,
) -> TokenCheck {
    // A check that did not work before says nothing.
    let after = async || match before {
        TokenCheck::Taken => check(engine, job, app, grant).await,
        TokenCheck::Refused | TokenCheck::Unknown => TokenCheck::Unknown,
    };
    let seen = after().await;
    let is_open =
        job.target.description().revoke.scope == RevokeScope::Unknown && seen != TokenCheck::Refused;
    let access = access_token(grant).filter(|_| is_open && refresh_token(grant).is_some());
    let Some(access) = access else { return seen };
    let alone = Tokens { access: Some(access), ..Tokens::default() };
    match sent(engine, job, app, alone).await {
        Ok(_) => after().await,
        // Servers need not revoke access tokens (RFC 7009 §2).
        Err(why) => {
            tracing::info!(why, "the refresh token is revoked, and the access token is not");
            seen
        }
    }
}

async fn sent(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    tokens: Tokens<'_>,
) -> Result<Revocation, String> {
    let (gate, description) = (&engine.gate, job.target.description());
    let Some(app) = app else { return Ok(Revocation::Unsupported { by_hand: None }) };
    let now = engine.records.clock.now();
    let revocation = bowline_oauth::revoke::revoke(job.target.http(), description, app, tokens, now);
    let answered = gate.timed(Operation::Revoke, revocation).await;
    answered.map_err(|failure| gate.failed(job, failure, None).summary)
}

/// Nothing was sent: what is known of how long it works, and how a person ends it.
fn unsupported(job: &Job, grant: &Grant, by_hand: Option<String>) -> RevocationResult {
    let by_hand = by_hand.or_else(|| job.target.description().revoke.by_hand.clone());
    tracing::info!(
        provider = job.target.provider(),
        "the provider knows no revocation; the local copy is erased"
    );
    let detail = match (by_hand, &grant.credential) {
        (Some(how), _) => format!("By hand: {how}"),
        (None, Credential::ApiKey { .. } | Credential::Basic { .. }) => {
            "It works until whoever made it there deletes it.".to_owned()
        }
        (None, _) => String::new(),
    };
    RevocationResult { reason: Reason::RevocationUnsupported, detail }
}

/// The same for a grant on record. Some providers revoke only by a call with a valid access token: then the refresh token is
/// used first, and the answer is stored; returns whether that was so.
pub(super) async fn revoke_opened(
    engine: &Engine,
    job: &Job,
    app: Option<&App>,
    opened: Opened,
    record: &Record,
) -> Result<(Option<RevocationResult>, bool), String> {
    let now = engine.records.clock.now();
    let expired = opened.grant.expires_at.is_some_and(|expires| expires <= now);
    let client = app.filter(|_| expired && needs_live_access_token(job.target.description()));
    let (Some(token), Some(client)) = (refresh_token(&opened.grant), client) else {
        return revoke(engine, job, app, &opened.grant).await.map(|result| (result, false));
    };
    may_be_sent(job, app, &opened.grant)?;
    match send(engine, job, client, token).await {
        Ok(answer) => {
            let (slot, grant) = (opened.slot(), renewed(&opened.grant, answer, now));
            let intent = record.intent(slot).map(|intent| intent.id);
            let change = |ending: Ending| ending.answered(&engine.records.sealer, &opened, intent, &grant);
            engine.records.settle_ending(&job.place.uid, change).await;
            revoke(engine, job, app, &grant).await.map(|result| (result, true))
        }
        // Without a working refresh token there is nothing left to revoke with, and no risk.
        Err(failure) if failure.class == Class::Reauth => {
            revoke(engine, job, app, &opened.grant).await.map(|result| (result, false))
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
pub(super) fn may_be_sent(job: &Job, app: Option<&App>, grant: &Grant) -> Result<(), String> {
    let terms = Terms { owner: None, ..job.terms(app) };
    let mismatch = |what| format!("nothing was sent, because this is not what was consented to: {what}");
    grant.bound_to.fits(&terms).map_err(mismatch)
}
