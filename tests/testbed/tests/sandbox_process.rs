//! The sandbox as a process: the flags configure the default realm and new realms.
#![allow(clippy::expect_used)]

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

async fn call(request: reqwest::RequestBuilder, body: Value) -> Value {
    let request = request.header("content-type", "application/json").body(body.to_string());
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn flags_set_the_default_realm_and_what_new_realms_start_from() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_bowline-sandbox"))
        .args(["--token-lifetime", "7", "--rotation", "sliding", "--grace", "3", "--client-secret", "s"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the process");
    let mut issuer = String::new();
    let mut stdout = BufReader::new(process.stdout.take().expect("its output"));
    let line = tokio::time::timeout(Duration::from_secs(30), stdout.read_line(&mut issuer)).await;
    line.expect("a line in time").expect("a line");
    let issuer = issuer.trim();

    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let metadata = call(http.get(format!("{issuer}/.well-known/openid-configuration")), Value::Null).await;
    assert_eq!(metadata["issuer"], issuer);
    let minted = call(http.post(format!("{issuer}/admin/realms/default/grants")), json!({})).await;
    assert_eq!(minted["expires_in"], 7);

    let realm = format!("{issuer}/admin/realms/shop");
    call(http.put(&realm), json!({ "access_lifetime_seconds": 9 })).await;
    let shown = call(http.get(&realm), Value::Null).await;
    let seen = (&shown["access_lifetime_seconds"], &shown["rotation"], &shown["grace_seconds"]);
    assert_eq!(seen, (&9.into(), &"sliding".into(), &3.into()));
    assert_eq!(shown["clients"][0]["secret"], "s");
}
