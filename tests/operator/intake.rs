//! An import that cannot be used: it is refused with a reason, and the old grant is kept.
//!
//! Unit tests read each kind of Secret. Only here do we see that a refused one changes neither the grant in use nor what is
//! published.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_api::connection::AttemptResult;
use bowline_testbed::sandbox::{Action, Event, Fault, MintRequest, Minted, Rotation};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::looking::{attempt_words, holds, is, words};
use crate::scene::{Scene, parsed, scene};

/// The largest allowed size of one value.
const LIMIT: usize = 16 * 1024;

/// A connected connection, and what is published for it.
async fn in_use(name: &str) -> (Scene, String) {
    let it = scene(name).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let token = it.secret("mail").await["access_token"].clone();
    (it, token)
}

/// It was refused with this message, and the grant in use is unchanged.
async fn assert_refused(it: &Scene, token: &str, said: &str) {
    let refused = it.until_status("mail", said, |status| attempt_words(status).contains(said)).await;
    assert!(holds(&refused, "Ready") && is(&refused, "Authorized", "Authorized"), "{refused:?}");
    assert_eq!(it.secret("mail").await["access_token"], token, "what is published changed");
    assert!(it.realm.is_alive(token));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_cannot_be_used_is_refused_with_a_reason_and_the_old_grant_is_kept() {
    let (it, token) = in_use("refused").await;
    let intake = |data: Value| json!({"type": "bowline.dev/intake", "data": data});
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    let foreign = json!({"labels": {"bowline.dev/connection": "another"}});
    let rows = [
        (intake(json!({"token": encoded(b"x")})), "keys that mean nothing here"),
        (intake(json!({})), "The Secret is empty"),
        (intake(json!({"refresh_token": encoded(&[0xff, 0xfe, 0])})), "not printable UTF-8"),
        (intake(json!({"refresh_token": encoded(&vec![b'a'; LIMIT + 1])})), "more than 16 KiB"),
        // The largest value that the API server accepts.
        (intake(json!({"refresh_token": encoded(&vec![b'a'; 1024 * 1024])})), "more than 16 KiB"),
        (
            intake(
                json!({"refresh_token": encoded(b"x"), "id_token": encoded(&vec![b'a'; 1024 * 1024 - 1])}),
            ),
            "does not accept",
        ),
        (intake(json!({"api_key": encoded(b"x")})), "do not fit the provider"),
        (
            json!({"type": "bowline.dev/intake", "metadata": foreign, "data": {"refresh_token": encoded(b"x")}}),
            "does not name this connection",
        ),
        (
            intake(json!({"refresh_token": encoded(b"unknown-to-the-provider")})),
            "does not accept what was provided",
        ),
    ];
    for (secret, said) in rows {
        it.import_secret("mail", secret).await;
        assert_refused(&it, &token, said).await;
    }
    it.announce("mail", "nonsense").await;
    assert_refused(&it, &token, "is not <name>/<uid>").await;
    it.announce("mail", "nowhere/b1d5781c-0000-0000-0000-000000000000").await;
    assert_refused(&it, &token, "is not there").await;
    it.keep_secret("plain", "mail", "Opaque", &[("refresh_token", "x")]).await;
    assert!(it.secret_now(&it.namespace, "plain").await.is_some());

    it.authorized("mail").await;
    it.until_reason("mail", "Authorized", "Authorized").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_secret_swapped_after_the_announcement_is_left_alone() {
    let (it, token) = in_use("swapped").await;
    let secret = |grant: &str| {
        parsed::<Secret>(json!({"metadata": {"name": "mine", "labels": {"bowline.dev/connection": "mail"}},
            "type": "bowline.dev/intake", "stringData": {"refresh_token": grant}}))
    };
    let secrets = it.secrets(&it.namespace);
    let announced = secrets.create(&PostParams::default(), &secret(&it.mint().refresh_token)).await.unwrap();
    secrets.delete("mine", &DeleteParams::default()).await.unwrap();
    let stolen = it.mint();
    let swapped = secrets.create(&PostParams::default(), &secret(&stolen.refresh_token)).await.unwrap();
    it.announce("mail", &format!("mine/{}", announced.uid().unwrap())).await;
    assert_refused(&it, &token, "not the one that was announced").await;
    assert_eq!(secrets.get("mine").await.unwrap().uid(), swapped.uid());
    let spent = it.realm.ledger();
    let spent = spent.history_of(&stolen.refresh_token).into_iter().any(|entry| entry.event == Event::Spent);
    assert!(!spent, "what was not announced was used");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_grant_of_another_account_is_refused_and_the_old_one_kept() {
    let (it, token) = in_use("other-account").await;
    let bobs = it.realm.mint(&MintRequest::of("bob")).unwrap();
    it.import("mail", &bobs).await;
    assert_refused(&it, &token, "another one is connected").await;
    it.until_attempt("mail", "AccountMismatch").await;
    it.until_event(&it.namespace, "AccountMismatch").await;
    assert!(it.realm.is_alive(&bobs.refresh_token), "what was imported is bob's: we must not revoke it");
    assert_eq!(it.status("mail").await.account.map(|account| account.id).as_deref(), Some("alice"));
}

/// A candidate in doubt is checked every half minute.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_mins(1);

/// Imports a refresh token and nothing else, so that only using it proves it; that use has this fault.
async fn import_to_be_proved(it: &Scene, action: Action) -> Minted {
    let minted = it.mint();
    it.realm.fault(Fault::token(action).for_grant(&minted.grant_id));
    it.import_keys("mail", &[("refresh_token", &minted.refresh_token)]).await;
    minted
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_first_grant_whose_answer_is_lost_says_so_at_once_and_is_tried_once_more() {
    let it = scene("proof-lost").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let minted = import_to_be_proved(&it, Action::Drop { commit: true }).await;
    it.until_status("mail", "doubted", |status| {
        let says_so = words(status, "Authorized").contains("never arrived. It is tried again");
        is(status, "Authorized", "IntakeOutcomeUnknown") && says_so
    })
    .await;
    it.until_event(&it.namespace, "IntakeOutcomeUnknown").await;
    it.until_status_within(TRIED_AGAIN_WITHIN, "mail", "lost", |status| {
        words(status, "Authorized").contains("very likely lost. Import a new one")
    })
    .await;
    assert_eq!(
        it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(),
        2,
        "sent once more, and no third time"
    );
    it.authorized("mail").await;
    it.until_reason("mail", "Authorized", "Authorized").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_new_grant_whose_answer_is_lost_is_not_sent_again_while_the_old_one_is_in_use() {
    let (it, token) = in_use("proof-beside").await;
    let minted = import_to_be_proved(&it, Action::Drop { commit: false }).await;
    let doubted = it.until_attempt("mail", "IntakeOutcomeUnknown").await;
    assert!(holds(&doubted, "Ready") && is(&doubted, "Authorized", "Authorized"), "{doubted:?}");
    assert!(attempt_words(&doubted).contains("Import it again"), "{doubted:?}");
    assert_eq!(it.secret("mail").await["access_token"], token, "what is published changed");
    it.import_keys("mail", &[("refresh_token", &minted.refresh_token)]).await;
    it.until_status_within(Duration::from_mins(2), "mail", "accepted", |status| {
        status.last_attempt.as_ref().is_some_and(|attempt| attempt.result.is(AttemptResult::Succeeded))
    })
    .await;
    assert_eq!(it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(), 2, "once for each import");
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_disconnect_while_an_import_is_being_proved_revokes_the_result() {
    let it = scene("proof-end").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let minted = import_to_be_proved(&it, Action::Delay { milliseconds: 4_000, commit: true }).await;
    it.until_ledger("the token is spent", |ledger| {
        let spent =
            ledger.history_of(&minted.refresh_token).into_iter().any(|entry| entry.event == Event::Spent);
        spent.then_some(())
    })
    .await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_phase("mail", "Disconnected").await;
    let grant = &minted.grant_id;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(grant).then_some(())).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}
