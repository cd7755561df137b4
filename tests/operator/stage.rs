//! A cluster with the shipped manifests and a running operator, and the sandbox as provider.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use bowline_testbed::access::{ADMIN, Access};
use bowline_testbed::cluster::Cluster;
use bowline_testbed::control_plane::Options;
use bowline_testbed::operator_process::{Operator, OperatorProcess};
use bowline_testbed::pod::Pod;
use bowline_testbed::random;
use bowline_testbed::release::Release;
use bowline_testbed::sandbox::{self, Sandbox};
use bowline_testbed::stage::{self, Binaries};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The operator's namespace.
pub const HOME: &str = "bowline-system";

pub use crate::PORTAL;

/// The programs under test.
pub fn binaries() -> Binaries {
    Binaries::beside(env!("CARGO_BIN_EXE_bowline"))
}

fn current() -> Release {
    Release::current(env!("CARGO_BIN_EXE_bowline"))
}

/// How long the operator doubts a first refusal of a grant here.
pub const SECOND_OPINION_AFTER: &str = "8s";

/// The arguments of every operator here; tests add to them.
const USUAL: &[&str] = &[
    "operator",
    "--namespace",
    HOME,
    "--allow-http-providers",
    "--provider-networks",
    "127.0.0.0/8",
    "--portal-url",
    PORTAL,
    "--disconnect-pause",
    "0s",
    "--min-refresh-interval",
    "2s",
    "--second-opinion-after",
    SECOND_OPINION_AFTER,
    "--published-label-prefix",
    "teams.example.com/",
    "--published-annotation-prefix",
    "reloader.stakater.com/",
];

/// A cluster and its operator.
pub struct Stage {
    pub access: Access,
    /// Whose programs run here: operator, portal and plug-in.
    pub release: Release,
    /// Dropped with the stage, unless the tests share it.
    own: Option<Cluster>,
    address: String,
    arguments: Vec<String>,
    /// Where the operator reaches the API server, if not at its own address.
    server: Option<SocketAddr>,
    operator: Mutex<Option<OperatorProcess>>,
    /// Keeps the volumes of its pod, if it has one.
    _pod: Option<Pod>,
}

impl Stage {
    /// The stage that most tests share: its operator is started once and ends with this process.
    pub async fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Arc<Stage>> = OnceCell::const_new();
        let stage = SHARED.get_or_init(|| async {
            let cluster = Cluster::shared().await.expect("a cluster");
            install(cluster).await;
            let stage = Self::on((**cluster).clone(), None, &[]);
            stage.start_operator().await;
            Arc::new(stage)
        });
        Arc::clone(stage.await)
    }

    /// A separate cluster and operator, for tests that kill, starve or uninstall.
    pub async fn fresh(arguments: &[&str]) -> Arc<Self> {
        let stage = Self::without_operator(arguments).await;
        stage.start_operator().await;
        stage
    }

    /// Like [`Stage::fresh`], before the operator is started for the first time.
    pub async fn without_operator(arguments: &[&str]) -> Arc<Self> {
        let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
        install(&cluster).await;
        Arc::new(Self::on((*cluster).clone(), Some(cluster), arguments))
    }

    /// Like [`Stage::without_operator`], of the previous release: with its manifests, and those of the usual arguments that
    /// it knows.
    #[allow(dead_code, reason = "tests/browser upgrades nothing")]
    pub async fn previous(arguments: &[&str]) -> Arc<Self> {
        let release = Release::previous().expect("the previous release");
        let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
        let manifests = release.sources.join("deploy");
        stage::Stage::install_from(&cluster, &manifests).await.expect("its manifests are applied");
        let mut stage = Self::on((*cluster).clone(), Some(cluster), arguments);
        stage.arguments = known(&release, stage.arguments);
        Arc::new(Self { release, ..stage })
    }

    /// Like [`Stage::fresh`], with an operator that knows the portal's address.
    pub async fn with_portal(portal: &str) -> Arc<Self> {
        let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
        install(&cluster).await;
        let mut stage = Self::on((*cluster).clone(), Some(cluster), &[]);
        let usual = stage.arguments.iter_mut().find(|argument| *argument == PORTAL);
        usual.expect("an address of the portal").replace_range(.., portal);
        stage.start_operator().await;
        Arc::new(stage)
    }

    /// Another replica of this stage's operator, which is not started yet.
    pub fn replica(&self, arguments: &[&str]) -> Arc<Self> {
        Arc::new(Self::on(self.access.clone(), None, arguments))
    }

    /// The cluster, if it belongs to this stage alone.
    pub fn cluster(&self) -> &Cluster {
        self.own.as_ref().expect("a cluster of its own")
    }

    /// Like [`Stage::without_operator`], from another kustomization; the operator gets the arguments of its Deployment.
    pub async fn of_deployment(kustomization: &Path) -> Arc<Self> {
        let cluster = Cluster::fresh(Options::default()).await.expect("a control plane");
        stage::Stage::install_from(&cluster, kustomization).await.expect("the manifests are applied");
        let client = cluster.client_for(ADMIN).await.expect("a client");
        let deployments: Api<Deployment> = Api::namespaced(client, HOME);
        let deployment = deployments.get("bowline").await.expect("the Deployment");
        let pod = deployment.spec.and_then(|spec| spec.template.spec).expect("a pod");
        let arguments = pod.containers[0].args.clone().expect("arguments");
        let arguments: Vec<_> =
            arguments.iter().map(String::as_str).filter(|word| *word != "operator").collect();
        Arc::new(Self::on((*cluster).clone(), Some(cluster), &arguments))
    }

    /// On a cluster that the test keeps, with an operator that reaches the API server at `server`.
    pub async fn behind(cluster: &Cluster, server: SocketAddr) -> Arc<Self> {
        install(cluster).await;
        let stage = Self { server: Some(server), ..Self::on((**cluster).clone(), None, &[]) };
        stage.start_operator().await;
        Arc::new(stage)
    }

    /// Where Bowline is installed already: the operator runs as the pod of its Deployment, with an address of its own. The stage
    /// keeps the cluster, if it is given one.
    #[allow(dead_code, reason = "tests/browser installs a release")]
    pub fn of_pod(access: &Access, cluster: Option<Cluster>, pod: Pod) -> Arc<Self> {
        let stage = Self::on(access.clone(), cluster, &[]);
        let mut arguments = pod.arguments.clone();
        arguments.extend(["--listen".to_owned(), stage.address.clone()]);
        Arc::new(Self { arguments, _pod: Some(pod), ..stage })
    }

    fn on(access: Access, cluster: Option<Cluster>, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", random::free_port().expect("a port"));
        let own = ["--listen", &address];
        let mut usual = USUAL.to_vec();
        // What the test sets itself counts.
        while let Some(place) =
            usual.iter().skip(1).position(|word| word.starts_with("--") && more.contains(word))
        {
            usual.drain(place + 1..place + 3);
        }
        let arguments = usual.iter().chain(&own).chain(more);
        let arguments = arguments.map(|argument| (*argument).to_owned()).collect();
        Self {
            access,
            release: current(),
            own: cluster,
            address,
            arguments,
            server: None,
            operator: Mutex::default(),
            _pod: None,
        }
    }

    /// Starts the operator and waits until it is ready.
    pub async fn start_operator(&self) {
        let started =
            self.with_operator(async |operator, access| OperatorProcess::start(access, operator).await);
        *self.operator.lock().unwrap() = Some(started.await.expect("the operator is ready"));
    }

    /// Starts the operator without waiting: it will not become ready.
    pub async fn spawn_operator(&self) {
        let started =
            self.with_operator(async |operator, access| OperatorProcess::spawn(access, operator).await);
        *self.operator.lock().unwrap() = Some(started.await.expect("the operator starts"));
    }

    async fn with_operator<T>(&self, start: impl AsyncFnOnce(Operator<'_>, &Access) -> T) -> T {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let elsewhere = match self.server {
            Some(server) => Some(self.kubeconfig_at(server).await),
            None => None,
        };
        let environment = elsewhere.as_deref().map(|kubeconfig| ("KUBECONFIG", kubeconfig));
        let environment: Vec<(&str, &str)> = environment.into_iter().collect();
        let operator = Operator {
            program: &self.release.binaries.operator,
            service_account: (HOME, "bowline"),
            arguments: &arguments,
            environment: &environment,
            readiness: &self.url("readyz"),
        };
        start(operator, &self.access).await
    }

    /// The operator's kubeconfig with another address of the API server.
    async fn kubeconfig_at(&self, server: SocketAddr) -> String {
        let path = self.access.service_account_kubeconfig(HOME, "bowline").await.expect("a kubeconfig");
        let mut kubeconfig: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://{server}"));
        let elsewhere = path.with_extension("elsewhere");
        fs::write(&elsewhere, kubeconfig.to_string()).unwrap();
        elsewhere.to_str().unwrap().to_owned()
    }

    /// SIGTERM: it commits what it has started.
    pub fn stop_operator(&self) {
        let operator = self.operator.lock().unwrap().take();
        let ended = operator.expect("an operator").terminate().expect("it ends");
        assert!(ended.is_some_and(|status| status.success()), "the operator did not end well: {ended:?}");
    }

    /// SIGKILL: it finishes nothing.
    pub fn kill_operator(&self) {
        let operator = self.operator.lock().unwrap().take();
        operator.expect("an operator").kill().expect("it is gone");
    }

    /// An address that the operator serves.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Status and body of an address that the operator serves; `None` while it does not listen.
    pub async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(self.url(path)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// The most memory that the operator has had so far, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let operator = self.operator.lock().unwrap();
        let id = operator.as_ref().expect("an operator").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Everything the operator has logged since it was started.
    pub fn logs(&self) -> String {
        let operator = self.operator.lock().unwrap();
        operator.as_ref().map_or_else(String::new, |operator| operator.logs().unwrap())
    }
}

/// The arguments without the flags that this release does not know, and their values.
fn known(release: &Release, arguments: Vec<String>) -> Vec<String> {
    let help = Command::new(&release.binaries.operator).args(["operator", "--help"]).output();
    let help = String::from_utf8(help.expect("its help").stdout).expect("text");
    let mut is_known = true;
    let known = arguments.into_iter().filter(|word| {
        if word.starts_with("--") {
            is_known = help.split_whitespace().any(|flag| flag == word);
        }
        is_known
    });
    known.collect()
}

async fn install(cluster: &Cluster) {
    stage::Stage::install(cluster).await.expect("the manifests are applied and in force");
}

/// The sandbox of this process. It serves on its own thread and outlives a test: the operator still has grants to revoke
/// then.
pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let (tell, hear) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tell.send(Sandbox::start(sandbox::Options::default()).await.expect("the sandbox starts"))
                    .unwrap();
                std::future::pending::<()>().await;
            });
        });
        hear.recv().unwrap()
    })
}
