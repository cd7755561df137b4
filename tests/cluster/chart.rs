//! The Helm chart: it makes what kustomize makes of the same choices, and is whole.
//!
//! Real Helm, and no cluster. values.rs has what it makes of values; release.rs installs it.

use std::fs;
use std::path::Path;

use bowline_testbed::helm::{Helm, Rendered, kustomize};
use bowline_testbed::scratch::Scratch;
use serde_json::Value;

use crate::values::OIDC;

/// Values with which the portal's shipped manifests are the chart's.
pub const PORTAL: &str = r"
portal:
  enabled: true
  url: https://bowline.example.com
  trustedProxies: [none]
  signIn: {token: {enabled: true}}
";

/// Values that choose everything, as [`Checkout::everything`] does.
pub const EVERYTHING: &str = "
portal:
  enabled: true
  url: https://bowline.example.com
  trustedProxies: [none]
  signIn:
    token: {enabled: true}
    oidc:
      issuer: https://login.example.com
      clientID: bowline
      clientSecret: {name: portal-oidc}
      usernameClaim: email
      usernamePrefix: 'oidc:'
      groupsPrefix: 'oidc:'
  networkPolicy: {enabled: true}
  autoscaling: {enabled: true}
  ingress: {enabled: true}
  httpRoute: {enabled: true, parentRefs: [{name: public, namespace: gateways}]}
secrets: {mode: ClusterWide}
termsStamp: {enabled: true}
monitoring: {rules: {enabled: true}, monitors: {enabled: true}, dashboard: {enabled: true}}
operator: {networkPolicy: {enabled: true}}
";

/// A user's copy of the repository's manifests.
pub struct Checkout(Scratch);

impl Checkout {
    fn new() -> Self {
        let scratch = Scratch::create().expect("a directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["deploy", "crds"] {
            copy(&root.join(part), &scratch.path().join(part));
        }
        Self(scratch)
    }

    /// With every component that can be chosen beside the others.
    pub fn everything() -> Self {
        let all = Checkout::new();
        let chosen = [
            "portal",
            "components/terms-stamp",
            "components/network-policy",
            "components/portal-oidc",
            "components/portal-network-policy",
            "components/portal-ingress",
            "components/portal-gateway",
            "components/portal-autoscaling",
            "components/monitoring",
        ];
        for name in chosen {
            all.edit("deploy/kustomization.yaml", &[(&format!("  # - {name}\n"), &format!("  - {name}\n"))]);
        }
        let args = "args: [operator, --journal-dir=/var/lib/bowline/answers]";
        let told = "args: [operator, --journal-dir=/var/lib/bowline/answers, '--portal-url=https://bowline.example.com']";
        all.edit("deploy/operator/deployment.yaml", &[(args, told)]);
        all
    }

    /// Replaces lines of a file, which must be there.
    fn edit(&self, path: &str, changes: &[(&str, &str)]) {
        let path = self.0.path().join(path);
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{} does not contain {from}", path.display());
            text = text.replace(from, to);
        }
        fs::write(path, text).unwrap();
    }

    pub async fn rendered(&self) -> Rendered {
        kustomize(&self.0.path().join("deploy")).await.expect("kustomize renders it")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Without what belongs to the tool: its own label and annotation, and the namespace that `--create-namespace` makes.
fn compared(rendered: Rendered) -> Rendered {
    let mut rendered = rendered;
    rendered.remove("Namespace /bowline-system");
    for object in rendered.values_mut() {
        for place in ["/metadata/labels", "/spec/template/metadata/labels"] {
            let labels = object.pointer_mut(place).and_then(Value::as_object_mut);
            let by = labels.and_then(|labels| labels.remove("app.kubernetes.io/managed-by"));
            assert!(by.is_some() || place != "/metadata/labels", "nobody manages {}", object["metadata"]);
        }
        // The order of flags says nothing.
        if let Some(args) = object.pointer_mut("/spec/template/spec/containers/0/args") {
            args.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
            annotations.remove("helm.sh/resource-policy");
            if annotations.is_empty() {
                object["metadata"].as_object_mut().unwrap().remove("annotations");
            }
        }
    }
    rendered
}

/// The first place where two objects differ, with what the chart has there, and the manifests.
fn difference(place: &str, chart: &Value, manifest: &Value) -> Option<String> {
    match (chart, manifest) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            let at = |object: &serde_json::Map<_, _>, key| object.get(key).cloned().unwrap_or_default();
            keys.into_iter()
                .find_map(|key| difference(&format!("{place}/{key}"), &at(one, key), &at(other, key)))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(index, (one, other))| difference(&format!("{place}/{index}"), one, other)),
        _ => (chart != manifest).then(|| format!("{place}: {chart} in the chart, {manifest} in deploy/")),
    }
}

async fn must_be_equal(what: &str, checkout: &Checkout, values: &str) {
    let helm = Helm::offline().expect("helm");
    let chart = compared(helm.template("bowline", "bowline-system", values).await.expect("helm renders it"));
    let manifests = compared(checkout.rendered().await);
    assert!(manifests.len() > 60, "only {} objects", manifests.len());
    let names = |one: &Rendered, other: &Rendered| {
        let only = one.keys().filter(|name| !other.contains_key(*name));
        only.cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&chart, &manifests), [""; 0], "{what}: only in the chart");
    assert_eq!(names(&manifests, &chart), [""; 0], "{what}: only in deploy/");
    for (name, object) in &chart {
        if let Some(difference) = difference("", object, &manifests[name]) {
            panic!("{what}: {name}: {difference}");
        }
    }
}

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn chart_and_manifests_install_the_same() {
    must_be_equal("as shipped", &Checkout::new(), "secrets: {mode: ClusterWide}").await;

    let narrow = Checkout::new();
    narrow.edit(
        "deploy/kustomization.yaml",
        &[
            ("  - components/secrets-cluster-wide\n", ""),
            ("  # - components/secrets-namespaced", "  - components/secrets-namespaced"),
        ],
    );
    let component = "deploy/components/secrets-namespaced";
    let other = narrow.0.path().join(component).join("other-binding.yaml");
    let binding = fs::read_to_string(other.with_file_name("example-binding.yaml")).unwrap();
    fs::write(&other, binding.replace("team-a", "team-b")).unwrap();
    let bindings = "  - role.yaml\n  - example-binding.yaml\n  - other-binding.yaml\n";
    narrow.edit(&format!("{component}/kustomization.yaml"), &[("  - role.yaml\n", bindings)]);
    must_be_equal("in two namespaces", &narrow, "secrets: {namespaces: [team-a, team-b]}").await;
}

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn chart_and_manifests_install_the_same_with_everything_chosen() {
    let all = Checkout::everything();
    must_be_equal("with everything", &all, EVERYTHING).await;
}

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn chart_and_manifests_install_the_same_with_a_kms() {
    let kms = Checkout::new();
    kms.edit("deploy/kustomization.yaml", &[("  # - components/kms\n", "  - components/kms\n")]);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let mut shown = page.split("```yaml\n").filter_map(|rest| Some(rest.split_once("```")?.0));
    let shown = shown.find(|block| block.contains("kms-socket")).expect("values in the page");
    // The plug-in's container is everybody's own.
    let (without_plugin, _) = shown.split_once("  extraContainers:").expect("a container");
    must_be_equal("with a KMS", &kms, &format!("secrets: {{mode: ClusterWide}}\n{without_plugin}")).await;
    let helm = Helm::offline().expect("helm");
    helm.template("bowline", "bowline-system", shown).await.expect("the page's values are accepted");
}

/// The blocks of values in a page.
fn shown_in(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks = blocks.map(|block| {
        let indent = block.len() - block.trim_start().len();
        block.lines().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
    });
    blocks.filter(|block| block.starts_with("portal:\n")).collect()
}

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn values_that_pages_show_are_accepted() {
    let helm = Helm::offline().expect("helm");
    for page in ["docs/portal.md", "charts/bowline/README.md"] {
        let shown = shown_in(page);
        assert_eq!(shown.len(), 1, "{page}");
        let rendered = helm.template("bowline", "bowline-system", &shown[0]).await.expect(page);
        assert!(rendered.contains_key("Ingress bowline-portal/bowline-portal"), "{page}");
    }
}

#[tokio::test]
#[ignore = "needs helm: make test"]
async fn helm_lints_the_chart_and_its_package_is_whole() {
    let helm = Helm::offline().expect("helm");
    let chart = Helm::chart();
    for values in ["{}", OIDC, PORTAL] {
        let said = helm.run(&["lint", "--strict", &chart.to_string_lossy()], values).await.expect("lint");
        assert!(said.contains("0 chart(s) failed"), "{said}");
    }
    // A package has no links.
    let copy = helm.copy_of_chart("copy").expect("a copy");
    let folder = copy.parent().unwrap().to_str().unwrap().to_owned();
    helm.run(&["package", &chart.to_string_lossy(), "-d", &folder], "").await.expect("a package");
    let package = format!("{folder}/bowline-{}.tgz", env!("CARGO_PKG_VERSION"));
    let from_package = helm.run(&["template", "bowline", &package], PORTAL).await.expect("rendered");
    let from_checkout = helm.run(&["template", "bowline", &chart.to_string_lossy()], PORTAL).await.unwrap();
    assert_eq!(from_package, from_checkout);
}
