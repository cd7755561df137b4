//! What two tools apply again and again, unchanged, causes no write of ours.

use std::collections::BTreeMap;

use bowline_testbed::audit::Request;
use bowline_testbed::sandbox::Rotation;
use bowline_testbed::stage::OPERATOR_USER;
use kube::api::{DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::binding::{Bound, id};
use crate::looking::until;
use crate::scene::{Scene, scene};
use crate::stage::HOME;

/// As often as in a minute with one a second.
const TIMES: usize = 60;

/// The documents of an example's file.
fn example(file: &str) -> Vec<Value> {
    let path = format!("{}/examples/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Connection, workspace and binding of the examples, as they are but for names and provider.
fn objects(it: &Scene, work: &str) -> Vec<Value> {
    let mut all =
        [example("slack/connection.yaml"), example("workspace/all.yaml"), example("workflow/all.yaml")]
            .concat();
    all.retain(|object| {
        object["apiVersion"] == "bowline.dev/v1alpha1" && object["kind"] != "IntegrationProvider"
    });
    for object in &mut all {
        let change = match object["kind"].as_str().unwrap() {
            "IntegrationConnection" => json!({"metadata": {"name": "mail", "namespace": it.namespace},
                "spec": {"provider": it.name, "owner": "alice", "workspace": it.name, "scopes": null}}),
            "Workspace" => {
                json!({"metadata": {"name": it.name}, "spec": {"namespaces": [work], "limits": {"providers": [it.name]},
                "members": [{"kind": "User", "name": "alice"}], "contact": "alice"}})
            }
            _ => {
                json!({"metadata": {"name": "post", "namespace": work}, "spec": {"connection": id(it, "mail")}})
            }
        };
        crate::drafts::merge(object, change);
    }
    assert_eq!(all.len(), 3, "{all:?}");
    all
}

fn api(it: &Scene, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("bowline.dev", "v1alpha1", kind));
    // What its owner applies needs no approval.
    let client = if kind == "IntegrationConnection" { &it.alice } else { &it.admin };
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(it.admin.clone(), &resource),
    }
}

async fn apply(it: &Scene, objects: &[Value], manager: &str) {
    for object in objects {
        let api = api(it, object["kind"].as_str().unwrap(), object["metadata"]["namespace"].as_str());
        let name = object["metadata"]["name"].as_str().unwrap();
        let parameters = PatchParams::apply(manager).force();
        api.patch(name, &parameters, &Patch::Apply(object)).await.expect("applied");
    }
}

/// What we wrote: when we last changed each object's fields, and the versions of what is ours alone.
async fn written(it: &Scene, objects: &[Value], work: &str) -> BTreeMap<String, String> {
    let mut written = BTreeMap::new();
    for object in objects {
        let kind = object["kind"].as_str().unwrap();
        let name = object["metadata"]["name"].as_str().unwrap();
        let there =
            api(it, kind, object["metadata"]["namespace"].as_str()).get(name).await.expect("it is there");
        for entry in there
            .managed_fields()
            .iter()
            .filter(|entry| entry.manager.as_ref().is_some_and(|manager| manager.starts_with("bowline")))
        {
            let fields = serde_json::to_string(&(&entry.time, &entry.fields_v1)).unwrap();
            written.insert(format!("{kind} {:?} {:?}", entry.manager, entry.subresource), fields);
        }
    }
    for namespace in [it.namespace.as_str(), work] {
        for secret in it.secrets(namespace).list(&ListParams::default()).await.expect("Secrets") {
            written.insert(
                format!("Secret {namespace}/{}", secret.name_any()),
                secret.resource_version().unwrap(),
            );
        }
        for share in
            api(it, "ConnectionShare", Some(namespace)).list(&ListParams::default()).await.expect("shares")
        {
            written.insert(format!("share {namespace}"), share.resource_version().unwrap());
        }
    }
    let records = it
        .secrets(HOME)
        .list(&ListParams::default().fields("type=bowline.dev/record"))
        .await
        .expect("records");
    let uid = it.get("mail").await.uid().unwrap();
    let record = records.iter().find(|record| record.name_any().contains(&uid)).expect("its record");
    written.insert("record".to_owned(), record.resource_version().unwrap());
    written
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_two_tools_apply_sixty_times_unchanged_causes_no_write_of_ours() {
    let it = scene("applied").await;
    let work = it.another_namespace("work").await;
    it.provider(Rotation::SingleUse).lifetime(36_000).apply().await;
    let objects = objects(&it, &work);
    apply(&it, &objects, "argo").await;
    apply(&it, &objects, "flux").await;
    it.authorized("mail").await;
    let bound = Bound { it: &it, namespace: work.clone() };
    bound.until("Bound").await;
    it.until_reason("mail", "Shared", "Shared").await;
    it.until_status("mail", "the binding counts", |status| status.dependents.is_some()).await;
    let before = until("nothing changes any more", async || {
        let before = written(&it, &objects, &work).await;
        // The same again is seen by every controller before what it says next.
        apply(&it, &objects, "argo").await;
        let after = written(&it, &objects, &work).await;
        if before == after { Ok(after) } else { Err(format!("{before:?}\n{after:?}")) }
    })
    .await;
    assert!(before.len() >= 8, "{before:?}");
    let audit = it.stage.access.audit().ok();
    let began = audit.as_ref().map(|audit| audit.mark().unwrap());
    for _ in 0..TIMES {
        apply(&it, &objects, "argo").await;
        apply(&it, &objects, "flux").await;
    }
    answered(&it, &work).await;
    assert_eq!(written(&it, &objects, &work).await, before);
    let (Some(audit), Some(began)) = (audit, began) else { return };
    let writes = audit.requests_since(began).unwrap().by(OPERATOR_USER).writes();
    let is_theirs = |name: &str| ["mail", "post", &it.name, &id(&it, "mail")].contains(&name);
    let ours = |request: &Request| [it.namespace.as_str(), &work, ""].contains(&request.namespace.as_str());
    let about_them = writes.that(|request| ours(request) && is_theirs(&request.name));
    assert_eq!(about_them.count(), 0, "{:?}", about_them.tally());
}

/// Returns when the operator has answered to a new object of each kind: what was applied before that it has seen.
async fn answered(it: &Scene, work: &str) {
    let spec = |kind: &str| match kind {
        "IntegrationConnection" => {
            (Some(it.namespace.as_str()), json!({"provider": it.name, "owner": "alice"}))
        }
        "Workspace" => (None, json!({"members": [{"kind": "User", "name": "bob"}]})),
        _ => (Some(work), json!({"connection": "nowhere.nothing"})),
    };
    let name = format!("{}-last", it.name);
    for kind in ["IntegrationConnection", "Workspace", "ConnectionBinding"] {
        let (namespace, spec) = spec(kind);
        let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        apply(it, &[object], "argo").await;
        until(&format!("an answer to a new {kind}"), async || {
            let there = api(it, kind, namespace).get(&name).await.map_err(|error| error.to_string())?;
            let conditions = &there.data["status"]["conditions"];
            if conditions.is_array() { Ok(()) } else { Err(there.data.to_string()) }
        })
        .await;
    }
    api(it, "Workspace", None).delete(&name, &DeleteParams::default()).await.expect("deleted");
}
