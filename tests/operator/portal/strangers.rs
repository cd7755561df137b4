//! Every address, as nobody and as somebody else.

use bowline_testbed::sandbox::Rotation;

use super::house::Portal;
use crate::scene::{Scene, scene};

async fn begun(name: &str) -> (Scene, Portal, String) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let portal = Portal::start(&it, &[]).await;
    (it, portal, page)
}

/// Pages of a connection, after its address.
const PAGES: &[&str] = &["", "/connect", "/disconnect", "/delete", "/live"];
/// Changes of a connection, after its address.
const CHANGES: &[&str] = &[
    "/edit",
    "/share",
    "/unshare",
    "/refresh",
    "/device",
    "/confirm",
    "/again",
    "/agree",
    "/pause",
    "/resume",
    "/disconnect",
    "/delete",
    "/start",
];

/// Addresses that are for everybody, or whose own tests say for whom.
const OPEN: &[&str] = &[
    "/livez",
    "/readyz",
    "/static/portal.css",
    "/static/live.js",
    "/static/icon.svg",
    "/sign-in",
    "/sign-in/token",
    "/sign-in/oidc",
    "/callback/{provider}",
];
/// Addresses that the tests below try besides those of a connection.
const OTHERS: &[&str] = &[
    "/",
    "/connections",
    "/leave/{attempt}",
    "/leave/{attempt}/go",
    "/new",
    "/new/{provider}",
    "/use",
    "/workspaces",
    "/workspaces/{name}",
    "/providers",
    "/sign-out",
];

#[test]
fn no_address_is_forgotten_here() {
    let source = include_str!("../../../src/portal/router.rs");
    let routes = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let tried = |route: &str| [PAGES, CHANGES, OPEN, OTHERS].iter().any(|list| list.contains(&route));
    let forgotten: Vec<_> = routes.filter(|route| !tried(route)).collect();
    assert!(forgotten.is_empty(), "nobody tries {forgotten:?} as a stranger");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_sees_or_changes_anything() {
    let (it, portal, page) = begun("nobody").await;
    let nobody = portal.browser();
    let attempt = format!("/leave/attempt-{}", "0".repeat(40));
    let others =
        ["/", "/connections", "/new", "/use", "/workspaces", "/providers", "/workspaces/x", &attempt];
    let pages =
        PAGES.iter().map(|rest| format!("{page}{rest}")).chain(others[1..].iter().map(ToString::to_string));
    for path in pages.chain([format!("/new/{}", it.name), format!("{attempt}/go")]) {
        let answer = nobody.get(&path).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, "/sign-in"), "{path}");
    }
    let changes = CHANGES
        .iter()
        .map(|rest| format!("{page}{rest}"))
        .chain([format!("/new/{}", it.name), "/sign-out".into()]);
    for path in changes {
        let answer = nobody.post(&path, &[("form", "x"), ("title", "x"), ("namespace", &it.namespace)]).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    let object = it.get("mail").await;
    assert!(object.metadata.deletion_timestamp.is_none() && object.spec.display_name.is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn somebody_without_rights_learns_not_even_that_it_exists() {
    let (it, portal, page) = begun("stranger").await;
    let mallory = portal.browser_of(&it, "mallory").await;
    assert!(mallory.get("/connections").await.says("Nothing connected yet"));
    let token = mallory.get("/connections").await;
    let absent = mallory.get(&format!("/connections/{}/absent", it.namespace)).await;
    for rest in PAGES {
        let answer = mallory.get(&format!("{page}{rest}")).await;
        assert_eq!((answer.status, &answer.text), (404, &absent.text), "{rest}");
    }
    for rest in CHANGES {
        let answer =
            mallory.submit(&token, &format!("{page}{rest}"), &[("title", "x"), ("workspace", "w")]).await;
        assert_eq!(answer.status, 404, "{rest}: {}", answer.text);
    }
    let fields = [("title", "Mine"), ("namespace", it.namespace.as_str())];
    let refused = mallory.submit(&token, &format!("/new/{}", it.name), &fields).await;
    assert!(refused.says("You may not make connections"), "{}", refused.text);
    assert_eq!(mallory.get("/providers").await.status, 403);
    assert!(it.connections().get_opt("mine").await.unwrap().is_none());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_editor_who_is_not_the_owner_looks_refreshes_and_no_more() {
    let (it, portal, page) = begun("editor").await;
    let bob = portal.browser_of(&it, "bob").await;
    let seen = bob.get(&page).await;
    assert!(seen.says("Only alice, who owns this connection"), "{}", seen.text);
    assert!(!seen.says("id=\"connect\"") && !seen.says("id=\"edit\""), "{}", seen.text);
    for (rest, status) in [
        ("/edit", 403),
        ("/share", 403),
        ("/unshare", 403),
        ("/confirm", 403),
        ("/again", 403),
        ("/agree", 403),
        ("/pause", 403),
        ("/resume", 403),
        ("/disconnect", 403),
        ("/start", 403),
        ("/device", 403),
        ("/refresh", 303),
    ] {
        let answer = bob
            .submit(&seen, &format!("{page}{rest}"), &[("title", "x"), ("workspace", "w"), ("account", "x")])
            .await;
        assert_eq!(answer.status, status, "{rest}: {}", answer.text);
    }
    assert_eq!(bob.get(&format!("{page}/connect")).await.status, 403);
}
