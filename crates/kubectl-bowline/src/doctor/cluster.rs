//! What is in the cluster, as far as the caller may read it.

use std::collections::BTreeSet;

use anyhow::Context;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use url::Url;

use crate::portal;
use crate::reading::{Forbidden, Readable, seen};
use crate::session::UserSession;
use bowline_api::keyring;
use bowline_api::names::{LABEL_CONNECTION_UID, TYPE_RECORD};
use bowline_api::{IntegrationConnection, IntegrationProvider, definitions};

const INSTALLED: &str = "app.kubernetes.io/name=bowline";
const OPERATOR: &str = "bowline";

pub(super) struct Installation {
    pub(super) definitions: Readable<Vec<Definition>>,
    pub(super) policies: Readable<BTreeSet<String>>,
    /// Names of the policies that are bound, and deny.
    pub(super) bound: Readable<BTreeSet<String>>,
    /// Ready and requested replicas of the operator, if it exists.
    pub(super) operator: Readable<Option<(i32, i32)>>,
    pub(super) keyring: Readable<bool>,
    /// UID of the connection of each record; empty where it has none.
    pub(super) records: Readable<Vec<String>>,
    pub(super) providers: Readable<Vec<IntegrationProvider>>,
    /// All connections, or those of the user's namespace.
    pub(super) connections: Readable<Vec<IntegrationConnection>>,
    /// Whether `connections` are all connections.
    pub(super) all: bool,
    pub(super) portal: Option<Url>,
    /// Seconds by which this machine is ahead of the API server.
    pub(super) ahead: Option<i64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    /// `None` if it is not installed; otherwise fields that this plug-in knows and the cluster does not.
    pub(super) unknown_fields: Option<Vec<String>>,
}

pub(super) async fn look(session: &UserSession, namespace: &str) -> anyhow::Result<Installation> {
    let installed = ListParams::default().labels(INSTALLED);
    let policies: Readable<Vec<ValidatingAdmissionPolicy>> = session.all(&installed).await?;
    let bindings: Readable<Vec<ValidatingAdmissionPolicyBinding>> = session.all(&installed).await?;
    let deployments: Api<Deployment> = Api::namespaced(session.client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), namespace);
    let records = ListParams::default().fields(&format!("type={TYPE_RECORD}"));
    let mut installation = Installation {
        definitions: installed_definitions(session).await?,
        policies: policies.map(|all| all.iter().map(ResourceExt::name_any).collect()),
        bound: bindings.map(|all| all.iter().filter_map(denying).collect()),
        operator: seen(deployments.get_opt(OPERATOR).await)?.map(|found| found.as_ref().map(replicas)),
        keyring: seen(secrets.get_metadata_opt(keyring::SECRET).await)?.map(|found| found.is_some()),
        records: seen(secrets.list_metadata(&records).await)?
            .map(|list| list.iter().map(owner_uid).collect()),
        providers: Err(Forbidden::default()),
        connections: Err(Forbidden::default()),
        all: false,
        portal: None,
        ahead: ahead(session).await?,
    };
    // Without the kinds, every request for them fails with an error that says so.
    if installation.definitions.iter().flatten().all(|kind| kind.unknown_fields.is_some()) {
        let every = ListParams::default();
        installation.providers = session.all(&every).await?;
        installation.connections = session.all(&every).await?;
        installation.all = installation.connections.is_ok();
        if !installation.all {
            installation.connections = session.within(&session.namespace).await?;
        }
        installation.portal = portal::find(session).await?;
    }
    Ok(installation)
}

async fn installed_definitions(session: &UserSession) -> anyhow::Result<Readable<Vec<Definition>>> {
    let there: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let mut found = Vec::new();
    for wanted in definitions() {
        let name = wanted.name_any();
        let installed = match seen(there.get_opt(&name).await)? {
            Ok(installed) => installed,
            Err(forbidden) => return Ok(Err(forbidden)),
        };
        let unknown_fields = installed.map(|installed| unknown_fields(&wanted, &installed));
        found.push(Definition { name, unknown_fields });
    }
    Ok(Ok(found))
}

/// Fields of spec and status that one definition has and the other lacks; also the version, if that is not served.
pub(super) fn unknown_fields(
    wanted: &CustomResourceDefinition,
    there: &CustomResourceDefinition,
) -> Vec<String> {
    let fields = |definition: &CustomResourceDefinition, version: &str| -> Option<BTreeSet<String>> {
        let served = definition.spec.versions.iter().find(|it| it.name == version && it.served)?;
        let root = served.schema.as_ref()?.open_api_v3_schema.as_ref()?.properties.as_ref()?;
        let below = |part: &str| {
            let properties = root.get(part).and_then(|schema| schema.properties.as_ref());
            let part = part.to_owned();
            properties.into_iter().flatten().map(move |(field, _)| format!("{part}.{field}"))
        };
        Some(below("spec").chain(below("status")).collect())
    };
    let mut unknown = Vec::new();
    for version in wanted.spec.versions.iter().map(|version| version.name.as_str()) {
        match (fields(wanted, version), fields(there, version)) {
            (Some(wanted), Some(there)) => unknown.extend(wanted.difference(&there).cloned()),
            _ => unknown.push(format!("version {version}")),
        }
    }
    unknown
}

/// The policy that a binding enforces: one that only warns or audits stops nobody.
fn denying(binding: &ValidatingAdmissionPolicyBinding) -> Option<String> {
    let spec = binding.spec.as_ref()?;
    let denies = spec.validation_actions.iter().flatten().any(|action| action == "Deny");
    spec.policy_name.clone().filter(|_| denies)
}

fn replicas(deployment: &Deployment) -> (i32, i32) {
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    (ready, wanted)
}

fn owner_uid(record: &PartialObjectMeta<Secret>) -> String {
    record.labels().get(LABEL_CONNECTION_UID).cloned().unwrap_or_default()
}

/// How far this machine's clock is ahead of the API server's, which puts a date into each answer.
async fn ahead(session: &UserSession) -> anyhow::Result<Option<i64>> {
    let request = Request::get("/version").body(Body::empty()).context("a request cannot be made")?;
    let Ok(answer) = session.client.send(request).await else { return Ok(None) };
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
    Ok(theirs.map(|theirs| session.clock.now().as_second() - theirs.as_second()))
}
