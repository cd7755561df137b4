//! The token endpoint: one rule set per grant type.

use super::answer::{Answer, Refusal};
use super::assertion;
use super::call::{Call, Visit};
use super::client_auth::authenticate;
use super::config::ClientConfig;
use super::form::Form;
use super::ledger::{Entry, Event, GrantType, Reason, TokenKind};
use super::state::State;
use super::token_text::challenge;

/// Answers `POST /token`.
pub(super) fn answer(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    let form = call.form()?;
    visit.scope_asked = form.get("scope").map(str::to_owned);
    let (issued, nonce) = if visit.subject.grant_type == Some(GrantType::JwtBearer) {
        (assertion::bearer(call, &form, state, visit)?, None)
    } else {
        of_client(call, &form, state, visit)?
    };
    visit.subject.grant = Some(issued.grant.clone());
    visit.subject.account = state.grants.get(&issued.grant).and_then(|grant| grant.account.clone());
    let mut answer = state.token_answer(issued, nonce.as_deref(), visit.now);
    if visit.subject.grant_type == Some(GrantType::TokenExchange) {
        let issued = "urn:ietf:params:oauth:token-type:access_token";
        answer.insert("issued_token_type".to_owned(), issued.into());
    }
    Ok(Answer::json(answer))
}

/// The grant types that authenticate the client.
fn of_client(call: &Call, form: &Form, state: &mut State, visit: &mut Visit) -> Result<WithNonce, Refusal> {
    let client = authenticate(call, form, &state.config, visit)?;
    form.required("grant_type")?;
    Ok(match visit.subject.grant_type {
        Some(GrantType::AuthorizationCode) => code(form, &client, state, visit)?,
        Some(GrantType::RefreshToken) => {
            let token = form.required("refresh_token")?;
            (state.spend_refresh(token, &client.id, form.get("scope"), &visit.bend, visit.now)?, None)
        }
        Some(GrantType::ClientCredentials) => (client_credentials(form, &client, state, visit)?, None),
        Some(GrantType::DeviceCode) => (state.poll(form.required("device_code")?, &client.id, visit)?, None),
        Some(GrantType::TokenExchange) => (assertion::exchange(form, &client, state, visit)?, None),
        Some(GrantType::Minted | GrantType::JwtBearer) | None => {
            return Err(Refusal::of("unsupported_grant_type", "the sandbox does not know this grant type"));
        }
    })
}

type WithNonce = (super::grants::Issued, Option<String>);

fn code(form: &Form, client: &ClientConfig, state: &mut State, visit: &Visit) -> Result<WithNonce, Refusal> {
    let text = form.required("code")?;
    let redirect_uri = form.required("redirect_uri")?;
    let verifier = form.required("code_verifier")?;
    let now = visit.now;
    let Some(code) = state.codes.get(text) else {
        let entry = state.entry(now, Event::Refused, TokenKind::Code, text, None);
        state.write(entry, None);
        return Err(Refusal::grant("no such code"));
    };
    let (id, grant, asked, spent) = (code.id.clone(), code.grant.clone(), code.asked.clone(), code.spent);
    let expired = now >= code.expires_at_ms;
    let note = |state: &mut State, event| {
        let grant_type = Some(GrantType::AuthorizationCode);
        let entry = Entry { grant_type, ..state.entry(now, event, TokenKind::Code, text, Some(&id)) };
        state.write(entry, Some(&grant));
    };
    if spent && asked.client == client.id {
        note(state, Event::DoubleSpent);
        state.revoke_grant(&grant, Reason::Reuse, now);
        return Err(Refusal::grant("the code was used before"));
    }
    let fits = asked.client == client.id && asked.redirect_uri == redirect_uri;
    if spent || expired || !fits || !is_verifier(verifier) || challenge(verifier) != asked.challenge {
        note(state, Event::Refused);
        return Err(Refusal::grant(
            "the code is late, another client's, or its redirect_uri or verifier differ",
        ));
    }
    note(state, Event::Spent);
    if let Some(code) = state.codes.get_mut(text) {
        code.spent = true;
    }
    Ok((state.first_tokens(&grant, &visit.bend, now), asked.nonce))
}

/// 43 to 128 characters of the unreserved set (RFC 7636 §4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn client_credentials(
    form: &Form,
    client: &ClientConfig,
    state: &mut State,
    visit: &Visit,
) -> Result<super::grants::Issued, Refusal> {
    if client.secret.is_none() {
        return Err(Refusal::of("unauthorized_client", "a public client cannot act for itself"));
    }
    let scope = state.requested_scope(form.get("scope"))?;
    let grant = state.open_grant(&client.id, None, scope, GrantType::ClientCredentials);
    Ok(state.first_tokens(&grant, &visit.bend, visit.now))
}
