//! The shipped manifests on a cluster, with the policies effective.

use std::{path::Path, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
};
use serde_json::{Value, json};

use crate::{
    access::{ADMIN, Access},
    error::Error,
    random,
    wait::wait_for,
};

/// How long the API server may take to enforce what was applied. It looks for new policies about once a second.
const IN_FORCE_WITHIN: Duration = Duration::from_mins(1);

/// The kinds that are installed.
const KINDS: [&str; 5] =
    ["IntegrationConnection", "IntegrationProvider", "Workspace", "ConnectionShare", "ConnectionBinding"];

/// Applies `deploy/` of the repository as administrator and waits until a policy refuses what it should.
pub async fn deploy(access: &Access, directory: &Path) -> Result<(), Error> {
    access.apply_kustomize(directory).await?;
    let client = access.client_for(ADMIN).await?;
    stamp(access, &client, directory).await?;
    until_in_force(client).await
}

/// Waits until the kinds are served and a policy refuses what it should, however they were installed.
pub async fn until_in_force(client: Client) -> Result<(), Error> {
    let namespace = format!("deployed-{}", random::hex(4)?);
    let object: Namespace = parsed(json!({"metadata": {"name": namespace}}))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &object).await?;
    let in_force = wait_for("the admission policies", IN_FORCE_WITHIN, async || {
        share_refused(&client, &namespace).await?;
        status_refused(&client).await?;
        all_served(&client).await
    })
    .await;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    in_force.map_err(Error::NotInForce)
}

/// A label on namespaces in which the shipped component stamps who set the terms of a connection.
pub const STAMPED: &str = "bowline-testbed/stamped";

/// Applies that component, where the server knows its kind, for namespaces with the label alone: each time that a definition is
/// installed, the API server refuses for a moment what such a policy matches.
async fn stamp(access: &Access, client: &Client, directory: &Path) -> Result<(), Error> {
    let known = client.list_api_group_resources("admissionregistration.k8s.io/v1").await?;
    if !known.resources.iter().any(|resource| resource.name == "mutatingadmissionpolicies") {
        return Ok(());
    }
    let path = directory.join("components/terms-stamp/stamp.yaml");
    // A former release may be without it.
    if !path.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let here = format!(
        "policyName: bowline-terms-stamp\n  matchResources: {{namespaceSelector: {{matchExpressions: [{{key: {STAMPED}, operator: Exists}}]}}}}"
    );
    access.apply_yaml(&text.replace("policyName: bowline-terms-stamp", &here)).await
}

/// A share made by hand, in a dry run: `Ok` once the policy refuses it.
async fn share_refused(client: &Client, namespace: &str) -> Result<(), String> {
    let shares: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &kind("ConnectionShare"));
    let share = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionShare", "metadata": {"name": "by-hand"},
        "spec": {"workspace": "w", "provider": "p", "owner": "o", "connection": {"namespace": "n", "name": "c", "uid": "u"}}});
    let share = parsed(share).map_err(|error| error.to_string())?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    refused(shares.create(&dry, &share).await)
}

/// A status set by hand, in a dry run. Its binding is one of the last that are applied.
async fn status_refused(client: &Client) -> Result<(), String> {
    let workspaces: Api<DynamicObject> = Api::all_with(client.clone(), &kind("Workspace"));
    let name = "bowline-in-force";
    let workspace = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": {}});
    let applied = PatchParams::apply("bowline-testbed");
    workspaces.patch(name, &applied, &Patch::Apply(&workspace)).await.map_err(|error| error.to_string())?;
    let status = json!({"status": {"observedGeneration": 1}});
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let answer = refused(workspaces.patch_status(name, &dry, &Patch::Merge(&status)).await);
    if answer.is_ok() {
        workspaces.delete(name, &DeleteParams::default()).await.map_err(|error| error.to_string())?;
    }
    answer
}

/// `Ok` once every kind can be listed: for a moment after its definition the API server has no storage for it.
async fn all_served(client: &Client) -> Result<(), String> {
    for name in KINDS {
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind(name));
        objects.list(&ListParams::default().limit(1)).await.map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn refused<T>(answer: Result<T, kube::Error>) -> Result<(), String> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("what should be refused is accepted".to_owned()),
    }
}

fn kind(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("bowline.dev", "v1alpha1", kind))
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|source| Error::Parse { path: "manifest".into(), source })
}
