//! What else an owner does on a connection's page: agree to more than was asked for, pause, name what a provider leaves open.

use bowline_testbed::sandbox::{Action, Fault, Rotation};
use serde_json::json;

use super::house::Portal;
use crate::scene::{Scene, scene};

/// A connection of alice's whose provider gave `email` besides what was asked for.
async fn given_more(name: &str, scopes: &[&str]) -> (Scene, Portal, String) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse)
        .spec(json!({"scopes": {"default": ["read"], "required": ["write"]}}))
        .apply()
        .await;
    it.connection("mail").spec(json!({"scopes": scopes})).apply().await;
    it.realm.fault(Fault::token(Action::set("scope", "read write email")));
    it.consents_as("mail", "alice").await;
    it.until_reason("mail", "Authorized", "ExtraScopes").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let portal = Portal::start(&it, &[]).await;
    (it, portal, page)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_agrees_to_what_was_given_beyond_the_asked_r15() {
    let (it, portal, page) = given_more("agree", &[]).await;
    let (alice, bob) = (portal.browser_of(&it, "alice").await, portal.browser_of(&it, "bob").await);
    let seen = alice.get(&page).await;
    assert!(seen.says("gave more than was asked for") && seen.says("Agree to these"), "{}", seen.text);
    assert!(seen.says("See your e-mail address") && seen.says("<code>email</code>"), "{}", seen.text);
    let his = bob.get(&page).await;
    assert!(his.says("until alice agrees") && !his.says("id=\"agree\""), "{}", his.text);
    let refused = bob.submit(&his, &format!("{page}/agree"), &[("scopes", "email")]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    // A page that showed something else agrees to nothing.
    for other in ["", "email admin", "admin"] {
        let refused = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", other)]).await;
        assert_eq!(refused.status, 409, "{other}: {}", refused.text);
    }
    assert!(it.get("mail").await.spec.scopes.is_empty());
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nothing was published");

    let done = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "email")]).await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_phase("mail", "Active").await;
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
    let asked = it.get("mail").await.spec.scopes;
    assert_eq!(asked, ["read", "email"], "the provider's default ones stay asked for");
    let seen = alice.get(&page).await;
    assert!(!seen.says("id=\"extra\""), "{}", seen.text);
    let late = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "email")]).await;
    assert_eq!(late.status, 409, "there is nothing to agree to any more");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn scopes_that_a_tool_keeps_are_agreed_to_where_it_reads_them() {
    let (it, portal, page) = given_more("agree-kept", &["read"]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let seen = alice.get(&page).await;
    assert!(
        seen.says("Kept by <strong>files</strong>") && seen.says("<code>spec.scopes</code>"),
        "{}",
        seen.text
    );
    assert!(!seen.says("Agree to these"), "{}", seen.text);
    let refused = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "email")]).await;
    assert!(refused.status == 409 && refused.says("files keeps this"), "{}", refused.text);
    assert_eq!(it.get("mail").await.spec.scopes, ["read"]);
}
