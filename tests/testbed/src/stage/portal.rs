//! The portal as a separate process, with its shipped rights.

use std::{fs, path::Path};

use serde_json::json;
use url::Url;

use super::Binaries;
use crate::{
    access::{ADMIN, Access, USERS_GROUP},
    assets::workspace,
    browser::{Browser, Page},
    cluster::Cluster,
    error::Error,
    objects::Objects,
    operator_process::{Operator, OperatorProcess},
    random,
};

/// The portal's namespace; the shipped manifests say so.
pub const PORTAL_NAMESPACE: &str = "bowline-portal";

/// The portal's `ServiceAccount`.
const SERVICE_ACCOUNT: &str = "bowline-portal";

/// The address of a portal, before it runs: operator and provider have to know it.
#[derive(Debug, Clone)]
pub struct PortalAddress {
    port: u16,
}

impl PortalAddress {
    /// A free port of this machine.
    pub fn choose() -> Result<Self, Error> {
        Ok(Self { port: random::free_port()? })
    }

    /// The address for browsers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The redirect URI for a provider object of this name.
    pub fn callback(&self, provider: &str) -> String {
        format!("{}/callback/{provider}", self.url())
    }

    fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// How plain users prove their identity to the portal.
#[derive(Debug)]
enum Proof {
    /// With the tokens of their kubeconfigs.
    Token,
    /// On another cluster they have none: a proxy that knows this secret names the user, and we play that proxy.
    Proxy(String),
}

/// A running portal; killed when dropped.
#[derive(Debug)]
pub struct Portal {
    process: OperatorProcess,
    url: Url,
    proof: Proof,
}

impl Portal {
    /// Installs deploy/portal, without its pods.
    pub async fn install(access: &Access) -> Result<(), Error> {
        access.apply_kustomize(&workspace().join("deploy/portal")).await?;
        let admin = Objects::new(access.client_for(ADMIN).await?);
        let path = format!("/apis/apps/v1/namespaces/{PORTAL_NAMESPACE}/deployments/bowline-portal");
        admin.merge(&path, &json!({"spec": {"replicas": 0}})).await.map(drop)
    }

    /// Starts it with its `ServiceAccount`'s token, and waits until it is ready.
    pub async fn start(cluster: &Cluster, at: &PortalAddress, binaries: &Binaries) -> Result<Self, Error> {
        let (url, listen) = (at.url(), at.listen());
        let proof = if cluster.is_foreign() { Proof::Proxy(random::hex(32)?) } else { Proof::Token };
        let secret_file = cluster.directory().join("proxy-secret");
        let mut arguments = vec!["portal", "--listen", &listen, "--url", &url, "--allow-insecure-http"];
        arguments.push("--trusted-proxies=none");
        match &proof {
            Proof::Token => arguments.push("--sign-in-with-token"),
            Proof::Proxy(secret) => {
                fs::write(&secret_file, secret).map_err(Error::io("write", &secret_file))?;
                arguments.extend(["--proxy-secret-file", path_text(&secret_file)?]);
            }
        }
        let portal = Operator {
            program: &binaries.operator,
            service_account: (PORTAL_NAMESPACE, SERVICE_ACCOUNT),
            arguments: &arguments,
            environment: &[],
            readiness: &format!("{url}/readyz"),
        };
        let process = OperatorProcess::start(cluster, portal).await?;
        Ok(Self { process, url: parsed(&url)?, proof })
    }

    /// The process.
    pub fn process(&self) -> &OperatorProcess {
        &self.process
    }

    /// SIGTERM, and waits until it has ended.
    pub fn end(&mut self) -> Result<(), Error> {
        self.process.terminate().map(drop)
    }

    /// Whether people sign in with a token of the cluster.
    pub fn takes_tokens(&self) -> bool {
        matches!(self.proof, Proof::Token)
    }

    /// A page of it.
    pub fn page(&self, path: &str) -> Url {
        let mut page = self.url.clone();
        page.set_path(path);
        page
    }

    /// A browser in which this user has signed in, and how the user's identity was proved.
    pub async fn browser_of(&self, access: &Access, user: &str) -> Result<(Browser, &'static str), Error> {
        match &self.proof {
            Proof::Token => {
                let browser = Browser::new()?;
                let page = browser.open(self.page("/sign-in")).await?;
                let form = page.form("/sign-in/token")?.with("token", &access.token_of(user)?);
                let page = browser.submit(&page, &form).await?;
                is_in(&page, user).map(|()| (browser, "with a token of the cluster"))
            }
            Proof::Proxy(secret) => {
                let headers = vec![
                    ("x-bowline-proxy-secret", secret.clone()),
                    ("x-forwarded-user", user.to_owned()),
                    ("x-forwarded-groups", USERS_GROUP.to_owned()),
                ];
                let browser = Browser::new()?.proxied(&self.url, headers);
                let page = browser.open(self.page("/connections")).await?;
                is_in(&page, user).map(|()| (browser, "by a proxy that vouches"))
            }
        }
    }
}

fn is_in(page: &Page, user: &str) -> Result<(), Error> {
    if page.says(&format!("Signed in as {user}")) {
        return Ok(());
    }
    Err(page.lacks(&format!("word that {user} is signed in")))
}

fn path_text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Unexpected {
        what: "the directory of this run".to_owned(),
        seen: format!("{} is not UTF-8", path.display()),
    })
}

fn parsed(url: &str) -> Result<Url, Error> {
    Url::parse(url).map_err(|error| Error::Unexpected { what: url.to_owned(), seen: error.to_string() })
}
