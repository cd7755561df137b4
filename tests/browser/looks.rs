//! Each page, in both colour schemes and at two widths: for people with poor eyesight, and for people who look closely.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bowline_api::ConnectionBinding;
use bowline_testbed::sandbox::{MintRequest, RealmConfig};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use thirtyfour::Key;

use crate::chromium::pictures;
use crate::drafts::{loopback, merge};
use crate::looking::until;
use crate::person::Person;
use crate::portal;
use crate::scene::{Scene, parsed};
use crate::stage::{Stage, sandbox};
use crate::viewer::Viewer;

/// The folder for pictures. `make images` sets it.
const IMAGES: &str = "BOWLINE_IMAGES";

/// What `connections()` creates, all of it alice's.
const PAGES: &str = "/connections/marketing";

/// Providers as a company has them. The one for Google uses the sandbox instead of Google.
async fn providers(it: &Scene) {
    sandbox().realm(&it.name, realm());
    let named = ["google", "gmail", "google-calendar", "slack", "github", "notion", "linear", &it.name];
    it.register_app(&BTreeMap::from([
        ("providers".to_owned(), named.join(",")),
        ("client_id".to_owned(), "bowline".to_owned()),
        ("client_secret".to_owned(), "a-secret".to_owned()),
    ]))
    .await;
    let at = |path: &str| format!("{}/{path}", it.realm.issuer());
    let ours = json!({"issuer": it.realm.issuer(), "authorization": at("authorize"), "token": at("token"),
        "deviceAuthorization": at("device_authorization"), "revocation": at("revoke"), "userinfo": at("userinfo")});
    for type_ in ["google", "gmail", "google-calendar", "slack", "github", "notion", "linear"] {
        let mut spec =
            json!({"type": type_, "contact": "platform@example.com", "app": {"secretName": it.name}});
        if type_.starts_with('g') && type_ != "github" {
            let more = json!({"endpoints": ours, "network": loopback()});
            merge(&mut spec, more);
        }
        provider(it, type_, spec).await;
    }
    let sandbox = json!({"type": "sandbox", "displayName": "Signage", "network": loopback(),
        "app": {"secretName": it.name}, "endpoints": {"issuer": it.realm.issuer()}, "allow": {"deviceFlow": true}});
    provider(it, &it.name, sandbox).await;
    provider(it, "microsoft", json!({"type": "microsoft", "contact": "platform@example.com"})).await;
    for type_ in ["google", "gmail", "google-calendar", "slack", "github", "notion", "linear"] {
        until(&format!("{type_} is ready"), async || {
            let status = it.providers().get(type_).await.map_err(|error| error.to_string())?.status;
            let conditions = status.unwrap_or_default().conditions;
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready").ok_or("not judged")?;
            if ready.status == "True" { Ok(()) } else { Err(ready.message.clone()) }
        })
        .await;
    }
}

/// A sandbox in which Google's scopes mean something.
fn realm() -> RealmConfig {
    let google = ["gmail.readonly", "gmail.send", "calendar.readonly", "calendar.events"];
    let google = google.map(|scope| format!("https://www.googleapis.com/auth/{scope}"));
    let mut config = RealmConfig::default();
    config.scopes.extend(google);
    config.scopes.push("profile".to_owned());
    config.clients[0].secret = Some("a-secret".to_owned());
    config
}

async fn provider(it: &Scene, name: &str, spec: Value) {
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider",
        "metadata": {"name": name, "annotations": {"bowline.dev/made-by": "alice"}}, "spec": spec});
    let force = PatchParams::apply("files").force();
    it.providers().patch(name, &force, &Patch::Apply(&object)).await.expect("a provider");
}

/// Connections in several states: two that work, one of them shared; one that waits; one that ended at Google.
async fn connections(it: &Scene) {
    let google = "https://www.googleapis.com/auth";
    let mail = format!("openid email {google}/gmail.readonly {google}/gmail.send");
    let calendar = format!("openid email {google}/calendar.readonly");
    let scopes = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (name, title, provider, scope) in [
        ("newsletter", "Newsletter inbox", "gmail", Some(mail.as_str())),
        ("launches", "Launch calendar", "google-calendar", Some(&calendar)),
        ("analytics", "Analytics", "google", Some("openid email profile")),
        ("website", "Website repository", "github", None),
        ("booth", "Booth display", &it.name, None),
    ] {
        let mut spec = json!({"provider": provider, "owner": "alice", "displayName": title});
        if let Some(scope) = scope {
            spec["scopes"] = json!(scopes(scope));
        }
        made(it, name, &spec).await;
        let Some(scope) = scope else { continue };
        let request = MintRequest { scope: Some(scope.to_owned()), ..MintRequest::of("alice") };
        let minted = it.realm.mint(&request).expect("a grant");
        it.import(name, &minted).await;
        it.until_phase(name, "Active").await;
        if name == "analytics" {
            it.realm.revoke_grant(&minted.grant_id).expect("withdrawn");
            it.ask_for_refresh(name, "now").await;
        }
    }
}

/// Gives alice what her platform team may give everybody: the right to read providers and workspaces.
async fn may_look(it: &Scene) {
    let binding: ClusterRoleBinding = parsed(json!({"metadata": {"name": "everybody"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]}));
    Api::all(it.admin.clone()).create(&PostParams::default(), &binding).await.expect("a binding");
}

/// Creates a connection as the portal does: no tool owns its fields.
async fn made(it: &Scene, name: &str, spec: &Value) {
    let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name, "annotations": {"bowline.dev/made-by": "alice"}}, "spec": spec});
    let manager = PostParams { field_manager: Some("bowline-portal".to_owned()), ..PostParams::default() };
    it.connections().create(&manager, &parsed(object)).await.expect("a connection");
}

/// Two bindings of the newsletter's: one that works, and one whose author has to act.
async fn bindings(it: &Scene, campaigns: &str) {
    let workload = |name: &str| json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": name});
    for (namespace, name, spec) in [
        (it.namespace.as_str(), "send-newsletter", json!({"workload": workload("send-newsletter")})),
        (
            campaigns,
            "count-replies",
            json!({"workload": workload("count-replies"), "config": {"mailbox": "inbox"}}),
        ),
    ] {
        let mut whole = json!({"connection": "marketing.newsletter"});
        merge(&mut whole, spec);
        let binding: ConnectionBinding = parsed(json!({"metadata": {"name": name}, "spec": whole}));
        it.create(namespace, &binding).await;
    }
    it.secret("send-newsletter").await;
    let api: Api<ConnectionBinding> = Api::namespaced(it.admin.clone(), campaigns);
    until("the other one's author has to act", async || {
        let conditions = api.get("count-replies").await.ok()?.status?.conditions;
        conditions.iter().any(|ready| ready.reason == "ConfigInvalid").then_some(())
    })
    .await;
}

/// One person's whole way, page by page.
async fn tour(viewer: &mut Viewer<'_>, it: &Scene) {
    viewer.looks_at("sign-in", "/sign-in", "Sign in").await;
    viewer.person.signs_in(it, "alice").await;
    viewer.would_see_faults().await;
    viewer.looks_at("connections-empty", "/connections", "Connections").await;
    viewer.looks_at("workspaces-empty", "/workspaces", "Workspaces").await;
    viewer.looks_at("choose", "/new", "Choose a provider").await;
    viewer.looks_at("choose-nothing", "/new?q=fax", "Choose a provider").await;

    let campaigns = it.another_namespace("campaigns").await;
    let workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": "campaigns"},
        "spec": {"displayName": "Campaigns", "members": [{"name": "alice"}, {"name": "bob"}],
            "namespaces": [campaigns], "contact": "platform@example.com"}});
    let force = PatchParams::apply("files").force();
    it.workspaces().patch("campaigns", &force, &Patch::Apply(&workspace)).await.expect("a workspace");
    connections(it).await;
    it.change(
        "newsletter",
        json!({"spec": {"workspace": "campaigns", "shared": true,
        "description": "Where subscribers write to."}}),
    )
    .await;
    it.until_secret_in(&campaigns, "marketing.newsletter", "a token", |keys| {
        keys.contains_key("access_token")
    })
    .await;
    bindings(it, &campaigns).await;
    viewer.looks_at("make", "/new/gmail", "Connect Gmail").await;
    viewer.looks_at("connection", &format!("{PAGES}/newsletter"), "Newsletter inbox").await;
    viewer.looks_at("review", &format!("{PAGES}/newsletter/connect"), "Reconnect to Gmail").await;
    viewer
        .looks_at("disconnect", &format!("{PAGES}/newsletter/disconnect"), "Disconnect Newsletter inbox")
        .await;
    viewer.looks_at("delete", &format!("{PAGES}/launches/delete"), "Delete Launch calendar").await;
    viewer.looks_at("connection-waiting", &format!("{PAGES}/website"), "Website repository").await;
    viewer.person.opens(&format!("{PAGES}/booth")).await;
    viewer.person.clicks("#device button").await;
    viewer.person.reads("#device-code", "Type this code").await;
    viewer.looks("connection-code").await;
    it.until_reason("analytics", "Authorized", "GrantExpired").await;
    viewer.looks_at("connection-ended", &format!("{PAGES}/analytics"), "Analytics").await;
    viewer.looks_at("connections", "/connections", "Connections").await;
    viewer.looks_at("connections-nothing", "/connections?q=fax", "Connections").await;
    viewer.looks_at("use", &format!("/use?namespace={campaigns}"), "Use in a workflow").await;
    viewer.looks_at("workspaces", "/workspaces", "Workspaces").await;
    viewer.looks_at("workspace", "/workspaces/campaigns", "Campaigns").await;
    viewer.looks_at("providers", "/providers", "Providers").await;
    viewer.looks_at("failure", &format!("{PAGES}/nowhere"), "Not found").await;
    leaving(viewer, it).await;
}

/// With a right that she has only now: what everybody else sees has no trace of it.
async fn leaving(viewer: &mut Viewer<'_>, it: &Scene) {
    let binding: ClusterRoleBinding = parsed(json!({"metadata": {"name": "offboards"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bowline-gitops"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]}));
    Api::all(it.admin.clone()).create(&PostParams::default(), &binding).await.expect("a binding");
    let page = format!("{PAGES}/newsletter/transfer");
    until("her right", async || {
        viewer.person.opens(&page).await;
        viewer.person.text("h1").await.ok().filter(|text| text.starts_with("Transfer"))
    })
    .await;
    viewer.looks_at("transfer", &page, "Transfer Newsletter inbox").await;
    viewer.looks_at("offboard-who", "/offboard", "When somebody leaves").await;
    viewer.looks_at("offboard", "/offboard?user=alice", "When somebody leaves").await;
    // Nothing but keys from here on.
    viewer.person.tabs_to("select[aria-label$='marketing.newsletter']").await;
    viewer.person.keys("Transfer").await;
    viewer.person.tabs_to("#to").await;
    viewer.person.keys("bob").await;
    viewer.person.tabs_to("#choose button[type=submit]").await;
    viewer.person.keys(Key::Enter.value().to_string()).await;
    viewer.person.reads("h1", "What will happen").await;
    viewer.looks("offboard-review").await;
    viewer.person.tabs_to("#name").await;
    viewer.person.keys("alice").await;
    viewer.person.tabs_to("#confirm button").await;
    viewer.person.keys(Key::Enter.value().to_string()).await;
    viewer.person.reads("#results", "transferred to bob").await;
    viewer.looks("offboard-done").await;
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn every_page_is_open_to_everybody_in_both_schemes_at_both_widths() {
    let it = Stage::fresh(&[]).await.scene_named("marketing").await;
    may_look(&it).await;
    providers(&it).await;
    let folder = std::env::var_os(IMAGES).map_or_else(pictures, PathBuf::from);
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let mut viewer = Viewer::new(&alice, folder);
    tour(&mut viewer, &it).await;
    viewer.is_content();
}
