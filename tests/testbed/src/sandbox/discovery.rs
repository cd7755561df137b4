//! The metadata document, the same at the position of RFC 8414 and at that of `OpenID` Connect.

use serde_json::json;

use super::answer::{Answer, Refusal};
use super::call::{Call, Visit};
use super::config::{AuthMethod, CallbackIssuer, Pushed};
use super::state::State;
use super::token_text;

/// Answers both well-known addresses.
#[expect(clippy::unnecessary_wraps, reason = "the shape that all endpoints have")]
pub(super) fn answer(_: &Call, state: &mut State, _: &mut Visit) -> Result<Answer, Refusal> {
    let issuer = &state.issuer;
    let methods: Vec<_> = state
        .config
        .client_auth
        .iter()
        .map(|method| match method {
            AuthMethod::Basic => "client_secret_basic",
            AuthMethod::Post => "client_secret_post",
            AuthMethod::None => "none",
        })
        .collect();
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "jwks_uri": format!("{issuer}/jwks"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "scopes_supported": state.config.scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": state.config.callback_issuer != CallbackIssuer::Unknown,
    });
    if state.config.pushed != Pushed::Absent {
        document["pushed_authorization_request_endpoint"] = format!("{issuer}/par").into();
        document["require_pushed_authorization_requests"] = (state.config.pushed == Pushed::Required).into();
    }
    Ok(Answer::json(document))
}

/// Answers `GET /jwks`.
#[expect(clippy::unnecessary_wraps, reason = "the shape that all endpoints have")]
pub(super) fn keys(_: &Call, _: &mut State, _: &mut Visit) -> Result<Answer, Refusal> {
    Ok(Answer::json(token_text::keys()))
}
