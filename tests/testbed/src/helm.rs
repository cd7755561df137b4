//! The real Helm, with caches and settings of its own, and the objects of what it and kustomize render.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::{
    access::{ADMIN, Access},
    assets::workspace,
    error::Error,
    scratch::Scratch,
    tools::{self, Tool},
};

/// Objects by `Kind namespace/name`.
pub type Rendered = BTreeMap<String, Value>;

/// Where the definition of connections limits the length of display names.
pub const NAME_LIMIT: &str =
    "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/displayName/maxLength";

/// Helm, for one cluster or for none.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: Scratch,
}

impl Helm {
    /// For what needs no cluster: lint, template, package.
    pub fn offline() -> Result<Self, Error> {
        Ok(Self { program: tools::path(Tool::Helm)?, kubeconfig: None, home: Scratch::create()? })
    }

    /// As administrator of a cluster.
    pub fn on(access: &Access) -> Result<Self, Error> {
        Ok(Self { kubeconfig: Some(access.kubeconfig_for(ADMIN)?), ..Self::offline()? })
    }

    /// The shipped chart.
    pub fn chart() -> PathBuf {
        workspace().join("charts/bowline")
    }

    /// A copy of the shipped chart as a package has it, without links, for a test to change. It is removed with this value.
    pub fn copy_of_chart(&self, name: &str) -> Result<PathBuf, Error> {
        let copy = self.home.path().join(name);
        copy_folder(&Self::chart(), &copy)?;
        Ok(copy)
    }

    /// The chart of a version to come, whose schema refuses display names longer than a letter.
    pub fn later_chart(&self) -> Result<PathBuf, Error> {
        let chart = self.copy_of_chart("later")?;
        let path = chart.join("files/crds/bowline.dev_integrationconnections.yaml");
        let wrong = |error: serde_yaml::Error| Error::io("parse", &path)(std::io::Error::other(error));
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let mut definition: Value = serde_yaml::from_str(&text).map_err(wrong)?;
        if let Some(limit) = definition.pointer_mut(NAME_LIMIT) {
            *limit = json!(1);
        }
        let text = serde_yaml::to_string(&definition).map_err(wrong)?;
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        Ok(chart)
    }

    /// Runs a command; `values` is YAML, given by `-f -` where there is any. What it prints, or what it complains about.
    ///
    /// # Errors
    /// When it cannot be run, or ends badly ([`Error::Helm`]).
    pub async fn run(&self, arguments: &[&str], values: &str) -> Result<String, Error> {
        let failed = || Error::io("run", &self.program);
        let mut command = tokio::process::Command::new(&self.program);
        command.args(arguments).args((!values.is_empty()).then_some(["-f", "-"]).into_iter().flatten());
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.path().join(folder));
        }
        // Without a cluster, none must be found.
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed())?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading; its exit code then says more than our broken pipe.
            let _ = stdin.write_all(values.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Helm { arguments: arguments.join(" "), stderr });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The objects of the shipped chart with these values, as a release of this name and namespace.
    pub async fn template(&self, release: &str, namespace: &str, values: &str) -> Result<Rendered, Error> {
        let chart = Self::chart();
        let arguments = ["template", release, &chart.to_string_lossy(), "-n", namespace, "--skip-tests"];
        objects(&self.run(&arguments, values).await?)
    }
}

/// What `kustomize build` makes of a folder.
///
/// # Errors
/// When it cannot be run, or refuses the folder ([`Error::Helm`]).
pub async fn kustomize(directory: &Path) -> Result<Rendered, Error> {
    let program = tools::path(Tool::Kustomize)?;
    let failed = || Error::io("run", &program);
    let mut command = tokio::process::Command::new(&program);
    command.arg("build").arg(directory).kill_on_drop(true);
    let output = command.output().await.map_err(failed())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Helm { arguments: format!("kustomize {}", directory.display()), stderr });
    }
    objects(&String::from_utf8_lossy(&output.stdout))
}

/// The objects of a YAML stream.
///
/// # Errors
/// When it is no YAML, or two objects have the same name.
pub fn objects(text: &str) -> Result<Rendered, Error> {
    let mut found = Rendered::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let parsed = Value::deserialize(document);
        let object = parsed.map_err(|error| Error::io("parse", "manifests")(std::io::Error::other(error)))?;
        if object.is_null() {
            continue;
        }
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = format!("{} {}/{}", word("/kind"), word("/metadata/namespace"), word("/metadata/name"));
        if found.insert(name.clone(), object).is_some() {
            return Err(Error::io("parse", name)(std::io::Error::other("it is there twice")));
        }
    }
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Error::io("copy", path))?;
        }
    }
    Ok(())
}
