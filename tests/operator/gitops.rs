//! What Argo CD and Flux report for connections in every phase: their own engines, our shipped scripts, real objects.
//!
//! Unit tests show the phases. Only here do the engines run our scripts on real objects.

use std::time::Duration;

use bowline_api::condition::Truth;
use bowline_api::reason::{Reason, ReasonPlace};
use bowline_testbed::health::{Verdict, judge};
use bowline_testbed::sandbox::{Action, Fault, Rotation};
use serde_json::{Value, json};

use crate::looking::{phase_of, until};
use crate::scene::{Scene, scene};

/// A withdrawn grant is believed the second time, a minute later.
const BELIEVED_WITHIN: Duration = Duration::from_secs(100);

/// A connection in each phase, named after the phase in lower case.
async fn one_in_each_phase(it: &Scene) {
    it.provider(Rotation::SingleUse).apply().await;
    for name in ["pending", "active", "suspended", "disconnected", "error", "expired", "revoked"] {
        it.connection(name).apply().await;
    }
    for name in ["active", "suspended", "disconnected", "error"] {
        it.authorized(name).await;
    }
    it.consents_as("revoked", "alice").await;
    it.until_phase("revoked", "Active").await;
    let token = it.secret("revoked").await["access_token"].clone();
    let issued = it.realm.ledger();
    let grant = issued.history_of(&token).into_iter().find_map(|entry| entry.grant.clone());
    let grant = grant.expect("the grant of the published token");
    // The provider's own word for it, twice: the first is doubted.
    it.realm.fault(Fault::token(Action::error("grant_revoked")).for_grant(grant).times(100));
    it.ask_for_refresh("revoked", "now").await;
    let access_alone = it.mint();
    it.import_keys("expired", &[("access_token", &access_alone.access_token), ("expires_in", "3")]).await;
    it.change("suspended", json!({"spec": {"suspend": true}})).await;
    it.change("disconnected", json!({"spec": {"disconnect": true}})).await;
    it.change("error", json!({"spec": {"secret": {"template": {"metadata": {"labels": {"app.kubernetes.io/part-of": "x"}}}}}})).await;
    for phase in ["Pending", "Active", "Suspended", "Disconnected", "Error", "Expired"] {
        it.until_phase(&phase.to_lowercase(), phase).await;
    }
    it.until_status_within(BELIEVED_WITHIN, "revoked", "Revoked", |status| phase_of(status) == "Revoked")
        .await;
}

async fn seen(it: &Scene, name: &str) -> Value {
    serde_json::to_value(it.get(name).await).unwrap()
}

fn assert_says(what: &str, verdict: &Verdict, argo: &str, flux: &str) {
    let said = (verdict.argo.status.as_str(), verdict.flux.status.as_str());
    assert_eq!(said, (argo, flux), "{what}: {verdict:?}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn argo_cd_and_flux_wait_for_no_person_and_report_what_is_broken() {
    let it = scene("gitops").await;
    one_in_each_phase(&it).await;
    let rows = [
        ("pending", "Healthy", "Current"),
        ("active", "Healthy", "Current"),
        ("suspended", "Healthy", "Current"),
        ("disconnected", "Healthy", "Current"),
        ("error", "Degraded", "Failed"),
        ("expired", "Degraded", "Failed"),
        ("revoked", "Degraded", "Failed"),
    ];
    let mut objects = Vec::new();
    for (name, ..) in rows {
        objects.push(seen(&it, name).await);
    }
    let verdicts = judge(&objects).await.expect("verdicts");
    for ((name, argo, flux), (verdict, object)) in rows.iter().zip(verdicts.iter().zip(&objects)) {
        assert_says(name, verdict, argo, flux);
        let conditions = object["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        let message = if *name == "pending" { &json!("waiting for alice") } else { &ready["message"] };
        assert_eq!(*message, verdict.argo.message, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_the_operator_has_not_seen_yet_is_in_progress() {
    let it = scene("gitops-new").await;
    it.workspace(&["alice"], &[&it.namespace]).apply().await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let connection = seen(&it, "mail").await;
    let provider = serde_json::to_value(it.providers().get(&it.name).await.unwrap()).unwrap();
    let workspace = until("the workspace is judged", async || {
        let workspace = it.workspaces().get(&it.name).await.ok()?;
        workspace.status.is_some().then(|| serde_json::to_value(workspace).unwrap())
    })
    .await;
    for object in [connection, provider, workspace] {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let mut changed = object.clone();
        changed["metadata"]["generation"] = json!(1 + object["metadata"]["generation"].as_i64().unwrap());
        let mut new = object.clone();
        new.as_object_mut().unwrap().remove("status");
        let verdicts = judge(&[object, changed, new]).await.expect("verdicts");
        assert_says(&kind, &verdicts[0], "Healthy", "Current");
        assert_says(&format!("{kind}, changed"), &verdicts[1], "Progressing", "InProgress");
        // Flux cannot read a status that does not exist; while it does not know, it waits.
        assert_says(&format!("{kind}, new"), &verdicts[2], "Progressing", "Unknown");
    }
    it.change_provider(json!({"spec": {"app": {"secretName": "nonesuch"}}})).await;
    let refused = it.until_provider("AppSecretNotFound").await;
    let provider = serde_json::to_value(it.providers().get(&it.name).await.unwrap()).unwrap();
    let verdicts = judge(&[provider]).await.expect("verdicts");
    assert_says("a provider that is not ready", &verdicts[0], "Degraded", "Failed");
    assert_eq!(verdicts[0].argo.message, refused);
}

/// An object of a kind that has only Ready, and where it applies Stalled, with this reason.
fn ready_by(kind: &str, reason: Reason) -> Value {
    let ready = json!({"type": "Ready", "status": reason.row().status.as_str(), "reason": reason.as_str(), "message": "m",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let mut stalled = ready.clone();
    stalled["type"] = json!("Stalled");
    stalled["status"] = json!("True");
    let says_so = kind == "ConnectionBinding" && reason.row().stalled;
    let conditions: Vec<_> = [ready].into_iter().chain(says_so.then_some(stalled)).collect();
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": kind, "metadata": {"name": "a", "generation": 1},
        "status": {"observedGeneration": 1, "conditions": conditions}})
}

#[tokio::test]
#[ignore = "needs Go: make test"]
async fn every_reason_of_a_workspace_share_or_binding_has_its_health() {
    let mut objects = Vec::new();
    let mut expected = Vec::new();
    for reason in Reason::ALL {
        let row = reason.row();
        let broken = if row.stalled { ("Degraded", "Failed") } else { ("Progressing", "InProgress") };
        let health = if row.status == Truth::True { ("Healthy", "Current") } else { broken };
        for (place, kind) in [
            (ReasonPlace::Workspace, "Workspace"),
            (ReasonPlace::Share, "ConnectionShare"),
            (ReasonPlace::Binding, "ConnectionBinding"),
        ] {
            if row.places.contains(&place) {
                objects.push(ready_by(kind, *reason));
                expected.push((format!("{kind} {reason}"), health));
            }
        }
    }
    let verdicts = judge(&objects).await.expect("verdicts");
    for ((what, (argo, flux)), verdict) in expected.iter().zip(&verdicts) {
        assert_says(what, verdict, argo, flux);
    }
}
