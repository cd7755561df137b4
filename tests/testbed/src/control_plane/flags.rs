//! The flags of the three processes.

use std::path::Path;

use super::Layout;

/// Who requested what, without bodies (they would contain Secrets). Health checks are left out.
pub(super) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    nonResourceURLs: [/healthz*, /livez*, /readyz*]
  - level: Metadata
";

/// Megabytes until the audit log is rotated: never, tests read it as one file.
const AUDIT_MEGABYTES: u32 = 100_000;

/// The controllers that Bowline interacts with; no pods run here.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
serviceaccount-token-controller,resourcequota-controller,root-ca-certificate-publisher-controller,\
clusterrole-aggregation-controller,validatingadmissionpolicy-status-controller";

/// etcd on Unix sockets: it uses no port, so nothing can conflict with it or reach it.
pub(super) fn etcd(layout: &Layout, durable: bool) -> Vec<String> {
    // A single member announces its addresses to nobody, but they must look like addresses.
    let nobody = "http://127.0.0.1:2380";
    let mut flags = vec![
        "--name=testbed".to_owned(),
        format!("--data-dir={}", layout.path("etcd").display()),
        format!("--listen-client-urls={}", etcd_url(layout)),
        format!("--advertise-client-urls={nobody}"),
        format!("--listen-peer-urls=unix://{}", layout.path("peer.sock").display()),
        format!("--initial-advertise-peer-urls={nobody}"),
        format!("--initial-cluster=testbed={nobody}"),
        "--log-level=warn".to_owned(),
    ];
    if !durable {
        flags.push("--unsafe-no-fsync".to_owned());
    }
    flags
}

pub(super) fn api_server(layout: &Layout, port: u16) -> Vec<String> {
    let path = |name: &str| layout.path(name).display().to_string();
    vec![
        format!("--etcd-servers={}", etcd_url(layout)),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // It signs its own certificate into this directory, and uses it again after a restart.
        format!("--cert-dir={}", path("certificates")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", path("tokens.csv")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", path("signing.pub")),
        format!("--service-account-signing-key-file={}", path("signing.key")),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        format!("--audit-policy-file={}", path("audit-policy.yaml")),
        format!("--audit-log-path={}", path("audit.log")),
        format!("--audit-log-maxsize={AUDIT_MEGABYTES}"),
        "--profiling=false".to_owned(),
    ]
}

pub(super) fn controller_manager(layout: &Layout, kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        // Each controller acts under its real name, which admission rules and the audit log then see.
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", layout.path("signing.key").display()),
        format!("--root-ca-file={}", layout.authority().display()),
        format!("--controllers={CONTROLLERS}"),
        "--leader-elect=false".to_owned(),
        // It serves nothing.
        "--secure-port=0".to_owned(),
    ]
}

fn etcd_url(layout: &Layout) -> String {
    format!("unix://{}", layout.path("etcd.sock").display())
}
