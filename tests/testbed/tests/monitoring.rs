//! The shipped alerts, with the real promtool: each is valid, fires on a recorded series, and is silent otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

use bowline_testbed::assets::{Assets, Wanted};
use bowline_testbed::scratch::Scratch;
use bowline_testbed::tools::{self, Tool};
use serde::Deserialize;
use serde_yaml::Value;

fn promtool(folder: &Path, arguments: &[&str]) {
    let program = tools::path(Tool::Promtool).unwrap();
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
#[ignore = "builds promtool: make test"]
fn every_alert_fires_on_its_series_and_is_silent_otherwise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let scratch = Scratch::create().unwrap();
    let folder = scratch.path();
    // The object's `spec` is a file of rules.
    let object = fs::read_to_string(root.join("deploy/components/monitoring/prometheus-rule.yaml")).unwrap();
    let object: Value = serde_yaml::from_str(&object).unwrap();
    fs::write(folder.join("rules.yaml"), serde_yaml::to_string(&object["spec"]).unwrap()).unwrap();
    fs::copy(root.join("tests/testbed/monitoring/alerts.yaml"), folder.join("alerts.yaml")).unwrap();
    promtool(folder, &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    promtool(folder, &["test", "rules", "alerts.yaml"]);
}

fn documents(text: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    all.filter(|document| !document.is_null()).collect()
}

/// What the monitors select has to be what is deployed: a Service's labels and port, and a port of the portal's pods.
#[test]
#[ignore = "builds kubectl: make test"]
fn the_component_selects_what_is_deployed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let scratch = Scratch::create().unwrap();
    let component = scratch.path().join("monitoring");
    fs::create_dir(&component).unwrap();
    for file in fs::read_dir(root.join("deploy/components/monitoring")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), component.join(file.file_name())).unwrap();
    }
    let overlay =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\ncomponents: [monitoring]\n";
    fs::write(scratch.path().join("kustomization.yaml"), overlay).unwrap();
    let kubectl = Assets::locate(Wanted::Client).unwrap().kubectl();
    let output = Command::new(kubectl).arg("kustomize").arg(scratch.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = documents(&String::from_utf8(output.stdout).unwrap());
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == *kind).unwrap();

    let deployed =
        |path: &str| documents(&fs::read_to_string(root.join("deploy").join(path)).unwrap()).remove(0);
    let (service, portal) = (deployed("operator/service.yaml"), deployed("portal/deployment.yaml"));
    let monitor = &of_kind("ServiceMonitor")["spec"];
    assert_eq!(monitor["selector"]["matchLabels"], service["metadata"]["labels"]);
    assert_eq!(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert_eq!(monitor["namespaceSelector"]["matchNames"][0], service["metadata"]["namespace"]);
    let (pods, monitor) = (&portal["spec"]["template"], &of_kind("PodMonitor")["spec"]);
    assert_eq!(monitor["selector"]["matchLabels"], pods["metadata"]["labels"]);
    assert_eq!(monitor["namespaceSelector"]["matchNames"][0], portal["metadata"]["namespace"]);
    let container = &pods["spec"]["containers"][0];
    let port = container["ports"]
        .as_sequence()
        .unwrap()
        .iter()
        .find(|port| port["name"] == monitor["podMetricsEndpoints"][0]["port"]);
    let listens = format!("--metrics-listen=0.0.0.0:{}", port.unwrap()["containerPort"].as_u64().unwrap());
    assert!(
        container["args"].as_sequence().unwrap().iter().any(|argument| *argument == *listens),
        "{listens}"
    );
    let dashboard = of_kind("ConfigMap")["data"]["bowline.json"].as_str().unwrap();
    assert_eq!(dashboard, fs::read_to_string(component.join("dashboard.json")).unwrap());
}
