//! What the container of an installed Deployment would run, on this machine: its arguments, and its volumes as folders.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    access::{ADMIN, Access},
    error::Error,
    objects::Objects,
    scratch::Scratch,
};

/// The first container of a pod. Its volumes are removed with it.
#[derive(Debug)]
pub struct Pod {
    /// Its arguments, in which the paths of mounts are those of folders here.
    pub arguments: Vec<String>,
    /// Namespace and name of its account.
    pub service_account: (String, String),
    _volumes: Scratch,
}

impl Pod {
    /// Reads an installed Deployment and the Secrets and `ConfigMaps` that it mounts.
    ///
    /// # Errors
    /// When one of them is not there: the real pod would wait for it.
    pub async fn of_deployment(access: &Access, namespace: &str, name: &str) -> Result<Self, Error> {
        let admin = Objects::new(access.client_for(ADMIN).await?);
        let deployment =
            read(&admin, &format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")).await?;
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let volumes = Scratch::create()?;
        let mut arguments: Vec<String> = elements(&container["args"]).map(text).collect();
        for mount in elements(&container["volumeMounts"]) {
            let volume = elements(&pod["volumes"]).find(|volume| volume["name"] == mount["name"]);
            let folder = volumes.path().join(text(&mount["name"]));
            fill(&admin, namespace, volume.unwrap_or(&Value::Null), &folder).await?;
            for argument in &mut arguments {
                *argument = argument.replace(&text(&mount["mountPath"]), &folder.to_string_lossy());
            }
        }
        let service_account = (namespace.to_owned(), text(&pod["serviceAccountName"]));
        Ok(Self { arguments, service_account, _volumes: volumes })
    }
}

/// Makes the folder of a volume.
async fn fill(admin: &Objects, namespace: &str, volume: &Value, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let (kind, name) = match (&volume["secret"]["secretName"], &volume["configMap"]["name"]) {
        (Value::String(name), _) => ("secrets", name),
        (_, Value::String(name)) => ("configmaps", name),
        _ => return Ok(()),
    };
    let source = read(admin, &format!("/api/v1/namespaces/{namespace}/{kind}/{name}")).await?;
    for (key, value) in source["data"].as_object().into_iter().flatten() {
        let path = folder.join(key);
        let content = match kind {
            "secrets" => STANDARD.decode(text(value)).unwrap_or_default(),
            _ => text(value).into_bytes(),
        };
        fs::write(&path, content).map_err(Error::io("write", path))?;
    }
    Ok(())
}

async fn read(admin: &Objects, path: &str) -> Result<Value, Error> {
    let missing = || Error::io("read", path)(std::io::Error::other("it is not in the cluster"));
    admin.get(path).await?.ok_or_else(missing)
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
