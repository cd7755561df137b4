//! The authorization endpoint: code flow with PKCE S256, nothing else.

use axum::http::StatusCode;
use url::Url;

use super::answer::{Answer, Refusal};
use super::call::{Call, Visit};
use super::config::CallbackIssuer;
use super::form::Form;
use super::grants::scope_values;
use super::ledger::{Entry, Event, GrantType, TokenKind};
use super::pages;
use super::state::{Asked, Code, State, after};
use super::token_text::fresh;

/// Answers `GET /authorize`. `auto_consent=SUB` or `auto_deny=yes` in the address decides without a page; `auto_scope`
/// then says which scopes the person left ticked.
pub(super) fn answer(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    // An address that cannot be trusted is never redirected to (RFC 6749 §4.1.2.1).
    let form = state.authorization_form(Form::parse(&call.query)?, visit.now)?;
    let client = form.required("client_id")?;
    let redirect_uri = form.required("redirect_uri")?;
    let registered = state.config.client(client).ok_or(Refusal::of("invalid_request", "no such client"))?;
    if !registered.redirect_uris.iter().any(|known| known == redirect_uri) {
        return Err(Refusal::of("invalid_request", "the redirect_uri is not registered"));
    }
    visit.client = Some(client.to_owned());
    visit.scope_asked = form.get("scope").map(str::to_owned);
    let asked = match asked(&form, client, redirect_uri, state) {
        Ok(asked) => asked,
        Err(refusal) => {
            return Ok(back(state, redirect_uri, form.get("state"), &[("error", refusal.error)]));
        }
    };
    if form.get("auto_deny").is_some() {
        return Ok(denied(state, &asked));
    }
    let chosen = form.get("auto_consent").map(str::to_owned).or_else(|| state.config.auto_consent.clone());
    if let Some(account) = chosen {
        let ticked = form.get("auto_scope").map(scope_values);
        let kept = |value: &&String| ticked.as_ref().is_none_or(|ticked| ticked.contains(value));
        let scope = asked.scope.iter().filter(kept).cloned().collect();
        return Ok(allowed(state, asked, &account, scope, visit));
    }
    if form.get("prompt") == Some("none") {
        return Ok(back(state, redirect_uri, form.get("state"), &[("error", "login_required")]));
    }
    let request = fresh("");
    let page = pages::consent(&state.issuer, &request, &asked, &state.config.accounts);
    state.waiting.insert(request, asked);
    Ok(Answer::html(StatusCode::OK, page))
}

/// Answers `POST /authorize/decision`, the form of the consent page.
pub(super) fn decide(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    let waiting = state.waiting.remove(form.required("request")?);
    let Some(asked) = waiting else {
        let page = pages::message("This request was answered before, or never made.");
        return Ok(Answer::html(StatusCode::BAD_REQUEST, page));
    };
    visit.client = Some(asked.client.clone());
    let ticked: Vec<_> = form.names_under("scope:").collect();
    let scope: Vec<_> =
        asked.scope.iter().filter(|value| ticked.contains(&value.as_str())).cloned().collect();
    match form.get("account").filter(|_| form.get("deny").is_none() && !scope.is_empty()) {
        Some(account) => Ok(allowed(state, asked, account, scope, visit)),
        None => Ok(denied(state, &asked)),
    }
}

/// The checks whose failure is reported to the client through the redirect.
pub(super) fn asked(form: &Form, client: &str, redirect_uri: &str, state: &State) -> Result<Asked, Refusal> {
    if form.required("response_type")? != "code" {
        return Err(Refusal::of("unsupported_response_type", "only the code flow is served"));
    }
    let challenge = form.required("code_challenge")?;
    let is_s256 = form.get("code_challenge_method") == Some("S256");
    let is_digest = challenge.len() == 43
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_s256 || !is_digest {
        return Err(Refusal::of("invalid_request", "PKCE with S256 is required"));
    }
    Ok(Asked {
        client: client.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        scope: state.requested_scope(form.get("scope"))?,
        state: form.get("state").map(str::to_owned),
        nonce: form.get("nonce").map(str::to_owned),
        challenge: challenge.to_owned(),
    })
}

fn allowed(state: &mut State, asked: Asked, account: &str, scope: Vec<String>, visit: &mut Visit) -> Answer {
    if state.config.account(account).is_none() {
        return denied(state, &asked);
    }
    let grant = state.open_grant(&asked.client, Some(account), scope, GrantType::AuthorizationCode);
    visit.subject.grant = Some(grant.clone());
    visit.subject.account = Some(account.to_owned());
    let (text, id) = (fresh("sbx_co_"), state.number("code"));
    let entry = Entry {
        grant_type: Some(GrantType::AuthorizationCode),
        ..state.entry(visit.now, Event::Issued, TokenKind::Code, &text, Some(&id))
    };
    state.write(entry, Some(&grant));
    let answer = back(state, &asked.redirect_uri, asked.state.as_deref(), &[("code", &text)]);
    let expires_at_ms = after(visit.now, state.config.code_lifetime_seconds);
    state.codes.insert(text, Code { id, asked, grant, expires_at_ms, spent: false });
    answer
}

fn denied(state: &State, asked: &Asked) -> Answer {
    back(state, &asked.redirect_uri, asked.state.as_deref(), &[("error", "access_denied")])
}

/// Redirects the browser to the client, with the `state` it sent and the issuer according to the realm's habit (RFC 9207).
fn back(realm: &State, redirect_uri: &str, state: Option<&str>, result: &[(&str, &str)]) -> Answer {
    let Ok(mut address) = Url::parse(redirect_uri) else {
        let page = pages::message("The registered redirect address is no address.");
        return Answer::html(StatusCode::BAD_REQUEST, page);
    };
    let state = state.map(|text| ("state", text));
    let issuer = match &realm.config.callback_issuer {
        CallbackIssuer::Sent => Some(realm.issuer.as_str()),
        CallbackIssuer::Forged(other) => Some(other.as_str()),
        CallbackIssuer::Unknown | CallbackIssuer::Omitted => None,
    };
    let issuer = issuer.map(|text| ("iss", text));
    address.query_pairs_mut().extend_pairs(result).extend_pairs(state).extend_pairs(issuer);
    Answer::see_other(address.into())
}
