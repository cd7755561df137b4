//! A rehearsal without the provider, for `bowline catalog try`: which requests its description would send, and what would be
//! taken from an answer. Nothing leaves the process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Mutex;

use bowline_api::connection::Method;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{self, Lifetime, TokenAnswer};
use super::app::{App, AppPurpose};
use super::assertion::SigningKey;
use super::authorize::{self, AuthorizationRequest};
use super::claims;
use super::classify::Failure;
use super::exchange::{self, Code};
use super::http::{Http, Received, Request, SendError};
use super::identity;
use super::link_session;
use super::mint::{self, MintedWith};
use super::network::Network;
use super::refresh;
use crate::catalog::Description;
use crate::catalog::pointer::Pointer;
use crate::catalog::protocol::{CertificateUse, ClientAuth, Proofs};

/// What the provider is taken to have said.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The token endpoint's answer. Absent means a sample that has everything where the description reads it.
    pub answer: Option<Vec<u8>>,
    /// The answer of the call that names the account.
    pub user_info: Option<Vec<u8>>,
    /// Parameters of the callback.
    pub callback: BTreeMap<String, String>,
}

const CLIENT_ID: &str = "YOUR-CLIENT-ID";
const CLIENT_SECRET: &str = "YOUR-CLIENT-SECRET";
const REDIRECT_URI: &str = "https://PORTAL/callback/PROVIDER";

/// Runs the description's usual method; returns the text to show. Ends with a line break.
pub async fn rehearse(description: &Description, recorded: &Recorded, now: Timestamp) -> String {
    let description = &without_handshake(description.clone());
    let method = description.methods.first();
    let (mut text, stage) = (String::new(), Stage::new(description, recorded));
    let with_secret = description.client_auth(Proofs { secret: true, ..Proofs::default() });
    let app = app(method == Some(&Method::JwtBearer) || with_secret.is_none());
    let granted = match method {
        Some(Method::AuthorizationCode | Method::DeviceCode) => {
            consent(&stage, description, &app, &mut text, now).await
        }
        Some(Method::RefreshToken) => {
            let token = SecretString::from("REFRESH-TOKEN");
            refresh::refresh(&stage, description, &app, &token, &[], now).await.map(|granted| granted.answer)
        }
        Some(method @ (Method::ClientCredentials | Method::JwtBearer | Method::TokenExchange)) => {
            mint(&stage, description, &app, *method, now).await
        }
        Some(Method::LinkSession) => return link_session::outline(description),
        Some(Method::IssuedKey) => {
            return "There are no tokens to request: keys are issued here.\n".to_owned();
        }
        Some(Method::ApiKey | Method::BasicAuth) | None => {
            return "There are no tokens to request: a key or a password is provided.\n".to_owned();
        }
    };
    stage.show("Token request", &mut text);
    match granted {
        Ok(answer) => {
            show_answer(description, recorded, &answer, &mut text);
            show_account(&stage, description, recorded, &answer, &mut text, now).await;
        }
        Err(failure) => {
            _ = writeln!(text, "\nThe answer is a failure: {failure} (class {:?})", failure.class);
        }
    }
    text
}

/// The same without a certificate, which is presented in TLS: a request with it is that of a public client.
fn without_handshake(mut description: Description) -> Description {
    for way in description.core.client_auth.iter_mut().filter(|way| way.takes_certificate()) {
        *way = ClientAuth::None;
    }
    description.core.client_certificate = CertificateUse::default();
    description
}

/// Our registration, with values that anybody sees are none, and a secret or a key that nobody knows.
fn app(signs: bool) -> App {
    App {
        client_id: CLIENT_ID.to_owned(),
        client_secret: Some(SecretString::from(CLIENT_SECRET)).filter(|_| !signs),
        client_secret_previous: None,
        private_key: SigningKey::generate().ok().filter(|_| signs),
        certificate: None,
        purpose: AppPurpose::default(),
        version: None,
    }
}

async fn mint(
    stage: &Stage,
    description: &Description,
    app: &App,
    method: Method,
    now: Timestamp,
) -> Result<TokenAnswer, Failure> {
    let subject = SecretString::from("SERVICE-ACCOUNT-TOKEN");
    let with = match method {
        Method::JwtBearer => MintedWith::Assertion,
        Method::TokenExchange => MintedWith::Subject(&subject),
        _ => MintedWith::App,
    };
    let scopes = &description.scopes.default;
    mint::mint(stage, description, app, with, scopes, now).await.map(|granted| granted.answer)
}

async fn consent(
    stage: &Stage,
    description: &Description,
    app: &App,
    text: &mut String,
    now: Timestamp,
) -> Result<TokenAnswer, Failure> {
    let secret = SecretString::from("STATE");
    let scopes = &description.scopes.default;
    let request = AuthorizationRequest { redirect_uri: REDIRECT_URI, state: &secret, scopes, expected: None };
    let mut plain = description.clone();
    plain.core.endpoints.pushed_authorization_request = None;
    let begun = authorize::begin(stage, &plain, app, &request, now).await?;
    let mut address = begun.address.clone();
    address.set_query(None);
    _ = writeln!(text, "Authorization request\n  {address}");
    for (name, value) in begun.address.query_pairs() {
        let value = if name == "code_challenge" { "DIGEST-OF-A-RANDOM-VERIFIER".into() } else { value };
        _ = writeln!(text, "    {name}={value}");
    }
    let code = SecretString::from("CODE");
    let verifier = SecretString::from("VERIFIER");
    let sent_challenge = begun.sends_challenge;
    let code =
        Code { code: &code, verifier: &verifier, sent_challenge, redirect_uri: REDIRECT_URI, scopes: &[] };
    exchange::exchange(stage, description, app, code, now).await.map(|granted| granted.answer)
}

fn show_answer(description: &Description, recorded: &Recorded, answer: &TokenAnswer, text: &mut String) {
    let sample = if recorded.answer.is_some() { "recorded" } else { "made-up" };
    _ = writeln!(text, "\nTaken from the {sample} answer");
    let given = |there: bool| if there { "there" } else { "not there" };
    _ = writeln!(text, "  access token: {}", given(answer.access_token.is_some()));
    _ = writeln!(text, "  refresh token: {}", given(answer.refresh_token.is_some()));
    let refreshable = answer.refresh_token.is_some();
    let lifetime = match (answer.lifetime, answer.lifetime.counted(refreshable, None)) {
        (Lifetime::Told(told), _) => format!("{} s", told.as_secs()),
        (_, Some(assumed)) => format!("not there; {} s by grant.accessLifetime", assumed.as_secs()),
        (Lifetime::Zero(_), None) if !refreshable => "none: it does not expire".to_owned(),
        (_, None) => "not there, and grant.accessLifetime is not set: it is never refreshed".to_owned(),
    };
    _ = writeln!(text, "  lifetime: {lifetime}");
    let scopes = answer.scopes.as_ref().map_or("those requested".to_owned(), |scopes| scopes.join(" "));
    _ = writeln!(text, "  scopes: {scopes}");
    for flaw in &answer.flaws {
        _ = writeln!(text, "  flaw: {flaw}");
    }
    let mut extras = answer.extras.clone();
    extras.extend(answer::extras_of_callback(description, &recorded.callback));
    for key in description.publish.keys() {
        match extras.get(key) {
            Some(value) => _ = writeln!(text, "  publish.{key}: {value}"),
            None => _ = writeln!(text, "  publish.{key}: not there"),
        }
    }
}

async fn show_account(
    stage: &Stage,
    description: &Description,
    recorded: &Recorded,
    answer: &TokenAnswer,
    text: &mut String,
    now: Timestamp,
) {
    text.push_str("\nAccount\n");
    let account = match (answer.account.clone(), &recorded.user_info) {
        (Some(account), _) => Some(account),
        (None, None) if description.identity_url().is_some() => {
            text.push_str("  it is asked for by a call: give its recorded answer with --user-info\n");
            return;
        }
        (None, None) => None,
        (None, Some(_)) => {
            let access_token = &SecretString::from("ACCESS-TOKEN");
            match (identity::Asked { http: stage, description, app: None, access_token, now }).account().await
            {
                Ok(info) => {
                    stage.show("Account request", text);
                    info.account
                }
                Err(failure) => {
                    _ = writeln!(text, "  the answer is a failure: {failure}");
                    return;
                }
            }
        }
    };
    match account {
        Some(account) => {
            _ = writeln!(text, "  id: {}", account.id);
            _ = writeln!(text, "  name: {}", account.name.as_deref().unwrap_or("not there"));
            _ = writeln!(text, "  e-mail: {}", account.email.as_deref().unwrap_or("not there"));
        }
        None => text.push_str("  not named: a new consent may be of another account\n"),
    }
}

/// Answers with what was recorded, and keeps the requests.
#[derive(Debug)]
struct Stage {
    answers: Mutex<VecDeque<Vec<u8>>>,
    requests: Mutex<Vec<Request>>,
    network: Network,
}

impl Stage {
    fn new(description: &Description, recorded: &Recorded) -> Self {
        let answer = recorded.answer.clone().unwrap_or_else(|| sample(description).to_string().into_bytes());
        let answers = [Some(answer), recorded.user_info.clone()].into_iter().flatten().collect();
        Self { answers: Mutex::new(answers), requests: Mutex::default(), network: Network::default() }
    }

    /// Shows the requests since the last time.
    fn show(&self, title: &str, text: &mut String) {
        let requests = self.requests.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        for request in requests {
            _ = writeln!(text, "\n{title}\n  {} {}", request.method(), request.uri());
            for (name, value) in request.headers() {
                let value = if value.is_sensitive() { "…" } else { value.to_str().unwrap_or("…") };
                _ = writeln!(text, "    {name}: {value}");
            }
            let body = String::from_utf8_lossy(request.body());
            if body.starts_with('{') {
                _ = writeln!(text, "    {body}");
            } else {
                for (name, value) in form_urlencoded::parse(body.as_bytes()) {
                    let claims = claims::payload(&value).filter(|_| name == "assertion");
                    match claims {
                        Some(claims) => _ = writeln!(text, "    {name}=a signed JWT with {claims}"),
                        None => _ = writeln!(text, "    {name}={value}"),
                    }
                }
            }
        }
    }
}

impl Http for Stage {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Received, SendError>> {
        let answer = self.answers.lock().ok().and_then(|mut answers| answers.pop_front());
        if let Ok(mut requests) = self.requests.lock() {
            requests.push(request);
        }
        let received =
            answer.map(|body| Received { status: StatusCode::OK, headers: HeaderMap::new(), body });
        Box::pin(std::future::ready(received.ok_or(SendError::BadUrl)))
    }

    fn network(&self) -> &Network {
        &self.network
    }
}

/// An answer that has everything where the description reads it.
fn sample(description: &Description) -> Value {
    let paths = &description.token_response;
    let mut root = json!({});
    put(&mut root, &paths.access_token, json!("ACCESS-TOKEN"));
    for (path, value) in [(&paths.refresh_token, json!("REFRESH-TOKEN")), (&paths.expires_in, json!(3600))] {
        if let Some(path) = path {
            put(&mut root, path, value);
        }
    }
    let mut document = json!({});
    match paths.roots.first() {
        Some(first) if *first != Pointer::default() => put(&mut document, first, root),
        _ => document = root,
    }
    if let Some(success) = &paths.success {
        put(&mut document, success, json!(true));
    }
    document
}

/// Puts a value where a pointer leads, with the objects on the way.
fn put(document: &mut Value, path: &Pointer, value: Value) {
    let place = path.names().fold(document, |place, name| {
        if !place.is_object() {
            *place = json!({});
        }
        &mut place[name]
    });
    *place = value;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::catalog::{entries, entry_of, resolve, sketch};

    fn described(spec: &Value) -> Description {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        resolve(&entry_of(&spec).unwrap(), &spec, "fern", &BTreeMap::new()).unwrap()
    }

    const SERVICE: &str = r#"{"type": "generic-oauth2", "overlay": {
        "endpoints": {"authorization": "https://fern.example.com/a", "token": "https://fern.example.com/t",
            "userinfo": "https://fern.example.com/me"},
        "grant": {"accessLifetime": "15m"},
        "identity": {"from": ["Call"], "account": {"id": ["/user/id"], "name": "/user/name"}},
        "publish": {"site": "/answer/site", "realm": "/callback/realmId", "none": "/answer/none"}}}"#;

    #[tokio::test]
    async fn what_would_be_sent_and_taken_is_shown_without_a_request() {
        let description = described(&serde_json::from_str(SERVICE).unwrap());
        let recorded = Recorded {
            answer: Some(
                br#"{"access_token":"x","refresh_token":"y","site":"https://eu7.example.com"}"#.to_vec(),
            ),
            user_info: Some(br#"{"user":{"id":7,"name":"Ann"}}"#.to_vec()),
            callback: [("realmId".to_owned(), "9130".to_owned())].into(),
        };
        let text = rehearse(&description, &recorded, Timestamp::UNIX_EPOCH).await;
        for part in [
            "https://fern.example.com/a",
            "code_challenge=DIGEST",
            "POST https://fern.example.com/t",
            "grant_type=authorization_code",
            "900 s by grant.accessLifetime",
            "publish.site: https://eu7.example.com",
            "publish.realm: 9130",
            "publish.none: not there",
            "id: 7",
            "name: Ann",
            "e-mail: not there",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let refused = Recorded { answer: Some(br#"{"error":"invalid_grant"}"#.to_vec()), ..recorded };
        let text = rehearse(&description, &refused, Timestamp::UNIX_EPOCH).await;
        assert!(text.contains("class Reauth"), "{text}");
    }

    #[tokio::test]
    async fn every_entry_takes_its_own_sample() {
        for (name, entry) in entries() {
            let examples = entry.parameters.iter().filter(|(_, it)| it.required);
            let examples: BTreeMap<_, _> = examples.map(|(name, it)| (name, it.example.as_ref())).collect();
            let spec = serde_json::from_value(json!({"type": name, "parameters": examples, "endpoints": {
                "token": "https://id.example.com/t", "authorization": "https://id.example.com/a"}}))
            .unwrap();
            let description = sketch(entry, &spec, name).unwrap();
            let text = rehearse(&description, &Recorded::default(), Timestamp::UNIX_EPOCH).await;
            assert!(
                text.contains("access token: there")
                    || text.starts_with("There are no tokens")
                    || text.contains("takes access_token"),
                "{name}: {text}"
            );
        }
    }
}
