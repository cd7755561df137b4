//! What there is to prove of a family: the refusals that it knows, and the entries of the catalogue.
#![allow(dead_code, reason = "sources are for readers of the files")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::data::Operation;

/// A documented refusal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Where it can come.
    pub on: Vec<Operation>,
    /// What it means, in the words of the catalogue; on a revocation also `gone`.
    pub class: String,
    /// It proves that somebody withdrew the grant.
    #[serde(default)]
    pub revoked: bool,
    /// Seconds to wait at least, as the answer says or as is documented for it.
    pub waits: Option<u64>,
    /// HTTP status, if it is not the shape's.
    pub status: Option<u16>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Values for the shape.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// The body, if it is not the shape's.
    pub body: Option<Value>,
    /// Where it is documented. Absent: where the family's refusals are.
    pub source: Option<String>,
    /// No document says so.
    #[serde(default)]
    pub believed: bool,
}

/// One thing to prove: an entry of the catalogue, with an app and parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the entry.
    pub entry: String,
    /// Which app.
    pub app: String,
    /// Parameters of the provider object.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What a connection requests. Empty: what it does without saying.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Who consents. Empty: every account of the family.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// The account that must come out, part by part: `id`, `name`, `email`.
    pub account: BTreeMap<String, String>,
    /// The values beside the token that must come out.
    #[serde(default)]
    pub extras: BTreeMap<String, String>,
    /// As in [`Family::lacks`], for this run.
    #[serde(default)]
    pub lacks: BTreeMap<String, String>,
}
