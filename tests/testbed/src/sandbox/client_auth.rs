//! Client authentication: Basic or body, one of the two, as the realm accepts (RFC 6749 §2.3).

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::Refusal;
use super::call::{Call, Visit};
use super::config::{AuthMethod, ClientConfig, RealmConfig};
use super::form::{Form, decode};

/// The client that this request authenticates; notes it in the visit.
pub(super) fn authenticate(
    call: &Call,
    form: &Form,
    config: &RealmConfig,
    visit: &mut Visit,
) -> Result<ClientConfig, Refusal> {
    let (id, secret, method) = presented(call, form)?;
    let accepted = config.client_auth.contains(&method);
    let client = config.client(&id).filter(|client| accepted && client.secret == secret);
    let client = client.ok_or(Refusal::client("unknown client, wrong secret or a method not accepted"))?;
    visit.client = Some(client.id.clone());
    Ok(client.clone())
}

fn presented(call: &Call, form: &Form) -> Result<(String, Option<String>, AuthMethod), Refusal> {
    let in_body = form.get("client_id").map(str::to_owned);
    let secret = form.get("client_secret").map(str::to_owned);
    if call.headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(Refusal::of("invalid_request", "two Authorization headers"));
    }
    let Some(value) = call.headers.get(header::AUTHORIZATION) else {
        let id = in_body.ok_or(Refusal::client("no client authentication"))?;
        let method = if secret.is_some() { AuthMethod::Post } else { AuthMethod::None };
        return Ok((id, secret, method));
    };
    if secret.is_some() {
        return Err(Refusal::of("invalid_request", "client authentication in header and body at once"));
    }
    let (id, secret) = basic(value.as_bytes()).ok_or(Refusal::client("the Basic header cannot be read"))?;
    if in_body.is_some_and(|named| named != id) {
        return Err(Refusal::of("invalid_request", "header and body name different clients"));
    }
    Ok((id, Some(secret), AuthMethod::Basic))
}

/// User and password of a Basic header, each form-decoded *after* they were split (RFC 6749 §2.3.1).
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (user, password) = raw_basic(header)?;
    Some((decode(&user)?, decode(&password)?))
}

/// User and password of a Basic header as they are (RFC 7617).
pub(super) fn raw_basic(header: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
}
