//! Notifications at a real receiver, and the operator's own lines of the audit log.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::scratch::Scratch;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::looking::{holds, is, until};
use crate::stage::Stage;

const SECRET: &str = "not-a-real-secret";

/// Refuses the first request with 503 and takes all others.
#[derive(Clone, Default)]
struct Receiver {
    requests: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// What was taken, as `TYPE SUBJECT`, in its order.
    fn taken(&self) -> Vec<String> {
        let word = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        self.events()
            .iter()
            .map(|event| format!("{} {}", word(event, "type"), word(event, "subject")))
            .collect()
    }

    fn events(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().skip(1).map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut requests = receiver.requests.lock().unwrap();
    requests.push((headers, body));
    if requests.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}

/// As a receiver checks it, by the specification.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers[name].to_str().unwrap();
    let signed =
        format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), String::from_utf8_lossy(body));
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn notifications_arrive_signed_and_once_each_also_after_a_503_and_a_restart() {
    let (receiver, scratch) = (Receiver::default(), Scratch::create().unwrap());
    let url = format!("http://{}/hook?key=path-canary", receiver.start().await);
    let (secret, audit) = (scratch.path().join("secret"), scratch.path().join("audit.jsonl"));
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let [secret, audit] = [secret, audit].map(|path| path.to_str().unwrap().to_owned());
    let own =
        ["--notify-allow-http", "--notify-url", &url, "--notify-secret-file", &secret, "--audit-log", &audit];
    let stage = Stage::fresh(&[&own[..], &["--per-connection-metrics", "1"]].concat()).await;
    let it = stage.scene("notify").await;
    let told = |what: &str, name: &str| format!("dev.bowline.connection.{what} {}/{name}", it.namespace);
    let until_told = async |expected: &[String]| {
        until("the notifications", async || {
            let taken = receiver.taken();
            (taken.len() >= expected.len()).then_some(())
        })
        .await;
        assert_eq!(receiver.taken(), expected);
    };
    let mut expected = vec![told("needs-you", "mail")];

    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    until_told(&expected).await;

    let minted = it.mint();
    let six_days = (6 * 24 * 3_600).to_string();
    it.import_keys("mail", &[("access_token", &minted.access_token), ("expires_in", &six_days)]).await;
    it.until_status("mail", "a reminder", |status| is(status, "Authorized", "GrantExpiringSoon")).await;
    expected.push(told("expires-soon", "mail"));
    until_told(&expected).await;

    it.change("mail", json!({"spec": {"suspend": true}})).await;
    it.until_status("mail", "suspended", |status| !holds(status, "Ready")).await;
    it.change("mail", json!({"spec": {"suspend": false}})).await;
    expected.push(told("recovered", "mail"));
    until_told(&expected).await;

    stage.stop_operator();
    stage.start_operator().await;
    it.connection("other").apply().await;
    expected.push(told("needs-you", "other"));
    until_told(&expected).await;
    receiver_got_what_it_may_know(&receiver, &stage);
    metrics_count_it(&stage).await;

    let lines = fs::read_to_string(&audit).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let object = format!("{}/mail", it.namespace);
    for action in ["GrantExpiringSoon", "Recovered"] {
        let of = |line: &&Value| line["object"] == object.as_str() && line["action"] == action;
        assert_eq!(lines.iter().filter(of).count(), 1, "{action}: {lines:?}");
    }
    assert!(lines.iter().all(|line| line["target"] == "audit" && line["door"] == "operator"), "{lines:?}");
}

fn receiver_got_what_it_may_know(receiver: &Receiver, stage: &Stage) {
    let requests = receiver.requests.lock().unwrap().clone();
    assert_eq!(requests[0].0["webhook-id"], requests[1].0["webhook-id"], "the same, once more");
    for (headers, body) in &requests {
        assert_eq!(headers["content-type"], "application/cloudevents+json; charset=utf-8");
        assert!(is_signed(headers, body), "{headers:?}");
    }
    let events = receiver.events();
    assert_eq!(events[0]["data"]["reason"], "AwaitingAuthorization");
    assert_eq!(events[1]["data"]["days"], 7);
    for event in &events {
        assert!(event["specversion"] == "1.0" && event["source"].as_str().unwrap().starts_with("urn:uuid:"));
        assert!(event["data"]["url"].as_str().unwrap().starts_with(crate::PORTAL), "{event}");
        let text = event.to_string();
        assert!(!text.contains("alice") && !text.contains('@'), "{text}");
    }
    let logs = stage.logs();
    assert!(!logs.contains("path-canary") && !logs.contains(SECRET), "{logs}");
}

async fn metrics_count_it(stage: &Stage) {
    let line = r#"bowline_notifications_total{outcome="delivered",type="needs-you"} 1"#;
    until("the metrics", async || {
        let (_, text) = stage.ask("metrics").await?;
        let counted = text.lines().any(|found| found == line) && text.contains("process_open_fds");
        // The first by name has series of its own.
        let own =
            text.contains(r#"bowline_connection_ready{name="mail""#) && !text.contains(r#"name="other""#);
        (counted && own && text.contains("bowline_connection_series_omitted 1")).then_some(())
    })
    .await;
}
