//! Validates ID tokens (`OpenID` Connect Core §3.1.3.7), and reads user and groups from their claims by the API server's rules.

use bowline_api::opaque::Digest;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use super::jws::{self, TokenFlaw};
use super::provider::OpenIdProvider;
use crate::error::PageError;
use crate::session::{Groups, Session, same};
use crate::settings::{Oidc, OidcClaims};

/// Allowed clock skew, in seconds.
const SKEW: i64 = 60;

/// The claims of a token, if it is valid for this client and this sign-in.
pub(crate) fn verified(
    token: &str,
    provider: &OpenIdProvider,
    client_id: &str,
    nonce: &str,
    now: Timestamp,
) -> Result<Map<String, Value>, TokenFlaw> {
    let claims = jws::verified(token, &provider.keys, &provider.algorithms)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in an f64")]
    let [earliest, latest] = [now.as_second() - SKEW, now.as_second() + SKEW].map(|second| second as f64);
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    if text("iss") != Some(&provider.issuer) {
        return Err(TokenFlaw::Issuer);
    }
    if !is_for(&claims, client_id) {
        return Err(TokenFlaw::Audience);
    }
    if time("exp").is_none_or(|exp| exp <= earliest) {
        return Err(TokenFlaw::Expired);
    }
    let is_early = |name| time(name).is_none_or(|time| time > latest);
    if is_early("iat") || claims.contains_key("nbf") && is_early("nbf") {
        return Err(TokenFlaw::NotYet);
    }
    if !text("nonce").is_some_and(|sent| same(sent, nonce)) {
        return Err(TokenFlaw::Nonce);
    }
    Ok(claims)
}

/// Whether `aud` contains our client. With other audiences `azp` is required; if present, it must be our client.
fn is_for(claims: &Map<String, Value>, client_id: &str) -> bool {
    let (ours, several) = match claims.get("aud") {
        Some(Value::String(aud)) => (aud == client_id, false),
        Some(Value::Array(all)) => (all.iter().any(|aud| aud == client_id), all.len() > 1),
        _ => (false, false),
    };
    ours && claims.get("azp").map_or(!several, |azp| azp == client_id)
}

/// The session of the user that the claims name.
pub(crate) fn session(
    settings: &Oidc,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Session, PageError> {
    let OidcClaims { username_claim, groups_claim, groups_prefix, .. } = &settings.claims;
    let name = claims.get(username_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
    let no_name = || PageError::sign_in(&format!("Your sign-in provider sent no claim `{username_claim}`."));
    let name = name.ok_or_else(no_name)?;
    if username_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(PageError::sign_in("Your sign-in provider has not verified your e-mail address."));
    }
    let groups = match claims.get(groups_claim) {
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(group)) => vec![group.as_str()],
        _ => Vec::new(),
    };
    let groups = groups.into_iter().map(|group| format!("{groups_prefix}{group}")).collect();
    let user = format!("{}{name}", settings.prefix());
    let mut session = Session::begin(&user, Groups::Claimed(groups), now)?;
    let subject = claims.get("sub").and_then(Value::as_str);
    // Core §2: every ID token has one, at most 255 characters.
    let subject = subject.ok_or_else(|| PageError::sign_in("Your sign-in provider named no subject."))?;
    session.person = Some(Digest::of_person(&settings.issuer, subject));
    #[allow(clippy::cast_possible_truncation, reason = "saturates, and far ends are cut anyway")]
    let end =
        claims.get("exp").and_then(Value::as_f64).and_then(|exp| Timestamp::from_second(exp as i64).ok());
    Ok(match end {
        Some(end) => session.until(end)?,
        None => session,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_oauth::network::Network;

    use super::*;
    use serde_json::json;

    fn settings(claim: &str) -> Oidc {
        Oidc {
            issuer: "https://issuer.example.com".into(),
            client_id: "portal".into(),
            client_secret: None,
            claims: OidcClaims {
                username_claim: claim.into(),
                username_prefix: Some("oidc:".into()),
                groups_claim: "groups".into(),
                groups_prefix: "oidc:".into(),
                scopes: Vec::new(),
            },
            network: Network::default(),
        }
    }

    fn judged(claim: &str, claims: &Value) -> Result<Session, PageError> {
        session(&settings(claim), claims.as_object().unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn user_and_groups_carry_their_prefixes() {
        let session = judged("sub", &json!({"sub": "alice", "groups": ["staff", 7]})).unwrap();
        assert_eq!(session.user(), "oidc:alice");
        assert_eq!(session.groups, ["oidc:staff", "system:authenticated"]);
    }

    #[test]
    fn a_name_that_went_to_somebody_else_is_another_person() {
        let person = |claims: Value| judged("name", &claims).unwrap().person.unwrap();
        let before = person(json!({"sub": "1", "name": "alice"}));
        assert_eq!(before, person(json!({"sub": "1", "name": "alice.smith"})));
        assert_ne!(before, person(json!({"sub": "2", "name": "alice"})));
        assert!(judged("name", &json!({"name": "alice"})).is_err(), "a person without a subject is nobody");
    }

    #[test]
    fn an_e_mail_address_counts_only_if_it_is_verified() {
        let mail = "alice@example.com";
        assert!(judged("email", &json!({"sub": "1", "email": mail, "email_verified": true})).is_ok());
        for unverified in [
            json!({"email": mail}),
            json!({"email": mail, "email_verified": false}),
            json!({"email": mail, "email_verified": "true"}),
            json!({"email": "", "email_verified": true}),
        ] {
            assert!(judged("email", &unverified).is_err(), "{unverified}");
        }
    }

    #[test]
    fn nobody_signs_in_as_kubernetes_itself() {
        let mut bare = settings("sub");
        bare.claims.username_prefix = Some("-".into());
        bare.claims.groups_prefix = String::new();
        let judged = |claims: Value| session(&bare, claims.as_object().unwrap(), Timestamp::UNIX_EPOCH);
        assert!(judged(json!({"sub": "system:admin"})).is_err());
        let session = judged(json!({"sub": "alice", "groups": ["system:masters"]})).unwrap();
        assert_eq!(session.groups, ["system:authenticated"]);
    }
}
