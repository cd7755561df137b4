//! A process is killed half way: the same code still works, or she is told at once that she has to begin again.

use std::sync::Arc;

use bowline_testbed::sandbox::{Action, Endpoint, Fault, GrantType, Request};
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::{assert_says, code_shown, type_code, well};
use crate::looking::until;
use crate::plugin::Running;
use crate::scene::{Scene, parsed, scene};
use crate::stage::{HOME, Stage};

const CONNECT: &str = "connect mail --device --accept-account alice";
const READY: &str = "mail is ready, as ALICE <alice@example.com> (id alice).\n";

/// Requests of the operator; those of her phone have no client.
fn codes_asked_for(it: &Scene) -> usize {
    let ledger = it.realm.ledger();
    ledger.requests_to(Endpoint::DeviceAuthorization).filter(|request| request.client.is_some()).count()
}

async fn on_a_stage_of_its_own(name: &str) -> (Arc<Stage>, Scene) {
    let stage = Stage::fresh(&[]).await;
    let it = stage.scene(name).await;
    it.with_device_flow().await;
    (stage, it)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_killed_while_a_code_waits_goes_on_with_that_code() {
    let (stage, it) = on_a_stage_of_its_own("killed-waiting").await;
    let (run, address, code) = code_shown(&it, CONNECT).await;
    stage.kill_operator();
    type_code(&address, &code, Some("alice")).await;
    stage.start_operator().await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 0, "the command that was running all the time: {errors}");
    assert!(said.ends_with(READY), "{said}");
    assert_eq!(codes_asked_for(&it), 1, "the same code");
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_command_killed_while_a_code_waits_goes_on_with_that_code() {
    let it = scene("killed-plugin").await;
    it.with_device_flow().await;
    let (run, address, code) = code_shown(&it, CONNECT).await;
    run.kill().await;
    let (again, _, same) = code_shown(&it, CONNECT).await;
    assert_eq!(same, code, "somebody may be typing the first one now");
    type_code(&address, &code, Some("alice")).await;
    let (exit, said, errors) = again.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with(READY), "{said}");
    assert_says(&errors, &["mail waits for a code to be typed already. It is still good:"]);
    assert_eq!(codes_asked_for(&it), 1);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_code_for_what_the_spec_said_before_is_replaced() {
    let it = scene("killed-edited").await;
    it.with_device_flow().await;
    let (run, _, first) = code_shown(&it, CONNECT).await;
    run.kill().await;
    it.change("mail", json!({"spec": {"scopes": ["read"]}})).await;
    let (again, address, second) = code_shown(&it, CONNECT).await;
    assert_ne!(first, second, "the first code asks for other scopes");
    type_code(&address, &second, Some("alice")).await;
    let (exit, _, errors) = again.ended().await;
    assert_eq!(exit, 0, "{errors}");
    let asked = it.realm.ledger();
    let asked = asked.requests_to(Endpoint::DeviceAuthorization).filter_map(|it| it.scope_asked.clone());
    assert_eq!(asked.last().as_deref(), Some("read"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_command_killed_after_the_code_was_typed_finds_the_account_waiting() {
    let it = scene("killed-typed").await;
    it.with_device_flow().await;
    let (run, address, code) = code_shown(&it, "connect mail --device").await;
    run.kill().await;
    type_code(&address, &code, Some("alice")).await;
    it.until_reason("mail", "Authorized", "AwaitingConfirmation").await;
    assert_eq!(well(&it, CONNECT).await, READY);
    assert_eq!(codes_asked_for(&it), 1);
}

/// What the provider gave is lost with the operator: the code works only once. She is told, and begins again.
async fn is_told_and_begins_again(it: &Scene, run: Running) {
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 1, "{said}{errors}");
    assert_says(&said, &["mail: AuthorizationFailed: ", "Connect again", "kubectl bowline connect mail"]);
    assert!(it.secret_now(&it.namespace, "mail").await.is_none());
    let (again, address, code) = code_shown(it, CONNECT).await;
    type_code(&address, &code, Some("alice")).await;
    let (exit, said, errors) = again.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with(READY), "{said}");
    assert_eq!(codes_asked_for(it), 2);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_killed_before_the_providers_answer_reaches_it_has_her_begin_again() {
    let (stage, it) = on_a_stage_of_its_own("killed-answer").await;
    let (run, address, code) = code_shown(&it, CONNECT).await;
    // The provider issues the grant, and its answer is held back until the operator is dead.
    let late = Action::Delay { milliseconds: 600_000, commit: true };
    it.realm.fault(Fault { grant_type: Some(GrantType::DeviceCode), ..Fault::token(late) });
    type_code(&address, &code, Some("alice")).await;
    it.until_ledger("the grant is given", |ledger| {
        let given = ledger.requests_to(Endpoint::Token).any(Request::gave_tokens);
        given.then_some(())
    })
    .await;
    stage.kill_operator();
    stage.start_operator().await;
    is_told_and_begins_again(&it, run).await;
}

/// Whether the operator's namespace accepts new Secrets.
async fn secrets_are_taken(it: &Scene, taken: bool) {
    let quotas: Api<ResourceQuota> = Api::namespaced(it.admin.clone(), HOME);
    if taken {
        quotas.delete("none", &DeleteParams::default()).await.expect("deleted");
    } else {
        let none = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}});
        it.create::<ResourceQuota>(HOME, &parsed(none)).await;
    }
    let probe: Secret = parsed(json!({"metadata": {"name": "probe"}}));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    until("the quota is effective", async || {
        let answer = it.secrets(HOME).create(&dry, &probe).await;
        if answer.is_ok() == taken { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

async fn until_it_holds_the_only_copy(stage: &Stage) {
    until("the operator cannot store what it received", async || {
        stage.logs().contains("a change to the record is not written yet").then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_killed_before_it_has_written_the_grant_has_her_begin_again() {
    let (stage, it) = on_a_stage_of_its_own("killed-unwritten").await;
    let (run, address, code) = code_shown(&it, CONNECT).await;
    secrets_are_taken(&it, false).await;
    type_code(&address, &code, Some("alice")).await;
    until_it_holds_the_only_copy(&stage).await;
    stage.kill_operator();
    secrets_are_taken(&it, true).await;
    stage.start_operator().await;
    is_told_and_begins_again(&it, run).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_that_lives_keeps_the_grant_until_it_can_be_written() {
    let (stage, it) = on_a_stage_of_its_own("kept-unwritten").await;
    let (run, address, code) = code_shown(&it, CONNECT).await;
    secrets_are_taken(&it, false).await;
    type_code(&address, &code, Some("alice")).await;
    until_it_holds_the_only_copy(&stage).await;
    secrets_are_taken(&it, true).await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with(READY), "{said}");
    assert_eq!(codes_asked_for(&it), 1);
}
