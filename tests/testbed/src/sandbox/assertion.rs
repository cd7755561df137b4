//! JWTs as grants, of issuers whose keys the realm knows: assertions (RFC 7523 §2.1), and tokens that are exchanged (RFC 8693).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::call::{Call, Visit};
use super::client_auth::authenticate;
use super::config::ClientConfig;
use super::form::Form;
use super::grants::Issued;
use super::ledger::GrantType;
use super::state::State;
use crate::jws::{VerifiedJwt, VerifyingKey};

/// An issuer of assertions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// Its claim `iss`.
    pub issuer: String,
    /// Its keys, as a JWK set (RFC 7517 §5).
    pub keys: Value,
}

impl TrustedIssuer {
    /// The JWT, if one of the issuer's keys signed it and it names the issuer.
    fn verified(&self, jwt: &str) -> Option<VerifiedJwt> {
        let keys = self.keys.get("keys").and_then(Value::as_array).into_iter().flatten();
        let verified = keys.filter_map(VerifyingKey::of_jwk).find_map(|key| key.verified(jwt));
        verified.filter(|jwt| jwt.text("iss") == Some(&self.issuer))
    }
}

/// The claims of a JWT that is meant for this audience now.
pub(super) fn trusted(
    state: &State,
    jwt: &str,
    audience: &str,
    now: u64,
) -> Result<VerifiedJwt, &'static str> {
    let verified = state.config.trusted.iter().find_map(|issuer| issuer.verified(jwt));
    let verified = verified.ok_or("nobody who is trusted signed it")?;
    let seconds = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    let times = verified.number("iat").zip(verified.number("exp")).ok_or("it has no times")?;
    match times {
        (issued, expires) if issued > seconds || expires <= seconds => Err("it is not of this time"),
        _ if !verified.is_for(audience) => Err("it is for somebody else"),
        _ if verified.text("sub").is_none() => Err("it names no subject"),
        _ => Ok(verified),
    }
}

/// The client is optional (RFC 7521 §4.1); one that names itself proves itself.
pub(super) fn bearer(
    call: &Call,
    form: &Form,
    state: &mut State,
    visit: &mut Visit,
) -> Result<Issued, Refusal> {
    let names_client = form.get("client_id").is_some() || call.headers.contains_key("authorization");
    if names_client {
        authenticate(call, form, &state.config, visit)?;
    }
    let audience = format!("{}/token", state.issuer);
    let jwt = trusted(state, form.required("assertion")?, &audience, visit.now).map_err(Refusal::grant)?;
    let scope = state.requested_scope(form.get("scope"))?;
    let issuer = jwt.text("iss").unwrap_or_default();
    let grant = state.open_grant(issuer, None, scope, GrantType::JwtBearer);
    Ok(state.first_tokens(&grant, &visit.bend, visit.now))
}

/// A token that is meant for the realm's token endpoint, for one of ours.
pub(super) fn exchange(
    form: &Form,
    client: &ClientConfig,
    state: &mut State,
    visit: &Visit,
) -> Result<Issued, Refusal> {
    let is_jwt = form.required("subject_token_type")? == "urn:ietf:params:oauth:token-type:jwt";
    let audience = format!("{}/token", state.issuer);
    // RFC 8693 §2.2.2.
    let bad = |why: &'static str| Refusal::of("invalid_request", why);
    is_jwt.then_some(()).ok_or_else(|| bad("the type of the token is not known"))?;
    trusted(state, form.required("subject_token")?, &audience, visit.now).map_err(bad)?;
    let scope = state.requested_scope(form.get("scope"))?;
    let grant = state.open_grant(&client.id, None, scope, GrantType::TokenExchange);
    Ok(state.first_tokens(&grant, &visit.bend, visit.now))
}
