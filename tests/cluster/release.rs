//! A release of the chart on a real API server: installed, installed twice, upgraded, rolled back, uninstalled, installed
//! again. Its names are not the usual ones, so what follows them is seen to follow.
//!
//! tests/browser/installed.rs does the same with running processes.

use std::path::Path;
use std::time::{Duration, Instant};

use bowline_testbed::cluster::Cluster;
use bowline_testbed::control_plane::Options;
use bowline_testbed::deploy::until_in_force;
use bowline_testbed::helm::{Helm, NAME_LIMIT, objects};
use bowline_testbed::objects::Objects;
use bowline_testbed::wait::wait_for;
use serde_json::{Value, json};

use crate::chart::PORTAL;

const RELEASE: &str = "connections";
const NAMESPACE: &str = "platform-connections";
const TEAM: &str = "/api/v1/namespaces/team-a";
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/integrationconnections.bowline.dev";
const CONNECTION: &str = "/apis/bowline.dev/v1alpha1/namespaces/team-a/integrationconnections/mail";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/bowline-operator";
const POLICY: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/bowline-owner-stays";

struct Platform {
    cluster: Cluster,
    helm: Helm,
    admin: Objects,
    alice: Objects,
}

impl Platform {
    async fn new() -> Self {
        let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
        let helm = Helm::on(&cluster).expect("helm");
        let objects = async |user| Objects::new(cluster.client_for(user).await.expect("a client"));
        let (admin, alice) = (objects("admin").await, objects("alice").await);
        let team = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
        admin.create("/api/v1/namespaces", &team).await.expect("a namespace");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "edit"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/rolebindings";
        admin.create(bindings, &binding).await.expect("a binding");
        Self { cluster, helm, admin, alice }
    }

    /// `helm COMMAND RELEASE CHART` with these values; how long it took is printed.
    async fn helm(&self, command: &str, chart: &Path, values: &str) -> Result<String, String> {
        self.helm_as(command, RELEASE, NAMESPACE, chart, values).await
    }

    async fn helm_as(
        &self,
        command: &str,
        release: &str,
        namespace: &str,
        chart: &Path,
        values: &str,
    ) -> Result<String, String> {
        let start = Instant::now();
        let chart = chart.to_string_lossy();
        let mut arguments = vec![command, release, &chart, "-n", namespace];
        arguments.extend((command == "install").then_some("--create-namespace"));
        let answer = self.helm.run(&arguments, values).await.map_err(|error| error.to_string());
        eprintln!("helm {command} took {:.1} s", start.elapsed().as_secs_f64());
        answer
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.admin.get(path).await.expect("an answer")
    }

    async fn in_force(&self) {
        let client = self.cluster.client_for("admin").await.expect("a client");
        until_in_force(client).await.expect("the policies are in force");
    }
}

fn limit(definition: &Value) -> Option<u64> {
    definition.pointer(NAME_LIMIT)?.as_u64()
}

#[tokio::test]
#[ignore = "needs an API server and helm: make test"]
async fn a_release_is_installed_upgraded_rolled_back_and_uninstalled_and_connections_stay() {
    let it = Platform::new().await;
    let chart = Helm::chart();
    let values = "secrets: {namespaces: [team-a]}";
    let notes = it.helm("install", &chart, values).await.expect("installed");
    assert!(notes.contains("It publishes in: team-a."), "{notes}");
    it.in_force().await;

    its_pods_are_restricted(&it).await;
    installed_twice(&it, &chart).await;

    let connection = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "mail"}, "spec": {"provider": "mail", "owner": "alice", "displayName": "Work mail"}});
    let made = it.alice.create(CONNECTION.trim_end_matches("/mail"), &connection).await.expect("created");

    upgraded_and_rolled_back(&it, &chart, values).await;

    it.helm.run(&["uninstall", RELEASE, "-n", NAMESPACE], "").await.expect("uninstalled");
    assert!(it.get(ROLE).await.is_none(), "the operator's rights are gone");
    let kept = [DEFINITION, CONNECTION, POLICY, TEAM, "/api/v1/namespaces/bowline-attempts"];
    for path in kept {
        let object = it.get(path).await.unwrap_or_else(|| panic!("{path} is gone"));
        assert!(object["metadata"]["deletionTimestamp"].is_null(), "{path} is being deleted");
    }
    let foreign = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "foreign"}, "spec": {"provider": "mail", "owner": "mallory"}});
    let foreign = it.alice.create(CONNECTION.trim_end_matches("/mail"), &foreign).await;
    assert!(foreign.is_err(), "the policies are still in force");

    it.helm("install", &chart, values).await.expect("installed again");
    let again = it.get(CONNECTION).await.expect("the connection");
    assert_eq!(again["metadata"]["uid"], made["metadata"]["uid"], "it is the same one");
}

/// In a namespace that enforces the restricted standard of `PodSecurity`.
async fn its_pods_are_restricted(it: &Platform) {
    let rendered = it.helm.template(RELEASE, NAMESPACE, PORTAL).await.expect("rendered");
    let hooks = it.helm.run(&["get", "hooks", RELEASE, "-n", NAMESPACE], "").await.expect("hooks");
    let deployments = rendered.into_values().filter(|object| object["kind"] == "Deployment");
    let pods = deployments.map(|object| object["spec"]["template"]["spec"].clone());
    let tests = objects(&hooks).expect("YAML").into_values().map(|pod| pod["spec"].clone());
    let specs: Vec<_> = pods.chain(tests).collect();
    assert_eq!(specs.len(), 3, "operator, portal and the test");
    for mut spec in specs {
        spec["serviceAccountName"] = json!("default");
        let admitted = async |spec: &Value| {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec});
            it.admin.create("/api/v1/namespaces/bowline-attempts/pods?dryRun=All", &pod).await
        };
        admitted(&spec).await.expect("it is admitted");
        spec["hostNetwork"] = json!(true);
        let refusal = admitted(&spec).await.expect_err("the standard is enforced").to_string();
        assert!(refusal.contains("PodSecurity"), "{refusal}");
    }
}

async fn installed_twice(it: &Platform, chart: &Path) {
    let refusal = it.helm("install", chart, "{}").await.expect_err("refused");
    assert!(refusal.contains("cannot reuse a name that is still in use"), "{refusal}");
    let refusal = it.helm_as("install", "second", "second", chart, "{}").await.expect_err("refused");
    let words = format!("Bowline is installed already, as release {RELEASE} in namespace {NAMESPACE}");
    assert!(refusal.contains(&words), "{refusal}");
    assert!(it.get("/api/v1/namespaces/second/serviceaccounts/bowline").await.is_none(), "nothing was made");
    let missing = it.helm("upgrade", chart, "secrets: {namespaces: [team-a, nowhere]}").await;
    let missing = missing.expect_err("refused");
    assert!(missing.contains("\"nowhere\" not found"), "{missing}");
}

/// To a definition that refuses the connection as it is, and back.
async fn upgraded_and_rolled_back(it: &Platform, chart: &Path, values: &str) {
    let before = it.get(DEFINITION).await.as_ref().and_then(limit);
    it.helm("upgrade", &it.helm.later_chart().expect("a copy"), values).await.expect("upgraded");
    assert_eq!(it.get(DEFINITION).await.as_ref().and_then(limit), Some(1));
    // The API server has taken the definition over once it refuses what is new.
    let new = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": "new"}, "spec": {"provider": "mail", "owner": "alice", "displayName": "Too long"}});
    let connections = format!("{}?dryRun=All", CONNECTION.trim_end_matches("/mail"));
    wait_for("the new schema", Duration::from_mins(1), async || {
        match it.alice.create(&connections, &new).await {
            Err(kube::Error::Api(status)) if status.message.contains("Too long") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("it refuses");
    // What is stored is read, and changed elsewhere, as if nothing had happened.
    let told = it.alice.merge(CONNECTION, &json!({"spec": {"suspend": true}})).await.expect("changed");
    assert_eq!(told["spec"]["displayName"], "Work mail");

    // To the first revision: the last one before this failed.
    it.helm.run(&["rollback", RELEASE, "1", "-n", NAMESPACE], "").await.expect("rolled back");
    assert_eq!(it.get(DEFINITION).await.as_ref().and_then(limit), before);
    it.helm("upgrade", chart, values).await.expect("upgraded to the same");
}
