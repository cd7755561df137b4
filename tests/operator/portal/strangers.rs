//! Every address, without a session and as a user without rights, by the table in [`super::routes`].

use bowline_api::IntegrationConnection;
use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::browser::{Browser, Page};
use super::house::Portal;
use super::routes::{Gets, ROUTES, Route};
use super::walk::start;
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

/// Part of the names that strangers must not learn, and of nothing else.
const THEIRS: &str = "Q3 figures";

/// A connection of alice's in a workspace, an attempt of hers, and a portal with every way to sign in except a proxy.
struct House {
    it: Scene,
    portal: Portal,
    alice: Browser,
    /// The address of alice's attempt.
    leave: String,
}

impl House {
    async fn of(name: &str) -> Self {
        let it = scene(name).await;
        it.provider(Rotation::SingleUse).apply().await;
        it.connection("mail").spec(json!({"displayName": THEIRS})).apply().await;
        it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
        it.workspace(&["alice"], &[&it.namespace]).apply().await;
        let title = Patch::Merge(json!({"spec": {"displayName": THEIRS}}));
        it.workspaces().patch(&it.name, &PatchParams::default(), &title).await.expect("a workspace");
        let issuer = it.realm.issuer();
        let openid = super::openid(&issuer, "portal");
        let portal = Portal::start(&it, &openid).await;
        let alice = portal.browser_of(&it, "alice").await;
        let page = format!("/connections/{}/mail", it.namespace);
        let review = alice.get(&format!("{page}/connect")).await;
        let leave = start(&alice, &review, &page).await.location;
        Self { it, portal, alice, leave }
    }

    /// The address of something that exists.
    fn address(&self, route: &Route) -> String {
        let name = if route.path.starts_with("/workspaces") { &self.it.name } else { "mail" };
        let parts =
            [("{namespace}", self.it.namespace.as_str()), ("{name}", name), ("{provider}", &self.it.name)];
        let path = route.path.replace("/leave/{attempt}", &self.leave);
        let path = parts.iter().fold(path, |path, (part, with)| path.replace(part, with));
        match path.as_str() {
            "/use" => format!("/use?namespace={}", self.it.namespace),
            "/offboard" if route.method == "GET" => "/offboard?user=alice".to_owned(),
            _ => path,
        }
    }

    /// What would change something if it were allowed.
    async fn send(&self, browser: &Browser, route: &Route, form: &str) -> Page {
        let path = self.address(route);
        if route.method == "GET" {
            return browser.get(&path).await;
        }
        assert_eq!(route.method, "POST", "{path}");
        let namespace = self.it.namespace.as_str();
        let fields = [("form", form), ("title", "x"), ("workspace", &self.it.name), ("account", "x")];
        let fields = fields.into_iter().chain([("name", "mail"), ("namespace", namespace), ("token", "x")]);
        browser.post(&path, &fields.collect::<Vec<_>>()).await
    }

    /// The part of the connection that people change, and how many other connections there are.
    async fn state(&self) -> Value {
        let object = self.it.get("mail").await;
        let all = self.it.connections().list(&kube::api::ListParams::default()).await.expect("connections");
        json!([object.spec, object.metadata.annotations, object.metadata.deletion_timestamp, all.items.len()])
    }
}

fn check(route: &Route, gets: Gets, answer: &Page, absent: &str) {
    let Route { method, path, .. } = route;
    assert!(!answer.says(THEIRS), "{method} {path} tells: {}", answer.text);
    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(header("content-security-policy").contains(part), "{method} {path}: {part}");
    }
    let kept = if path.starts_with("/static/") { "max-age" } else { "no-store" };
    assert!(header("cache-control").contains(kept), "{method} {path}: {}", header("cache-control"));
    assert_eq!([header("referrer-policy"), header("x-content-type-options")], ["no-referrer", "nosniff"]);
    assert!(header("strict-transport-security").starts_with("max-age="), "{method} {path}");
    match gets {
        Gets::Status(status) => assert_eq!(answer.status, status, "{method} {path}: {}", answer.text),
        Gets::To(to) => assert_eq!((answer.status, answer.location.as_str()), (303, to), "{method} {path}"),
        Gets::Empty => assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text),
        Gets::Nothing => {
            assert_eq!((answer.status, answer.text.as_str()), (404, absent), "{method} {path}");
        }
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_sees_or_changes_anything() {
    let house = House::of("nobody").await;
    let before = house.state().await;
    for route in ROUTES {
        let answer = house.send(&house.portal.browser(), route, "x").await;
        check(route, route.nobody, &answer, "");
        let session = answer.cookies.iter().any(|cookie| cookie.starts_with("__Host-bowline="));
        assert!(!session, "{} {}: {:?}", route.method, route.path, answer.cookies);
    }
    assert_eq!(house.state().await, before);
    // The pages have something to show.
    assert!(house.alice.get(&format!("/connections/{}/mail", house.it.namespace)).await.says(THEIRS));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn somebody_without_rights_learns_not_even_that_it_exists() {
    let house = House::of("stranger").await;
    let mallory = house.portal.browser_of(&house.it, "mallory").await;
    let form = mallory.get("/connections").await.token();
    let absent = mallory.get(&format!("/connections/{}/absent", house.it.namespace)).await.text;
    assert!(absent.contains("Not found"), "{absent}");
    let before = house.state().await;
    for route in ROUTES {
        // One response may remove her cookies, and the next request must not profit from that.
        let again = mallory.also_at(&house.portal.address);
        let answer = house.send(&again, route, &form).await;
        check(route, route.mallory, &answer, &absent);
        if (route.method, route.path) == ("POST", "/new/{provider}") {
            assert!(answer.says("You are not allowed to create connections"), "{}", answer.text);
        }
    }
    assert_eq!(house.state().await, before);

    // What she did not see is shown to users who may see it.
    let admin = house.portal.browser_of(&house.it, ADMIN).await;
    let hidden = |gets| matches!(gets, Gets::Empty | Gets::Nothing);
    let pages = ROUTES.iter().filter(|route| route.method == "GET" && hidden(route.mallory));
    // Of a connection that takes no key, nobody sees the form for one (tests/operator/portal/credential.rs).
    let absent = |route: &Route| route.path.ends_with("/live") || route.path.ends_with("/credential");
    for route in pages.filter(|route| !absent(route)) {
        let path = house.address(route);
        until(&path, async || {
            let [admin, alice] = [admin.get(&path).await, house.alice.get(&path).await];
            let tells = if path.starts_with("/leave/") { alice.status < 400 } else { admin.says(THEIRS) };
            (tells || alice.says(THEIRS)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_may_look_into_one_namespace_sees_no_other() {
    let house = House::of("one").await;
    let it = &house.it;
    let hers = it.another_namespace("hers").await;
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "metadata": {"name": "post"},
        "spec": {"provider": it.name, "owner": "alice", "displayName": "Open to mallory"}});
    let connections: Api<IntegrationConnection> = Api::namespaced(it.alice.clone(), &hers);
    connections.create(&PostParams::default(), &parsed(object)).await.expect("a connection");
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": "view-mallory"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}],
    }));
    it.create(&hers, &binding).await;
    let mallory = house.portal.browser_of(it, "mallory").await;
    for path in [format!("/use?namespace={hers}"), "/connections".to_owned()] {
        until(&path, async || mallory.get(&path).await.says("Open to mallory").then_some(())).await;
    }
    for path in [
        format!("/use?namespace={}", it.namespace),
        "/connections?q=Q3+figures".to_owned(),
        "/use".to_owned(),
    ] {
        let seen = mallory.get(&path).await;
        // The search field contains what she typed.
        let told = seen.text.replace(&format!("value=\"{THEIRS}\""), "");
        assert!(seen.status == 200 && !told.contains(THEIRS), "{path}: {told}");
    }
    for path in [format!("/connections/{}/mail", it.namespace), format!("/connections/{hers}/mail")] {
        assert_eq!(mallory.get(&path).await.status, 404, "{path}");
    }
}

/// The table is read from the sources; this test asks the router itself which methods it has.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_address_takes_the_methods_it_has_and_no_other() {
    let house = House::of("methods").await;
    for (number, route) in ROUTES.iter().enumerate() {
        // One machine may not send that many requests at once.
        let nobody = house.portal.browser_on(["127.0.0.1", "127.0.0.2", "127.0.0.3"][number % 3]);
        let path = house.address(route);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            let known = ROUTES.iter().any(|other| (other.method, other.path) == (method, route.path));
            let asked = nobody.request(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let answer = nobody.send(asked).await;
            assert_eq!(answer.status != 405, known, "{method} {path}: {}", answer.status);
        }
    }
}

/// Nobody here may read `Workspace` objects: neither alice nor carol has a role for the whole cluster.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn members_see_their_workspace_and_nothing_more_by_that_r18() {
    let it = scene("member").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let portal = Portal::start(&it, &[]).await;
    let page = format!("/connections/{}/mail", it.namespace);
    it.authorized("mail").await;
    it.workspace(&["alice", "carol"], &[&it.namespace]).apply().await;
    it.change("mail", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.until_status("mail", "sharing", |status| status.sharing.is_some()).await;
    let address = format!("/workspaces/{}", it.name);

    let carol = portal.browser_of(&it, "carol").await;
    assert!(carol.get("/workspaces").await.says(&format!("href=\"{address}\"")));
    let seen = until("the shared connection", async || {
        let seen = carol.get(&address).await;
        if seen.says(&format!("<code>{}.mail</code>", it.namespace)) { Ok(seen) } else { Err(seen.text) }
    })
    .await;
    assert!(
        seen.says("shared by alice") && seen.says("<li>alice</li>") && seen.says("<li>carol <span"),
        "{}",
        seen.text
    );
    for other in [page.clone(), format!("{page}/disconnect")] {
        assert_eq!(carol.get(&other).await.status, 404, "membership shows no {other}");
    }
    assert!(!carol.get(&format!("/use?namespace={}", it.namespace)).await.says("mail</h2>"));
    assert_eq!(carol.submit(&seen, &format!("{page}/unshare"), &[]).await.status, 404);

    let mallory = portal.browser_of(&it, "mallory").await;
    assert!(!mallory.get("/workspaces").await.says(&it.name));
    let (hidden, absent) = (mallory.get(&address).await, mallory.get("/workspaces/absent").await);
    assert_eq!((hidden.status, &hidden.text), (404, &absent.text), "not even that it exists");

    it.workspace(&["alice"], &[&it.namespace]).apply().await;
    until("the end of it", async || {
        let seen = carol.get(&address).await;
        if seen.status == 404 { Ok(()) } else { Err(seen.status) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_editor_who_is_not_the_owner_looks_refreshes_and_no_more() {
    let house = House::of("editor").await;
    house.it.connection("post").apply().await;
    house.it.until_reason("post", "Authorized", "AwaitingAuthorization").await;
    let page = format!("/connections/{}/post", house.it.namespace);
    let bob = house.portal.browser_of(&house.it, "bob").await;
    let seen = bob.get(&page).await;
    assert!(seen.says("Only alice, who owns this connection"), "{}", seen.text);
    assert!(seen.says("Waiting for alice to allow access."), "{}", seen.text);
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
        ("/keys", 403),
        ("/keys/revoke", 403),
        ("/refresh", 303),
    ] {
        let answer = bob
            .submit(&seen, &format!("{page}{rest}"), &[("title", "x"), ("workspace", "w"), ("account", "x")])
            .await;
        assert_eq!(answer.status, status, "{rest}: {}", answer.text);
    }
    assert_eq!(bob.get(&format!("{page}/connect")).await.status, 403);
}
