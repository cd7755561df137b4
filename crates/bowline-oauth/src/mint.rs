//! Mints access tokens: with the app registration alone (RFC 6749 §4.4), with an assertion that its private key signs (RFC 7523
//! §2.1), or with a token of the cluster's (RFC 8693). No person consents, and there is no grant that could be lost.

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::app::App;
use super::claims;
use super::classify::{Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use super::request::RequestError;
use crate::catalog::Description;

/// What a token is minted with.
#[derive(Clone, Copy, Debug)]
pub enum MintedWith<'a> {
    App,
    /// An assertion that the app's key signs.
    Assertion,
    /// A token of a `ServiceAccount` that was requested for this.
    Subject(&'a SecretString),
}

/// Mints an access token with what needs no person. You may repeat the request.
///
/// Like a refresh it is sent once more with the previous client secret if the current one is refused.
pub async fn mint(
    http: &dyn Http,
    description: &Description,
    app: &App,
    with: MintedWith<'_>,
    scopes: &[String],
    now: Timestamp,
) -> Result<Granted, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::Mint, now };
    let request = &description.token_request;
    match with {
        MintedWith::App => {
            let grant = [("grant_type", "client_credentials")];
            let grant = if request.omit_grant_type { &grant[1..] } else { &grant };
            asked.tokens(grant, scopes, None).await
        }
        MintedWith::Assertion => {
            let assertion = assertion(description, app, scopes, now)?;
            let text = assertion.expose_secret();
            let grant = [("grant_type", JWT_BEARER), ("assertion", text)];
            let scopes = if request.assertion.scope_claim { &[] } else { scopes };
            asked.tokens(&grant, scopes, None).await.map_err(|failure| failure.without_echo(text))
        }
        MintedWith::Subject(subject) => {
            let (text, type_) = (subject.expose_secret(), request.subject.called());
            let grant =
                [("grant_type", TOKEN_EXCHANGE), ("subject_token", text), ("subject_token_type", type_)];
            asked.tokens(&grant, scopes, None).await.map_err(|failure| failure.without_echo(text))
        }
    }
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Whether a `ServiceAccount`'s token is for the cluster itself: whoever had it could use the cluster as that account. Unless
/// configured otherwise, the API server accepts tokens for its own issuer.
pub fn is_for_the_cluster(token: &SecretString) -> bool {
    let Some(claims) = claims::payload(token.expose_secret()) else { return true };
    let issuer = claims.get("iss");
    let of_cluster = |audience: &Value| {
        Some(audience) == issuer
            || audience.as_str().is_none_or(|text| text.starts_with("https://kubernetes.default.svc"))
    };
    match claims.get("aud") {
        Some(Value::Array(all)) => all.is_empty() || all.iter().any(of_cluster),
        Some(one) => of_cluster(one),
        None => true,
    }
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
    use serde_json::json;
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
        mint(&script, &description, app, MintedWith::Assertion, &scopes, NOW).await.unwrap();
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
        let minted = mint(&script, &description(), &app(), MintedWith::App, &["read".to_owned()], NOW).await;
        minted.unwrap();
        assert_eq!(fields(&script), named(&[("grant_type", "client_credentials"), ("scope", "read")]));

        let script = Script::of(400, r#"{"error":"invalid_grant"}"#);
        let failure = mint(&script, &description(), &app(), MintedWith::App, &[], NOW).await;
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
        let failure =
            mint(&script, &description(), &app(), MintedWith::Assertion, &[], NOW).await.unwrap_err();
        assert_eq!(failure.class, Class::Config);
        assert!(failure.summary.contains("private_key"), "{}", failure.summary);
    }

    #[tokio::test]
    async fn the_token_of_a_service_account_is_exchanged() {
        let spec = json!({"type": "generic-oauth2-token-exchange", "endpoints":
            {"token": "https://id.example.com/token"}, "parameters": {"audience": "billing"}});
        let spec: IntegrationProviderSpec = serde_json::from_value(spec).unwrap();
        let description = resolve(&entry_of(&spec).unwrap(), &spec, "p", &[].into()).unwrap();
        assert_eq!(description.subject_audience(), Some("https://id.example.com/token"));
        let subject = SecretString::from("canary.canary.canary");
        let scopes = ["read".to_owned()];
        let post = App { client_secret: None, ..app() };
        let exchange = async |script: &Script| {
            mint(script, &description, &post, MintedWith::Subject(&subject), &scopes, NOW).await
        };
        let mut public = description.clone();
        public.core.client_auth = vec![crate::catalog::protocol::ClientAuth::None];
        let script = Script::of(200, ANSWER);
        let minted = mint(&script, &public, &post, MintedWith::Subject(&subject), &scopes, NOW).await;
        minted.unwrap();
        let want = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", "canary.canary.canary"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", "billing"),
            ("scope", "read"),
            ("client_id", "client"),
        ];
        assert_eq!(fields(&script), named(&want));
        let refused = |error: &str| Script::of(400, &json!({"error": error}).to_string());
        for (error, part) in
            [("invalid_request", "trusts the cluster's issuer"), ("invalid_target", "app registration")]
        {
            let failure = exchange(&refused(error)).await.unwrap_err();
            assert_eq!(failure.class, Class::Config, "{error}");
            assert!(failure.summary.contains(part), "{}", failure.summary);
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }

    #[test]
    fn a_token_for_the_cluster_is_known_by_its_audience() {
        let token = |aud: Value| {
            SecretString::from(crate::fixtures::id_token(&json!({"iss": "https://c", "aud": aud})))
        };
        for aud in [
            json!("https://c"),
            json!(["x", "https://c"]),
            json!([]),
            Value::Null,
            json!("https://kubernetes.default.svc.cluster.local"),
        ] {
            assert!(is_for_the_cluster(&token(aud.clone())), "{aud}");
        }
        assert!(!is_for_the_cluster(&token(json!(["https://sts.example.com"]))));
        assert!(is_for_the_cluster(&SecretString::from("opaque")));
    }
}
