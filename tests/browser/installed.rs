//! As a new user would: `helm install`, a person's first connection in a browser, `helm upgrade`, `helm uninstall`.
//!
//! Helm and the API server are real. There are no nodes, so operator and portal are processes here, with exactly the
//! arguments, volumes and accounts of the installed Deployments.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_api::IntegrationConnection;
use bowline_testbed::access::Access;
use bowline_testbed::cluster::Cluster;
use bowline_testbed::control_plane::Options;
use bowline_testbed::deploy::until_in_force;
use bowline_testbed::helm::{Helm, objects};
use bowline_testbed::pod::Pod;
use bowline_testbed::sandbox::{RealmConfig, Rotation};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use serde_json::json;

use crate::PORTAL;
use crate::looking::{grant_id, until_within};
use crate::person::Person;
use crate::portal::Portal;
use crate::scene::{Scene, parsed};
use crate::stage::{HOME, Stage, sandbox};
use crate::walk::{agrees_as, finds_and_names};

/// What the platform team sets, besides the namespaces of its teams. ISSUER plays the API server's `OpenID` provider.
const VALUES: &str = r#"
operator:
  flags: {allow-http-providers: true, provider-networks: 127.0.0.0/8}
portal:
  enabled: true
  url: http://localhost
  trustedProxies: [none]
  signIn:
    oidc:
      issuer: ISSUER
      clientID: CLIENT
      clientSecret: {name: portal-oidc}
      usernamePrefix: "oidc:"
  flags: {allow-insecure-http: true, oidc-allow-http: true, oidc-allowed-cidrs: 127.0.0.0/8, oidc-scopes: email}
"#;

/// The owner of the first connection, as the API server would name them with that prefix.
const OWNER: &str = "oidc:alice";

/// Prints how long each step took.
struct Steps(Instant);

impl Steps {
    fn done(&mut self, what: &str) {
        eprintln!("{what}: {:.1} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

struct Release {
    helm: Helm,
    steps: Steps,
    values: String,
}

impl Release {
    async fn with(&mut self, command: &str, chart: &Path, values: &str) -> String {
        let chart = chart.to_string_lossy();
        let mut arguments = vec![command, "bowline", &chart, "-n", HOME];
        arguments.extend((command == "install").then_some("--create-namespace"));
        let values = format!("{}{values}", self.values);
        let said = self.helm.run(&arguments, &values).await.unwrap_or_else(|error| panic!("{error}"));
        self.steps.done(&format!("helm {command}"));
        said
    }

    async fn uninstall(&mut self) {
        self.helm.run(&["uninstall", "bowline", "-n", HOME], "").await.expect("uninstalled");
        self.steps.done("helm uninstall");
    }

    /// What `helm test` would run in a pod: the arguments of the hook, with these addresses for those of the Services.
    async fn test(&mut self, operator: String, portal: String) {
        let hooks = self.helm.run(&["get", "hooks", "bowline", "-n", HOME], "").await.expect("hooks");
        let pod = objects(&hooks).expect("YAML").remove("Pod /bowline-test").expect("the pod of the test");
        let arguments = pod["spec"]["containers"][0]["args"].as_array().expect("arguments").clone();
        let here = |argument: &str| match argument {
            "http://bowline.bowline-system:8080/readyz" => operator.clone(),
            "http://bowline-portal.bowline-portal/readyz" => portal.clone(),
            other => other.to_owned(),
        };
        let arguments: Vec<_> = arguments.iter().map(|argument| here(argument.as_str().unwrap())).collect();
        assert!(arguments.iter().filter(|argument| argument.starts_with("http://127.")).count() == 2);
        let ended = Command::new(env!("CARGO_BIN_EXE_bowline")).args(arguments).status().expect("it runs");
        assert!(ended.success());
        self.steps.done("helm test");
    }
}

/// The operator's pod as it is installed now; the stage keeps the cluster.
async fn operator(cluster: Option<Cluster>, access: &Access) -> Arc<Stage> {
    let pod = Pod::of_deployment(access, HOME, "bowline").await.expect("the operator's pod");
    let stage = Stage::of_pod(access, cluster, pod);
    stage.start_operator().await;
    stage
}

/// The chart of somebody who lets Helm delete the definitions.
fn careless_chart(helm: &Helm) -> PathBuf {
    let chart = helm.copy_of_chart("careless").expect("a copy");
    let path = chart.join("templates/crds.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"keep\" true"));
    std::fs::write(&path, text.replace("\"keep\" true", "\"keep\" false")).unwrap();
    chart
}

/// The values, and the secret of the portal's client at the `OpenID` provider.
fn values() -> (String, String) {
    let mut people = RealmConfig::default();
    people.clients[0].redirect_uris.push(format!("{PORTAL}/sign-in/oidc/callback"));
    let client = people.clients[0].clone();
    let realm = sandbox().realm("people", people);
    let values = VALUES.replace("ISSUER", &realm.issuer()).replace("CLIENT", &client.id);
    (values, client.secret.expect("a secret"))
}

async fn may_edit(it: &Scene, user: &str) {
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": "edit-owner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }));
    it.create(&it.namespace, &binding).await;
}

/// The first person connects, in a browser.
async fn first_connection(it: &Scene, portal: &Portal) {
    let alice = Person::at(it, portal).await;
    let page = format!("/connections/{}/work-mail", it.namespace);
    alice.opens("/").await;
    alice.clicks("#with-oidc").await;
    agrees_as(&alice, "alice").await;
    alice.reads("#signed-in-as", OWNER).await;
    finds_and_names(&alice, it, "Work mail", &page).await;
    alice.clicks("#connect").await;
    alice.presses("Continue to Sandbox").await;
    agrees_as(&alice, "alice").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Connected").await;
}

async fn refreshes(it: &Scene, request: &str) {
    let before = it.secret("work-mail").await["access_token"].clone();
    it.ask_for_refresh("work-mail", request).await;
    it.until_secret("work-mail", "another token", |keys| keys["access_token"] != before).await;
}

#[tokio::test]
#[ignore = "needs an API server, helm and Chromium: make test"]
async fn from_helm_install_to_a_first_connection_and_helm_uninstall() {
    let begun = Instant::now();
    let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
    let helm = Helm::on(&cluster).expect("helm");
    let (values, client_secret) = values();
    let mut release = Release { helm, steps: Steps(Instant::now()), values };

    let notes = release.with("install", &Helm::chart(), "").await;
    assert!(notes.contains("http://localhost/callback/NAME"), "{notes}");
    assert!(notes.contains("It publishes in NO namespace yet"), "{notes}");
    until_in_force(cluster.client_for("admin").await.unwrap()).await.expect("the policies are in force");
    let literal = format!("--from-literal=client-secret={client_secret}");
    let create = ["create", "secret", "generic", "portal-oidc", "-n", "bowline-portal", &literal];
    assert!(cluster.kubectl(&create).await.expect("kubectl").status.success());
    let access = (*cluster).clone();
    let first = operator(Some(cluster), &access).await;
    let it = first.scene("first").await;
    release.steps.done("the operator is ready");

    let team = format!("secrets: {{namespaces: [{}]}}\n", it.namespace);
    release.values += &team;
    release.with("upgrade", &Helm::chart(), "").await;
    first.stop_operator();
    let second = operator(None, &access).await;
    let portal = Pod::of_deployment(&access, "bowline-portal", "bowline-portal").await.expect("a pod");
    let portal = Portal::of_pod(&access, portal).await;
    release.steps.done("operator and portal are ready");
    release.test(second.url("readyz"), format!("{}/readyz", portal.address)).await;

    may_edit(&it, OWNER).await;
    it.provider(Rotation::SingleUse).apply().await;
    first_connection(&it, &portal).await;
    assert_eq!(it.get("work-mail").await.spec.owner, OWNER);
    release.steps.done("the first connection");

    upgraded(&mut release, &it, &second).await;
    uninstalled(&mut release, &it).await;
    eprintln!("in all: {:.1} s", begun.elapsed().as_secs_f64());
}

/// To another setting and a schema that refuses the connection as it is, and back.
async fn upgraded(release: &mut Release, it: &Scene, running: &Stage) {
    let later = release.helm.later_chart().expect("a copy");
    release.values = release.values.replace("{allow-http", "{min-refresh-interval: 2s, allow-http");
    release.with("upgrade", &later, "").await;
    running.stop_operator();
    let new = operator(None, &it.stage.access).await;
    refreshes(it, "after the upgrade").await;
    release.steps.done("a refresh after the upgrade");

    release.helm.run(&["rollback", "bowline", "-n", HOME], "").await.expect("rolled back");
    release.steps.done("helm rollback");
    new.stop_operator();
}

/// With a running operator, which could do damage; then with one that deletes the definitions.
async fn uninstalled(release: &mut Release, it: &Scene) {
    let running = operator(None, &it.stage.access).await;
    let grant = grant_id(&it.status("work-mail").await).expect("a grant");
    release.uninstall().await;
    running.kill_operator();
    // As administrator: the roles of people are gone.
    let connections: Api<IntegrationConnection> = Api::namespaced(it.admin.clone(), &it.namespace);
    let stays = connections.get("work-mail").await.expect("the connection");
    assert!(stays.metadata.deletion_timestamp.is_none(), "the connection stays");
    assert!(it.secret("work-mail").await.contains_key("access_token"), "and its Secret");
    assert!(!it.realm.ledger().is_grant_revoked(&grant), "nothing is revoked");

    release.with("install", &careless_chart(&release.helm), "").await;
    let running = operator(None, &it.stage.access).await;
    it.until_phase("work-mail", "Active").await;
    refreshes(it, "after the second installation").await;
    release.steps.done("a refresh after the second installation");

    release.uninstall().await;
    // With its rights back the operator finishes what it may: it lets go of connections whose definition is being deleted.
    release.with("install", &careless_chart(&release.helm), "").await;
    until_within(Duration::from_mins(2), "the connection is gone", async || {
        // Without its definition there is no such kind: not found.
        matches!(connections.get_opt("work-mail").await, Ok(None)).then_some(())
    })
    .await;
    assert!(!it.realm.ledger().is_grant_revoked(&grant), "nothing is revoked even so");
    running.kill_operator();
}
