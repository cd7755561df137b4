//! Pushed authorization requests (RFC 9126): the client sends the parameters, the browser a reference that works once.

use axum::http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Refusal};
use super::authorize::asked;
use super::call::{Call, Visit};
use super::client_auth::authenticate;
use super::config;
use super::form::Form;
use super::state::{Pushed, State, after};
use super::token_text::fresh;

/// Answers `POST /par`.
pub(super) fn answer(call: &Call, state: &mut State, visit: &mut Visit) -> Result<Answer, Refusal> {
    if state.config.pushed == config::Pushed::Absent {
        return Err(Refusal::of("invalid_request", "the realm takes no pushed requests"));
    }
    let form = call.form()?;
    let client = authenticate(call, &form, &state.config, visit)?;
    visit.scope_asked = form.get("scope").map(str::to_owned);
    if form.get("client_id").is_some_and(|id| id != client.id) {
        return Err(Refusal::of("invalid_request", "the request is another client's"));
    }
    if form.get("request_uri").is_some() {
        return Err(Refusal::of("invalid_request", "a pushed request has no request_uri"));
    }
    let redirect_uri = form.required("redirect_uri")?;
    if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
        return Err(Refusal::of("invalid_request", "the redirect_uri is not registered"));
    }
    // The same checks as for other requests, so that a request is refused before the browser is redirected.
    asked(&form, &client.id, redirect_uri, state)?;
    let (reference, lifetime) =
        (fresh("urn:ietf:params:oauth:request_uri:"), state.config.pushed_lifetime_seconds);
    let expires_at_ms = after(visit.now, lifetime);
    state.pushed.insert(reference.clone(), Pushed { client: client.id, form, expires_at_ms });
    let body = json!({"request_uri": reference, "expires_in": lifetime});
    Ok(Answer::json(body).with_status(StatusCode::CREATED))
}

impl State {
    /// The parameters of an authorization request: the pushed ones if it has a reference. A reference works once, in time,
    /// and for the client that pushed.
    pub fn authorization_form(&mut self, form: Form, now: u64) -> Result<Form, Refusal> {
        let Some(reference) = form.get("request_uri") else {
            let required = self.config.pushed == config::Pushed::Required;
            let refusal = Refusal::of("invalid_request", "this realm wants requests to be pushed");
            return if required { Err(refusal) } else { Ok(form) };
        };
        let client = form.required("client_id")?;
        let found = self.pushed.remove(reference);
        let good = found.filter(|pushed| pushed.client == client && now < pushed.expires_at_ms);
        let pushed =
            good.ok_or(Refusal::of("invalid_request", "no such pushed request, or used, or late"))?;
        Ok(pushed.form.over(&form))
    }
}
