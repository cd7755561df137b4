//! What the operator remembers of a connection for itself. It is not in status: a status that is lost, by a restore or
//! `kubectl replace`, must change no decision.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the operator remembers of a connection for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bookkeeping {
    /// Set while a failure keeps the grant from being tried. Ends with the next answer of the provider, or another grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// A grant is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pause {
    /// When it may be tried again.
    pub not_before: Timestamp,
    /// The version of the app registration that it failed with: another one ends the pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
}
