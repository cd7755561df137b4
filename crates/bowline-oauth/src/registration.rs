//! Registers our client at an authorization server that takes that (RFC 7591).

use bowline_api::shown;
use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::answer::Document;
use super::http::{Http, SendError};
use super::{classify, request};
use crate::catalog::protocol::{ClientAuth, Proofs};
use crate::catalog::{Description, RegistrationEndpoint};

/// The longest client id and secret that are kept.
const MAX_VALUE: usize = 2048;
/// How much of a description of an error is shown, in characters.
const MAX_SHOWN: usize = 200;

/// What the server made of us.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<SecretString>,
}

/// A registration that did not succeed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(
        "the authorization server registers no clients (its metadata has no registration_endpoint): {BY_HAND}"
    )]
    NoEndpoint,
    #[error("the authorization server takes no client authentication that we can register for: {BY_HAND}")]
    NoClientAuth,
    #[error("the registration endpoint cannot be reached: {0}")]
    Unreachable(#[from] SendError),
    #[error("the registration endpoint is not available now (status {})", .0.as_u16())]
    Unavailable(StatusCode),
    #[error("the authorization server registers clients only with a token of its own (status {}): {BY_HAND}", .0.as_u16())]
    Closed(StatusCode),
    #[error("the authorization server refused to register us (status {}, {said}): {BY_HAND}", .status.as_u16())]
    Refused { status: StatusCode, said: String },
    #[error("the answer of the registration endpoint has no usable client_id: {BY_HAND}")]
    Unreadable,
    /// It says how the client must prove itself, and that is not what we asked for.
    #[error(
        "the authorization server registered us for {0}, which is not what we asked for: set overlay.clientAuth, or {BY_HAND}"
    )]
    OtherClientAuth(String),
}

const BY_HAND: &str = "register the callback URL by hand and name the app Secret in spec.app";

impl RegistrationError {
    /// Whether it may be temporary.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(error) => !matches!(error, SendError::Refused(_) | SendError::BadUrl),
            Self::Unavailable(_) => true,
            _ => false,
        }
    }
}

/// Registers a client with the name and redirect URI, and without scopes: servers refuse those of a resource that they do not
/// list as their own. Whether the server has registered one is not known after a failure
/// that passes: one that nobody uses may remain there.
pub async fn register(
    http: &dyn Http,
    endpoint: Option<&RegistrationEndpoint>,
    description: &Description,
    client_name: &str,
    redirect_uri: &str,
) -> Result<RegisteredClient, RegistrationError> {
    let endpoint = endpoint.ok_or(RegistrationError::NoEndpoint)?;
    let way = way(description).ok_or(RegistrationError::NoClientAuth)?;
    let mut metadata = json!({
        "client_name": client_name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": way.registered_name(),
    });
    if let Some(algorithm) = &endpoint.id_token_signing {
        metadata["id_token_signed_response_alg"] = json!(algorithm);
    }
    let request = request::json(Method::POST, &endpoint.url, &metadata).map_err(|_| SendError::BadUrl)?;
    let received = http.send(request).await?;
    let document = Document::read(&received);
    let answer = document.data();
    match received.status {
        StatusCode::OK | StatusCode::CREATED => read(answer.unwrap_or(&Value::Null), way),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Err(RegistrationError::Unavailable(status))
        }
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(RegistrationError::Closed(status)),
        status => {
            let text = |name: &str| answer.and_then(|answer| answer.get(name)?.as_str());
            let code = text("error").filter(|code| classify::is_plain(code)).unwrap_or("without a code");
            let more = text("error_description").map(shown::one_line).unwrap_or_default();
            let more: String = more.chars().take(MAX_SHOWN).collect();
            let said = if more.is_empty() { code.to_owned() } else { format!("{code}: {more}") };
            Err(RegistrationError::Refused { status, said })
        }
    }
}

/// How the client will prove itself: with a secret if the server takes one, since a refresh token is then of no use without it
/// (RFC 9700 §4.14).
fn way(description: &Description) -> Option<ClientAuth> {
    let with_secret = Proofs { secret: true, ..Proofs::default() };
    description.client_auth(with_secret).or_else(|| description.client_auth(Proofs::default()))
}

fn read(answer: &Value, asked: ClientAuth) -> Result<RegisteredClient, RegistrationError> {
    let text = |name: &str| {
        let value = answer.get(name)?.as_str()?;
        let fits = (1..=MAX_VALUE).contains(&value.len()) && !value.chars().any(char::is_control);
        fits.then(|| value.to_owned())
    };
    let client_id = text("client_id").ok_or(RegistrationError::Unreadable)?;
    let client_secret = text("client_secret");
    // The server may replace what was asked for (RFC 7591 §3.2.1). Without a secret we are a public client anyway.
    let method = answer.get("token_endpoint_auth_method").and_then(Value::as_str);
    let other = method.filter(|method| client_secret.is_some() && *method != asked.registered_name());
    match other {
        Some(method) if classify::is_plain(method) => {
            Err(RegistrationError::OtherClientAuth(method.to_owned()))
        }
        Some(_) => Err(RegistrationError::Unreadable),
        None => Ok(RegisteredClient { client_id, client_secret: client_secret.map(SecretString::from) }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::fixtures::{Script, description};

    const CALLBACK: &str = "https://portal.example.com/callback/p";

    async fn registered(
        script: &Script,
        methods: &[ClientAuth],
    ) -> Result<RegisteredClient, RegistrationError> {
        let mut description = description();
        description.core.client_auth = methods.to_vec();
        let url = "https://provider.example.com/register".parse().unwrap();
        let endpoint = RegistrationEndpoint { url, id_token_signing: Some("ES256".to_owned()) };
        register(script, Some(&endpoint), &description, "Bowline (p)", CALLBACK).await
    }

    fn sent(script: &Script) -> Value {
        serde_json::from_slice(script.requests()[0].body()).unwrap()
    }

    #[tokio::test]
    async fn a_client_with_a_secret_is_registered_where_the_server_takes_one() {
        let script = Script::of(
            201,
            r#"{"client_id":"id","client_secret":"s","token_endpoint_auth_method":"client_secret_basic"}"#,
        );
        let client = registered(&script, &[ClientAuth::Basic, ClientAuth::None]).await.unwrap();
        assert_eq!((client.client_id.as_str(), client.client_secret.unwrap().expose_secret()), ("id", "s"));
        let sent = sent(&script);
        assert_eq!(sent["token_endpoint_auth_method"], "client_secret_basic");
        assert_eq!(sent["redirect_uris"], json!([CALLBACK]));
        assert_eq!(sent["id_token_signed_response_alg"], "ES256");
        let script = Script::of(201, r#"{"client_id":"id"}"#);
        let client = registered(&script, &[ClientAuth::None]).await.unwrap();
        assert!(client.client_secret.is_none());
        assert_eq!(self::sent(&script)["token_endpoint_auth_method"], "none");
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_not_used() {
        let other =
            r#"{"client_id":"id","client_secret":"s","token_endpoint_auth_method":"client_secret_jwt"}"#;
        let rows = [
            (201, other, "registered us for client_secret_jwt"),
            (201, r#"{"client_id":""}"#, "no usable client_id"),
            (201, "<html>", "no usable client_id"),
            (400, r#"{"error":"invalid_redirect_uri"}"#, "status 400, invalid_redirect_uri"),
            (400, r#"{"error":"a\nb"}"#, "status 400, without a code"),
            (401, "", "only with a token of its own"),
        ];
        for (status, body, expected) in rows {
            let error = registered(&Script::of(status, body), &[ClientAuth::Basic]).await.unwrap_err();
            assert!(error.to_string().contains(expected) && !error.passes(), "{error}");
        }
        assert!(registered(&Script::of(503, ""), &[ClientAuth::Basic]).await.unwrap_err().passes());
        let none = registered(&Script::new([]), &[ClientAuth::PrivateKeyJwt]).await.unwrap_err();
        assert!(matches!(none, RegistrationError::NoClientAuth));
        let nowhere = register(&Script::new([]), None, &description(), "n", CALLBACK).await.unwrap_err();
        assert!(nowhere.to_string().contains("by hand"));
    }
}
