//! Portal processes with their shipped rights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bowline_api::IntegrationConnection;
use bowline_portal::testing::{KEY_SECRET, SessionKeys};
use bowline_testbed::access::Access;
use bowline_testbed::operator_process::{Operator, OperatorProcess};
use bowline_testbed::pod::Pod;
use bowline_testbed::random;
use bowline_testbed::release::Release;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::browser::Browser;
use crate::looking::until;
use crate::scene::{Scene, parsed};
use crate::stage::PORTAL;

static ALONE: Mutex<()> = Mutex::const_new(());

/// A portal process; killed when dropped.
pub struct Portal {
    process: OperatorProcess,
    pub address: String,
    /// Keeps the volumes of its pod, if it has one.
    _pod: Option<Pod>,
}

impl Portal {
    /// Starts a portal on the cluster of a scene, and waits until it is ready.
    pub async fn start(scene: &Scene, more: &[&str]) -> Self {
        let (access, release) = (&scene.stage.access, &scene.stage.release);
        install(access, release).await;
        let port = random::free_port().expect("a port");
        let (listen, address) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
        let usual = ["portal", "--listen", &listen, "--url", PORTAL, "--sign-in-with-token"];
        let decided = more.iter().any(|flag| flag.starts_with("--trusted-proxies"));
        let direct = (!decided).then_some("--trusted-proxies=none");
        let arguments: Vec<&str> = usual.into_iter().chain(direct).chain(more.iter().copied()).collect();
        let portal = Operator {
            program: &release.binaries.operator,
            service_account: ("bowline-portal", "bowline-portal"),
            arguments: &arguments,
            environment: &[],
            readiness: &format!("{address}/readyz"),
        };
        // The account's kubeconfig is one file, written again for each process.
        let _alone = ALONE.lock().await;
        let process = OperatorProcess::start(access, portal).await.expect("the portal is ready");
        Self { process, address, _pod: None }
    }

    /// The pod of an installed Deployment, with an address of its own.
    #[allow(dead_code, reason = "tests/browser installs a release")]
    pub async fn of_pod(access: &Access, pod: Pod) -> Self {
        let port = random::free_port().expect("a port");
        let (listen, address) = (format!("--listen=127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
        let arguments: Vec<&str> =
            pod.arguments.iter().map(String::as_str).chain([listen.as_str()]).collect();
        let portal = Operator {
            program: Path::new(env!("CARGO_BIN_EXE_bowline")),
            service_account: (&pod.service_account.0, &pod.service_account.1),
            arguments: &arguments,
            environment: &[],
            readiness: &format!("{address}/readyz"),
        };
        let process = OperatorProcess::start(access, portal).await.expect("the portal is ready");
        Self { process, address, _pod: Some(pod) }
    }

    /// Everything it has logged.
    pub fn logs(&self) -> String {
        self.process.logs().expect("its log")
    }

    /// Sends bytes that no browser would send, and returns the beginning of the answer.
    pub async fn raw(&self, bytes: &str) -> String {
        let mut stream =
            TcpStream::connect(self.address.trim_start_matches("http://")).await.expect("a connection");
        // It may hang up before everything is sent.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = vec![0; 200];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// Sends a request on a connection of its own, and leaves that open; with the status of the answer.
    pub async fn stream(&self, request: &str) -> (TcpStream, u16) {
        let mut stream =
            TcpStream::connect(self.address.trim_start_matches("http://")).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        let status = String::from_utf8_lossy(&answer[9..]).parse().expect("a status");
        (stream, status)
    }

    /// A browser in which nobody has signed in.
    pub fn browser(&self) -> Browser {
        Browser::at(&self.address)
    }

    /// The same, on the machine with this address of ours.
    pub fn browser_on(&self, host: &str) -> Browser {
        Browser::on(Some(host.parse().expect("an address")), &self.address)
    }

    /// A browser in which this user has signed in.
    pub async fn browser_of(&self, scene: &Scene, user: &str) -> Browser {
        let browser = self.browser();
        let page = browser.sign_in(&token(&scene.stage.access, user)).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/connections"), "{}", page.text);
        browser
    }
}

/// The manifests of a release's portal, once per cluster; without pods: the portal is our process.
async fn install(access: &Access, release: &Release) {
    static INSTALLED: Mutex<BTreeSet<(PathBuf, PathBuf)>> = Mutex::const_new(BTreeSet::new());
    let mut installed = INSTALLED.lock().await;
    let which = (access.directory().to_owned(), release.sources.clone());
    if installed.contains(&which) {
        return;
    }
    access.apply_kustomize(&release.sources.join("deploy/portal")).await.expect("deploy/portal is applied");
    let scale = ["-n", "bowline-portal", "scale", "deployment/bowline-portal", "--replicas=0"];
    assert!(access.kubectl(&scale).await.expect("kubectl").status.success());
    installed.insert(which);
}

/// The key with which the portals of this cluster seal cookies.
pub async fn session_key(it: &Scene) -> SessionKeys {
    let secret = it.secrets("bowline-portal").get(KEY_SECRET).await.expect("the session key");
    SessionKeys::new(&secret.data.unwrap().pop_first().unwrap().1.0).unwrap()
}

/// The token in a plain user's kubeconfig.
pub fn token(access: &Access, user: &str) -> String {
    let path = access.kubeconfig_for(user).expect("a kubeconfig");
    let kubeconfig: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["token"].as_str().expect("a token").to_owned()
}

/// Lets this user edit in the scene's namespace. Attempts are counted per user, so the users who connect in a browser here
/// are not alice, who connects in other tests of this binary.
pub async fn admit(it: &Scene, user: &str) {
    let binding: RoleBinding = parsed(json!({
        "metadata": {"name": format!("edit-{user}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }));
    it.create(&it.namespace, &binding).await;
}

/// A connection of this user's that awaits its owner's authorization.
pub async fn waiting(it: &Scene, user: &str, name: &str) {
    let object: IntegrationConnection = parsed(json!({
        "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name}, "spec": {"provider": it.name, "owner": user},
    }));
    let client = it.stage.access.client_for(user).await.expect("a client");
    let connections: Api<IntegrationConnection> = Api::namespaced(client, &it.namespace);
    until("the right to make connections", async || {
        let made = connections.create(&PostParams::default(), &object).await;
        made.map(drop).map_err(|error| error.to_string())
    })
    .await;
    it.until_reason(name, "Authorized", "AwaitingAuthorization").await;
}
