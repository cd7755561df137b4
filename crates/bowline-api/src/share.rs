//! `ConnectionShare`: one shared connection made visible and published in one workspace namespace. Output only.
#![allow(clippy::duplicated_attributes, reason = "columns of one type repeat `type_`")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::connection::AccountStatus;

/// One shared connection in one workspace namespace, written by the operator alone.
///
/// Shares are computed from connections and workspaces; one that is not in the computed set is deleted, whoever made
/// it. Its name is the connection's id, and it owns the Secret it publishes.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "ConnectionShare",
    namespaced,
    status = "ConnectionShareStatus",
    shortname = "cshare",
    category = "bowline",
    derive = "PartialEq",
    doc = "One shared connection in one workspace namespace. Written by the operator alone.",
    selectable = ".spec.workspace",
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account.name"),
    printcolumn(name = "Workspace", type_ = "string", json_path = ".spec.workspace"),
    printcolumn(name = "Shared By", type_ = "string", json_path = ".status.sharedBy"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Refreshed", type_ = "date", json_path = ".status.lastRefreshedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionShareSpec {
    /// The shared connection.
    pub connection: SharedConnection,
    /// The workspace it is shared with.
    #[schemars(length(min = 1, max = 253))]
    pub workspace: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SharedConnection {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its UID: a connection made again under the same name is another one.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// What is published.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionShareStatus {
    /// The connection's provider.
    pub provider: Option<String>,
    /// The account at the provider.
    pub account: Option<AccountStatus>,
    /// The connection's owner.
    pub shared_by: Option<String>,
    /// Since when.
    pub shared_at: Option<Time>,
    /// When the published token expires.
    pub expires_at: Option<Time>,
    /// When the provider last issued a token.
    pub last_refreshed_at: Option<Time>,
    /// Name of the Secret to mount.
    pub secret_name: Option<String>,
    /// The generation that this status is about.
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
