//! Nothing that the operator says anywhere holds a token: not its log at its loudest, no Event, no status, no metric.
//!
//! Level 1 shows that our own types do not print secrets; libraries, error chains and the API server's answers join in
//! only here.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bowline_testbed::sandbox::{Action, ApiKey, BasicUser, Fault, Rotation};
use serde_json::json;

use crate::looking::until;
use crate::scene::Scene;
use crate::stage::Stage;

/// The forms in which a secret may be hidden in a text: raw, percent-encoded, and base64 at each of the three places in
/// which it may start within a group.
fn forms(secret: &str) -> BTreeSet<String> {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let spaces = percent.replace('+', "%20");
    let mut forms = BTreeSet::from([secret.to_owned(), percent, spaces]);
    for engine in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let encoded = engine.encode([vec![0; before], secret.as_bytes().to_vec()].concat());
            // Only characters that depend on nothing but the secret.
            let (start, end) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
            forms.insert(encoded[start..end].to_owned());
        }
    }
    forms
}

fn hidden_in(text: &str, secret: &str) -> bool {
    forms(secret).iter().any(|form| text.contains(form))
}

#[test]
fn the_search_finds_what_is_hidden() {
    let secret = "s3cret/+ %token";
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "x", "xy"] {
            let around = format!("{before}{secret}{after}");
            for text in [around.clone(), STANDARD.encode(&around), URL_SAFE.encode(&around)] {
                assert!(hidden_in(&text, secret), "{text}");
            }
        }
    }
    assert!(hidden_in("client_secret=s3cret%2F%2B+%25token", secret));
    assert!(hidden_in("s3cret%2F%2B%20%25token", secret));
    assert!(!hidden_in("s3cret/+ %tokem", secret));
}

/// Where something was said, and what.
async fn everything_said(it: &Scene) -> Vec<(&'static str, String)> {
    let kubectl = async |arguments: &[&str]| {
        let output = it.stage.access.kubectl(arguments).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    vec![
        ("the log", it.stage.logs()),
        ("an Event", kubectl(&["get", "events.events.k8s.io", "-A", "-o", "json"]).await),
        ("an object", kubectl(&["get", "bowline", "-A", "-o", "json", "--show-managed-fields"]).await),
        ("a metric", it.stage.ask("metrics").await.expect("metrics").1),
    ]
}

async fn keys(it: &Scene) -> [String; 3] {
    let (key, wrong, password) =
        ("canary-key-0123456789/+", "canary-wrong-0123456789", "canary:pass/word+ %");
    it.provider_of_type("generic-api-key")
        .habit(|config| {
            config.api_keys = vec![ApiKey { key: key.into(), account: "alice".into(), forbidden: false }];
            config.basic_users = vec![BasicUser {
                user: "alice".into(),
                password: password.into(),
                account: "alice".into(),
                forbidden: false,
            }];
        })
        .spec(json!({"parameters": {"validate_url": it.realm.url("api/me")}}))
        .apply()
        .await;
    it.connection("key").apply().await;
    it.bring_keys("key", &[("api_key", wrong)]).await;
    it.until_reason("key", "Authorized", "IntakeRefused").await;
    it.bring_keys("key", &[("api_key", key)]).await;
    it.until_phase("key", "Active").await;
    [key, wrong, password].map(str::to_owned)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_token_is_in_a_log_an_event_a_status_or_a_metric() {
    let stage = Stage::fresh(&["--log-filter", "trace"]).await;
    let it = stage.scene("canary").await;
    let of_keys = stage.scene("canary-keys").await;
    let minted = it.connected("mail", Rotation::SingleUse, 6).await;
    let mut secrets: BTreeSet<String> = [minted.access_token.clone(), minted.refresh_token.clone()].into();
    secrets.extend(it.realm.config().clients[0].secret.clone());
    until("three tokens", async || {
        secrets.insert(it.secret("mail").await["access_token"].clone());
        (secrets.len() >= 6).then_some(())
    })
    .await;
    // What goes wrong says more than what goes well.
    for action in [Action::HalfJson, Action::Html { status: 502 }, Action::error("invalid_client")] {
        it.realm.fault(Fault::token(action));
    }
    it.until_event(&it.namespace, "RotationOutcomeUnknown").await;
    let template = json!({"a": "{{ token }}{{ nonesuch }}"});
    it.change("mail", json!({"spec": {"secret": {"template": template}}})).await;
    it.until_reason("mail", "SecretPublished", "TemplateFailed").await;
    let again = it.mint();
    it.bring_keys("mail", &[("refresh_token", &again.refresh_token), ("nonesuch", &again.access_token)])
        .await;
    it.until_event(&it.namespace, "IntakeRefused").await;
    secrets.extend([again.access_token, again.refresh_token]);
    secrets.extend(keys(&of_keys).await);
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_ledger("ended", |ledger| (!ledger.revoked().is_empty()).then_some(())).await;

    let said = everything_said(&it).await;
    assert!(said[0].1.contains("TRACE"), "the log is not at its loudest");
    assert!(said.iter().all(|(_, text)| text.len() > 500), "somebody said too little to be searched");
    for (place, text) in said {
        for (number, secret) in secrets.iter().enumerate() {
            let line = text.lines().find(|line| hidden_in(line, secret));
            assert!(!hidden_in(&text, secret), "{place} holds secret {number} ({secret}): {line:?}");
        }
    }
}
