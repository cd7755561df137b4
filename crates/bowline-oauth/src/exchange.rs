//! Exchanges an authorization code for tokens (RFC 6749 §4.1.3), once.

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::answer::AnswerFlaw;
use super::app::App;
use super::authorize::nonce;
use super::claims::ClaimsFlaw;
use super::classify::{self, Failure, Operation};
use super::endpoint::{ClientRequest, Granted};
use super::http::{Http, Sent};
use crate::catalog::Description;
use crate::catalog::entry::Pkce;
use crate::catalog::errors::Class;

/// The code in a callback, and the values of the request that it answers.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    pub code: &'a SecretString,
    /// The PKCE verifier (RFC 7636 §4.1).
    pub verifier: &'a SecretString,
    /// Whether the request carried its challenge. What the description says of PKCE may have changed since.
    pub sent_challenge: bool,
    pub redirect_uri: &'a str,
    /// The scopes that were requested: one of them requests an id token.
    pub scopes: &'a [String],
}

/// Exchanges the code in a callback.
///
/// The code is sent once. It is sent a second time, with the previous client secret, only if the provider refused the client
/// itself: it authenticates the client before it checks the code (RFC 6749 §4.1.3), so the code was not used. After any
/// other failure the code must not be sent again, unless [`Failure::sent`] says that no byte of it was sent; a server that
/// sees a code twice may revoke what it issued for it (§4.1.2). [`Class::Reauth`] means to start over: the code is too late,
/// used or not ours. It says nothing about an older grant.
///
/// The token endpoint answered us directly over TLS, so the id token's signature is not checked (`OpenID` Connect Core
/// §3.1.3.7); issuer, audience, expiry and, if one was sent, the nonce are. If the nonce is that of another request, the
/// whole answer is refused: the code was not meant for us.
///
/// [`Class::Reauth`]: crate::catalog::errors::Class::Reauth
pub async fn exchange(
    http: &dyn Http,
    description: &Description,
    app: &App,
    sent: Code<'_>,
    now: Timestamp,
) -> Result<Granted, Failure> {
    let asked = ClientRequest { http, description, app, operation: Operation::Exchange, now };
    let Code { code, verifier, sent_challenge, redirect_uri, scopes } = sent;
    let secrets = [code.expose_secret(), verifier.expose_secret()];
    let mut grant =
        vec![("grant_type", "authorization_code"), ("code", secrets[0]), ("redirect_uri", redirect_uri)];
    if sent_challenge {
        grant.push(("code_verifier", secrets[1]));
    }
    let outcome = asked.tokens(&grant, &[], nonce(scopes, verifier).as_deref()).await;
    let granted = outcome.map_err(|failure| {
        let failure = secrets.into_iter().fold(failure, Failure::without_echo);
        if sent_challenge && description.authorize.pkce == Pkce::Unknown {
            doubting_pkce(failure)
        } else {
            failure
        }
    })?;
    if granted.answer.flaws.contains(&AnswerFlaw::IdToken(ClaimsFlaw::OtherNonce)) {
        return Err(classify::of_another_request());
    }
    Ok(granted)
}

/// A refusal that may come of a verifier that the server does not know: some call the client invalid then.
fn doubting_pkce(failure: Failure) -> Failure {
    if failure.sent != Sent::Refused || failure.class == Class::Transient {
        return failure;
    }
    let hint = "a server that does not know PKCE refuses code_verifier: if this one does not, set spec.overlay.authorize.pkce of the provider to None";
    Failure { summary: format!("{}; {hint}", failure.summary), ..failure }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};
    use url::form_urlencoded;

    use super::*;
    use crate::app::WhichSecret;
    use crate::authorize::nonce_of;
    use crate::fixtures::{Script, answer, app, description, id_token};

    const BACK: &str = "https://portal.example.com/callback/example";
    const ANSWER: &str = r#"{"access_token":"at","refresh_token":"rt","expires_in":60}"#;

    fn verifier() -> SecretString {
        SecretString::from("verifier-canary-verifier-canary-verifier-canary")
    }

    async fn exchanged(script: &Script, description: &Description, app: &App) -> Result<Granted, Failure> {
        let code = SecretString::from("code-canary");
        exchanged_as(script, description, app, &code, &["openid".to_owned()]).await
    }

    async fn exchanged_as(
        script: &Script,
        description: &Description,
        app: &App,
        code: &SecretString,
        scopes: &[String],
    ) -> Result<Granted, Failure> {
        let sent = Code { code, verifier: &verifier(), sent_challenge: true, redirect_uri: BACK, scopes };
        let outcome = exchange(script, description, app, sent, Timestamp::UNIX_EPOCH).await;
        assert!(!format!("{outcome:?}").contains("canary"));
        outcome
    }

    #[tokio::test]
    async fn the_code_goes_out_with_its_verifier_and_redirect_uri() {
        let fields = |script: &Script| {
            form_urlencoded::parse(script.body().as_bytes()).into_owned().collect::<Vec<_>>()
        };
        let (script, verifier) = (Script::of(200, ANSWER), verifier());
        let granted = exchanged(&script, &description(), &app()).await.unwrap();
        assert!(granted.answer.refresh_token.is_some());
        let mut sent = fields(&script);
        sent.sort();
        let want = [
            ("code", "code-canary"),
            ("code_verifier", verifier.expose_secret()),
            ("grant_type", "authorization_code"),
            ("redirect_uri", BACK),
        ];
        assert_eq!(sent, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// The server holds the code to the request that it answers, whatever a description has said of PKCE since.
    #[tokio::test]
    async fn the_verifier_goes_out_if_its_challenge_did() {
        let code = SecretString::from("code-canary");
        for pkce in [Pkce::None, Pkce::Supported] {
            let mut description = description();
            description.core.authorize.pkce = pkce;
            for sent_challenge in [true, false] {
                let script = Script::of(200, ANSWER);
                let sent = Code {
                    code: &code,
                    verifier: &verifier(),
                    sent_challenge,
                    redirect_uri: BACK,
                    scopes: &[],
                };
                exchange(&script, &description, &app(), sent, Timestamp::UNIX_EPOCH).await.unwrap();
                assert_eq!(script.body().contains("code_verifier"), sent_challenge, "{pkce:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_code_is_sent_once_unless_the_client_itself_was_refused() {
        let rotating = App { client_secret_previous: Some(SecretString::from("old")), ..app() };
        let refused = || Ok(answer(401, &[], r#"{"error":"invalid_client"}"#));
        let script = Script::new([refused(), Ok(answer(200, &[], ANSWER))]);
        assert_eq!(
            exchanged(&script, &description(), &rotating).await.unwrap().secret,
            WhichSecret::Previous
        );
        let script = Script::new([refused(), refused()]);
        assert_eq!(exchanged(&script, &description(), &rotating).await.unwrap_err().class, Class::Config);

        let rows = [
            (400, r#"{"error":"invalid_grant"}"#, Class::Reauth, Sent::Refused),
            // It says that it refused the client, and that it failed: whether the code was used is open.
            (500, r#"{"error":"invalid_client"}"#, Class::Config, Sent::MaybeSent),
            (401, "", Class::Bug, Sent::Refused),
            (502, "", Class::Transient, Sent::MaybeSent),
            (429, "", Class::Transient, Sent::Refused),
            (200, "{}", Class::Bug, Sent::MaybeSent),
            (200, "<html>", Class::Transient, Sent::MaybeSent),
            (302, "", Class::Bug, Sent::Refused),
        ];
        for (status, body, class, sent) in rows {
            let script = Script::of(status, body);
            let failure = exchanged(&script, &description(), &rotating).await.unwrap_err();
            assert_eq!((failure.class, failure.sent), (class, sent), "{status} {body}");
            assert_eq!(script.requests().len(), 1, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_bad_code_says_nothing_about_a_grant() {
        let mut table = description();
        table.core.errors.token =
            [("invalid_grant".to_owned(), Class::Reauth), ("token_revoked".to_owned(), Class::Reauth)].into();
        table.core.errors.revoked = ["invalid_grant", "token_revoked"].map(str::to_owned).into();
        for error in ["invalid_grant", "token_revoked"] {
            let body = json!({"error": error}).to_string();
            let failure = exchanged(&Script::of(400, &body), &table, &app()).await.unwrap_err();
            assert_eq!((failure.class, failure.proves_revoked), (Class::Reauth, false));
            assert!(failure.summary.contains("begin again"), "{}", failure.summary);
        }
    }

    #[tokio::test]
    async fn a_finer_code_of_the_provider_tells_more_than_the_standards() {
        let spec = serde_json::from_value(json!({"type": "microsoft"})).unwrap();
        let entry = crate::catalog::get("microsoft").unwrap();
        let microsoft = crate::catalog::resolve(entry, &spec, "microsoft", &[].into()).unwrap();
        for (number, class) in
            [(65001, Class::Consent), (50076, Class::StepUp), (70008, Class::Reauth), (53003, Class::Policy)]
        {
            let body = json!({"error": "invalid_grant", "error_codes": [number]}).to_string();
            let failure = exchanged(&Script::of(400, &body), &microsoft, &app()).await.unwrap_err();
            assert_eq!((failure.class, failure.code), (class, Some(number.to_string())));
        }
    }

    #[tokio::test]
    async fn an_id_token_of_another_request_refuses_all_and_one_without_nonce_only_itself() {
        let with = |nonce: Value| {
            let mut claims = json!({"aud": "client", "sub": "7", "nonce": nonce});
            if nonce.is_null() {
                claims.as_object_mut().unwrap().remove("nonce");
            }
            let answer = json!({"access_token": "at", "refresh_token": "rt", "id_token": id_token(&claims)});
            Script::of(200, &answer.to_string())
        };
        let ours = exchanged(&with(json!(nonce_of(&verifier()))), &description(), &app()).await.unwrap();
        assert_eq!(ours.answer.claims["sub"], "7");
        let silent = exchanged(&with(Value::Null), &description(), &app()).await.unwrap();
        assert_eq!(silent.answer.flaws, [AnswerFlaw::IdToken(ClaimsFlaw::NoNonce)]);
        assert!(silent.answer.claims.is_empty());
        // If none was requested there was no nonce to repeat.
        let code = SecretString::from("code-canary");
        let unasked = exchanged_as(&with(Value::Null), &description(), &app(), &code, &[]).await.unwrap();
        assert_eq!(unasked.answer.claims["sub"], "7");
        let other = exchanged(&with(json!("other")), &description(), &app()).await.unwrap_err();
        assert_eq!((other.class, other.sent), (Class::Reauth, Sent::MaybeSent));
    }

    #[tokio::test]
    async fn an_echo_of_the_code_or_the_verifier_is_not_shown() {
        for echo in ["code-canary", "verifier-canary-verifier-canary-verifier-canary"] {
            let body = json!({"error": echo}).to_string();
            assert_eq!(
                exchanged(&Script::of(400, &body), &description(), &app()).await.unwrap_err().code,
                None
            );
        }
    }
}
