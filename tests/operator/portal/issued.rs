//! Keys that we issue, in the portal: shown once, listed by id, revoked.

use serde_json::json;

use super::house::Portal;
use crate::issued::verified;
use crate::scene::scene;

/// The key on the page that shows it.
fn key_on(page: &str) -> String {
    let after = page.split_once("id=\"key\">").unwrap_or_else(|| panic!("no key on {page}")).1;
    after.split('<').next().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_is_shown_once_and_gone_on_reload() {
    let it = scene("shown").await;
    it.provider_of_type("zapier-key").spec(json!({"parameters": {"overlap": "1h"}})).apply().await;
    it.connection("zapier").apply().await;
    it.until_reason("zapier", "Authorized", "AwaitingAuthorization").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let (page, keys) = (
        format!("/connections/{}/zapier", it.namespace),
        format!("/connections/{}/zapier/keys", it.namespace),
    );
    let before = alice.get(&page).await;
    assert!(before.says("Create key") && before.says("No key is valid."), "{}", before.text);
    assert!(!before.says("id=\"connect\"") && !before.says("kubectl bowline import"), "{}", before.text);

    let shown = alice.submit(&before, &keys, &[("newest", "")]).await;
    assert_eq!(shown.status, 201, "{}", shown.text);
    assert_eq!(shown.headers["cache-control"], "no-store");
    let key = key_on(&shown.text);
    it.until_phase("zapier", "Active").await;
    let secret = it.secret("zapier").await;
    assert_eq!(verified(&secret, &key).await.as_deref(), Some(&key[4..12]));

    // Loading the page again sends the form again: no key is shown, and none is created.
    let again = alice.submit(&before, &keys, &[("newest", "")]).await;
    assert!(again.status == 409 && again.says("A key is shown once"), "{}", again.text);
    let after = alice.get(&page).await;
    assert!(after.says(&key[4..12]) && after.says("by you"), "{}", after.text);
    for text in [&again.text, &after.text, &portal.logs()] {
        assert!(!text.contains(&key[12..]), "{text}");
    }
    assert_eq!(it.status("zapier").await.issued_keys.len(), 1);

    // Whoever may connect replaces the key; status says who it was.
    let bob = portal.browser_of(&it, "bob").await;
    let seen = bob.get(&page).await;
    assert!(seen.says("Replace with a new key"), "{}", seen.text);
    let replaced = bob.submit(&seen, &keys, &[("newest", &key[4..12])]).await;
    assert_eq!(replaced.status, 201, "{}", replaced.text);
    let status = it.until_status("zapier", "two keys", |status| status.issued_keys.len() == 2).await;
    assert_eq!(status.issued_keys[0].created_by, "bob");
    assert_eq!(status.last_attempt.unwrap().requested_by.as_deref(), Some("bob"));

    let listed = alice.get(&page).await;
    let revoke = format!("{keys}/revoke");
    assert_eq!(alice.submit(&listed, &revoke, &[("id", "../../etc")]).await.status, 400);
    let unknown = alice.submit(&listed, &revoke, &[("id", "Unknown0")]).await;
    assert!(unknown.status == 409 && unknown.says("no valid key"), "{}", unknown.text);
    assert_eq!(alice.submit(&listed, &revoke, &[("id", &key[4..12])]).await.status, 303);
    let left =
        it.until_secret("zapier", "the other key", |keys| !keys["issued_keys"].contains(&key[4..12])).await;
    assert_eq!(verified(&left, &key).await, None);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_first_key_is_the_owners_and_a_viewer_sees_ids_alone() {
    let it = scene("viewed").await;
    it.provider_of_type("zapier-key").apply().await;
    it.connection("zapier").apply().await;
    it.until_reason("zapier", "Authorized", "AwaitingAuthorization").await;
    let portal = Portal::start(&it, &[]).await;
    let bob = portal.browser_of(&it, "bob").await;
    let page = format!("/connections/{}/zapier", it.namespace);
    let seen = bob.get(&page).await;
    assert!(!seen.says("Create key"), "{}", seen.text);
    assert_eq!(bob.submit(&seen, &format!("{page}/keys"), &[("newest", "")]).await.status, 403);
    assert_eq!(bob.submit(&seen, &format!("{page}/keys/revoke"), &[("id", "Ab3dEf9K")]).await.status, 403);
}
