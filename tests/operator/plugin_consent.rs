//! `kubectl bowline connect`, and other commands that wait, on a cluster without an operator: the tests write the status.
//!
//! Unit tests read the steps of an attempt. Only here do we see which annotations the policies let each user set, and that
//! the plug-in sees each change of status and acts on it.

use std::path::PathBuf;
use std::sync::Arc;

use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::looking::until;
use crate::plugin::{Running, bowline};
use crate::scene::Scene;
use crate::stage::{HOME, Stage};

const PAGE: &str = "https://bowline.example.com/connections";

/// A scene with alice's connection `mail`, on a cluster with the shipped manifests and no operator.
async fn quiet(name: &str) -> Scene {
    static QUIET: OnceCell<Arc<Stage>> = OnceCell::const_new();
    let stage = QUIET.get_or_init(async || Stage::without_operator(&[]).await);
    let it = stage.await.scene(name).await;
    it.connection("mail").apply().await;
    it
}

/// Writes the status of `mail`, as the operator would.
async fn say(it: &Scene, status: Value) {
    static KUBECONFIG: OnceCell<PathBuf> = OnceCell::const_new();
    let access = &it.stage.access;
    let kubeconfig = KUBECONFIG
        .get_or_init(async || access.service_account_kubeconfig(HOME, "bowline").await.unwrap())
        .await;
    let client = bowline_testbed::access::client(kubeconfig).await.unwrap();
    let operator: Api<IntegrationConnection> = Api::namespaced(client, &it.namespace);
    let status = json!({"status": status});
    operator.patch_status("mail", &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
}

fn verdict(well: bool, reason: &str) -> Value {
    let condition = |kind: &str, reason: &str| {
        json!({"type": kind, "status": if well { "True" } else { "False" }, "reason": reason,
            "message": "As the test says.", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let ready = if well { "Connected" } else { reason };
    json!([condition("Ready", ready), condition("Authorized", reason)])
}

/// What the operator reports about the attempt with this id.
fn attempt(id: &str, result: &str, reason: Option<&str>) -> Value {
    json!({"id": id, "method": "DeviceCode", "requestedBy": "alice", "startedAt": "2026-01-01T00:00:00Z",
        "result": result, "reason": reason, "message": "As the test says."})
}

fn page(it: &Scene) -> String {
    format!("{PAGE}/{}/mail", it.namespace)
}

async fn until_annotated(it: &Scene, annotation: &str) -> String {
    until(annotation, async || it.get("mail").await.annotations().get(annotation).cloned()).await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_link_is_printed_and_the_consent_is_waited_for() {
    let it = quiet("link").await;
    let mut run = Running::start(&it, "alice", &["connect", "mail"]);
    say(
        &it,
        json!({"conditions": verdict(false, "AwaitingAuthorization"), "authorization": {"url": page(&it)}}),
    )
    .await;
    assert_eq!(run.line().await.trim(), page(&it), "nothing but the address");
    let (_, said, errors) = bowline(&it, "alice", &["portal"], "").await;
    assert_eq!(said, "https://bowline.example.com/\n", "{errors}");
    let progress = verdict(false, "AuthorizationInProgress");
    say(&it, json!({"conditions": progress, "lastAttempt": attempt("a", "Running", None)})).await;
    let account = json!({"id": "42", "name": "octocat"});
    say(
        &it,
        json!({"conditions": verdict(true, "Authorized"), "account": account, "authorization": null,
            "lastAttempt": attempt("a", "Succeeded", None)}),
    )
    .await;
    let (code, said, _) = run.ended().await;
    assert_eq!((code, said.as_str()), (0, "mail is ready, as octocat (id 42).\n"));
    // No page is named any more, and no provider names the portal.
    let (code, _, errors) = bowline(&it, "alice", &["portal"], "").await;
    assert!(code == 1 && errors.contains("--portal-url"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_is_shown_and_the_account_is_confirmed_by_its_owner() {
    let it = quiet("device").await;
    say(&it, json!({"conditions": verdict(false, "AwaitingAuthorization")})).await;
    let (code, _, errors) = bowline(&it, "carol", &["connect", "mail", "--device"], "").await;
    assert!(code == 1 && errors.contains("forbidden"), "{errors}");

    let mut run = Running::start(&it, "alice", &["connect", "mail", "--device"]);
    let request = until_annotated(&it, ANNOTATION_AUTHORIZE_REQUESTED).await;
    let open = json!({"userCode": "WDJB-MJHT", "verificationURI": "https://idp.example.com/device"});
    say(
        &it,
        json!({"lastHandledAuthorization": request, "authorization": open,
            "conditions": verdict(false, "AuthorizationInProgress"),
            "lastAttempt": attempt(&request, "Running", None)}),
    )
    .await;
    assert_eq!(run.value("Code:").await, "WDJB-MJHT");
    let shown = &run.said;
    for expected in ["https://idp.example.com/device", &it.name, &format!("{}.mail", it.namespace), "alice"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let (_, said, _) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert!(said.contains("WDJB-MJHT at https://idp.example.com/device"), "{said}");
    let account = json!({"id": "42", "name": "octocat"});
    say(
        &it,
        json!({"authorization": null, "account": account, "conditions": verdict(false, "AwaitingConfirmation"),
            "lastAttempt": attempt(&request, "Succeeded", None)}),
    )
    .await;
    let (code, _, errors) = run.ended().await;
    assert!(
        code == 1 && errors.contains("octocat (id 42)") && errors.contains("--accept-account 42\n"),
        "{errors}"
    );

    let (code, _, errors) = bowline(&it, "alice", &["connect", "mail", "--accept-account", "7"], "").await;
    assert!(code == 1 && errors.contains("nothing is accepted"), "{errors}");
    assert!(!it.get("mail").await.annotations().contains_key(ANNOTATION_ACCEPT_ACCOUNT));
    let run = Running::start(&it, "alice", &["connect", "mail", "--accept-account", "42"]);
    assert_eq!(until_annotated(&it, ANNOTATION_ACCEPT_ACCOUNT).await, "42");
    say(&it, json!({"conditions": verdict(true, "Authorized")})).await;
    let (code, said, _) = run.ended().await;
    assert_eq!((code, said.as_str()), (0, "mail is ready, as octocat (id 42).\n"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_attempt_that_another_one_replaced_is_not_waited_for() {
    let it = quiet("replaced").await;
    say(&it, json!({"conditions": verdict(false, "AwaitingAuthorization")})).await;
    let run = Running::start(&it, "alice", &["connect", "mail", "--device"]);
    let request = until_annotated(&it, ANNOTATION_AUTHORIZE_REQUESTED).await;
    say(&it, json!({"lastHandledAuthorization": request, "lastAttempt": attempt(&request, "Running", None)}))
        .await;
    let mut other = attempt("another", "Running", None);
    other["requestedBy"] = json!("bob");
    say(&it, json!({"lastAttempt": other})).await;
    let (code, _, errors) = run.ended().await;
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("another attempt to connect mail, by bob, has replaced this one"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_failure_is_explained_with_who_can_fix_it() {
    let it = quiet("refused").await;
    let approval = "https://idp.example.com/adminconsent";
    say(
        &it,
        json!({"conditions": verdict(false, "AwaitingAuthorization"), "authorization": {"url": page(&it)}}),
    )
    .await;
    let mut run = Running::start(&it, "alice", &["connect", "mail"]);
    run.line().await;
    say(
        &it,
        json!({"conditions": verdict(false, "AdminConsentRequired"), "authorization": {"adminConsentURL": approval},
            "lastAttempt": attempt("a", "Failed", Some("AdminConsentRequired"))}),
    )
    .await;
    let (code, said, _) = run.ended().await;
    assert_eq!(code, 1);
    for expected in ["AdminConsentRequired: As the test says.", "an administrator at the provider", approval]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let (_, described, _) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert!(
        described.contains(&format!("Approve the app at {approval}; then connect again."))
            && described.contains("Last attempt:   Failed"),
        "{described}"
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_does_not_end_in_time_ends_with_3() {
    let it = quiet("late").await;
    let (code, _, errors) = bowline(&it, "alice", &["connect", "mail", "--timeout", "1s"], "").await;
    assert!(code == 3 && errors.contains("has not looked at it"), "{code} {errors}");
    say(
        &it,
        json!({"conditions": verdict(false, "AwaitingAuthorization"), "authorization": {"url": page(&it)}}),
    )
    .await;
    let commands: [&[&str]; 3] = [
        &["connect", "mail", "--timeout", "1s"],
        &["share", "mail", "--workspace", "w", "--timeout", "1s"],
        &["disconnect", "mail", "--yes", "--timeout", "1s"],
    ];
    for command in commands {
        let (code, said, errors) = bowline(&it, "alice", command, "").await;
        assert_eq!(code, 3, "{command:?} {said}{errors}");
    }
    let spec = it.get("mail").await.spec;
    assert_eq!((spec.disconnect, spec.shared), (Some(true), Some(true)), "the request is still there");
    let (code, _, errors) = bowline(&it, "alice", &["connect", "mail"], "").await;
    assert!(code == 1 && errors.contains("spec.disconnect is true"), "{errors}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn without_an_answer_nothing_is_disconnected() {
    let it = quiet("unasked").await;
    let (code, _, errors) = bowline(&it, "alice", &["disconnect", "mail"], "").await;
    assert!(code == 2 && errors.contains("--yes"), "{errors}");
    let (code, _, errors) = bowline(&it, "alice", &["disconnect", "mail"], "n\n").await;
    assert!(code == 1 && errors.contains("nothing was changed"), "{errors}");
    assert_eq!(it.get("mail").await.spec.disconnect, None);
}
