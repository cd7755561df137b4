//! Back to the previous release, after this one has refreshed, sealed again, and written fields that are new, and forward again.

use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::{Ledger, Rotation};
use serde_json::json;

use super::{Debt, Kept, SOON, apply_manifests, assert_lasted, lasting, listed, until_refreshed};
use crate::looking::until;
use crate::plugin::bowline;
use crate::stage::Stage;

/// The names of the Roles and their bindings that members of alice's connection have.
async fn roles_of_members(kept: &Kept) -> Vec<String> {
    let mut names = Vec::new();
    for role in listed(&kept.mail.stage, &["roles,rolebindings"]).await {
        let name = role["metadata"]["name"].as_str().unwrap().to_owned();
        if role["metadata"]["namespace"] == *kept.mail.namespace && name.starts_with("bowline:mail") {
            names.push(name);
        }
    }
    names
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_previous_release_goes_on_with_what_this_one_wrote_and_this_one_with_that() {
    let old = Stage::previous(&["--instance", "old"]).await;
    old.start_operator().await;
    let mut kept = Kept::on(&old).await;
    until_refreshed(&kept.chat, 1).await;
    let before = lasting(&old).await;
    old.stop_operator();
    let new = old.replica(&["--instance", "new", "--disconnect-pause", "1h"]);
    apply_manifests(&new, &old).await;
    new.start_operator().await;
    kept.follow(&new);
    kept.until_everything_is_renewed("new").await;
    let (code, said, errors) = bowline(&kept.mail, ADMIN, &["keys", "rotate"], "").await;
    assert_eq!(code, 0, "{errors}");
    let (primary, _) = said.split_once(' ').expect("the key's id");
    for (it, name) in kept.all().into_iter().filter(|(_, name)| *name != "billing") {
        it.until_sealed_with(name, primary).await;
    }
    let debt = Debt::on(&new).await;
    let undoable = new.scene("undoable").await;
    let undoable_grant = undoable.connected("mail", Rotation::SingleUse, 3600).await.grant_id;
    undoable.change("mail", json!({"spec": {"disconnect": true}})).await;
    undoable.until_status("mail", "it can be undone", |status| status.revokes_at.is_some()).await;
    kept.mail.change("mail", json!({"spec": {"members": [{"name": "carol"}]}})).await;
    kept.mail.until_reason("mail", "Members", "MembersInForce").await;

    new.stop_operator();
    apply_manifests(&old, &old).await;
    old.start_operator().await;
    kept.follow(&old);
    kept.until_everything_is_renewed("old").await;
    debt.until_paid().await;
    // docs/versions.md says this and the next two.
    let revoked = |ledger: &Ledger| ledger.is_grant_revoked(&undoable_grant).then_some(());
    undoable.until_ledger_within(SOON, "revoked, as nobody knows of a pause", revoked).await;
    assert_lasted(&kept, &before, &lasting(&old).await);
    assert!(kept.mail.get("mail").await.spec.members.is_empty());
    assert!(!roles_of_members(&kept).await.is_empty(), "nobody knows what they are for");

    old.stop_operator();
    apply_manifests(&new, &old).await;
    new.start_operator().await;
    kept.follow(&new);
    kept.until_everything_is_renewed("new again").await;
    assert_lasted(&kept, &before, &lasting(&old).await);
    until("no role of members that are not there", async || {
        let left = roles_of_members(&kept).await;
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
    kept.assert_nothing_spent_twice();
}
