//! What else an owner does on a connection's page: accept extra scopes, pause, set what a provider leaves open.

use bowline_testbed::sandbox::{Action, Fault, Rotation};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::house::{Portal, admit};
use crate::binding::{Bound, id};
use crate::looking::until;
use crate::scene::{Scene, scene};

/// A connection of alice's whose provider granted `email` beyond what was requested.
async fn given_more(name: &str, scopes: &[&str]) -> (Scene, Portal, String) {
    let it = scene(name).await;
    it.provider(Rotation::SingleUse)
        .spec(json!({"scopes": {"default": ["read"], "required": ["write"]}}))
        .apply()
        .await;
    it.connection("mail").spec(json!({"scopes": scopes})).apply().await;
    it.realm.fault(Fault::token(Action::set("scope", "read write admin")));
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
    assert!(seen.says("granted more than was requested") && seen.says("Agree to these"), "{}", seen.text);
    assert!(seen.says("<code>admin</code>"), "{}", seen.text);
    let his = bob.get(&page).await;
    assert!(his.says("before its owner agrees to it") && !his.says("id=\"agree\""), "{}", his.text);
    let refused = bob.submit(&his, &format!("{page}/agree"), &[("scopes", "admin")]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    // A page that showed something else accepts nothing.
    for other in ["", "admin email", "email"] {
        let refused = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", other)]).await;
        assert_eq!(refused.status, 409, "{other}: {}", refused.text);
    }
    let forged = alice.post(&format!("{page}/agree"), &[("form", "x"), ("scopes", "admin")]).await;
    assert_eq!(forged.status, 403, "a form of another session: {}", forged.text);
    assert!(it.get("mail").await.spec.scopes.is_empty());
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nothing was published");

    let done = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "admin")]).await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_phase("mail", "Active").await;
    assert!(it.realm.is_alive(&it.secret("mail").await["access_token"]));
    let asked = it.get("mail").await.spec.scopes;
    assert_eq!(asked, ["read", "admin"], "the provider's default scopes are still requested");
    let seen = alice.get(&page).await;
    assert!(!seen.says("id=\"extra\""), "{}", seen.text);
    let late = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "admin")]).await;
    assert_eq!(late.status, 409, "there is nothing left to accept");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn scopes_that_a_tool_keeps_are_agreed_to_where_it_reads_them() {
    let (it, portal, page) = given_more("agree-kept", &["read"]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let seen = alice.get(&page).await;
    assert!(
        seen.says("Managed by <strong>files</strong>") && seen.says("<code>spec.scopes</code>"),
        "{}",
        seen.text
    );
    assert!(!seen.says("Agree to these"), "{}", seen.text);
    let refused = alice.submit(&seen, &format!("{page}/agree"), &[("scopes", "admin")]).await;
    assert!(refused.status == 409 && refused.says("files manages this"), "{}", refused.text);
    assert_eq!(it.get("mail").await.spec.scopes, ["read"]);
}

/// A working connection of alice's, and its page.
async fn at_work(name: &str) -> (Scene, Portal, String) {
    let it = scene(name).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let page = format!("/connections/{}/mail", it.namespace);
    let portal = Portal::start(&it, &[]).await;
    (it, portal, page)
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_pauses_and_resumes_and_everybody_reads_who_did_and_when() {
    let (it, portal, page) = at_work("pause").await;
    let (alice, bob) = (portal.browser_of(&it, "alice").await, portal.browser_of(&it, "bob").await);
    let seen = alice.get(&page).await;
    assert!(!seen.says("id=\"stopped\"") && !seen.says("id=\"resume\""), "{}", seen.text);
    let paused = alice.submit(&seen, &format!("{page}/pause"), &[]).await;
    assert_eq!((paused.status, paused.location.as_str()), (303, page.as_str()), "{}", paused.text);
    it.until_phase("mail", "Suspended").await;
    // Whoever acts in the portal later is not the one who paused it.
    assert_eq!(bob.submit(&bob.get(&page).await, &format!("{page}/refresh"), &[]).await.status, 303);
    let his = bob.get(&page).await;
    assert!(his.says("id=\"stopped\">Paused <time") && his.says("</time> by alice.</p>"), "{}", his.text);
    assert!(!his.says("id=\"resume\"") && !his.says("id=\"pause\""), "{}", his.text);
    let seen = alice.get(&page).await;
    assert!(seen.says("‖</span> Paused") && seen.says("Resume</button>"), "{}", seen.text);
    assert!(!seen.says("id=\"pause\"") && !seen.says("id=\"connect\""), "{}", seen.text);

    assert_eq!(alice.submit(&seen, &format!("{page}/resume"), &[]).await.status, 303);
    it.until_phase("mail", "Active").await;
    let object = it.get("mail").await;
    assert!(!object.annotations().contains_key("bowline.dev/suspended-by"), "{:?}", object.annotations());
    assert!(alice.get(&page).await.says("id=\"pause\""));
}

/// R23: what uses it is named before its end, and its owner's agreement is written with the deletion.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owner_deletes_a_connection_that_bindings_use_by_typing_its_name() {
    let (it, portal, page) = at_work("delete-used").await;
    let bound = Bound { it: &it, namespace: it.namespace.clone() };
    bound.apply(json!({"connection": id(&it, "mail")})).await;
    it.until_status("mail", "it is used", |status| status.dependents.is_some()).await;
    let alice = portal.browser_of(&it, "alice").await;
    let used_by = format!("<code>{}/post</code>", it.namespace);
    assert!(alice.get(&page).await.says(&used_by));
    for end in ["disconnect", "delete"] {
        let path = format!("{page}/{end}");
        let seen = alice.get(&path).await;
        assert!(seen.says(&used_by) && seen.says("Type <strong>mail</strong>"), "{}", seen.text);
        for wrong in ["", "post"] {
            let kept = alice.submit(&seen, &path, &[("name", wrong)]).await;
            assert!(kept.says("nothing was changed"), "{}", kept.text);
        }
    }
    assert!(!it.get("mail").await.annotations().contains_key("bowline.dev/confirm-delete"));
    let path = format!("{page}/delete");
    let done = alice.submit(&alice.get(&path).await, &path, &[("name", "mail")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    bound.until("ConnectionDeleted").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_pause_by_a_tool_is_told_as_the_tools() {
    let (it, portal, page) = at_work("pause-tool").await;
    let alice = portal.browser_of(&it, "alice").await;
    let by =
        |manager: &str| PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let pause = Patch::Merge(json!({"spec": {"suspend": true}}));
    it.connections().patch("mail", &by("kubectl-patch"), &pause).await.unwrap();
    it.until_phase("mail", "Suspended").await;
    let seen = alice.get(&page).await;
    assert!(seen.says("Paused <time") && seen.says("with the tool kubectl-patch."), "{}", seen.text);
    assert!(seen.says("id=\"resume\""), "a tool that restores nothing stops nobody: {}", seen.text);

    let keep = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "mail"}, "spec": {"suspend": true}});
    it.connections()
        .patch("mail", &PatchParams::apply("argocd-controller"), &Patch::Apply(&keep))
        .await
        .unwrap();
    let seen = alice.get(&page).await;
    assert!(!seen.says("id=\"resume\""), "{}", seen.text);
    assert!(seen.says("Managed by <strong>argocd-controller</strong>"), "{}", seen.text);
    let refused = alice.submit(&seen, &format!("{page}/resume"), &[]).await;
    assert!(refused.status == 409 && refused.says("argocd-controller manages this"), "{}", refused.text);
    assert_eq!(it.get("mail").await.spec.suspend, Some(true));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_disconnection_tells_who_and_when_until_it_is_taken_back() {
    let (it, portal, page) = at_work("disconnected-by").await;
    let alice = portal.browser_of(&it, "alice").await;
    let sure = alice.get(&format!("{page}/disconnect")).await;
    assert_eq!(alice.submit(&sure, &format!("{page}/disconnect"), &[]).await.status, 303);
    it.until_phase("mail", "Disconnected").await;
    let seen = alice.get(&page).await;
    assert!(seen.says("id=\"stopped\">Disconnected <time") && seen.says("by alice.</p>"), "{}", seen.text);
    assert!(seen.says("Connect again</button>"), "{}", seen.text);
    assert_eq!(alice.submit(&seen, &format!("{page}/again"), &[]).await.status, 303);
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(!it.get("mail").await.annotations().contains_key("bowline.dev/disconnected-by"));
    assert!(!alice.get(&page).await.says("id=\"stopped\""));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_a_provider_leaves_open_is_asked_for_when_a_connection_is_made_r7() {
    let it = scene("tenant").await;
    it.provider_of_type("microsoft").app("id", "secret").apply_as_it_is().await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let new = format!("/new/{}", it.name);
    let form = until("the provider's form", async || {
        let form = alice.get(&new).await;
        if form.says("name=\"parameter.tenant\"") { Ok(form) } else { Err(form.text) }
    })
    .await;
    assert!(
        form.says("Tenant id or verified domain") && form.says("Default: <code>common</code>"),
        "{}",
        form.text
    );
    let fields =
        |tenant| [("title", "Mail"), ("namespace", it.namespace.as_str()), ("parameter.tenant", tenant)];
    let refused = alice.submit(&form, &new, &fields("a/b")).await;
    assert!(refused.says("It must be one path segment") && refused.says("aria-invalid"), "{}", refused.text);
    assert!(refused.says("value=\"a/b\"") && refused.says("Check Tenant again."), "{}", refused.text);
    assert!(it.connections().get_opt("mail").await.unwrap().is_none());
    let made = alice.submit(&form, &new, &fields("contoso.onmicrosoft.com")).await;
    assert_eq!(made.status, 303, "{}", made.text);
    assert_eq!(it.get("mail").await.spec.parameters["tenant"], "contoso.onmicrosoft.com");
    let page = format!("/connections/{}/mail", it.namespace);
    let seen = alice.get(&page).await;
    assert!(seen.says("<dt>Tenant</dt><dd>contoso.onmicrosoft.com"), "{}", seen.text);
    assert!(!seen.says("id=\"remake\""), "{}", seen.text);

    // The administrator sets it now, so what the connection sets is wrong.
    it.change_provider(json!({"spec": {"parameters": {"tenant": "fabrikam.com"}}})).await;
    it.until_reason("mail", "Ready", "ParametersInvalid").await;
    let seen = alice.get(&page).await;
    assert!(
        seen.says("id=\"remake\"") && seen.says(&format!("<a href=\"{new}\">Create a new one</a>")),
        "{}",
        seen.text
    );
    until("nothing more is requested", async || {
        if alice.get(&new).await.says("parameter.tenant") { Err("it is") } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_asked_for_a_connection_is_said_before_the_redirect_r6() {
    let it = scene("asked-by").await;
    it.provider(Rotation::SingleUse).apply().await;
    admit(&it, "carol").await;
    let portal = Portal::start(&it, &[]).await;
    let (carol, bob) = (portal.browser_of(&it, "carol").await, portal.browser_of(&it, "bob").await);
    let form = carol.get(&format!("/new/{}", it.name)).await;
    let fields = [("title", "Mine"), ("namespace", it.namespace.as_str())];
    let made = carol.submit(&form, &format!("/new/{}", it.name), &fields).await;
    assert_eq!(made.status, 303, "{}", made.text);
    it.until_reason("mine", "Authorized", "AwaitingAuthorization").await;
    let page = made.location;
    // Whoever acts in the portal later did not request it.
    assert_eq!(bob.submit(&bob.get(&page).await, &format!("{page}/refresh"), &[]).await.status, 303);
    let since = it.get("mine").await.metadata.creation_timestamp.unwrap().0;
    let review = carol.get(&format!("{page}/connect")).await;
    let said = format!("<dd id=\"asked-by\">carol (you), in this portal, <time datetime=\"{since}\"");
    assert!(review.says(&said), "{said}: {}", review.text);

    it.connection("mail").apply().await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let alice = portal.browser_of(&it, "alice").await;
    let review = alice.get(&format!("/connections/{}/mail/connect", it.namespace)).await;
    assert!(review.says("<dd id=\"asked-by\">The tool <code>files</code>, <time"), "{}", review.text);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_optional_scope_that_was_not_given_is_a_note_and_no_fault_r15() {
    let it = scene("optional").await;
    it.provider(Rotation::SingleUse).spec(json!({"scopes": {"required": ["write"]}})).apply().await;
    it.connection("mail").spec(json!({"scopes": ["read", "email"]})).apply().await;
    it.realm.fault(Fault::token(Action::set("scope", "read write")));
    it.consents_as("mail", "alice").await;
    it.until_phase("mail", "Active").await;
    let portal = Portal::start(&it, &[]).await;
    let alice = portal.browser_of(&it, "alice").await;
    let seen = alice.get(&format!("/connections/{}/mail", it.namespace)).await;
    let line = seen.text.lines().find(|line| line.contains("<code>email</code>")).expect("the scope");
    let said = line.split("<li>").find(|item| item.contains("<code>email</code>")).unwrap();
    assert!(said.contains("Optional: the connection works without it."), "{said}");
    assert!(said.contains("chip plain") && !said.contains("bad"), "{said}");
    assert!(!seen.says("Required: reconnect"), "{}", seen.text);
}
