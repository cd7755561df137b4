//! Endpoints that examine tokens or end them: revocation, introspection, user-info, and the check of plain keys.

use axum::http::header;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::{Call, Visit};
use super::client_auth::{authenticate, raw_basic};
use super::config::RealmConfig;
use super::ledger::{Entry, Event, Reason, TokenKind};
use super::state::State;

/// Answers `POST /revoke` (RFC 7009). A refresh token, even a replaced one, ends its grant; an access token only itself.
pub(super) fn revoke(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    let client = authenticate(call, &form, &state.config, visit)?;
    let text = form.required("token")?;
    let owner = visit.subject.grant.as_ref().and_then(|id| state.grants.get(id)).map(|grant| &grant.client);
    if owner.is_some_and(|owner| *owner != client.id) {
        return Err(Refusal::of("invalid_request", "the token is another client's"));
    }
    if let Some(grant) = state.refresh.get(text).map(|token| token.grant.clone()) {
        state.revoke_grant(&grant, Reason::Client, visit.now);
    } else if let Some(token) = state.access.get_mut(text).filter(|token| !token.ended) {
        token.ended = true;
        let (id, grant) = (token.id.clone(), token.grant.clone());
        let entry = Entry {
            reason: Some(Reason::Client),
            ..state.entry(visit.now, Event::Revoked, TokenKind::Access, text, Some(&id))
        };
        state.write(entry, Some(&grant));
    }
    Ok(Answer::empty())
}

/// Answers `POST /introspect` (RFC 7662). Another client's token looks like an invalid one (§2.2).
pub(super) fn introspect(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    let client = authenticate(call, &form, &state.config, visit)?;
    let view = state.view(form.required("token")?, visit.now);
    let own = view.get("client_id").and_then(Value::as_str) == Some(&client.id);
    Ok(Answer::json(if own { view } else { json!({ "active": false }) }))
}

/// Answers `GET` and `POST /userinfo`. The token goes in the header and nowhere else (RFC 6750 §2.1).
pub(super) fn userinfo(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let text = call.bearer().ok_or(Refusal::bearer("no bearer token"))?;
    let account = state
        .live_access(text, visit.now)
        .and_then(|(_, grant)| state.config.account(grant.account.as_deref()?))
        .map(|account| json!({ "sub": account.sub, "name": account.name, "email": account.email }));
    if let Some(account) = account {
        return Ok(Answer::json(account));
    }
    let (id, grant) = state.access.get(text).map(|found| (found.id.clone(), found.grant.clone())).unzip();
    let entry = state.entry(visit.now, Event::Refused, TokenKind::Access, text, id.as_deref());
    state.write(entry, grant.as_deref());
    Err(Refusal::bearer("the token is unknown, expired or revoked"))
}

/// Answers `GET /api/me`: what a service with plain keys offers for checking one.
pub(super) fn api_me(call: &Call, state: &mut State, _: &mut Visit) -> Result<Answer, Refusal> {
    let (account, forbidden) =
        key_holder(call, &state.config).ok_or(Refusal::bearer("no key, or one that is not known"))?;
    if forbidden {
        return Err(Refusal {
            status: 403,
            error: "forbidden",
            description: "a good key that may not do this",
            challenge: None,
        });
    }
    let found = state.config.account(account);
    let email = found.map(|account| account.email.as_str());
    let name = found.map(|account| account.name.as_str());
    Ok(Answer::json(json!({ "id": account, "name": name, "email": email })))
}

/// Whose key the request contains, and whether it may not read. Two methods at once count as none.
fn key_holder<'a>(call: &Call, config: &'a RealmConfig) -> Option<(&'a str, bool)> {
    let in_header = call.headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let authorization = call.headers.get(header::AUTHORIZATION);
    if in_header.is_some() && authorization.is_some() {
        return None;
    }
    if let Some(key) = in_header.or_else(|| call.bearer()) {
        let known = config.api_keys.iter().find(|known| known.key == key)?;
        return Some((&known.account, known.forbidden));
    }
    let (user, password) = raw_basic(authorization?.as_bytes())?;
    let known = config
        .basic_users
        .iter()
        .find(|known| known.user.as_bytes() == user && known.password.as_bytes() == password)?;
    Some((&known.account, known.forbidden))
}

impl State {
    /// The introspection of a token, whichever client it belongs to.
    pub fn view(&self, text: &str, now: u64) -> Value {
        if let Some((token, grant)) = self.live_access(text, now) {
            return json!({
                "active": true, "iss": self.issuer, "client_id": grant.client, "sub": grant.account,
                "scope": token.scope.join(" "), "token_type": "Bearer",
                "iat": token.issued_at_ms / 1000, "exp": token.expires_at_ms / 1000,
            });
        }
        if let Some((_, grant)) = self.live_refresh(text, now) {
            return json!({
                "active": true, "iss": self.issuer, "client_id": grant.client, "sub": grant.account,
                "scope": grant.scope.join(" "),
            });
        }
        json!({ "active": false })
    }
}
