//! The real control plane: processes, rights and cleaning up cannot be tested without it.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bowline_testbed::{
    access::{ADMIN, PLAIN_USERS, client},
    cluster::{Cluster, FOREIGN_KUBECONFIG, RUN_DIRECTORY},
    control_plane::{ControlPlane, Options},
    operator_process::{Operator, OperatorProcess},
    random,
    wait::wait_for,
};
use k8s_openapi::{
    api::{
        authentication::v1::SelfSubjectReview,
        core::v1::{ConfigMap, Namespace},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};

const SOON: Duration = Duration::from_secs(30);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

async fn who_am_i(client: Client) -> (String, Vec<String>) {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let info = review.status.unwrap().user_info.unwrap();
    (info.username.unwrap(), info.groups.unwrap_or_default())
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Resident megabytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_control_plane_is_ready_within_a_minute_and_leaves_nothing_behind() {
    let start = Instant::now();
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let took = start.elapsed();
    let ids = plane.process_ids();
    let sizes: Vec<_> = ids.iter().map(|id| resident(*id)).collect();
    eprintln!("ready in {took:.1?}; controller manager, API server, etcd hold {sizes:?} MB");
    assert!(took < Duration::from_mins(1));
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| is_running(*id)));

    let directory = plane.directory().to_owned();
    plane.stop();
    assert!(!ids.iter().any(|id| is_running(*id)));
    assert!(!directory.exists());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_owned_object_goes_with_its_owner() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.random_namespace("owned").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_for(ADMIN).await.unwrap(), &namespace);
    let owner = maps.create(&PostParams::default(), &config_map("owner")).await.unwrap();
    let mut dependent = config_map("owned");
    dependent.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: "owner".to_owned(),
        uid: owner.metadata.uid.unwrap(),
        ..OwnerReference::default()
    }]);
    maps.create(&PostParams::default(), &dependent).await.unwrap();
    maps.delete("owner", &DeleteParams::default()).await.unwrap();
    wait_for("the owned ConfigMap goes", SOON, async || {
        maps.get_opt("owned").await.unwrap().is_none().then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_namespace_goes_with_its_content() {
    let cluster = Cluster::shared().await.unwrap();
    let name = cluster.random_namespace("doomed").await.unwrap();
    let admin = cluster.client_for(ADMIN).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), &name);
    maps.create(&PostParams::default(), &config_map("content")).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(admin);
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
    wait_for("the namespace goes", SOON, async || match namespaces.get_opt(&name).await.unwrap() {
        None => Ok(()),
        Some(left) => Err(format!("{:?}", left.status.and_then(|status| status.phase))),
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn plain_users_are_who_they_are_and_have_no_rights() {
    let cluster = Cluster::shared().await.unwrap();
    for user in PLAIN_USERS {
        let (name, groups) = who_am_i(cluster.client_for(user).await.unwrap()).await;
        assert_eq!(name, user);
        assert!(groups.contains(&"bowline:users".to_owned()), "{groups:?}");
        let denied = cluster.kubectl_as(user, &["get", "secrets"]).await.unwrap();
        assert!(String::from_utf8_lossy(&denied.stderr).contains("Forbidden"), "{denied:?}");
    }
    assert!(cluster.kubectl(&["get", "secrets"]).await.unwrap().status.success());
    cluster.kubeconfig_for("nobody").unwrap_err();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_service_account_acts_as_itself() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.random_namespace("robot").await.unwrap();
    let account =
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: robot, namespace: {namespace}}}\n");
    cluster.apply_yaml(&account).await.unwrap();
    let kubeconfig = cluster.service_account_kubeconfig(&namespace, "robot").await.unwrap();
    let (name, _) = who_am_i(client(&kubeconfig).await.unwrap()).await;
    assert_eq!(name, format!("system:serviceaccount:{namespace}:robot"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_audit_log_counts_a_request_once_and_tells_if_it_was_allowed() {
    let cluster = Cluster::shared().await.unwrap();
    // A separate namespace: other tests act as alice too.
    let namespace = cluster.random_namespace("audit").await.unwrap();
    let audit = cluster.audit().unwrap();
    let before = audit.mark().unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_for("alice").await.unwrap(), &namespace);
    maps.get("mine").await.unwrap_err();
    let mine = || audit.requests_since(before).unwrap().by("alice").in_namespace(&namespace);
    wait_for("alice's request is logged", SOON, async || (mine().count() > 0).then_some(())).await.unwrap();
    let expected = ("alice".to_owned(), "get".to_owned(), "configmaps".to_owned());
    assert_eq!(mine().tally(), BTreeMap::from([(expected, 1)]));
    assert_eq!(mine().on("configmaps").named("mine").count(), 1);
    assert_eq!(mine().allowed().count(), 0);
    assert_eq!(mine().writes().count(), 0);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn two_control_planes_do_not_meet() {
    let (one, two) =
        tokio::join!(ControlPlane::start(Options::default()), ControlPlane::start(Options { durable: true }));
    let (one, two) = (one.unwrap(), two.unwrap());
    let admin = one.client_for(ADMIN).await.unwrap();
    let name = random::hex(4).unwrap();
    let only_here: Api<ConfigMap> = Api::namespaced(admin, "default");
    only_here.create(&PostParams::default(), &config_map(&name)).await.unwrap();
    let there: Api<ConfigMap> = Api::namespaced(two.client_for(ADMIN).await.unwrap(), "default");
    assert!(there.get_opt(&name).await.unwrap().is_none());
    drop(one);
    there.list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_api_server_comes_back_with_what_was_written_and_the_same_tokens() {
    let mut plane = ControlPlane::start(Options::default()).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client_for(ADMIN).await.unwrap(), "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
    let robot = plane.service_account_kubeconfig("default", "default").await.unwrap();
    plane.stop_api_server();
    maps.get("kept").await.unwrap_err();
    plane.start_api_server().await.unwrap();
    maps.get("kept").await.unwrap();
    let (name, _) = who_am_i(client(&robot).await.unwrap()).await;
    assert_eq!(name, "system:serviceaccount:default:default");
}

/// `kubectl proxy` plays the operator: it serves on a port and uses the rights of its kubeconfig.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_operator_process_acts_as_its_service_account_and_ends_when_told() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.random_namespace("operator").await.unwrap();
    cluster.kubectl(&["create", "serviceaccount", "robot", "--namespace", &namespace]).await.unwrap();
    let port = random::free_port().unwrap();
    let readiness = format!("http://127.0.0.1:{port}/readyz");
    let operator = Operator {
        program: cluster.kubectl_path(),
        service_account: (&namespace, "robot"),
        arguments: &["proxy", "--port", &port.to_string()],
        environment: &[],
        readiness: &readiness,
    };
    let mut process = OperatorProcess::start(cluster, operator).await.unwrap();
    assert!(process.logs().unwrap().contains("Starting to serve"));
    let secrets = format!("http://127.0.0.1:{port}/api/v1/secrets");
    let answer = reqwest::get(secrets).await.unwrap().text().await.unwrap();
    assert!(answer.contains(&format!("system:serviceaccount:{namespace}:robot")), "{answer}");
    assert!(process.terminate().unwrap().is_some());

    let mut again = OperatorProcess::start(cluster, operator).await.unwrap();
    again.kill().unwrap();
    assert!(again.check_running().is_err());
}

/// A cluster that is not ours: here one of ours, of which the test knows only the kubeconfig.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn somebodys_cluster_serves_plain_users_too() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bowline-testbed"))
        .args(["run", "--", "sh", "-c", "kubectl --kubeconfig $BOWLINE_TESTBED/kubeconfig/alice auth whoami"])
        .env(FOREIGN_KUBECONFIG, plane.kubeconfig_for(ADMIN).unwrap())
        .env_remove(RUN_DIRECTORY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("alice") && text.contains("bowline:users"), "{output:?}");
}

/// The command writes its directory and waits forever; then `bowline-testbed run` is killed with SIGKILL.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nothing_outlives_a_killed_run() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_bowline-testbed"))
        .args(["run", "--", "sh", "-c", "touch $BOWLINE_TESTBED/here; exec sleep 600"])
        .env_remove(FOREIGN_KUBECONFIG)
        .env_remove(RUN_DIRECTORY)
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let directory = wait_for("the command runs", Duration::from_mins(1), async || {
        let entries = std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.join("here").exists())
    })
    .await
    .unwrap();
    let involved = || {
        let listed = Command::new("ps").args(["-eo", "pid,args"]).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        text.lines()
            .filter(|line| line.contains(directory.to_str().unwrap()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(involved().len() >= 3, "{:?}", involved());
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for("everything is gone", SOON, async || match (involved(), directory.exists()) {
        (left, false) if left.is_empty() => Ok(()),
        (left, exists) => Err(format!("{left:?}, directory: {exists}")),
    })
    .await
    .unwrap();
}

#[test]
#[ignore = "needs an API server: make test"]
fn run_ends_with_its_commands_exit_code_and_gives_it_our_kubectl() {
    let script = "kubectl get namespace default >/dev/null || exit 1; exit 7";
    let status = Command::new(env!("CARGO_BIN_EXE_bowline-testbed"))
        .args(["run", "--", "sh", "-c", script])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}
