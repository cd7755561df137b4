//! Every manifest that is shipped, checked by kubeconform against the schemas that an API server publishes; and that kustomize's
//! `namePrefix` leaves no name behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bowline_testbed::definitions::Foreign;
use bowline_testbed::helm::{Helm, Rendered, kustomize};
use bowline_testbed::scratch::Scratch;
use bowline_testbed::tools::{self, Tool};
use serde_json::{Value, json};

use crate::asking::{ADMIN, Ask, Person};
use crate::chart::{Checkout, EVERYTHING};
use crate::examples::documents_under;
use crate::fixture::Team;

#[tokio::test]
#[ignore = "needs an API server, helm and kubeconform: make test"]
async fn every_manifest_fits_the_schemas_of_the_api_server() {
    let team = Team::new().await;
    team.define(&Foreign::ALL).await;
    let mut objects = shipped().await;
    // An API server before 1.36 does not know the kinds of the component that stamps terms.
    let served =
        team.person(ADMIN).must(&Ask::get("/apis/admissionregistration.k8s.io/v1")).await.to_string();
    let is_known =
        |kind: &str| !kind.starts_with("MutatingAdmission") || served.contains(&format!("\"{kind}\""));
    objects.retain(|object| object["kind"].as_str().is_some_and(is_known));
    let folder = Scratch::create().expect("a directory");
    schemas(&team.person(ADMIN), &objects, folder.path()).await;

    let summary = json!({"valid": objects.len(), "invalid": 0, "errors": 0, "skipped": 0});
    assert_eq!(judged(folder.path(), &objects)["summary"], summary);

    // It does refuse: an unknown field of a kind of ours, and a wrong type in one of Kubernetes.
    let of_kind = |kind: &str, objects: &[Value]| objects.iter().position(|object| object["kind"] == kind);
    let (connection, deployment) =
        (of_kind("IntegrationConnection", &objects).unwrap(), of_kind("Deployment", &objects).unwrap());
    objects[connection]["spec"]["shard"] = json!(true);
    objects[deployment]["spec"]["replicas"] = json!("two");
    assert_eq!(judged(folder.path(), &objects)["summary"]["invalid"], 2);
}

/// What the chart and kustomize make with everything chosen, and the examples.
async fn shipped() -> Vec<Value> {
    let helm = Helm::offline().expect("helm");
    let chart = helm.template("bowline", "bowline-system", EVERYTHING).await.expect("helm renders it");
    let manifests = Checkout::everything().rendered().await;
    let examples = documents_under(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    assert!(chart.len() > 90 && manifests.len() > 90 && examples.len() > 15);
    let rendered = [chart, manifests].into_iter().flat_map(Rendered::into_values);
    rendered.chain(examples.into_iter().map(|(_, object)| object)).collect()
}

/// Writes the schema of each object's kind, named as [`judged`] looks for it.
async fn schemas(admin: &Person, objects: &[Value], folder: &Path) {
    let text = |object: &Value, field: &str| object[field].as_str().expect(field).to_owned();
    let kinds: BTreeSet<(String, String)> =
        objects.iter().map(|object| (text(object, "apiVersion"), text(object, "kind"))).collect();
    for (api_version, kind) in kinds {
        let base = if api_version.contains('/') { "apis" } else { "api" };
        let mut published = admin.must(&Ask::get(&format!("/openapi/v3/{base}/{api_version}"))).await;
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let wanted = json!({"group": group, "version": version, "kind": kind});
        let components = published["components"]["schemas"].as_object().expect("schemas");
        let is_it = |schema: &Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&wanted))
        };
        let name = components.iter().find(|(_, schema)| is_it(schema)).map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| panic!("the API server has no {wanted}"));
        refuse_unknown_fields(&mut published["components"]["schemas"]);
        let reference = format!("#/components/schemas/{name}");
        let schema = json!({"$ref": reference, "components": published["components"]});
        // kubeconform takes the version for the group, where there is none.
        let file_group = if group.is_empty() { version } else { group };
        let file = format!("{}_{file_group}_{version}.json", kind.to_lowercase());
        fs::write(folder.join(file), schema.to_string()).unwrap();
    }
}

/// A published schema allows unknown fields, which an API server prunes.
fn refuse_unknown_fields(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let open = ["additionalProperties", "x-kubernetes-preserve-unknown-fields"];
            if fields.get("properties").is_some_and(Value::is_object)
                && !open.iter().any(|word| fields.contains_key(*word))
            {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(refuse_unknown_fields);
        }
        Value::Array(entries) => entries.iter_mut().for_each(refuse_unknown_fields),
        _ => {}
    }
}

/// What kubeconform says of these objects; a kind without a schema in the folder is an error.
fn judged(folder: &Path, objects: &[Value]) -> Value {
    let stream = folder.join("objects.yaml");
    let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
    fs::write(&stream, texts.join("\n---\n")).unwrap();
    let schemas =
        format!("{}/{{{{.ResourceKind}}}}_{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}.json", folder.display());
    let Output { stdout, stderr, .. } = Command::new(tools::path(Tool::Kubeconform).expect("kubeconform"))
        .args(["-strict", "-summary", "-output", "json", "-schema-location", &schemas])
        .arg(stream)
        .output()
        .expect("kubeconform runs");
    let said = serde_json::from_slice(&stdout);
    let said: Value = said.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    eprintln!("{}", said["resources"]);
    said
}

/// A connection, whatever it names, and what names it.
const NAMED: &str = r"
apiVersion: bowline.dev/v1alpha1
kind: IntegrationProvider
metadata: {name: chat}
spec: {type: slack, app: {secretName: chat-app}, allow: {workspaces: [marketing]}}
---
apiVersion: bowline.dev/v1alpha1
kind: Workspace
metadata: {name: marketing}
spec: {members: [{kind: User, name: alice}], namespaces: [team-a]}
---
apiVersion: v1
kind: Secret
metadata: {name: chat-app, namespace: team-a}
---
apiVersion: bowline.dev/v1alpha1
kind: IntegrationConnection
metadata: {name: chat, namespace: team-a}
spec: {provider: chat, owner: alice, workspace: marketing, app: {secretName: chat-app}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: team-a}
spec:
  containers: [{name: reader, image: reader}]
  volumes: [{name: token, secret: {secretName: chat}}]
";

#[tokio::test]
#[ignore = "needs an API server and kustomize: make test"]
async fn names_follow_the_prefix_that_kustomize_gives_them() {
    let team = Team::new().await;
    let schema = team.person(ADMIN).must(&Ask::get("/openapi/v2")).await;
    let folder = Scratch::create().expect("a directory");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("openapi.json", &schema.to_string());
    write("objects.yaml", NAMED);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kustomize/names.yaml");
    fs::copy(shipped, folder.path().join("names.yaml")).unwrap();
    write(
        "kustomization.yaml",
        "namePrefix: stage-\nconfigurations: [names.yaml]\nopenapi: {path: openapi.json}\nresources: [objects.yaml]\n",
    );
    let objects = kustomize(folder.path()).await.expect("kustomize");

    let (connection, provider, pod) = (
        &objects["IntegrationConnection team-a/stage-chat"],
        &objects["IntegrationProvider /stage-chat"],
        &objects["Pod team-a/stage-reader"],
    );
    assert!(
        objects.contains_key("Workspace /stage-marketing")
            && objects.contains_key("Secret team-a/stage-chat-app")
    );
    assert_eq!(
        connection["spec"],
        json!({"provider": "stage-chat", "owner": "alice", "workspace": "stage-marketing",
            "app": {"secretName": "stage-chat-app"}})
    );
    assert_eq!(provider["spec"]["allow"]["workspaces"], json!(["stage-marketing"]));
    assert_eq!(pod["spec"]["volumes"][0]["secret"]["secretName"], "stage-chat");
}
