//! The sandbox over real HTTP on the loopback interface, under a clock that the tests move.

mod admin;
mod faults;
mod flows;
mod keys;
mod push;
mod rotation;
mod strictness;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::*;

const CALLBACK: &str = "http://127.0.0.1:8080/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

struct Bench {
    sandbox: Sandbox,
    realm: RealmHandle,
    clock: ManualClock,
    http: reqwest::Client,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON answer")
    }

    fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.text)).to_owned()
    }

    fn error(&self) -> (u16, String) {
        (self.status, self.member("error"))
    }
}

/// A sandbox with one realm besides the default one, configured by `change`.
async fn bench(change: impl FnOnce(&mut RealmConfig)) -> Bench {
    // The first test installs it; the others find it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = ManualClock::starting_at(Timestamp::from_second(1_800_000_000).expect("a time"));
    let options = Options { clock: clock.clock(), ..Options::default() };
    let sandbox = Sandbox::start(options).await.expect("a free port");
    let mut config = RealmConfig::default();
    change(&mut config);
    let realm = sandbox.realm("test", config);
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client");
    Bench { sandbox, realm, clock, http }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Bench {
    fn secret(&self) -> String {
        self.realm.config().clients[0].secret.clone().expect("a secret")
    }

    fn client_header(&self) -> String {
        basic("bowline", &encoded(&self.secret()))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    /// A form POST with `header` as Authorization.
    async fn post_as(
        &self,
        header: Option<&str>,
        endpoint: &str,
        body: String,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self
            .http
            .post(self.realm.url(endpoint))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        self.send(request).await
    }

    async fn try_post(&self, endpoint: &str, pairs: &[(&str, &str)]) -> Result<Reply, reqwest::Error> {
        self.post_as(Some(&self.client_header()), endpoint, form(pairs)).await
    }

    async fn post(&self, endpoint: &str, pairs: &[(&str, &str)]) -> Reply {
        self.try_post(endpoint, pairs).await.expect("an answer")
    }

    async fn try_refresh(&self, token: &str) -> Result<Reply, reqwest::Error> {
        self.try_post("token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn refresh(&self, token: &str) -> Reply {
        self.try_refresh(token).await.expect("an answer")
    }

    async fn get(&self, address: &str) -> Reply {
        self.send(self.http.get(address)).await.expect("an answer")
    }

    async fn userinfo(&self, token: &str) -> Reply {
        let request = self.http.get(self.realm.url("userinfo")).bearer_auth(token);
        self.send(request).await.expect("an answer")
    }

    fn mint(&self) -> Minted {
        self.realm.mint(&MintRequest::of("alice")).expect("a grant")
    }
}
