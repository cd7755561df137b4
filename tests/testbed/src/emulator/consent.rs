//! Where people consent, and what the provider says of them.
#![allow(dead_code, reason = "sources are for readers of the files")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::data::{Takes, Values};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizePage {
    /// Address, with placeholders for segments.
    pub at: String,
    #[serde(default)]
    pub takes: Takes,
    pub pkce: PkceHabit,
    /// Further values of a grant, for each parameter of the request that is there.
    #[serde(default)]
    pub values: BTreeMap<String, Values>,
    /// What the browser returns with.
    pub callback: Values,
    pub source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PkceHabit {
    /// S256 is checked if the challenge was sent.
    Checked,
    /// The parameters have no effect.
    Ignored,
    /// The parameters break the request.
    Refused,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdToken {
    /// The scope that requests it.
    pub scope: String,
    pub claims: Value,
    pub source: String,
}
