//! What the portal shows and does about members, and how a disconnection is undone there.

use bowline_testbed::sandbox::{Endpoint, Rotation};
use serde_json::json;

use super::house::Portal;
use crate::looking::grant_id;
use crate::scene::scene;
use crate::stage::Stage;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_disconnection_is_undone_with_a_button_and_a_leaked_token_waits_for_nothing() {
    let stage = Stage::fresh(&["--disconnect-pause", "1h"]).await;
    let it = stage.scene("portal-undo").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let before = it.status("mail").await;
    let (portal, page) = (Portal::start(&it, &[]).await, format!("/connections/{}/mail", it.namespace));
    let alice = portal.browser_of(&it, "alice").await;
    let impact = alice.get(&format!("{page}/disconnect")).await;
    assert!(impact.says("its page can undo this") && impact.says("name=\"now\""), "{}", impact.text);
    let done = alice.submit(&impact, &format!("{page}/disconnect"), &[]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    it.until_status("mail", "to be revoked", |status| status.revokes_at.is_some()).await;
    it.until_no_secret(&it.namespace, "mail").await;
    let seen = alice.get(&page).await;
    assert!(seen.says("id=\"revoked\"") && seen.says(">Undo</button>"), "{}", seen.text);
    let undone = alice.submit(&seen, &format!("{page}/again"), &[]).await;
    assert_eq!(undone.status, 303, "{}", undone.text);
    let after = it.until_phase("mail", "Active").await;
    assert_eq!(grant_id(&after), grant_id(&before), "without a consent");
    assert_eq!(it.realm.ledger().requests_to(Endpoint::Revocation).count(), 0);

    let impact = alice.get(&format!("{page}/disconnect")).await;
    let done = alice.submit(&impact, &format!("{page}/disconnect"), &[("now", "on")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    it.until_ledger("revoked", |ledger| ledger.requests_to(Endpoint::Revocation).next().map(drop)).await;
    let over = it.until_status("mail", "over", |status| status.connected_by.is_none()).await;
    assert!(over.revokes_at.is_none());
    let seen = alice.get(&page).await;
    assert!(seen.says(">Connect again</button>") && !seen.says("id=\"revoked\""), "{}", seen.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_admin_member_has_the_owners_buttons_and_agrees_to_nothing_for_them() {
    let it = scene("portal-members").await;
    it.provider(Rotation::SingleUse).apply().await;
    let list = json!([{"name": "bob", "role": "Admin"}, {"kind": "Group", "name": "ops"}]);
    it.connection("mail").spec(json!({"members": list})).apply().await;
    it.until_reason("mail", "Members", "MembersWait").await;
    let (portal, page) = (Portal::start(&it, &[]).await, format!("/connections/{}/mail", it.namespace));
    let (alice, bob) = (portal.browser_of(&it, "alice").await, portal.browser_of(&it, "bob").await);
    // She sees who they are before she allows access; until then he is nobody.
    let review = alice.get(&format!("{page}/connect")).await;
    assert!(review.says("bob (User, Admin)") && review.says("ops (Group, Member)"), "{}", review.text);
    let his = bob.get(&page).await;
    assert!(his.says("They may do nothing before alice has allowed access"), "{}", his.text);
    let refused = bob.submit(&his, &format!("{page}/pause"), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    it.authorized("mail").await;
    it.until_reason("mail", "Members", "MembersInForce").await;
    let his = bob.get(&page).await;
    assert!(his.says("Group <strong>ops</strong>: Member") && his.says("id=\"pause\""), "{}", his.text);
    let paused = bob.submit(&his, &format!("{page}/pause"), &[]).await;
    assert_eq!(paused.status, 303, "{}", paused.text);
    it.until_phase("mail", "Suspended").await;
    let his = bob.get(&page).await;
    let refused = bob.submit(&his, &format!("{page}/confirm"), &[("account", "alice")]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    it.change("mail", json!({"spec": {"members": null}})).await;
    let refused = bob.submit(&his, &format!("{page}/resume"), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}
