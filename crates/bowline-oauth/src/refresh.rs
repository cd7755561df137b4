//! Requests access tokens with a refresh token (RFC 6749 §6).

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::app::App;
use super::classify::{Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::Http;
use super::link_session;
use crate::catalog::Description;
use crate::catalog::link_session::LinkSession;

/// Uses a refresh token, once. `scopes` may be fewer than the grant's, never more; none requests the same, except of a link
/// session, which remembers none.
///
/// Sends one request; a second one, with the previous client secret, only if the provider refused the client with the
/// current one: then it did not look at the token. [`Failure::sent`] says whether a failed request may have spent the token.
/// Dropping the future leaves the outcome unknown.
pub async fn refresh(
    http: &dyn Http,
    description: &Description,
    app: &App,
    refresh_token: &SecretString,
    scopes: &[String],
    now: Timestamp,
) -> Result<Granted, Failure> {
    if description.link_session.as_ref().is_some_and(LinkSession::refreshes) {
        return link_session::refresh(http, description, app, refresh_token, scopes, now).await;
    }
    let token = refresh_token.expose_secret();
    let grant = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let asked = ClientRequest { http, description, app, operation: Operation::Refresh, now };
    asked.tokens(&grant, scopes, None).await.map_err(|failure| failure.without_echo(token))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use url::form_urlencoded;

    use super::*;
    use crate::app::WhichSecret;
    use crate::catalog::assertion::AssertionAudience;
    use crate::catalog::errors::Class;
    use crate::catalog::protocol::{ClientAuth, Encoding};
    use crate::fixtures::{Script, answer, app, description};
    use crate::http::Sent;

    const ANSWER: &str =
        r#"{"access_token":"at","refresh_token":"rt2","expires_in":60,"token_type":"bearer"}"#;

    async fn spend(script: &Script, description: &Description, app: &App) -> Result<Granted, Failure> {
        let token = SecretString::from("rt-canary");
        refresh(script, description, app, &token, &[], Timestamp::UNIX_EPOCH).await
    }

    fn fields(body: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    }

    fn field(body: &str, name: &str) -> Option<String> {
        fields(body).into_iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    #[tokio::test]
    async fn basic_authentication_encodes_id_and_secret_first() {
        let script = Script::of(200, ANSWER);
        let granted = spend(&script, &description(), &app()).await.unwrap();
        assert_eq!(granted.answer.refresh_token.unwrap().expose_secret(), "rt2");
        let request = &script.requests()[0];
        let encoded = BASE64_STANDARD.encode("client:s%3Ae%2Bc%25r+t");
        assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {encoded}"));
        assert_eq!(request.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
        let body = script.body();
        assert_eq!(field(&body, "grant_type").unwrap(), "refresh_token");
        assert_eq!(field(&body, "refresh_token").unwrap(), "rt-canary");
        // Two methods in one request are forbidden, and no scope means the same scope.
        assert_eq!(fields(&body).len(), 2, "{body}");
    }

    #[tokio::test]
    async fn the_client_proves_itself_in_exactly_one_way() {
        let mut post = description();
        post.core.client_auth = vec![ClientAuth::Post];
        let script = Script::of(200, ANSWER);
        spend(&script, &post, &app()).await.unwrap();
        assert!(!script.requests()[0].headers().contains_key(AUTHORIZATION));
        assert_eq!(field(&script.body(), "client_secret").unwrap(), "s:e+c%r t");
        assert_eq!(field(&script.body(), "client_id").unwrap(), "client");

        let public = App { client_secret: None, ..app() };
        let script = Script::of(200, ANSWER);
        spend(&script, &description(), &public).await.unwrap();
        assert!(!script.requests()[0].headers().contains_key(AUTHORIZATION));
        assert_eq!(field(&script.body(), "client_secret"), None);
        assert_eq!(field(&script.body(), "client_id").unwrap(), "client");

        // A public client sends no secret, even if the app Secret contains one.
        let mut only_public = description();
        only_public.core.client_auth = vec![ClientAuth::None];
        let script = Script::of(200, ANSWER);
        spend(&script, &only_public, &app()).await.unwrap();
        assert!(!script.requests()[0].headers().contains_key(AUTHORIZATION));
        assert_eq!(field(&script.body(), "client_secret"), None);

        let script = Script::new([]);
        let failure = spend(&script, &post, &public).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::NotSent));
    }

    #[tokio::test]
    async fn a_private_key_proves_the_client_where_the_provider_takes_it() {
        let keyed = App { private_key: Some(crate::assertion::tests::key()), ..app() };
        let mut jwt = description();
        jwt.core.client_auth = vec![ClientAuth::PrivateKeyJwt, ClientAuth::Basic];
        let audience = |script: &Script| {
            let assertion = field(&script.body(), "client_assertion").unwrap();
            crate::claims::payload(&assertion).unwrap()["aud"].clone()
        };
        let script = Script::of(200, ANSWER);
        spend(&script, &jwt, &keyed).await.unwrap();
        assert!(!script.requests()[0].headers().contains_key(AUTHORIZATION));
        let kind = field(&script.body(), "client_assertion_type").unwrap();
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!(field(&script.body(), "client_secret"), None);
        assert_eq!(field(&script.body(), "client_id").unwrap(), "client");
        assert_eq!(audience(&script), "https://provider.example.com/token", "no issuer is known");

        jwt.core.endpoints.issuer = Some("https://id.example.com/realm".parse().unwrap());
        let script = Script::of(200, ANSWER);
        spend(&script, &jwt, &keyed).await.unwrap();
        assert_eq!(audience(&script), "https://id.example.com/realm");
        jwt.core.token_request.assertion.audience = AssertionAudience::TokenEndpoint;
        let script = Script::of(200, ANSWER);
        spend(&script, &jwt, &keyed).await.unwrap();
        assert_eq!(audience(&script), "https://provider.example.com/token");

        let script = Script::of(200, ANSWER);
        spend(&script, &jwt, &app()).await.unwrap();
        assert!(script.requests()[0].headers().contains_key(AUTHORIZATION), "without a key, with the secret");
    }

    #[tokio::test]
    async fn a_description_decides_encoding_headers_parameters_and_scopes() {
        let mut notion = description();
        notion.core.token_request.encoding = Encoding::Json;
        notion.core.token_request.headers = [("notion-version".to_owned(), "2022-06-28".to_owned())].into();
        notion.core.token_request.params = [("audience".to_owned(), "api".to_owned())].into();
        notion.core.scopes.separator = Some(",".to_owned());
        let script = Script::of(200, ANSWER);
        let scopes = ["a".to_owned(), "b".to_owned()];
        let token = SecretString::from("rt");
        refresh(&script, &notion, &app(), &token, &scopes, Timestamp::UNIX_EPOCH).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&script.body()).unwrap();
        let want = serde_json::json!({"grant_type": "refresh_token", "refresh_token": "rt", "audience": "api", "scope": "a,b"});
        assert_eq!(body, want);
        assert_eq!(script.requests()[0].headers()["notion-version"], "2022-06-28");
        assert_eq!(script.requests()[0].headers()[CONTENT_TYPE], "application/json");
    }

    #[tokio::test]
    async fn a_parameter_that_the_standard_sets_is_not_sent_twice() {
        let mut twice = description();
        twice.core.token_request.params = [("grant_type".to_owned(), "password".to_owned())].into();
        let failure = spend(&Script::new([]), &twice, &app()).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::NotSent));
        assert!(failure.summary.contains("grant_type"));
    }

    #[tokio::test]
    async fn the_previous_secret_is_tried_only_when_the_client_is_refused() {
        let rotating = App { client_secret_previous: Some(SecretString::from("old")), ..app() };
        let refused = || Ok(answer(401, &[], r#"{"error":"invalid_client"}"#));
        let script = Script::new([refused(), Ok(answer(200, &[], ANSWER))]);
        let granted = spend(&script, &description(), &rotating).await.unwrap();
        assert_eq!(granted.secret, WhichSecret::Previous);
        assert_eq!(script.requests().len(), 2);

        let script = Script::new([refused(), refused()]);
        let failure = spend(&script, &description(), &rotating).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::Refused));

        // The second request was sent and failed: its result counts.
        let script = Script::new([refused(), Ok(answer(502, &[], ""))]);
        let failure = spend(&script, &description(), &rotating).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Transient, Sent::MaybeSent));

        let in_trouble = (503, r#"{"error":"invalid_client"}"#);
        for (status, body) in
            [in_trouble, (400, r#"{"error":"invalid_grant"}"#), (502, ""), (200, "{}"), (401, "")]
        {
            let script = Script::of(status, body);
            spend(&script, &description(), &rotating).await.unwrap_err();
            assert_eq!(script.requests().len(), 1, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_provider_says_in_its_own_words_that_the_client_was_refused() {
        let rotating = App { client_secret_previous: Some(SecretString::from("old")), ..app() };
        let mut own_words = description();
        own_words.core.errors.refusals =
            serde_json::from_str(r#"[{"status": 401, "class": "Config", "client": true}]"#).unwrap();
        let refused = || Ok(answer(401, &[], r#"{"error":"access_denied"}"#));
        let script = Script::new([refused(), Ok(answer(200, &[], ANSWER))]);
        let granted = spend(&script, &own_words, &rotating).await.unwrap();
        assert_eq!((granted.secret, script.requests().len()), (WhichSecret::Previous, 2));
        let script = Script::new([refused()]);
        spend(&script, &description(), &rotating).await.unwrap_err();
        assert_eq!(script.requests().len(), 1);
    }

    #[tokio::test]
    async fn a_success_without_access_token_has_an_unknown_outcome() {
        for body in ["{}", "[]", r#"{"access_token":""}"#, r#"{"refresh_token":"rt2"}"#] {
            let failure = spend(&Script::of(200, body), &description(), &app()).await.unwrap_err();
            assert_eq!((failure.class, failure.sent), (Class::Bug, Sent::MaybeSent), "{body}");
        }
    }

    #[tokio::test]
    async fn a_provider_that_echoes_the_token_as_code_does_not_get_it_shown() {
        let script = Script::of(400, r#"{"error":"rt-canary"}"#);
        let failure = spend(&script, &description(), &app()).await.unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("canary"));
    }
}
