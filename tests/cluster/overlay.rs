//! `spec.overlay` on a real API server: what is stored of it, and which words refuse what does not fit.

use bowline_api::IntegrationProvider;
use bowline_oauth::catalog;
use serde_json::{Value, json};

use crate::asking::{ADMIN, Answer, Ask, Person};
use crate::fixture::{administrator, provider, random_name};

const PROVIDERS: &str = "/apis/bowline.dev/v1alpha1/integrationproviders";

async fn admin() -> Person {
    Person::new(administrator().await, ADMIN)
}

fn with_overlay(type_: &str, overlay: &Value) -> Value {
    let mut object = provider(&random_name("p"));
    object["spec"] = json!({"type": type_, "overlay": overlay});
    object
}

/// As a user's kubectl sends it: with strict validation.
fn posted(object: &Value) -> Ask {
    Ask::post(PROVIDERS, object).with("fieldValidation=Strict")
}

async fn refused(overlay: &Value) -> String {
    let object = with_overlay("generic-oauth2", overlay);
    let answer: Answer = admin().await.ask(&posted(&object).dry()).await;
    assert!(!answer.is_accepted(), "{overlay}");
    answer.words().to_owned()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn every_entry_is_accepted_as_an_overlay_and_comes_back_as_it_was() {
    let admin = admin().await;
    for name in catalog::entries().keys() {
        let yaml = catalog::render_yaml(name).unwrap();
        let fields: Value = serde_yaml::from_str(&yaml).unwrap();
        let stored = admin.must(&posted(&with_overlay(name, &fields)).dry()).await;
        assert_eq!(stored["spec"]["overlay"], fields, "{name}");
        let object: IntegrationProvider = serde_json::from_value(stored).unwrap();
        let entry = catalog::entry_of(&object.spec).unwrap();
        assert_eq!(entry.core, catalog::get(name).unwrap().core, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn null_is_stored_and_removes_what_the_entry_says() {
    let admin = admin().await;
    let overlay =
        json!({"grant": {"idleLifetime": null}, "errors": {"token": {"org_internal": null}}, "revoke": null});
    let object = with_overlay("google", &overlay);
    let path = format!("{PROVIDERS}/{}", object["metadata"]["name"].as_str().unwrap());
    for ask in [posted(&object), Ask::apply(&path, &object)] {
        let stored = admin.must(&ask).await;
        assert_eq!(stored["spec"]["overlay"], overlay);
        let object: IntegrationProvider = serde_json::from_value(stored).unwrap();
        let entry = catalog::entry_of(&object.spec).unwrap();
        assert!(entry.grant.assumed_lifetime().is_some());
        let removed = serde_json::to_value(&entry.core).unwrap();
        assert_eq!(removed["grant"]["idleLifetime"], Value::Null);
        assert_eq!(removed["errors"]["token"]["org_internal"], Value::Null);
        assert_eq!(removed["errors"]["token"]["deleted_client"], "Config");
        assert_eq!(removed["revoke"]["style"], "None");
    }
    admin.must(&Ask::delete(&path)).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_does_not_fit_is_refused_with_its_place() {
    let long = "x".repeat(2049);
    let many: serde_json::Map<String, Value> = (0..257).map(|n| (format!("c{n}"), json!("Reauth"))).collect();
    let rows = [
        (json!({"colour": "red"}), "unknown field \"spec.overlay.colour\""),
        (json!({"extends": "google"}), "unknown field \"spec.overlay.extends\""),
        (json!({"grant": {"rotatoin": "None"}}), "unknown field \"spec.overlay.grant.rotatoin\""),
        (
            json!({"errors": {"api": [{"klass": "Reauth"}]}}),
            "unknown field \"spec.overlay.errors.api[0].klass\"",
        ),
        (json!({"grant": {"rotation": "often"}}), "spec.overlay.grant.rotation: Invalid value: \"often\""),
        (json!({"grant": {"accessLifetime": "soon"}}), "spec.overlay.grant.accessLifetime"),
        (json!({"grant": {"refreshNotBefore": "0.9"}}), "spec.overlay.grant.refreshNotBefore"),
        (json!({"scopes": {"default": "read"}}), "spec.overlay.scopes.default: Invalid value: \"string\""),
        (json!({"publish": {"site": "instance_url"}}), "spec.overlay.publish.site"),
        (json!({"identity": {"account": {"id": ["sub"]}}}), "spec.overlay.identity.account.id[0]"),
        (json!({"errors": {"token": {"x": "Dead"}}}), "spec.overlay.errors.token.x: Invalid value: \"Dead\""),
        (json!({"refresh": {"perMinute": 0}}), "spec.overlay.refresh.perMinute"),
        (json!({"about": long}), "spec.overlay.about: Too long"),
        (json!({"errors": {"token": many}}), "spec.overlay.errors.token: Too many"),
    ];
    for (overlay, words) in rows {
        let said = refused(&overlay).await;
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_server_side_apply_refuses_an_unknown_field_too() {
    let object = with_overlay("google", &json!({"grant": {"rotatoin": "None"}}));
    let path = format!("{PROVIDERS}/{}", object["metadata"]["name"].as_str().unwrap());
    let answer = admin().await.ask(&Ask::apply(&path, &object).dry()).await;
    assert!(!answer.is_accepted() && answer.words().contains("rotatoin"), "{}", answer.words());
}
