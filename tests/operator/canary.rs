//! The operator shows no token anywhere: not in its most detailed log, an Event, a status or a metric.
//!
//! Unit tests show that our types do not print secrets. Only here do libraries, error chains and the API server's answers
//! take part.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bowline_testbed::sandbox::{Action, ApiKey, BasicUser, Fault, Rotation};
use serde_json::json;

use crate::looking::until;
use crate::scene::Scene;
use crate::stage::Stage;

/// The forms in which a text may hide a secret: raw, percent-encoded, and each of these in base64 at each of the three
/// positions in a group at which it may start.
fn forms(secret: &str) -> BTreeSet<String> {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let spaces = percent.replace('+', "%20");
    let plain = BTreeSet::from([secret.to_owned(), percent, spaces]);
    // A Basic header of OAuth holds the percent-encoded secret in base64 (RFC 6749 §2.3.1).
    let encoded: BTreeSet<_> = plain.iter().flat_map(|text| in_base64(text)).collect();
    plain.into_iter().chain(encoded).collect()
}

fn in_base64(text: &str) -> Vec<String> {
    let starting = |before: usize| {
        [STANDARD, URL_SAFE].map(|engine| {
            let encoded = engine.encode([vec![0; before], text.as_bytes().to_vec()].concat());
            // Only characters that do not depend on the surrounding text.
            let (start, end) = ((before * 8).div_ceil(6), (before + text.len()) * 8 / 6);
            encoded[start..end].to_owned()
        })
    };
    (0..3).flat_map(starting).collect()
}

pub fn hidden_in(text: &str, secret: &str) -> bool {
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
    let header = STANDARD.encode("client:s3cret%2F%2B+%25token");
    assert!(hidden_in(&format!("Basic {header}"), secret));
    assert!(!hidden_in("s3cret/+ %tokem", secret));
}

/// Where something was found, and what.
pub async fn everything_said(it: &Scene) -> Vec<(&'static str, String)> {
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

/// A provider of keys: one key is refused, one is accepted.
async fn api_keys(it: &Scene) -> [String; 2] {
    let (key, wrong) = ("canary-key-0123456789/+", "canary-wrong-0123456789");
    it.provider_of_type("generic-api-key")
        .habit(|config| {
            config.api_keys = vec![ApiKey { key: key.into(), account: "alice".into(), forbidden: false }];
        })
        .spec(json!({"parameters": {"validate_url": it.realm.url("api/me")}}))
        .apply()
        .await;
    it.connection("key").apply().await;
    it.import_keys("key", &[("api_key", wrong)]).await;
    it.until_reason("key", "Authorized", "IntakeRefused").await;
    it.import_keys("key", &[("api_key", key)]).await;
    it.until_phase("key", "Active").await;
    [key, wrong].map(str::to_owned)
}

/// A provider of passwords: one is refused, one is accepted.
async fn passwords(it: &Scene) -> [String; 2] {
    let (password, wrong) = ("canary:pass/word+ %", "canary:not the/word");
    let user = BasicUser {
        user: "alice".into(),
        password: password.into(),
        account: "alice".into(),
        forbidden: false,
    };
    it.provider_of_type("generic-basic-auth")
        .habit(|config| config.basic_users = vec![user])
        .spec(json!({"parameters": {"validate_url": it.realm.url("api/me")}}))
        .apply()
        .await;
    it.connection("password").apply().await;
    it.import_keys("password", &[("username", "alice"), ("password", wrong)]).await;
    it.until_reason("password", "Authorized", "IntakeRefused").await;
    it.import_keys("password", &[("username", "alice"), ("password", password)]).await;
    it.until_phase("password", "Active").await;
    [password, wrong].map(str::to_owned)
}

/// A connection with everything that can go wrong in its life: failures produce more text than successes. Returns the tokens
/// that were imported and refused; the realm knows the others.
async fn a_hard_life(it: &Scene) -> [String; 2] {
    let minted = it.connected("mail", Rotation::SingleUse, 6).await;
    it.until_refreshed(&minted.grant_id, 2).await;
    for action in [Action::HalfJson, Action::Html { status: 502 }, Action::error("invalid_client")] {
        it.realm.fault(Fault::token(action));
    }
    it.until_event(&it.namespace, "RotationOutcomeUnknown").await;
    let template = json!({"data": {"a": "{{ token }}{{ nonesuch }}"}});
    it.change("mail", json!({"spec": {"secret": {"template": template}}})).await;
    it.until_reason("mail", "SecretPublished", "TemplateFailed").await;
    let unknown = ["canary-refresh-0123456789/+", "canary-access-0123456789/+"].map(str::to_owned);
    it.import_keys("mail", &[("refresh_token", &unknown[0]), ("nonesuch", &unknown[1])]).await;
    it.until_event(&it.namespace, "IntakeRefused").await;
    // The provider quotes what it received, as some providers do.
    let quoting =
        json!({"error": "invalid_grant", "error_description": format!("no such token: {}", unknown[0])});
    let quoting = Action::Answer {
        status: 400,
        body: quoting.to_string(),
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        retry_after: None,
        commit: false,
    };
    it.realm.clear_faults();
    it.realm.fault(Fault::token(quoting));
    it.import_keys("mail", &[("refresh_token", &unknown[0])]).await;
    until("the second refusal", async || {
        let told = it.events(&it.namespace).await;
        told.iter().any(|(_, note)| note.contains("does not accept what was provided")).then_some(())
    })
    .await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_ledger("ended", |ledger| (!ledger.revoked().is_empty()).then_some(())).await;
    unknown
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_token_is_in_a_log_an_event_a_status_or_a_metric() {
    let stage = Stage::fresh(&["--log-filter", "trace"]).await;
    let it = stage.scene("canary").await;
    let mut secrets: BTreeSet<String> = a_hard_life(&it).await.into();
    secrets.extend(api_keys(&stage.scene("canary-keys").await).await);
    secrets.extend(passwords(&stage.scene("canary-words").await).await);
    secrets.extend(it.realm.config().clients[0].secret.clone());
    let issued = it.realm.tokens();
    let refresh_tokens = issued.iter().filter(|token| token.starts_with("sbx_rt_")).count();
    assert!(refresh_tokens >= 3 && issued.len() - refresh_tokens >= 3, "too few tokens to be searched for");
    secrets.extend(issued);

    let said = everything_said(&it).await;
    assert!(said[0].1.contains("TRACE"), "the log is not at its most detailed level");
    assert!(said.iter().all(|(_, text)| text.len() > 500), "there is too little text to search");
    for (place, text) in said {
        for (number, secret) in secrets.iter().enumerate() {
            let line = text.lines().find(|line| hidden_in(line, secret));
            assert!(!hidden_in(&text, secret), "{place} holds secret {number} ({secret}): {line:?}");
        }
    }
}
