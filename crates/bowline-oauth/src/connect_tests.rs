//! A whole connection over the wire, against the sandbox: discovery, request, consent, callback, exchange.

use std::collections::HashMap;

use bowline_testbed::sandbox::{
    CallbackIssuer, Endpoint, Event, Options, Pushed, RealmConfig, RealmHandle, Sandbox, TokenKind,
};
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::app::{App, AppPurpose};
use super::authorize::{AuthorizationRequest, Begun, begin};
use super::callback::{IssuerMismatch, callback_issuer, declined};
use super::classify::Failure;
use super::device::{self, Poll};
use super::discovery::discover;
use super::endpoint::Granted;
use super::exchange::{Code, exchange};
use super::http::HttpClient;
use super::network::Network;
use crate::catalog::errors::Class;
use crate::catalog::protocol::Proofs;
use crate::catalog::{Description, get, resolve};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const BACK: &str = "http://127.0.0.1:8080/callback";

struct Bench {
    realm: RealmHandle,
    http: HttpClient,
    description: Description,
    app: App,
    _sandbox: Sandbox,
}

async fn bench(change: impl FnOnce(&mut RealmConfig)) -> Bench {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let mut config = RealmConfig::default();
    change(&mut config);
    let client = config.clients[0].clone();
    let realm = sandbox.realm("test", config);
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let network = Network { allow_http: true, allowed_cidrs: loopback, ..Network::default() };
    let http = HttpClient::new(network).unwrap();
    let issuer = realm.issuer();
    let spec = json!({"type": "sandbox", "network": {"allowHTTP": true, "allowedCIDRs": ["127.0.0.0/8"]}, "endpoints": {"issuer": issuer}});
    let spec = serde_json::from_value(spec).unwrap();
    let description = resolve(get("sandbox").unwrap(), &spec, "sandbox", &[].into()).unwrap();
    let metadata = discover(&http, &issuer.parse().unwrap()).await.unwrap();
    let description = description.with_metadata(&metadata, Proofs::default());
    let app = App {
        client_id: client.id,
        client_secret: client.secret.map(SecretString::from),
        client_secret_previous: None,
        private_key: None,
        certificate: None,
        purpose: AppPurpose::default(),
        version: None,
    };
    Bench { realm, http, description, app, _sandbox: sandbox }
}

fn scopes() -> Vec<String> {
    ["openid", "read", "write"].map(str::to_owned).to_vec()
}

impl Bench {
    async fn begin(&self) -> Begun {
        let state = SecretString::from("the-state");
        let scopes = scopes();
        let request =
            AuthorizationRequest { redirect_uri: BACK, state: &state, scopes: &scopes, expected: None };
        begin(&self.http, &self.description, &self.app, &request, NOW).await.unwrap()
    }

    /// The callback after a person's decision.
    async fn decide(&self, begun: &Begun, decision: &[(&str, &str)]) -> HashMap<String, String> {
        let mut address = begun.address.clone();
        address.query_pairs_mut().extend_pairs(decision);
        let browser = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = browser.get(address).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.starts_with(BACK), "{location}");
        url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
    }

    async fn exchange(&self, code: &str, verifier: &SecretString) -> Result<Granted, Failure> {
        let (code, scopes) = (SecretString::from(code.to_owned()), scopes());
        let sent = Code { code: &code, verifier, sent_challenge: true, redirect_uri: BACK, scopes: &scopes };
        exchange(&self.http, &self.description, &self.app, sent, NOW).await
    }
}

#[tokio::test]
async fn a_person_consents_and_the_code_becomes_tokens() {
    for pushed in [Pushed::Absent, Pushed::Offered, Pushed::Required] {
        let bench = bench(|realm| realm.pushed = pushed).await;
        let begun = bench.begin().await;
        assert_eq!(begun.address.query_pairs().count() == 2, pushed != Pushed::Absent, "only a reference");
        let came = bench.decide(&begun, &[("auto_consent", "bob")]).await;
        assert_eq!(came["state"], "the-state");
        assert_eq!(callback_issuer(&bench.description, came.get("iss").map(String::as_str)), Ok(()));
        let granted = bench.exchange(&came["code"], &begun.verifier).await.unwrap();
        assert!(granted.answer.flaws.is_empty(), "{:?}", granted.answer.flaws);
        assert_eq!(granted.answer.claims["sub"], "bob");
        assert!(bench.realm.is_alive(granted.answer.access_token.as_ref().unwrap().expose_secret()));
        let pushes = bench.realm.ledger().requests_to(Endpoint::PushedRequest).count();
        assert_eq!(pushes, usize::from(pushed != Pushed::Absent));
        assert!(bench.realm.ledger().spent_twice().is_empty());
    }
}

#[tokio::test]
async fn the_previous_secret_exchanges_the_code_and_spends_it_once() {
    let mut bench = bench(|_| ()).await;
    let good = bench.app.client_secret.replace(SecretString::from("not registered yet"));
    bench.app.client_secret_previous = good;
    let begun = bench.begin().await;
    let came = bench.decide(&begun, &[("auto_consent", "alice")]).await;
    bench.exchange(&came["code"], &begun.verifier).await.unwrap();
    let ledger = bench.realm.ledger();
    let codes = |event| {
        ledger.of(event).filter(|entry| entry.token.as_ref().unwrap().kind == TokenKind::Code).count()
    };
    assert_eq!((codes(Event::Spent), codes(Event::DoubleSpent), codes(Event::Refused)), (1, 0, 0));
}

#[tokio::test]
async fn another_attempts_verifier_or_a_second_use_is_refused() {
    let bench = bench(|_| ()).await;
    let (mine, theirs) = (bench.begin().await, bench.begin().await);
    let came = bench.decide(&theirs, &[("auto_consent", "bob")]).await;
    let failure = bench.exchange(&came["code"], &mine.verifier).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (Class::Reauth, Some("invalid_grant")));
    bench.exchange(&came["code"], &theirs.verifier).await.unwrap();
    assert!(bench.exchange(&came["code"], &theirs.verifier).await.is_err());
    assert_eq!(bench.realm.ledger().spent_twice().len(), 1);
}

#[tokio::test]
async fn a_callback_without_its_issuer_or_with_another_is_refused_where_it_is_announced() {
    let forged = CallbackIssuer::Forged("https://honest.example.com".to_owned());
    for (habit, want) in [
        (CallbackIssuer::Sent, Ok(())),
        (CallbackIssuer::Unknown, Ok(())),
        (CallbackIssuer::Omitted, Err(IssuerMismatch::Missing)),
        (forged, Err(IssuerMismatch::Other)),
    ] {
        let bench = bench(|realm| realm.callback_issuer = habit.clone()).await;
        let begun = bench.begin().await;
        let came = bench.decide(&begun, &[("auto_deny", "yes")]).await;
        assert_eq!(
            callback_issuer(&bench.description, came.get("iss").map(String::as_str)),
            want,
            "{habit:?}"
        );
        assert_eq!(declined(&bench.description, &came["error"], None).class, Class::Cancelled);
    }
}

#[tokio::test]
async fn fewer_scopes_another_account_and_no_refresh_token_are_told() {
    let bench = bench(|realm| realm.omit_refresh_token = true).await;
    let begun = bench.begin().await;
    let came = bench.decide(&begun, &[("auto_consent", "bob"), ("auto_scope", "openid read")]).await;
    let answer = bench.exchange(&came["code"], &begun.verifier).await.unwrap().answer;
    assert_eq!(answer.scopes.unwrap(), ["openid", "read"]);
    assert!(answer.refresh_token.is_none());
    assert_eq!(answer.claims["sub"], "bob");
}

#[tokio::test]
async fn a_device_is_connected_when_its_person_says_so() {
    let bench = bench(|realm| realm.device_interval_seconds = 60).await;

    let scopes = ["read".to_owned()];
    let ask =
        async || device::authorize(&bench.http, &bench.description, &bench.app, &scopes, NOW).await.unwrap();
    let poll = async |code: &SecretString| {
        device::poll(&bench.http, &bench.description, &bench.app, code, NOW).await
    };
    let codes = ask().await;
    assert_eq!(codes.interval.as_secs(), 60);
    assert!(matches!(poll(&codes.device_code).await, Ok(Poll::Pending)));
    assert!(matches!(poll(&codes.device_code).await, Ok(Poll::SlowDown)));
    bench.realm.decide_device(&codes.user_code, Some("alice")).unwrap();
    let Ok(Poll::Granted(granted)) = poll(&codes.device_code).await else { panic!("no tokens") };
    assert_eq!(granted.answer.scopes.as_deref(), Some(&["read".to_owned()][..]));
    assert_eq!(poll(&codes.device_code).await.unwrap_err().class, Class::Reauth, "spent");

    let refused = ask().await;
    bench.realm.decide_device(&refused.user_code, None).unwrap();
    assert!(matches!(poll(&refused.device_code).await, Ok(Poll::Denied)));
    bench.realm.reconfigure(|realm| realm.device_lifetime_seconds = 1);
    let short = ask().await;
    assert_eq!(short.expires_in.as_secs(), 1);
}
