//! Transfer and offboarding in the portal, as different users, and the ways around their rules.

use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::Rotation;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::browser::{Browser, Page};
use super::house::Portal;
use crate::binding::{Bound, id};
use crate::looking::until;
use crate::plugin::bowline;
use crate::scene::{Scene, parsed, scene};

/// Gives a user a `ClusterRole` in the scene's namespace.
async fn gives(it: &Scene, user: &str, role: &str) {
    let binding: RoleBinding = parsed(json!({"metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]}));
    it.create(&it.namespace, &binding).await;
}

fn hidden(page: &Page, name: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("name=\"{name}\" value=\"")).expect("a hidden field");
    rest.split_once('"').unwrap().0.to_owned()
}

async fn uid(it: &Scene, name: &str) -> String {
    it.get(name).await.metadata.uid.expect("a uid")
}

/// What people change of it, and whose it is.
async fn state(it: &Scene, name: &str) -> Value {
    let object = it.get(name).await;
    json!([object.spec, object.metadata.deletion_timestamp])
}

/// The page before the last click, for these choices.
async fn reviewed(browser: &Browser, user: &str, to: &str, choices: &[(String, &str)]) -> Page {
    let list = browser.get(&format!("/offboard?user={user}")).await;
    let mut fields = vec![("user", user), ("to", to)];
    fields.extend(choices.iter().map(|(name, word)| (name.as_str(), *word)));
    browser.submit(&list, "/offboard", &fields).await
}

/// The fields of that page, with the name typed.
fn confirming(page: &Page, user: &str, to: &str, choices: &[(String, &str)]) -> Vec<(String, String)> {
    let mut fields = vec![
        ("form".to_owned(), page.token()),
        ("user".to_owned(), user.to_owned()),
        ("to".to_owned(), to.to_owned()),
        ("confirmed".to_owned(), "on".to_owned()),
        ("name".to_owned(), user.to_owned()),
    ];
    for (name, word) in choices {
        fields.push((name.clone(), (*word).to_owned()));
        let seen = name.replace("do.", "seen.");
        fields.push((seen.clone(), hidden(page, &seen)));
    }
    fields
}

async fn post(browser: &Browser, path: &str, fields: &[(String, String)]) -> Page {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(path, &fields).await
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_is_transferred_by_who_may_and_the_page_says_what_ends() {
    let it = scene("portal-transfer").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    it.until_status("mail", "told", |status| status.dependents.is_some()).await;
    let portal = Portal::start(&it, &[]).await;
    let page = format!("/connections/{}/mail", it.namespace);
    let transfer = format!("{page}/transfer");

    // Not even its owner gives it away, and an editor does not take it.
    for user in ["alice", "bob"] {
        let browser = portal.browser_of(&it, user).await;
        let seen = browser.get(&page).await;
        assert!(!seen.says("id=\"transfer\""), "{user}: {}", seen.text);
        let refused = browser.get(&transfer).await;
        assert!(refused.status == 403 && refused.says("assign-owner"), "{user}: {}", refused.text);
        let fields = [("to", "bob"), ("name", "mail"), ("seen", "x")];
        let refused = browser.submit(&seen, &transfer, &fields).await;
        assert_eq!(refused.status, 403, "{user}: {}", refused.text);
    }
    gives(&it, "carol", "edit").await;
    gives(&it, "carol", "bowline-gitops").await;
    let carol = portal.browser_of(&it, "carol").await;
    let before = until("her right", async || {
        let seen = carol.get(&transfer).await;
        (seen.status == 200).then_some(seen)
    })
    .await;
    for words in [
        "grant of alice is revoked",
        "the new owner has to connect",
        "/post</code>",
        "/mail</code> is removed",
    ] {
        assert!(before.says(words), "{words}: {}", before.text);
    }
    assert!(carol.get(&page).await.says("id=\"transfer\""));
    let seen = hidden(&before, "seen");
    for (to, name, status, words) in [
        ("", "mail", 200, "Say who the new owner is"),
        ("alice", "mail", 200, "is the owner already"),
        ("bob", "", 200, "That is not its name"),
        ("system:admin", "mail", 400, "system:"),
        ("system:masters", "mail", 400, "system:"),
    ] {
        let answer = carol.submit(&before, &transfer, &[("to", to), ("name", name), ("seen", &seen)]).await;
        assert!(answer.status == status && answer.says(words), "{to}: {} {}", answer.status, answer.text);
    }
    let forged =
        carol.post(&transfer, &[("form", "x"), ("to", "bob"), ("name", "mail"), ("seen", &seen)]).await;
    assert_eq!(forged.status, 403, "a form of another session: {}", forged.text);
    // Whoever changes it meanwhile is not passed over.
    it.change("mail", json!({"spec": {"displayName": "Ours"}})).await;
    let fields = [("to", "bob"), ("name", "mail"), ("seen", seen.as_str())];
    let stale = carol.submit(&before, &transfer, &fields).await;
    assert!(stale.status == 409 && stale.says("Nothing was changed"), "{}", stale.text);
    assert_eq!(it.get("mail").await.spec.owner, "alice");

    let before = carol.get(&transfer).await;
    let fields = [("to", "bob"), ("name", "mail"), ("seen", &*hidden(&before, "seen"))];
    let done = carol.submit(&before, &transfer, &fields).await;
    assert_eq!((done.status, done.location.as_str()), (303, page.as_str()), "{}", done.text);
    it.until_no_secret(&it.namespace, "mail").await;
    own.until_no_secret().await;
    let after = it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    assert!(after.account.is_none() && after.connected_by.is_none(), "{after:?}");
    assert_eq!(it.get("mail").await.spec.owner, "bob");
    // A second click of the same page transfers nothing again.
    let again = carol.submit(&before, &transfer, &[("to", "alice"), ("name", "mail"), fields[2]]).await;
    assert_eq!(again.status, 409, "{}", again.text);
    assert_eq!(it.get("mail").await.spec.owner, "bob");
    // The verb counts in the request that says so: with the next change the portal is any editor again.
    let refused = carol.submit(&carol.get(&page).await, &format!("{page}/pause"), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}

/// The portal's own verb alone opens nothing: what it writes for a user who does not act with it is judged as before.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portals_verb_counts_only_in_requests_that_say_so() {
    let it = scene("portal-verb").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let _portal = Portal::start(&it, &[]).await;
    let account = "system:serviceaccount:bowline-portal:bowline-portal";
    let write = async |change: &Value| {
        let body = change.to_string();
        let command =
            ["patch", "ic", "mail", "-n", &it.namespace, "--type=merge", "-p", &body, "--as", account];
        let output = it.stage.access.kubectl_as(ADMIN, &command).await.expect("kubectl");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let by = |with: Value, spec: Value| {
        json!({"metadata": {"annotations": {"bowline.dev/acting-user": "mallory", "bowline.dev/acting-with": with}},
            "spec": spec})
    };
    for (with, spec) in [
        (Value::Null, json!({"owner": "mallory"})),
        (json!(""), json!({"owner": "mallory"})),
        (json!("ASSIGN-OWNER"), json!({"owner": "mallory"})),
        (json!("share"), json!({"owner": "mallory"})),
        (Value::Null, json!({"disconnect": true})),
        (json!("use"), json!({"displayName": "x"})),
    ] {
        let (done, errors) = write(&by(with.clone(), spec.clone())).await;
        assert!(!done && errors.contains("assign-owner"), "{with} {spec}: {errors}");
    }
    let (done, errors) = write(&by(json!("assign-owner"), json!({"displayName": "Said so"}))).await;
    assert!(done, "{errors}");
    let (done, errors) = write(&by(Value::Null, json!({"displayName": "Not again"}))).await;
    assert!(!done, "what stays from the last request counts for no other: {errors}");
    // Nobody else gains by the annotation.
    let plain =
        Patch::Merge(json!({"metadata": {"annotations": {"bowline.dev/acting-with": "assign-owner"}},
        "spec": {"owner": "bob"}}));
    let bob: Api<bowline_api::IntegrationConnection> =
        Api::namespaced(it.stage.access.client_for("bob").await.expect("a client"), &it.namespace);
    assert!(bob.patch("mail", &PatchParams::default(), &plain).await.is_err());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn who_leaves_is_listed_and_each_choice_has_its_result() {
    let it = scene("portal-offboard").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let jobs = it.another_namespace("jobs").await;
    it.workspace(&["alice", "bob"], &[&jobs]).apply().await;
    it.change("mail", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.secret_in(&jobs, &id(&it, "mail")).await;
    for name in ["chat", "code", "kept"] {
        it.connection(name).apply().await;
        it.until_reason(name, "Authorized", "AwaitingAuthorization").await;
    }
    let portal = Portal::start(&it, &[]).await;
    let here = format!("{}/", it.namespace);

    // A stranger learns nothing, and an editor sees and changes nothing.
    let mallory = portal.browser_of(&it, "mallory").await;
    let seen = mallory.get("/offboard?user=alice").await;
    assert!(seen.says("owns no connection that you may see") && !seen.says(&it.namespace), "{}", seen.text);
    let bob = portal.browser_of(&it, "bob").await;
    let seen = bob.get("/offboard?user=alice").await;
    assert!(seen.says("id=\"who-may\"") || seen.says("assign-owner"), "{}", seen.text);
    let (mail, chat, code) = (uid(&it, "mail").await, uid(&it, "chat").await, uid(&it, "code").await);
    let of = |uid: &str, word| (format!("do.{uid}"), word);
    let choices = [of(&mail, "unshare"), of(&chat, "transfer"), of(&code, "delete")];
    let before = state(&it, "mail").await;
    for browser in [&mallory, &bob] {
        let mut fields = vec![("form".to_owned(), browser.get("/connections").await.token())];
        fields.extend(
            [("user", "alice"), ("to", "bob"), ("confirmed", "on"), ("name", "alice")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        fields.extend(choices.iter().map(|(name, word)| (name.clone(), (*word).to_owned())));
        let refused = post(browser, "/offboard", &fields).await;
        assert!(refused.says("not changed") && !refused.says(">unshared<"), "{}", refused.text);
    }
    assert_eq!(state(&it, "mail").await, before);

    let admin = portal.browser_of(&it, ADMIN).await;
    let list = until("all of hers", async || {
        let list = admin.get("/offboard?user=alice").await;
        list.says(&format!("do.{code}")).then_some(list)
    })
    .await;
    assert!(list.says(&format!("<code>{jobs}/{}", id(&it, "mail"))), "{}", list.text);
    assert!(
        list.says(&format!("Workspace {}: Member", it.name)) && list.says("--remove-memberships"),
        "{}",
        list.text
    );
    assert_eq!(
        list.text.matches("value=\"\" selected").count(),
        list.text.matches("<select name=\"do.").count()
    );
    for (to, chosen, words) in [
        ("bob", &[][..], "You have chosen nothing"),
        ("", &choices[1..2], "Say who the new owner is"),
        ("alice", &choices[1..2], "owns them already"),
    ] {
        let answer = reviewed(&admin, "alice", to, chosen).await;
        assert!(answer.status == 200 && answer.says(words), "{words}: {}", answer.text);
    }
    let review = reviewed(&admin, "alice", "bob", &choices).await;
    for words in
        ["will be unshared", "will be transferred to bob", "will be deleted", "Type <strong>alice</strong>"]
    {
        assert!(review.says(words), "{words}: {}", review.text);
    }
    assert_eq!(state(&it, "mail").await, before, "nothing happens before it is confirmed");
    let mut fields = confirming(&review, "alice", "bob", &choices);
    let typed = fields.iter().position(|(name, _)| name == "name").unwrap();
    fields[typed].1 = "alic\u{435}".to_owned();
    let wrong = post(&admin, "/offboard", &fields).await;
    assert!(wrong.says("That is not the name"), "a look-alike is another name: {}", wrong.text);
    fields[typed].1 = "alice".to_owned();
    fields[0].1 = "x".to_owned();
    assert_eq!(post(&admin, "/offboard", &fields).await.status, 403, "a form of another session");
    fields[0].1 = review.token();
    assert_eq!(state(&it, "mail").await, before);

    // One of them changes meanwhile: that one is told, and stops no other.
    it.change("code", json!({"spec": {"displayName": "Changed"}})).await;
    let done = post(&admin, "/offboard", &fields).await;
    for words in [">unshared<", ">transferred to bob<", ">not changed<", "1 not changed", "has changed since"]
    {
        assert!(done.says(words), "{words}: {}", done.text);
    }
    assert!(done.says(&format!("{here}code")), "{}", done.text);
    it.until_no_secret(&jobs, &id(&it, "mail")).await;
    assert_eq!(it.get("chat").await.spec.owner, "bob");
    assert_eq!(it.get("code").await.spec.owner, "alice");
    // The same click once more changes nothing that is done.
    let again = post(&admin, "/offboard", &fields).await;
    assert!(again.says("nothing to change") && again.says("do not belong to alice"), "{}", again.text);
    assert_eq!(it.get("chat").await.spec.owner, "bob");
    let choices = [of(&code, "delete"), of(&mail, "disconnect")];
    let review = reviewed(&admin, "alice", "", &choices).await;
    let done = post(&admin, "/offboard", &confirming(&review, "alice", "", &choices)).await;
    assert!(done.says(">deleted<") && done.says(">disconnected<"), "{}", done.text);
    it.until_no_secret(&it.namespace, "mail").await;
    until("it is gone", async || {
        it.connections().get_opt("code").await.expect("an answer").is_none().then_some(())
    })
    .await;
    assert_eq!(it.get("kept").await.spec.owner, "alice", "nobody asked about it");
}

/// The plug-in takes somebody out of what they are a member of, when asked, and the last Admin stays.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn memberships_end_when_asked_and_the_last_admin_stays() {
    let it = scene("memberships").await;
    let leaver = "lena@memberships.example";
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail")
        .spec(json!({"members": [{"name": leaver, "role": "Admin"}, {"name": "bob"}]}))
        .apply()
        .await;
    it.workspace(&["alice"], &[]).apply().await;
    let members = async |list: Value| {
        let change = Patch::Merge(json!({"spec": {"members": list}}));
        it.workspaces().patch(&it.name, &PatchParams::default(), &change).await.expect("a workspace");
    };
    members(json!([{"name": leaver, "role": "Admin"}, {"name": "alice"}])).await;
    let names = async || -> Vec<String> {
        it.workspaces().get(&it.name).await.unwrap().spec.members.into_iter().map(|it| it.name).collect()
    };
    let (code, said, _) = bowline(&it, ADMIN, &["offboard", leaver], "").await;
    let (in_workspace, in_mail) = (
        format!("Workspace {}: Admin", it.name),
        format!("Connection {}/mail of alice: Admin", it.namespace),
    );
    assert!(code == 0 && said.contains(&in_workspace) && said.contains(&in_mail), "{said}");
    assert_eq!(it.get("mail").await.spec.members.len(), 2, "nobody asked");
    let end = ["offboard", leaver, "--remove-memberships"];
    let (code, _, errors) = bowline(&it, ADMIN, &end, "y\n").await;
    assert!(code == 1 && errors.contains("nothing was changed"), "{errors}");
    let (code, said, _) = bowline(&it, ADMIN, &[end[0], end[1], end[2], "--dry-run"], "").await;
    assert!(code == 1 && said.contains("would be removed") && said.contains("last Admin"), "{said}");
    assert_eq!(it.get("mail").await.spec.members.len(), 2);
    let (code, said, errors) = bowline(&it, ADMIN, &[end[0], end[1], end[2], "--yes"], "").await;
    assert!(code == 1 && said.contains(&format!("{in_mail}: removed")), "{said}{errors}");
    assert!(said.contains("refused") && said.contains("last Admin"), "{said}");
    assert_eq!(it.get("mail").await.spec.members.len(), 1);
    assert!(names().await.contains(&leaver.to_owned()), "the last Admin stays");
    members(json!([{"name": leaver, "role": "Admin"}, {"name": "alice", "role": "Admin"}])).await;
    let (code, said, errors) = bowline(&it, ADMIN, &[end[0], end[1], end[2], "--yes"], "").await;
    assert!(code == 0 && said.contains(&format!("{in_workspace}: removed")), "{said}{errors}");
    assert_eq!(names().await, ["alice"]);
}

/// Bounded pages, for whoever owns very many.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn five_hundred_connections_are_shown_in_pages() {
    let it = scene("portal-many").await;
    it.provider(Rotation::SingleUse).apply().await;
    let owner = "many@offboard.example";
    let make = futures::future::join_all((0..500).map(async |number| {
        let object: bowline_api::IntegrationConnection = parsed(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": format!("c{number:03}")}, "spec": {"provider": it.name, "owner": owner, "suspend": true}}));
        let admin: Api<bowline_api::IntegrationConnection> = Api::namespaced(it.admin.clone(), &it.namespace);
        admin.create(&PostParams::default(), &object).await.expect("a connection");
    }));
    make.await;
    let portal = Portal::start(&it, &[]).await;
    let admin = portal.browser_of(&it, ADMIN).await;
    let page = format!("/offboard?user={owner}");
    let first = admin.get(&page).await;
    assert!(first.says("500 connections of") && first.says("Page 1 of 10"), "{}", first.text);
    assert_eq!(first.text.matches("<select name=\"do.").count(), 50);
    let last = admin.get(&format!("{page}&page=9")).await;
    assert!(last.says(&format!("{}.c499", it.namespace)) && !last.says(".c000<"), "{}", last.text);
    assert!(admin.get(&format!("{page}&page=99999999")).await.says("Page 10 of 10"));
}
