//! The owner approves in the portal what waits, and connects under the terms that the page showed.

use serde_json::json;

use super::house::Portal;
use crate::terms::Agreed;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_approves_what_the_page_shows_side_by_side() {
    let it = Agreed::new("terms-page").await;
    it.shared_by_alice().await;
    it.it.change("mail", json!({"spec": {"shared": false}})).await;
    it.until_not_in(&it.one).await;
    it.changed_by_bob(json!({"spec": {"shared": true, "scopes": ["read"]}})).await;
    let digest = it.until_waiting().await;
    let portal = Portal::start(&it.it, &[]).await;
    let (alice, bob) = (portal.browser_of(&it.it, "alice").await, portal.browser_of(&it.it, "bob").await);
    let page = format!("/connections/{}/mail", it.it.namespace);
    let approve = format!("{page}/approve");
    let seen = alice.get(&page).await;
    assert!(seen.says("<strong>bob</strong> changed where") && seen.says("id=\"approve\""), "{}", seen.text);
    let his = bob.get(&page).await;
    assert!(his.says("Until alice approves") && !his.says("id=\"approve\""), "{}", his.text);
    assert_eq!(bob.get(&approve).await.status, 403);
    let refused = bob.submit(&his, &approve, &[("digest", &digest)]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);

    let shown = alice.get(&approve).await;
    let new = format!("<code>{}</code> <span class=\"chip wait\">New</span>", it.one);
    assert!(shown.says(&new) && shown.says("<code>read</code>"), "{}", shown.text);
    for other in ["", "0", &digest[..39]] {
        let refused = alice.submit(&shown, &approve, &[("digest", other)]).await;
        assert_eq!(refused.status, 409, "{other}: {}", refused.text);
    }
    let forged = alice.post(&approve, &[("form", "x"), ("digest", &digest)]).await;
    assert_eq!(forged.status, 403, "a form of another session: {}", forged.text);
    assert!(it.it.secret_now(&it.one, &it.id).await.is_none());

    let done = alice.submit(&shown, &approve, &[("digest", &digest)]).await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_in(&it.one).await;
    it.until_agreed().await;
    assert!(!alice.get(&page).await.says("id=\"waiting\""));
    assert!(alice.get(&approve).await.says("Nothing waits for your approval"));
    let late = alice.submit(&shown, &approve, &[("digest", &digest)]).await;
    assert_eq!(late.status, 409, "nothing waits any more: {}", late.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_connects_agrees_to_where_the_page_says_the_token_goes() {
    let it = Agreed::new("terms-review").await;
    it.prepared_by_bob().await;
    let portal = Portal::start(&it.it, &[]).await;
    let alice = portal.browser_of(&it.it, "alice").await;
    let page = format!("/connections/{}/mail", it.it.namespace);
    let review = alice.get(&format!("{page}/connect")).await;
    assert!(review.says(&format!("<strong>{}</strong>", it.one)), "{}", review.text);
    let shown = |text: &str| {
        let (_, rest) = text.split_once("name=\"terms\" value=\"").expect("the terms that are shown");
        rest.split_once('"').unwrap().0.to_owned()
    };
    let old = shown(&review.text);
    let two = it.it.another_namespace("two").await;
    it.workspace(&[&it.one, &two]).await;
    let next = crate::looking::until("the page shows the other namespace", async || {
        let review = alice.get(&format!("{page}/connect")).await;
        review.says(&format!("<strong>{two}</strong>")).then_some(review)
    })
    .await;
    let refused = alice.submit(&review, &format!("{page}/start"), &[("terms", &old)]).await;
    assert!(refused.status == 409 && refused.says("no longer what your page showed"), "{}", refused.text);
    let begun = alice.submit(&next, &format!("{page}/start"), &[("terms", &shown(&next.text))]).await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    assert!(begun.location.starts_with("/leave/"), "{}", begun.location);
}
