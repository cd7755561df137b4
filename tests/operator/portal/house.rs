//! Portal processes with the rights that they ship with.

use std::path::Path;

use bowline_testbed::access::Access;
use bowline_testbed::operator_process::{Operator, OperatorProcess};
use bowline_testbed::random;
use tokio::sync::OnceCell;

use super::browser::Browser;
use crate::scene::Scene;
use crate::stage::PORTAL;

/// A portal process; killed when dropped.
pub struct Portal {
    process: OperatorProcess,
    pub address: String,
}

impl Portal {
    /// Starts one on the cluster of a scene, and waits until it is ready.
    pub async fn start(scene: &Scene, more: &[&str]) -> Self {
        let access = &scene.stage.access;
        install(access).await;
        let port = random::free_port().expect("a port");
        let (listen, address) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
        let usual = ["portal", "--listen", &listen, "--url", PORTAL, "--sign-in-with-token"];
        let arguments: Vec<&str> = usual.iter().chain(more).copied().collect();
        let portal = Operator {
            program: Path::new(env!("CARGO_BIN_EXE_bowline")),
            service_account: ("bowline-portal", "bowline-portal"),
            arguments: &arguments,
            environment: &[],
            readiness: &format!("{address}/readyz"),
        };
        let process = OperatorProcess::start(access, portal).await.expect("the portal is ready");
        Self { process, address }
    }

    /// Everything it has logged.
    pub fn logs(&self) -> String {
        self.process.logs().expect("its log")
    }

    /// A browser of nobody.
    pub fn browser(&self) -> Browser {
        Browser::at(&self.address)
    }

    /// A browser in which this user has signed in.
    pub async fn browser_of(&self, scene: &Scene, user: &str) -> Browser {
        let browser = self.browser();
        let page = browser.sign_in(&token(&scene.stage.access, user)).await;
        assert_eq!((page.status, page.location.as_str()), (303, "/connections"), "{}", page.text);
        browser
    }
}

/// The shipped manifests of the portal, once; without pods: the portal is our process.
async fn install(access: &Access) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    INSTALLED
        .get_or_init(|| async {
            access.apply_kustomize(&root.join("deploy/portal")).await.expect("deploy/portal is applied");
            let scale = ["-n", "bowline-portal", "scale", "deployment/bowline-portal", "--replicas=0"];
            assert!(access.kubectl(&scale).await.expect("kubectl").status.success());
        })
        .await;
}

/// The token that a plain user's kubeconfig holds.
pub fn token(access: &Access, user: &str) -> String {
    let path = access.kubeconfig_for(user).expect("a kubeconfig");
    let kubeconfig: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["token"].as_str().expect("a token").to_owned()
}
