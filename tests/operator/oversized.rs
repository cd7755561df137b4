//! Answers that are larger than anything a provider needs to say: the operator stays up, keeps what it can, and says what it
//! does not keep.

use bowline_testbed::sandbox::{Action, Fault, GrantType, Rotation};
use serde_json::json;

use crate::looking::{holds, is, words};
use crate::scene::scene;

/// A fault of the next refresh.
fn next_refresh(action: Action) -> Fault {
    Fault { grant_type: Some(GrantType::RefreshToken), ..Fault::token(action) }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_12_an_answer_with_200_000_scopes_is_kept_with_those_that_fit() {
    let it = scene("many-scopes").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let digits: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let pairs = digits.iter().flat_map(|one| digits.iter().map(move |two| (one, two)));
    let scopes = pairs.flat_map(|(one, two)| digits.iter().map(move |three| format!("{one}{two}{three}")));
    let scope = scopes.take(200_000).collect::<Vec<_>>().join(" ");
    it.realm.fault(next_refresh(Action::set("scope", scope)));
    it.ask_for_refresh("mail", "now").await;
    let status = it
        .until_status("mail", "answered", |status| status.last_handled_refresh.as_deref() == Some("now"))
        .await;
    assert!(status.scopes.unwrap().granted.len() <= 256);
    let (code, _) = it.stage.ask("livez").await.expect("an answer");
    assert_eq!(code, 200);
    it.until_refreshed(&minted.grant_id, 1).await;
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_12_a_token_of_480_kib_is_not_kept_and_the_next_refresh_recovers() {
    let it = scene("huge-token").await;
    let minted = it.connected("mail", Rotation::SingleUse, 24).await;
    let before = it.secret("mail").await;
    let huge = json!({"access_token": "t".repeat(480 * 1024), "expires_in": 1});
    let serde_json::Value::Object(set) = huge else { unreachable!() };
    it.realm.fault(next_refresh(Action::Patch { set, remove: Vec::new() }));
    it.ask_for_refresh("mail", "now").await;
    let failing = it.until_reason("mail", "TokenFresh", "RefreshFailing").await;
    assert!(words(&failing, "TokenFresh").contains("an access token of 491520 bytes"), "{failing:?}");
    assert!(holds(&failing, "Ready"), "the earlier token lives: {failing:?}");
    assert_eq!(it.secret("mail").await["access_token"], before["access_token"]);
    // The refresh token in that answer was kept: it is the only one that works.
    it.ask_for_refresh("mail", "again").await;
    it.until_status("mail", "fresh again", |status| is(status, "TokenFresh", "Fresh")).await;
    let keys = it.secret("mail").await;
    assert!(it.realm.is_alive(&keys["access_token"]));
    assert!(
        it.realm.ledger().spent_twice().is_empty() && !it.realm.ledger().is_grant_revoked(&minted.grant_id)
    );
}
