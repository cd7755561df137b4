//! The engine by itself: what it refuses, what it remembers, what it lets through.

use reqwest::{Client, Proxy, Response, StatusCode};
use serde_json::Value;

use super::*;
use crate::tls::install_tls;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const BACK: &str = "http://127.0.0.1:8080/callback";
const TOKEN: &str = "https://api.linear.app/oauth/token";

struct Bench {
    emulator: Emulator,
    linear: FamilyHandle,
    client: Client,
}

/// Linear, which is close to the standard.
async fn bench() -> Bench {
    install_tls();
    let emulator = Emulator::start(NOW).await.unwrap();
    let authority = reqwest::Certificate::from_pem(emulator.authority().as_bytes()).unwrap();
    let client = Client::builder().proxy(Proxy::all(emulator.proxy()).unwrap()).tls_certs_merge([authority]);
    let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let linear = emulator.family("linear").unwrap();
    Bench { emulator, linear, client }
}

impl Bench {
    fn app(&self) -> (String, String) {
        let app = &self.linear.data().apps["oauth"];
        (app.client_id.clone(), app.client_secret.clone().unwrap())
    }

    async fn authorize(&self, more: &[(&str, &str)]) -> Response {
        let mut url = Url::parse("https://linear.app/oauth/authorize").unwrap();
        let (id, _) = self.app();
        let usual =
            [("response_type", "code"), ("client_id", &id), ("redirect_uri", BACK), ("scope", "read,write")];
        url.query_pairs_mut().extend_pairs(usual).extend_pairs(more);
        self.client.get(url).send().await.unwrap()
    }

    async fn code(&self) -> String {
        let answer = self.authorize(&[("state", "s")]).await;
        let location = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    fn form(&self, url: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let answer = self.form(url, fields).send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let (id, secret) = self.app();
        self.post(TOKEN, &[&[("client_id", id.as_str()), ("client_secret", &secret)], fields].concat()).await
    }

    async fn exchange(&self, code: &str) -> (StatusCode, Value) {
        self.token(&[("grant_type", "authorization_code"), ("code", code), ("redirect_uri", BACK)]).await
    }

    async fn refresh(&self, token: &str) -> (StatusCode, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn tokens(&self) -> (String, String) {
        let (_, answer) = self.exchange(&self.code().await).await;
        pair(&answer)
    }
}

fn pair(answer: &Value) -> (String, String) {
    let text =
        |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
    (text("access_token"), text("refresh_token"))
}

#[tokio::test]
async fn a_code_becomes_tokens_once_and_only_at_its_own_address() {
    let bench = bench().await;
    let code = bench.code().await;
    let elsewhere =
        [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", "http://x")];
    assert_eq!(bench.token(&elsewhere).await.1["error"], "invalid_grant");
    let (status, answer) = bench.exchange(&code).await;
    assert_eq!(
        (status.as_u16(), &answer["scope"], &answer["expires_in"]),
        (200, &"read write".into(), &86399.into())
    );
    assert!(bench.linear.is_alive(&pair(&answer).0));
    assert_eq!(bench.exchange(&code).await.1["error"], "invalid_grant");
    assert_eq!(bench.linear.grants_alive(), 1);
    let late = bench.code().await;
    bench.linear.advance(Duration::from_mins(10));
    assert_eq!(bench.exchange(&late).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_verifier_has_to_fit_its_challenge() {
    let bench = bench().await;
    let challenge = crate::sandbox::challenge("the right one");
    let more = [("state", "s"), ("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    for (verifier, status) in [("a wrong one", 400), ("the right one", 200)] {
        let answer = bench.authorize(&more).await;
        let location = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BACK),
            ("code_verifier", verifier),
        ];
        assert_eq!(bench.token(&fields).await.0.as_u16(), status, "{verifier}");
    }
}

#[tokio::test]
async fn a_replaced_refresh_token_and_an_expired_access_token_do_not_work() {
    let bench = bench().await;
    let (access, old) = bench.tokens().await;
    let (_, answer) = bench.refresh(&old).await;
    let (newer, new) = pair(&answer);
    assert!(!bench.linear.is_alive(&old) && bench.linear.is_alive(&new) && bench.linear.is_alive(&access));
    assert_eq!(bench.refresh(&old).await.1["error"], "invalid_grant");
    bench.linear.advance(Duration::from_secs(86399));
    assert!(!bench.linear.is_alive(&newer) && bench.linear.is_alive(&new));
}

#[tokio::test]
async fn a_client_proves_itself_in_one_accepted_way() {
    let bench = bench().await;
    let (id, secret) = bench.app();
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let (named, proven) = (("client_id", id.as_str()), ("client_secret", secret.as_str()));
    let rows: [(Option<&str>, &[_], &str); 6] = [
        (None, &[named], "invalid_client"),
        (None, &[named, ("client_secret", "wrong")], "invalid_client"),
        (None, &[named, proven], "invalid_grant"),
        (Some(&encoded), &[], "invalid_grant"),
        (Some(&secret), &[], "invalid_client"),
        (Some(&encoded), &[proven], "invalid_client"),
    ];
    for (basic, fields, error) in rows {
        let grant: &[_] = &[("grant_type", "refresh_token"), ("refresh_token", "x")];
        let mut request = bench.form(TOKEN, &[grant, fields].concat());
        if let Some(secret) = basic {
            request = request.basic_auth(&id, Some(secret));
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(text.contains(error), "{basic:?} {fields:?}: {text}");
    }
}

#[tokio::test]
async fn a_refusal_is_given_once_and_changes_nothing() {
    let bench = bench().await;
    let (_, refresh) = bench.tokens().await;
    bench.linear.refuse_next(Operation::Refresh, "invalid_scope");
    assert_eq!(bench.refresh(&refresh).await.1["error"], "invalid_scope");
    assert!(bench.linear.is_played() && bench.linear.is_alive(&refresh));
    assert_eq!(bench.refresh(&refresh).await.0, 200);
}

#[tokio::test]
async fn a_revoked_grant_is_at_an_end() {
    let bench = bench().await;
    let (access, refresh) = bench.tokens().await;
    for status in [200, 400] {
        let answer = bench.post("https://api.linear.app/oauth/revoke", &[("refresh_token", &refresh)]).await;
        assert_eq!(answer.0.as_u16(), status);
    }
    assert!(!bench.linear.is_alive(&access) && !bench.linear.is_alive(&refresh));
    assert_eq!(bench.linear.grants_alive(), 0);
}

#[tokio::test]
async fn a_person_may_grant_less_and_another_account_may_consent() {
    let bench = bench().await;
    bench.linear.grant_only(Some(&["read"]));
    bench.linear.consent_as("zoe");
    let (_, answer) = bench.exchange(&bench.code().await).await;
    assert_eq!(answer["scope"], "read");
    let query = r#"{"query": "{ viewer { id } }"}"#;
    let call = bench.client.post("https://api.linear.app/graphql").bearer_auth(pair(&answer).0);
    let call = call.header("content-type", "application/json").body(query).send().await.unwrap();
    assert!(call.text().await.unwrap().contains("zoe@example.com"));
}

#[tokio::test]
async fn what_is_wrong_with_an_authorization_request_is_told_on_a_page() {
    let bench = bench().await;
    for more in [("client_id", "x"), ("response_type", "token")] {
        let answer = bench.authorize(&[more]).await;
        assert_eq!(answer.status(), 404, "{more:?}");
        assert!(answer.text().await.unwrap().contains("occurs twice"));
    }
    assert!(bench.linear.requests().iter().all(|seen| seen.flaw.is_some()));
}

#[tokio::test]
async fn another_host_is_refused_and_noted() {
    let bench = bench().await;
    assert!(bench.client.get("https://elsewhere.example/").send().await.is_err());
    assert!(bench.client.get("https://linear.app:8443/").send().await.is_err());
    assert_eq!(bench.emulator.strangers(), ["elsewhere.example:443", "linear.app:8443"]);
    assert_eq!(bench.client.get("https://linear.app/elsewhere").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn answers_are_spoiled_after_the_work_is_done() {
    for spoil in Spoil::ALL {
        let bench = bench().await;
        let (_, refresh) = bench.tokens().await;
        bench.linear.spoil_next(Operation::Refresh, spoil);
        let (id, secret) = bench.app();
        let client = [("client_id", id.as_str()), ("client_secret", &secret)];
        let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let answer = bench.form(TOKEN, &[client, grant].concat()).send().await;
        let bytes = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        let fits = match (spoil, bytes.as_deref()) {
            (Spoil::Truncated, answer) => answer.is_err(),
            (Spoil::Latin1, Ok(bytes)) => std::str::from_utf8(bytes).is_err(),
            (Spoil::ByteOrderMark, Ok(bytes)) => bytes.starts_with("\u{feff}{".as_bytes()),
            (Spoil::Mebibyte, Ok(bytes)) => {
                bytes.len() > 1024 * 1024 && serde_json::from_slice::<Value>(bytes).is_ok()
            }
            (Spoil::OtherAccount, Ok(bytes)) => serde_json::from_slice::<Value>(bytes).is_ok(),
            (Spoil::Page, Ok(bytes)) => bytes.starts_with(b"<!doctype html>"),
            (_, Err(_)) => false,
        };
        assert!(fits, "{spoil:?}");
        assert!(!bench.linear.is_alive(&refresh), "{spoil:?}");
    }
}

#[test]
fn a_file_that_names_what_it_does_not_have_is_refused() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/linear.yaml")).unwrap();
    let rows = [
        ("gone: already_revoked", "gone: never_heard_of", "there is no refusal never_heard_of"),
        ("app: oauth", "app: other", "there is no app other"),
        ("pkce: checked", "pkce: checked\n  colour: red", "unknown field `colour`"),
    ];
    for (from, to, flaw) in rows {
        let error = Family::parse(&text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(flaw), "{error}");
    }
}

/// What became of a request to a host of Ponto's with this certificate.
async fn ponto(emulator: &Emulator, certificate: Option<(String, String)>) -> Result<StatusCode, String> {
    let authority = reqwest::Certificate::from_pem(emulator.authority().as_bytes()).unwrap();
    let client = Client::builder().proxy(Proxy::all(emulator.proxy()).unwrap()).tls_certs_merge([authority]);
    let client = match certificate {
        Some((certificate, key)) => {
            client.identity(reqwest::Identity::from_pem((certificate + &key).as_bytes()).unwrap())
        }
        None => client,
    };
    let sent = client.build().unwrap().get("https://api.ibanity.com/ponto-connect/userinfo").send().await;
    sent.map(|answer| answer.status()).map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn a_host_that_requires_a_certificate_serves_nobody_without_a_valid_one_of_its_own_authority() {
    install_tls();
    let (emulator, other) = (Emulator::start(NOW).await.unwrap(), Emulator::start(NOW).await.unwrap());
    let own = emulator.client_certificate(2020..=2090).unwrap();
    assert_eq!(ponto(&emulator, Some(own)).await, Ok(StatusCode::UNAUTHORIZED), "it has no token");
    let rows = [
        (None, "CertificateRequired"),
        (Some(other.client_certificate(2020..=2090).unwrap()), "UnknownCA"),
        (Some(emulator.client_certificate(2020..=2021).unwrap()), "CertificateExpired"),
    ];
    for (certificate, alert) in rows {
        let refused = ponto(&emulator, certificate).await.unwrap_err();
        assert!(refused.contains(alert), "{refused}");
    }
    assert_eq!(emulator.family("ponto").unwrap().requests().len(), 1);
}
