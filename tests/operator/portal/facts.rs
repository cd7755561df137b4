//! What pages say about a connection, compared with what is known in another way.

use bowline_api::IntegrationConnection;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::browser::Page;
use super::house::{Portal, admit};
use crate::looking::until;
use crate::scene::{Scene, parsed, scene};

/// The part of a page that begins with the element with this id.
fn part<'a>(page: &'a Page, id: &str) -> &'a str {
    let begin = page.text.split_once(&format!("id=\"{id}\""));
    let (_, rest) = begin.unwrap_or_else(|| panic!("no {id}: {}", page.text));
    rest.split("</section>").next().unwrap()
}

/// A time as pages write it, for machines and as a tooltip for people.
fn told(time: &Time) -> String {
    let exact = time.0.strftime("%Y-%m-%d %H:%M UTC");
    format!("<time datetime=\"{}\" title=\"{exact}\">", time.0)
}

fn assert_says(part: &str, what: &[&str]) {
    for text in what {
        assert!(part.contains(text), "{text}: {part}");
    }
}

/// A connection that alice consented to and shares, and the namespace in which it is shared.
async fn shared(name: &str) -> (Scene, String) {
    let it = scene(name).await;
    let other = it.another_namespace("other").await;
    it.workspace(&["alice"], &[&other]).apply().await;
    it.provider(Rotation::SingleUse).spec(json!({"scopes": {"required": ["write"]}})).apply().await;
    it.connection("mail")
        .shared()
        .spec(json!({"scopes": ["read"], "displayName": "Work mail"}))
        .apply()
        .await;
    it.consents_as("mail", "alice").await;
    it.until_phase("mail", "Active").await;
    it.ask_for_refresh("mail", "now").await;
    it.until_status("mail", "refreshed", |status| status.last_handled_refresh.as_deref() == Some("now"))
        .await;
    it.secret_in(&other, &format!("{}.mail", it.namespace)).await;
    (it, other)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connections_page_says_all_that_is_known_of_it_r8_r9_r18() {
    let (it, other) = shared("facts").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let path = format!("/connections/{}/mail", it.namespace);
    let seen = until("the share in the portal's cache", async || {
        let seen = alice.get(&path).await;
        if part(&seen, "sharing").contains("Published as") { Ok(seen) } else { Err(seen.text) }
    })
    .await;
    let status = it.status("mail").await;
    let (token, account) = (status.token.unwrap(), status.account.unwrap());
    let id = format!("{}.mail", it.namespace);
    assert_eq!(status.id.as_deref(), Some(id.as_str()));
    assert!(seen.says(&format!("data-copy=\"{id}\"")) && seen.says("<h1>Work mail</h1>"), "{}", seen.text);
    assert_says(part(&seen, "status"), &["chip good", "Connected", "Fresh until", "Next refresh about"]);
    let connected = format!("<dt>Connected</dt>\n    <dd>{}", told(&status.connected_at.unwrap()));
    let at = part(&seen, "account");
    assert_says(at, &[&connected, "</time> by alice", "id alice</span>", "<dt>Owner</dt><dd>alice</dd>"]);
    assert_says(at, &[account.name.as_deref().unwrap(), account.email.as_deref().unwrap()]);
    let ends = format!("<dt>Token expires</dt><dd>{}", told(&token.expires_at.unwrap()));
    let refreshed = format!("<dt>Last refreshed</dt><dd>{}", told(&token.last_refreshed_at.unwrap()));
    let next = format!("<dt>Next refresh</dt><dd>{}", told(&token.next_refresh_at.unwrap()));
    let access = part(&seen, "access");
    assert_says(access, &[&ends, &refreshed, &next, "<code>mail</code> in ", &it.namespace]);
    for scope in ["read", "write"] {
        let item = access.split("<li>").find(|item| item.contains(&format!("<code>{scope}</code>")));
        assert_says(item.expect(scope), &["chip good", "Granted"]);
    }
    assert_eq!(access.matches("<li>").count(), 2, "{access}");
    let sharing = status.sharing.unwrap();
    let since = told(&sharing.shared_at);
    let workspace = format!("<strong>{}</strong></a>, shared by alice {since}", it.name);
    let into = format!("<code>{id}</code> in <strong>{other}</strong>");
    assert_says(part(&seen, "sharing"), &[&workspace, &into]);
}

/// Lets this user read the scene's workspace.
async fn lets_see_workspace(it: &Scene, user: &str) {
    let role: ClusterRole = parsed(json!({"metadata": {"name": it.name}, "rules": [{
        "apiGroups": ["bowline.dev"], "resources": ["workspaces"], "resourceNames": [it.name], "verbs": ["get"]}]}));
    let binding: ClusterRoleBinding = parsed(json!({
        "metadata": {"name": it.name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": it.name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }));
    Api::all(it.admin.clone()).create(&PostParams::default(), &role).await.expect("a role");
    Api::all(it.admin.clone()).create(&PostParams::default(), &binding).await.expect("a binding");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_workspaces_page_says_what_is_shared_there_and_by_whom_r18() {
    let (it, _) = shared("facts-workspace").await;
    let portal = Portal::start(&it, &[]).await;
    lets_see_workspace(&it, "alice").await;
    let alice = portal.browser_of(&it, "alice").await;
    let seen = until("the workspace's page", async || {
        let seen = alice.get(&format!("/workspaces/{}", it.name)).await;
        if seen.status == 200 && seen.says("Refreshed") { Ok(seen) } else { Err(seen.text) }
    })
    .await;
    let status = it.status("mail").await;
    let refreshed = told(&status.token.unwrap().last_refreshed_at.unwrap());
    let id = format!("<code>{}.mail</code>", it.namespace);
    let shared = part(&seen, "shared");
    assert_says(shared, &[">Work mail</a>", "shared by alice", &id, &refreshed, "Connected"]);
    assert!(seen.says(&format!("<h1>{}</h1>", it.name)), "{}", seen.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_git_keeps_is_shown_and_not_edited() {
    let it = scene("kept").await;
    it.provider(Rotation::SingleUse).apply().await;
    let mut object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "mail"},
        "spec": {"provider": it.name, "owner": "alice", "displayName": "From Git"}});
    let apply = async |object: &Value| {
        let argo = PatchParams::apply("argocd-controller");
        it.connections().patch("mail", &argo, &Patch::Apply(object)).await.expect("applied");
    };
    apply(&object).await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let page = format!("/connections/{}/mail", it.namespace);
    let seen = alice.get(&page).await;
    let settings = part(&seen, "settings");
    assert_says(
        settings,
        &[
            "The name is managed by <strong>argocd-controller</strong>",
            "value=\"From Git\"",
            "name=\"description\"",
        ],
    );
    assert!(!settings.contains("name=\"title\""), "{settings}");
    let edit = format!("{page}/edit");
    let refused = alice.submit(&seen, &edit, &[("title", "Mine"), ("description", "Mine")]).await;
    assert!(refused.status == 409 && refused.says("argocd-controller manages this"), "{}", refused.text);
    let spec = it.get("mail").await.spec;
    assert_eq!(
        (spec.display_name.as_deref(), spec.description),
        (Some("From Git"), None),
        "nothing was changed"
    );
    // The owner may edit what is not set in Git.
    assert_eq!(alice.submit(&seen, &edit, &[("description", "Mine")]).await.status, 303);
    assert_eq!(it.get("mail").await.spec.description.as_deref(), Some("Mine"));

    object["spec"]["description"] = json!("Mine");
    apply(&object).await;
    let seen = alice.get(&page).await;
    assert!(!part(&seen, "settings").contains("<form"), "{}", seen.text);
    let refused = alice.submit(&seen, &edit, &[("description", "Other")]).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(it.get("mail").await.spec.description.as_deref(), Some("Mine"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn each_filter_narrows_the_list_r4() {
    let it = scene("filters").await;
    it.provider(Rotation::SingleUse).apply().await;
    let second = format!("{}-second", it.name);
    let provider = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
        "metadata": {"name": second}, "spec": {"type": "github", "displayName": "Second"}});
    it.providers().patch(&second, &PatchParams::apply("files"), &Patch::Apply(&provider)).await.unwrap();
    it.connection("plain").apply().await;
    it.connection("elsewhere").spec(json!({"provider": second})).apply().await;
    it.connection("counted").spec(json!({"workspace": it.name})).apply().await;
    it.connection("ended").spec(json!({"disconnect": true})).apply().await;
    it.until_phase("ended", "Disconnected").await;
    for name in ["plain", "elsewhere", "counted"] {
        it.until_phase(name, "Pending").await;
    }
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let all = ["counted", "elsewhere", "ended", "plain"];
    let rows: &[(String, &[&str])] = &[
        (String::new(), &all),
        (format!("&provider={second}"), &["elsewhere"]),
        (format!("&provider={}", it.name), &["counted", "ended", "plain"]),
        ("&status=Disconnected".to_owned(), &["ended"]),
        ("&status=Not+connected".to_owned(), &["counted", "elsewhere", "plain"]),
        (format!("&workspace={}", it.name), &["counted"]),
        (format!("&workspace={}&status=Disconnected", it.name), &[]),
    ];
    for (filter, expected) in rows {
        until(&format!("the list with {filter}"), async || {
            // Each row's address contains the namespace: it excludes other tests' connections.
            let list = alice.get(&format!("/connections?q={}%2F{filter}", it.namespace)).await;
            let link = |name: &str| format!("href=\"/connections/{}/{name}\"", it.namespace);
            let shown: Vec<_> = all.into_iter().filter(|name| list.says(&link(name))).collect();
            let others = list.text.matches("class=\"title\"").count() - shown.len();
            if shown == *expected && others == 0 {
                Ok(())
            } else {
                Err(format!("{shown:?}, {others} others"))
            }
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn namespaces_are_offered_where_the_reader_may_make_connections() {
    let it = scene("offered").await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    let forbidden = format!("{}-forbidden", it.name);
    let namespace: Namespace = parsed(json!({"metadata": {"name": forbidden, "labels": {"scene": it.name}}}));
    Api::all(it.admin.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let portal = Portal::start(&it, &[]).await;
    let (carol, alice) = (portal.browser_of(&it, "carol").await, portal.browser_of(&it, "alice").await);
    let new = format!("/new/{}", it.name);
    for browser in [&carol, &alice] {
        until("the namespace is offered", async || {
            let form = browser.get(&new).await;
            let offered = |name: &str| form.says(&format!("<option>{name}</option>"));
            assert!(!offered(&forbidden) && !offered("kube-system"), "{}", form.text);
            if offered(&it.namespace) { Ok(()) } else { Err(form.text) }
        })
        .await;
    }
    let fields = [("title", "Mine"), ("namespace", forbidden.as_str())];
    let refused = carol.submit(&carol.get(&new).await, &new, &fields).await;
    assert!(
        refused.says(&format!("You are not allowed to create connections in {forbidden}.")),
        "{}",
        refused.text
    );
    let made: Api<IntegrationConnection> = Api::namespaced(it.admin.clone(), &forbidden);
    assert!(made.list(&kube::api::ListParams::default()).await.unwrap().items.is_empty());
}
