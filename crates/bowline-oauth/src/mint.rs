//! Mints access tokens: with the app registration alone (RFC 6749 §4.4), or with an assertion that its private key signs (RFC 7523
//! §2.1). No person consents, and there is no grant that could be lost.

use bowline_api::connection::Method;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::app::App;
use super::classify::{Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use super::request::RequestError;
use crate::catalog::Description;

/// Mints an access token with a method that needs no person. You may repeat the request.
///
/// Like a refresh it is sent once more with the previous client secret if the current one is refused.
pub async fn mint(
    http: &dyn Http,
    description: &Description,
    app: &App,
    method: Method,
    scopes: &[String],
    now: Timestamp,
) -> Result<Granted, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::Mint, now };
    if method != Method::JwtBearer {
        let grant = [("grant_type", "client_credentials")];
        let grant = if description.token_request.omit_grant_type { &grant[1..] } else { &grant };
        return asked.tokens(grant, scopes, None).await;
    }
    let assertion = assertion(description, app, scopes, now)?;
    let text = assertion.expose_secret();
    let grant = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", text)];
    let scopes = if description.token_request.assertion.scope_claim { &[] } else { scopes };
    asked.tokens(&grant, scopes, None).await.map_err(|failure| failure.without_echo(text))
}

/// The assertion that requests a token, used once.
fn assertion(
    description: &Description,
    app: &App,
    scopes: &[String],
    now: Timestamp,
) -> Result<SecretString, RequestError> {
    let key = app.private_key.as_ref().ok_or(RequestError::NoSigningKey)?;
    let audience = description.assertion_audience().ok_or(RequestError::NoTokenEndpoint)?;
    let rules = &description.token_request.assertion;
    let scopes = description.scopes.joined(scopes).filter(|_| rules.scope_claim);
    let own = rules.claims.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let claims = [("iss", app.client_id.as_str()), ("aud", audience)].into_iter().chain(own);
    Ok(key.assertion(rules, claims.chain(scopes.as_deref().map(|scopes| ("scope", scopes))), now)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::IntegrationProviderSpec;
    use serde_json::{Value, json};
    use url::form_urlencoded;

    use super::*;
    use crate::assertion::tests::{key, parts};
    use crate::catalog::errors::Class;
    use crate::catalog::{entry_of, resolve};
    use crate::fixtures::{Script, app, description};

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const ANSWER: &str = r#"{"access_token":"at","token_type":"Bearer","expires_in":60}"#;

    fn fields(script: &Script) -> Vec<(String, String)> {
        form_urlencoded::parse(script.body().as_bytes()).into_owned().collect()
    }

    fn robot() -> App {
        App { client_id: "robot".to_owned(), client_secret: None, private_key: Some(key()), ..app() }
    }

    /// What the request for a token has, and the claims of its assertion.
    async fn asked(entry: &str, spec: Value, app: &App, scopes: &[&str]) -> (Vec<(String, String)>, Value) {
        let mut all = json!({"type": entry});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let spec: IntegrationProviderSpec = serde_json::from_value(all).unwrap();
        let description = resolve(&entry_of(&spec).unwrap(), &spec, entry, &[].into()).unwrap();
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let script = Script::of(200, ANSWER);
        mint(&script, &description, app, Method::JwtBearer, &scopes, NOW).await.unwrap();
        let mut sent = fields(&script);
        let place = sent.iter().position(|(name, _)| name == "assertion").unwrap();
        let (_, jwt) = sent.remove(place);
        let (_, mut claims, ..) = parts(&jwt);
        assert!(claims.as_object_mut().unwrap().remove("jti").is_some());
        (sent, claims)
    }

    fn named(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");

    #[tokio::test]
    async fn client_credentials_ask_with_the_app_alone() {
        let script = Script::of(200, ANSWER);
        let minted =
            mint(&script, &description(), &app(), Method::ClientCredentials, &["read".to_owned()], NOW).await;
        minted.unwrap();
        assert_eq!(fields(&script), named(&[("grant_type", "client_credentials"), ("scope", "read")]));

        let script = Script::of(400, r#"{"error":"invalid_grant"}"#);
        let failure = mint(&script, &description(), &app(), Method::ClientCredentials, &[], NOW).await;
        assert_eq!(failure.unwrap_err().class, Class::Config, "there is no grant that could be gone");
    }

    #[tokio::test]
    async fn a_service_account_of_google_signs_for_the_token_endpoint_and_names_its_scopes() {
        let (sent, claims) = asked("google-service-account", json!({}), &robot(), &["a", "b"]).await;
        assert_eq!(sent, named(&[GRANT]), "neither a client nor scopes beside the assertion");
        let mut want = json!({"iss": "robot", "aud": "https://oauth2.googleapis.com/token", "scope": "a b",
            "iat": 1_799_999_990, "exp": 1_800_000_120});
        assert_eq!(claims, want);
        let delegated = json!({"parameters": {"subject": "ana@example.com"}});
        let (_, claims) = asked("google-service-account", delegated, &robot(), &["a", "b"]).await;
        want["sub"] = json!("ana@example.com");
        assert_eq!(claims, want);
    }

    #[tokio::test]
    async fn any_server_gets_the_claims_that_its_administrator_states() {
        let token = json!({"token": "https://id.example.com/token"});
        let own = json!({"endpoints": token, "parameters": {"subject": "billing"}});
        let (sent, claims) = asked("generic-oauth2-jwt-bearer", own, &robot(), &["read"]).await;
        assert_eq!(sent, named(&[GRANT, ("scope", "read")]));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("robot"), &json!("billing")));
        assert_eq!(claims["aud"], "https://id.example.com/token");

        // A client beside the assertion proves itself as everywhere.
        let both = App { client_secret: Some("secret".into()), ..robot() };
        let own = json!({"endpoints": token, "parameters":
            {"subject": "billing", "issuer": "https://robots.example.com", "client_auth": "post"},
            "overlay": {"tokenRequest": {"assertion": {"lifetime": "5m", "datedBack": "1m"}}}});
        let (sent, claims) = asked("generic-oauth2-jwt-bearer", own, &both, &[]).await;
        assert_eq!(sent, named(&[GRANT, ("client_id", "robot"), ("client_secret", "secret")]));
        assert_eq!(claims["iss"], "https://robots.example.com");
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_799_999_940), &json!(1_800_000_300)));
    }

    #[tokio::test]
    async fn without_a_key_nothing_is_sent() {
        let script = Script::new([]);
        let failure = mint(&script, &description(), &app(), Method::JwtBearer, &[], NOW).await.unwrap_err();
        assert_eq!(failure.class, Class::Config);
        assert!(failure.summary.contains("private_key"), "{}", failure.summary);
    }
}
