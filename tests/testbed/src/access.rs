//! Access to a cluster as one of its users.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Client,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::{audit::Audit, error::Error, tls::install_tls};

/// The cluster's administrator, in `system:masters`.
pub const ADMIN: &str = "admin";

/// Users, people and pipelines, without any rights of their own.
pub const PLAIN_USERS: [&str; 5] = ["alice", "bob", "carol", "mallory", "gitops"];

/// The group of every plain user.
pub const USERS_GROUP: &str = "bowline:users";

/// How long a `ServiceAccount`'s token lives: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Kubeconfigs, clients and `kubectl` for the users of one cluster.
///
/// It is only a directory, so another process can use it too.
#[derive(Debug, Clone)]
pub struct Access {
    directory: PathBuf,
    kubectl: PathBuf,
}

impl Access {
    /// The access that another process has written into `directory`.
    pub fn attach(directory: PathBuf, kubectl: PathBuf) -> Self {
        Self { directory, kubectl }
    }

    /// Another cluster: its kubeconfig's own user impersonates the plain users, so that must be an administrator.
    pub async fn to_cluster(kubeconfig: &Path, directory: PathBuf, kubectl: PathBuf) -> Result<Self, Error> {
        let access = Self::attach(directory, kubectl);
        let admin = access.path_for(ADMIN);
        access.create_directory()?;
        // One context, with certificates in the file: it can then be read from any directory.
        let arguments = ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"];
        let flat = access.run_kubectl(kubeconfig, &arguments, "").await?;
        let flat = success(&arguments, flat)?;
        let flat: Value = serde_json::from_slice(&flat.stdout)
            .map_err(|source| Error::Parse { path: admin.clone(), source })?;
        write_private(&admin, &flat)?;
        for user in PLAIN_USERS {
            let mut identity = flat["users"][0]["user"].clone();
            identity["as"] = json!(user);
            identity["as-groups"] = json!([USERS_GROUP, "system:authenticated"]);
            access.write_kubeconfig(user, identity)?;
        }
        Ok(access)
    }

    /// Writes the kubeconfigs of a control plane of ours.
    pub(crate) fn write<'a>(
        &self,
        server: &str,
        authority: &Path,
        tokens: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Error> {
        self.create_directory()?;
        for (user, token) in tokens {
            let kubeconfig = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{
                    "name": "testbed",
                    "cluster": {"server": server, "certificate-authority": authority},
                }],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
                "current-context": "testbed",
            });
            write_private(&self.path_for(user), &kubeconfig)?;
        }
        Ok(())
    }

    /// The directory for [`Access::attach`].
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The `kubectl` that fits the cluster.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// The kubeconfig of [`ADMIN`] or of one of [`PLAIN_USERS`].
    pub fn kubeconfig_for(&self, user: &str) -> Result<PathBuf, Error> {
        let path = self.path_for(user);
        if path.is_file() { Ok(path) } else { Err(Error::UnknownUser { user: user.to_owned() }) }
    }

    /// The token in a plain user's kubeconfig. On another cluster plain users have none.
    pub fn token_of(&self, user: &str) -> Result<String, Error> {
        let path = self.kubeconfig_for(user)?;
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let kubeconfig: Value =
            serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })?;
        let token = kubeconfig["users"][0]["user"]["token"].as_str();
        token.map(ToOwned::to_owned).ok_or_else(|| Error::UnknownUser { user: user.to_owned() })
    }

    /// A client that acts as `user` and never retries by itself. It belongs to the current Tokio runtime.
    pub async fn client_for(&self, user: &str) -> Result<Client, Error> {
        client(&self.kubeconfig_for(user)?).await
    }

    /// A kubeconfig with a fresh token of the `ServiceAccount`, good for 24 hours.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client_for(ADMIN).await?, namespace);
        let mut request = TokenRequest::default();
        request.spec.expiration_seconds = Some(TOKEN_SECONDS);
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let status = answer
            .status
            .ok_or_else(|| Error::NoToken { namespace: namespace.to_owned(), name: name.to_owned() })?;
        self.write_kubeconfig(&format!("{namespace}.{name}"), json!({"token": status.token}))
    }

    /// The audit log, if we can read it.
    pub fn audit(&self) -> Result<Audit, Error> {
        let path = self.audit_path();
        if path.is_file() { Ok(Audit::at(path)) } else { Err(Error::NoAuditLog) }
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    /// Runs `kubectl` as administrator, whatever its exit code.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.kubectl_as(ADMIN, arguments).await
    }

    /// Runs `kubectl` as `user`, whatever its exit code.
    pub async fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Result<Output, Error> {
        self.run_kubectl(&self.kubeconfig_for(user)?, arguments, "").await
    }

    /// Applies a kustomization's directory as administrator, and takes back fields that others have changed since.
    pub async fn apply_kustomize(&self, directory: &Path) -> Result<(), Error> {
        let directory = directory.to_string_lossy();
        self.apply(ADMIN, &["--force-conflicts", "-k", &directory], "").await
    }

    /// Applies YAML (one or several documents) as administrator.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<(), Error> {
        self.apply_yaml_as(ADMIN, yaml).await
    }

    /// Applies YAML as `user`.
    pub async fn apply_yaml_as(&self, user: &str, yaml: &str) -> Result<(), Error> {
        self.apply(user, &["-f", "-"], yaml).await
    }

    async fn apply(&self, user: &str, what: &[&str], input: &str) -> Result<(), Error> {
        let arguments = [&["apply", "--server-side"], what].concat();
        let output = self.run_kubectl(&self.kubeconfig_for(user)?, &arguments, input).await?;
        success(&arguments, output).map(drop)
    }

    async fn run_kubectl(&self, kubeconfig: &Path, arguments: &[&str], input: &str) -> Result<Output, Error> {
        let failed = || Error::io("run", &self.kubectl);
        let mut child = tokio::process::Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            // Its discovery cache is keyed by server address, and other clusters use the same ports later.
            .arg("--cache-dir")
            .arg(self.directory.join("kubectl-cache"))
            .args(arguments.iter().map(OsStr::new))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed())?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading; its exit code then says more than our broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await.map_err(failed())
    }

    fn path_for(&self, user: &str) -> PathBuf {
        self.directory.join("kubeconfig").join(user)
    }

    fn create_directory(&self) -> Result<(), Error> {
        let directory = self.directory.join("kubeconfig");
        fs::create_dir_all(&directory).map_err(Error::io("create", directory))
    }

    /// The administrator's kubeconfig with another identity.
    fn write_kubeconfig(&self, user: &str, identity: Value) -> Result<PathBuf, Error> {
        let admin = self.path_for(ADMIN);
        let text = fs::read(&admin).map_err(Error::io("read", &admin))?;
        let mut kubeconfig: Value =
            serde_json::from_slice(&text).map_err(|source| Error::Parse { path: admin, source })?;
        kubeconfig["users"][0]["user"] = identity;
        let path = self.path_for(user);
        write_private(&path, &kubeconfig)?;
        Ok(path)
    }
}

/// A client from a kubeconfig file, without the default of retrying refused requests for minutes.
pub async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    install_tls();
    let options = KubeConfigOptions::default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

fn success(arguments: &[&str], output: Output) -> Result<Output, Error> {
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Kubectl {
        arguments: arguments.join(" "),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// JSON is YAML, so a kubeconfig may be JSON. Only we can read the directory above.
fn write_private(path: &Path, kubeconfig: &Value) -> Result<(), Error> {
    fs::write(path, kubeconfig.to_string()).map_err(Error::io("write", path))
}
