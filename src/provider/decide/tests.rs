//! Rows of provider objects and what they come to.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;

fn provider(spec: &Value) -> IntegrationProvider {
    IntegrationProvider::new("p", serde_json::from_value(spec.clone()).unwrap())
}

fn observed(keys: &[(&str, &str)]) -> Observed {
    let data = keys.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    let secret = Secret { data: Some(data.collect()), ..Secret::default() };
    Observed { app_secret: Some(Arc::new(secret)), bounds: NetworkBounds::default() }
}

const APP: &[(&str, &str)] = &[("client_id", "id"), ("client_secret", "canary")];

fn generic(endpoints: &Value) -> Value {
    json!({"type": "generic-oauth2", "app": {"secretName": "app"}, "endpoints": endpoints})
}

#[test]
fn the_first_question_that_fails_is_what_status_says() {
    let github = json!({"type": "github", "app": {"secretName": "app"}});
    let rows = [
        ("unknown type", json!({"type": "nothing"}), observed(APP), reason::UNKNOWN_TYPE, "bowline catalog"),
        ("no endpoint", generic(&json!({})), observed(APP), reason::PARAMETERS_MISSING, "endpoints.issuer"),
        (
            "http",
            generic(&json!({"token": "http://id.example.com/t"})),
            observed(APP),
            reason::ENDPOINT_REFUSED,
            "not https",
        ),
        (
            "private",
            generic(&json!({"token": "https://10.0.0.1/t"})),
            observed(APP),
            reason::ENDPOINT_REFUSED,
            "private",
        ),
        (
            "localhost",
            generic(&json!({"issuer": "https://localhost"})),
            observed(APP),
            reason::ENDPOINT_REFUSED,
            "local",
        ),
        (
            "insecure by the object alone",
            json!({"type": "github", "allowInsecure": true}),
            observed(APP),
            reason::ENDPOINT_REFUSED,
            "--allow-insecure-providers",
        ),
        (
            "no app named",
            json!({"type": "github"}),
            Observed::default(),
            reason::APP_SECRET_NOT_FOUND,
            "spec.app",
        ),
        ("no Secret", github.clone(), Observed::default(), reason::APP_SECRET_NOT_FOUND, "Secret app"),
        (
            "no client id",
            github.clone(),
            observed(&[("client_secret", "canary")]),
            reason::APP_SECRET_INCOMPLETE,
            "client_id",
        ),
        (
            "no secret",
            github,
            observed(&[("client_id", "id")]),
            reason::APP_SECRET_INCOMPLETE,
            "client_secret",
        ),
    ];
    for (what, spec, observed, reason, says) in rows {
        let refusal = decide(&provider(&spec), &observed).unwrap_err();
        assert_eq!(refusal.reason, reason, "{what}: {}", refusal.message);
        assert!(refusal.message.contains(says), "{what}: {}", refusal.message);
        assert!(refusal.message.ends_with("Ask the administrator of the cluster."), "{what}");
        assert!(!refusal.message.contains("canary"), "{what}");
    }
}

#[test]
fn an_app_is_asked_for_only_where_a_method_needs_one() {
    let rows = [
        (json!({"type": "github", "app": {"secretName": "app"}}), true),
        (json!({"type": "github", "allow": {"ownApp": true}}), false),
        (json!({"type": "generic-api-key"}), false),
        (json!({"type": "generic-basic-auth"}), false),
    ];
    for (spec, has_app) in rows {
        let usable = decide(&provider(&spec), &observed(APP)).unwrap();
        assert_eq!(usable.app.is_some(), has_app, "{spec}");
    }
}

#[test]
fn an_issuer_is_asked_where_an_address_is_open() {
    let rows = [
        (json!({"issuer": "https://id.example.com"}), true),
        (json!({"token": "https://id.example.com/token"}), false),
    ];
    for (endpoints, asks) in rows {
        let usable = decide(&provider(&generic(&endpoints)), &observed(APP)).unwrap();
        assert_eq!(usable.question.is_some(), asks, "{endpoints}");
    }
}

#[test]
fn insecure_addresses_need_the_word_of_both() {
    let mut spec = generic(&json!({"token": "http://127.0.0.1:8080/token"}));
    spec["allowInsecure"] = json!(true);
    let bounds =
        NetworkBounds { allow_http: true, cidrs: vec!["127.0.0.0/8".parse().unwrap()], proxies: Vec::new() };
    let both = Observed { bounds, ..observed(APP) };
    assert!(decide(&provider(&spec), &both).unwrap().network.allow_http);
    spec["allowInsecure"] = json!(false);
    assert_eq!(decide(&provider(&spec), &both).unwrap_err().reason, reason::ENDPOINT_REFUSED);
}
