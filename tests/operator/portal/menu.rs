//! The menu: on every page for signed-in users, also after an error, and without links to pages that would refuse them.

use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::browser::{Browser, Page};
use super::house::Portal;
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

const MENU: &str = "<nav aria-label=\"Main\">";
const TO_PROVIDERS: &str = "href=\"/providers\"";

fn has_menu_of(page: &Page, user: &str) -> bool {
    page.says(MENU) && page.says(&format!("Signed in as {user}"))
}

async fn ready(name: &str) -> (Scene, Portal) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    let portal = Portal::start(&it, &[]).await;
    (it, portal)
}

/// Changes something that does not exist yet, until the answer is no longer "not found".
async fn hurries(browser: &Browser, form: &Page) -> Page {
    for _ in 0..60 {
        let answer = browser.submit(form, "/connections/a/b/refresh", &[]).await;
        if answer.status != 404 {
            return answer;
        }
    }
    panic!("nobody is too fast");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_is_signed_in_has_the_menu_also_where_something_did_not_work() {
    let (it, portal) = ready("menu").await;
    let mallory = portal.browser_of(&it, "mallory").await;
    let form = mallory.get("/connections").await;
    assert!(has_menu_of(&form, "mallory"), "{}", form.text);
    let stale = mallory.post("/connections/a/b/refresh", &[("form", "old")]).await;
    for (status, answer) in [
        (404, mallory.get("/connections/a/b").await),
        (404, mallory.get("/no-such-page").await),
        (403, mallory.get("/providers").await),
        (403, stale),
        (400, mallory.get("/callback/x?code=a").await),
        (400, mallory.get("/connections?q=a&q=b").await),
        (405, mallory.post("/workspaces", &[]).await),
        (414, mallory.get(&format!("/use?namespace={}", "y".repeat(30_000))).await),
        (429, hurries(&mallory, &form).await),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(has_menu_of(&answer, "mallory"), "{status}: {}", answer.text);
        assert!(answer.says("id=\"failure\"") && answer.says("Back to connections"), "{status}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_has_no_menu() {
    let (_it, portal) = ready("no-menu").await;
    let nobody = portal.browser();
    for (status, answer) in [
        (404, nobody.get("/no-such-page").await),
        (400, nobody.get("/callback/x?code=a").await),
        (401, nobody.post("/connections/a/b/refresh", &[("form", "x")]).await),
    ] {
        assert_eq!((answer.status, answer.says(MENU)), (status, false), "{}", answer.text);
        assert!(!answer.says("/sign-out"), "{}", answer.text);
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_menu_leads_to_providers_only_who_may_see_them() {
    let (it, portal) = ready("led").await;
    let mallory = portal.browser_of(&it, "mallory").await;
    assert!(!mallory.get("/connections").await.says(TO_PROVIDERS));

    let rbac = "rbac.authorization.k8s.io";
    let role: ClusterRole = parsed(json!({"metadata": {"name": it.name}, "rules": [
        {"apiGroups": ["bowline.dev"], "resources": ["integrationproviders"], "verbs": ["list"]}]}));
    let binding: ClusterRoleBinding = parsed(json!({"metadata": {"name": it.name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": it.name},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": "gitops"}]}));
    let new = PostParams::default();
    Api::all(it.admin.clone()).create(&new, &role).await.unwrap();
    Api::all(it.admin.clone()).create(&new, &binding).await.unwrap();
    let gitops = portal.browser_of(&it, "gitops").await;
    until("the right to see providers", async || {
        let seen = gitops.get("/connections").await;
        if seen.says(TO_PROVIDERS) { Ok(()) } else { Err("no link to it") }
    })
    .await;
    assert_eq!(gitops.get("/providers").await.status, 200);
}
