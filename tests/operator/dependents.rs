//! Bindings that use a connection are counted, named, and hold back its deletion; they hold back nothing else.
//!
//! tests/cluster shows who is refused. Only here is the count the operator's.

use std::time::{Duration, Instant};

use bowline_api::ConnectionBinding;
use bowline_testbed::access::ADMIN;
use bowline_testbed::sandbox::Rotation;
use futures::{StreamExt, stream};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::binding::{Bound, id, shared};
use crate::looking::{until, until_within};
use crate::plugin::bowline;
use crate::scene::{Scene, parsed, scene};

/// A change of the list waits ten seconds at most; the rest is for a machine with other work.
const TOLD_WITHIN: Duration = Duration::from_mins(2);

async fn until_told(it: &Scene, count: i32, names: &[String]) {
    let what = format!("{count} dependents");
    it.until_status_within(TOLD_WITHIN, "mail", &what, |status| {
        let told = status.dependents.clone().unwrap_or_default();
        (told.count, told.names.as_slice()) == (count, names)
    })
    .await;
}

/// What the API server answers to alice's deletion.
async fn refusal(it: &Scene) -> String {
    match it.connections().delete("mail", &DeleteParams::default()).await {
        Err(kube::Error::Api(refused)) if refused.code == 403 => refused.message.clone(),
        other => panic!("it should be refused: {other:?}"),
    }
}

async fn confirm_of(it: &Scene, name: &str) {
    let uid = it.get(name).await.uid();
    it.change(name, json!({"metadata": {"annotations": {"bowline.dev/confirm-delete": uid}}})).await;
}

/// R22, R23.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn bindings_at_home_and_elsewhere_hold_back_a_deletion_until_its_owner_confirms() {
    let it = scene("dependents").await;
    let bound = shared(&it, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    let at_home = format!("{}/post", it.namespace);
    let names = sorted([&own, &bound]);
    until_told(&it, 2, &names).await;
    let told = refusal(&it).await;
    assert!(told.contains(&format!("2 bindings use this connection ({})", names.join(", "))), "{told}");
    // What is taken back holds nothing.
    it.change("mail", json!({"spec": {"shared": false}})).await;
    bound.until("ShareWithdrawn").await;
    until_told(&it, 1, &[at_home]).await;
    it.change("mail", json!({"spec": {"shared": true}})).await;
    bound.until("Bound").await;
    until_told(&it, 2, &names).await;

    confirm_of(&it, "mail").await;
    it.delete("mail").await;
    it.until_gone(TOLD_WITHIN, "mail").await;
    for (binding, reason) in [(&own, "ConnectionDeleted"), (&bound, "ShareWithdrawn")] {
        binding.until_no_secret().await;
        let told = binding.until(reason).await;
        assert!(told.contains("Whoever maintains this object must"), "{told}");
        it.until_event(&binding.namespace, reason).await;
    }
}

/// Who may not use it, and what is not bound, holds nothing back.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_strangers_binding_and_one_without_a_token_hold_nothing_back() {
    let it = scene("dependents-none").await;
    let elsewhere = it.another_namespace("stranger").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let stranger = Bound { it: &it, namespace: elsewhere };
    stranger.apply(json!({"connection": id(&it, "mail")})).await;
    stranger.until("ConnectionNotFound").await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    it.keep_secret("post", "mail", "Opaque", &[("theirs", "kept")]).await;
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("NameTaken").await;
    assert_eq!(it.status("mail").await.dependents, None);
    it.delete("mail").await;
    it.until_gone(TOLD_WITHIN, "mail").await;
}

/// Taking a credential away waits for nobody.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_used_connection_is_disconnected_at_once_and_may_then_be_deleted() {
    let it = scene("dependents-end").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    until_told(&it, 1, &[format!("{}/post", it.namespace)]).await;
    refusal(&it).await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    own.until("ConnectionNotReady").await;
    own.until_no_secret().await;
    it.delete("mail").await;
    it.until_gone(TOLD_WITHIN, "mail").await;
    own.until("ConnectionDeleted").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_unprotected_connection_goes_and_its_bindings_stay_and_say_so() {
    let it = scene("dependents-free").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").spec(json!({"deletionProtection": false})).apply().await;
    it.authorized("mail").await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    until_told(&it, 1, &[format!("{}/post", it.namespace)]).await;
    it.delete("mail").await;
    own.until_no_secret().await;
    own.until("ConnectionDeleted").await;
    // A namespace goes with connections that are protected and used.
    it.connected("other", Rotation::SingleUse, 3600).await;
    own.apply(json!({"connection": id(&it, "other")})).await;
    own.until("Bound").await;
    it.until_status("other", "it is used", |status| status.dependents.is_some()).await;
    it.until_its_namespace_is_deleted().await;
}

/// Each write of a status reaches every reader of connections.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn two_hundred_bindings_of_one_connection_are_told_in_a_few_writes() {
    const BINDINGS: usize = 200;
    let it = scene("dependents-many").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.alice.clone(), &it.namespace);
    let audit = it.stage.access.audit().unwrap();
    let (mark, began) = (audit.mark().unwrap(), Instant::now());
    let create = async |number: usize| {
        let binding: ConnectionBinding = parsed(json!({"metadata": {"name": format!("b{number:03}")},
            "spec": {"connection": id(&it, "mail")}}));
        bindings.create(&PostParams::default(), &binding).await.expect("a binding");
    };
    stream::iter(0..BINDINGS).map(create).buffer_unordered(16).count().await;
    let first: Vec<_> = (0..10).map(|number| format!("{}/b{number:03}", it.namespace)).collect();
    let is_told = async || {
        let told = it.status("mail").await.dependents.unwrap_or_default();
        (told.count == 200 && told.names == first).then_some(()).ok_or(format!("{told:?}"))
    };
    until_within(Duration::from_mins(5), "200 dependents", is_told).await;
    let of_status = |mark| {
        let requests = audit.requests_since(mark).unwrap();
        requests
            .on("integrationconnections")
            .subresource("status")
            .named("mail")
            .in_namespace(&it.namespace)
            .allowed()
            .count()
    };
    // One write each ten seconds, by a clock of whole seconds; the first is told by itself.
    let most = |began: Instant| usize::try_from(began.elapsed().as_secs() / 9).unwrap() + 2;
    let written = of_status(mark);
    assert!(written <= most(began), "{written} writes in {:?}", began.elapsed());
    assert!(written < BINDINGS / 4, "{written}");

    let (mark, began) = (audit.mark().unwrap(), Instant::now());
    let bindings: Api<ConnectionBinding> = Api::namespaced(it.admin.clone(), &it.namespace);
    bindings.delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
    let is_unused = async || it.status("mail").await.dependents.is_none().then_some(());
    until_within(TOLD_WITHIN, "nobody uses it", is_unused).await;
    let written = of_status(mark);
    assert!(written <= most(began), "{written} writes in {:?}", began.elapsed());
    it.delete("mail").await;
}

/// What may not be changed, or does not fit, stays as it is, and is told.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn bindings_are_listed_before_an_end_and_use_another_connection_of_the_same_provider() {
    let it = scene("replace").await;
    let bound = shared(&it, 3600).await;
    let own = Bound { it: &it, namespace: it.namespace.clone() };
    own.apply(json!({"connection": id(&it, "mail")})).await;
    own.until("Bound").await;
    it.connection("other").apply().await;
    it.connection("news").apply().await;
    until_told(&it, 2, &sorted([&own, &bound])).await;

    let (code, said, errors) = bowline(&it, "alice", &["impact", "mail"], "").await;
    assert!(code == 0 && has_row(&said, &[&it.namespace, "post", "<none>", "post"]), "{said}{errors}");
    // alice may not list shares everywhere: what the connection names is told.
    let elsewhere = format!("{}/post", bound.namespace);
    assert!(errors.contains(&format!("bindings that you may not list: {elsewhere}")), "{errors}");
    let (_, said, errors) = bowline(&it, ADMIN, &["impact", "mail"], "").await;
    assert!(has_row(&said, &[&bound.namespace, "post", &it.name, "post"]), "{said}{errors}");
    let (_, said, _) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert!(said.contains(&elsewhere), "{said}");

    let news = id(&it, "news");
    let refused_for = async |who: &str, arguments: &[&str], why: &str| {
        let (code, said, errors) = bowline(&it, who, &[&["replace"], arguments].concat(), "").await;
        assert!(code == 1 && said.contains("refused") && said.contains(why), "{said}{errors}");
        said
    };
    refused_for("alice", &["mail", "news"], "news has no valid token there").await;
    let twice = bowline(&it, "alice", &["replace", "mail", "mail"], "").await;
    let no_id = bowline(&it, "alice", &["replace", "mail", "../news"], "").await;
    assert_eq!((twice.0, no_id.0), (2, 2));
    it.authorized("news").await;
    it.authorized("other").await;
    for user in ["alice", "bob"] {
        let told = refused_for(user, &["mail", "news", "--dry-run"], "is not shared with namespace").await;
        assert!(has_row(&told, &[&it.namespace, "post", "would", "change"]), "{told}");
    }
    // carol may change bindings, and use nothing.
    may_change_bindings(&it, "carol").await;
    let no_use = "binding this connection needs the verb use on it";
    until("carol's rights", async || {
        bowline(&it, "carol", &["replace", "mail", "news"], "").await.1.contains(no_use).then_some(())
    })
    .await;
    let names = async || {
        let bindings = async |of: &Bound<'_>| {
            let api: Api<ConnectionBinding> = Api::namespaced(it.admin.clone(), &of.namespace);
            api.get("post").await.unwrap().spec.connection
        };
        [bindings(&own).await, bindings(&bound).await]
    };
    assert_eq!(names().await, [id(&it, "mail"), id(&it, "mail")], "nothing is changed yet");

    it.change("news", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.secret_in(&bound.namespace, &news).await;
    let told = until("both are changed", async || {
        let (code, said, errors) = bowline(&it, ADMIN, &["replace", "mail", "news"], "").await;
        (code == 0).then_some(said).ok_or(errors)
    })
    .await;
    assert!(told.contains("changed"), "{told}");
    assert_eq!(names().await, [news.clone(), news.clone()]);
    own.until("Bound").await;
    bound.until("Bound").await;
    let (code, _, errors) = bowline(&it, ADMIN, &["replace", "mail", "news"], "").await;
    assert!(code == 0 && errors.contains("No binding that you may see names"), "{errors}");
    // Nobody uses the first one any more; one that is gone can be replaced as well.
    it.until_status_within(TOLD_WITHIN, "mail", "it is unused", |status| status.dependents.is_none()).await;
    it.delete("mail").await;
    confirm_of(&it, "news").await;
    it.connections().delete("news", &DeleteParams::default()).await.expect("deleted");
    own.until("ConnectionDeleted").await;
    let (_, said, errors) = bowline(&it, "alice", &["replace", "news", "other"], "").await;
    assert!(has_row(&said, &[&it.namespace, "post", "changed"]), "{said}{errors}");
    own.until("Bound").await;
}

fn sorted(bound: [&Bound<'_>; 2]) -> [String; 2] {
    let mut names = bound.map(|bound| format!("{}/post", bound.namespace));
    names.sort();
    names
}

/// Whether a line begins with these words.
fn has_row(table: &str, words: &[&str]) -> bool {
    table.lines().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()))
}

async fn may_change_bindings(it: &Scene, user: &str) {
    let group = "rbac.authorization.k8s.io";
    let role: Role = parsed(json!({"metadata": {"name": "binder"}, "rules": [
        {"apiGroups": ["bowline.dev"], "resources": ["connectionbindings"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": ["bowline.dev"], "resources": ["integrationconnections"], "verbs": ["get"]}]}));
    it.create(&it.namespace, &role).await;
    let binding: RoleBinding = parsed(json!({"metadata": {"name": "binder"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "binder"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}]}));
    it.create(&it.namespace, &binding).await;
}
