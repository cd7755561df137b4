//! `connect --device` for a working connection: whatever the outcome, the grant in use stays, and nobody waits in vain.

use bowline_testbed::sandbox::{Action, Endpoint, Fault};
use serde_json::json;

use super::{alice, assert_says, code_shown, type_code};
use crate::plugin::bowline;
use crate::scene::{Scene, scene};

const KEPT: &str = "The grant in use keeps working";

async fn connected(name: &str) -> Scene {
    let it = scene(name).await;
    it.with_device_flow().await;
    it.authorized("mail").await;
    it
}

async fn still_works(it: &Scene) {
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn no_on_the_other_device_ends_the_waiting_and_leaves_what_works() {
    let it = connected("again-no").await;
    let (run, address, code) = code_shown(&it, "connect mail --device").await;
    assert_says(&run.said, &["Account:        ALICE", "(id alice) only"]);
    type_code(&address, &code, None).await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!((exit, said.lines().count()), (1, 1), "{said}{errors}");
    assert_says(&said, &["Code expires:   in "]);
    assert_says(&errors, &["mail was not connected again: Access was not allowed at the provider.", KEPT]);
    still_works(&it).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_gives_no_code_is_not_waited_for() {
    let it = connected("again-none").await;
    it.realm.fault(Fault::at(Endpoint::DeviceAuthorization, Action::error("invalid_scope")).times(2));
    // Twice: the second refusal has the same text as the one in the status.
    for _ in 0..2 {
        let (exit, said, errors) = alice(&it, "connect mail --device").await;
        assert_eq!((exit, said.as_str()), (1, ""), "{errors}");
        assert_says(&errors, &["mail was not connected again: ", KEPT]);
    }
    still_works(&it).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn another_account_is_refused_by_name_and_leaves_what_works() {
    let it = connected("again-bob").await;
    let (run, address, code) = code_shown(&it, "connect mail --device").await;
    type_code(&address, &code, Some("bob")).await;
    let (exit, _, errors) = run.ended().await;
    assert_eq!(exit, 1, "{errors}");
    assert_says(&errors, &["mail was not connected again: ", KEPT]);
    still_works(&it).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_known_account_is_connected_again_in_place() {
    let it = connected("again-well").await;
    let uid = it.get("mail").await.metadata.uid;
    let before = it.secret("mail").await;
    let (run, address, code) = code_shown(&it, "connect mail --device").await;
    type_code(&address, &code, Some("alice")).await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with("mail is ready, as ALICE <alice@example.com> (id alice).\n"), "{said}");
    it.until_secret("mail", "the new token", |keys| keys["access_token"] != before["access_token"]).await;
    assert_eq!(it.get("mail").await.metadata.uid, uid);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_provider_that_allows_no_codes_is_reported_with_the_one_to_ask() {
    let it = connected("again-off").await;
    it.change_provider(json!({"spec": {"allow": {"deviceFlow": false}}})).await;
    // alice may not read providers, so the operator refuses her.
    let (exit, said, errors) = alice(&it, "connect mail --device").await;
    assert_eq!((exit, said.as_str()), (1, ""), "{errors}");
    assert_says(&errors, &["mail was not connected again: ", "Ask platform@example.com.", KEPT]);
    // Users who may read them are told before anything is requested.
    let asked = it.get("mail").await.metadata.annotations;
    let (exit, _, errors) =
        bowline(&it, bowline_testbed::access::ADMIN, &["connect", "mail", "--device"], "").await;
    assert_eq!(exit, 1);
    assert_says(&errors, &["does not allow codes", "ask platform@example.com"]);
    assert_eq!(it.get("mail").await.metadata.annotations, asked, "nothing was requested");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::DeviceAuthorization).count(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_wrong_account_of_a_first_code_is_not_the_end() {
    let it = scene("again-wrong").await;
    it.with_device_flow().await;
    let (run, address, code) = code_shown(&it, "connect mail --device").await;
    type_code(&address, &code, Some("bob")).await;
    let (exit, _, errors) = run.ended().await;
    assert_eq!(exit, 1);
    assert_says(&errors, &["connected as BOB", "If not, for another code: kubectl bowline connect mail"]);
    let (run, address, code) = code_shown(&it, "connect mail --device --accept-account alice").await;
    type_code(&address, &code, Some("alice")).await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with("mail is ready, as ALICE <alice@example.com> (id alice).\n"), "{said}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_is_sent_to_a_provider_that_is_not_there() {
    let it = scene("again-nowhere").await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "ProviderNotFound").await;
    for line in ["connect mail", "connect mail --device"] {
        let (exit, said, errors) = alice(&it, line).await;
        assert_eq!(exit, 1, "{line}: {errors}");
        assert_says(
            &said,
            &["mail: ProviderNotFound: ", "the platform team: Create the IntegrationProvider"],
        );
        assert!(!said.contains("http") && errors.contains("mail cannot be connected now"), "{said}{errors}");
    }
    let (exit, _, errors) = alice(&it, "connect nobody").await;
    assert_eq!(exit, 1);
    let place = format!("there is no connection nobody in namespace {};", it.namespace);
    assert_says(&errors, &[&place, &format!("kubectl bowline list -n {}", it.namespace)]);
    let (_, _, errors) = bowline(&it, "carol", &["list"], "").await;
    assert_says(&errors, &["forbidden", "an administrator of the cluster can give you that right"]);
}
