//! An entry, a provider object and a connection's parameters become a [`Description`].
//!
//! All of that is JSON until the end: what the provider object states is laid over the entry as `extends` lays a file over
//! its parent, parameters fill the placeholders, and then it is read into types, once.

use std::collections::BTreeMap;

use bowline_api::provider::IntegrationProviderSpec;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::description::Description;
use super::entry::{CatalogEntry, ThirdParty};
use super::load::merge;
use super::refusal::ResolveError;
use super::settings;
use super::values::ParameterValues;

/// Resolves an entry for one connection.
///
/// Every address in the result has the origin and the number of path segments that the entry and the provider object
/// give it, whatever the connection's parameters are; a connection may choose one label under a fixed suffix where the
/// entry says so.
pub fn resolve(
    entry: &CatalogEntry,
    spec: &IntegrationProviderSpec,
    provider: &str,
    connection: &BTreeMap<String, String>,
) -> Result<Description, ResolveError> {
    let values = ParameterValues::judge(entry, spec, connection)?;
    values.complete()?;
    describe(entry, spec, provider, &values)
}

/// Resolves a provider object alone, with made-up values where connections set theirs. For what does not depend on them
/// (methods, rotation, client authentication, origins); no request may be built from it.
pub fn sketch(
    entry: &CatalogEntry,
    spec: &IntegrationProviderSpec,
    provider: &str,
) -> Result<Description, ResolveError> {
    let mut values = ParameterValues::judge(entry, spec, &BTreeMap::new())?;
    values.imagine_connection();
    values.complete()?;
    describe(entry, spec, provider, &values)
}

fn describe(
    entry: &CatalogEntry,
    spec: &IntegrationProviderSpec,
    provider: &str,
    values: &ParameterValues<'_>,
) -> Result<Description, ResolveError> {
    let own_issuer = spec.endpoints.as_ref().is_some_and(|own| own.issuer.is_some());
    let mut json = entry.json.clone();
    if own_issuer {
        drop_addresses(&mut json);
    }
    merge(&mut json, &stated(spec));
    settings::apply(&mut json, entry, values);
    let mut json = Value::Object(json);
    values.fill(&mut json)?;
    let core = ThirdParty::deserialize(json);
    let core = core.map_err(|error| ResolveError::Misfit { flaw: error.to_string() })?;
    let (provider, entry) = (provider.to_owned(), spec.type_.clone());
    reachable(Description { provider, entry, core, own_issuer, discovered: false })
}

/// With another issuer, no address of the entry is trusted with its tokens.
fn drop_addresses(json: &mut Map<String, Value>) {
    json.remove("endpoints");
    for (part, none) in [("identity", json!({"call": {"url": null}})), ("revoke", json!({"url": null}))] {
        if let (Some(Value::Object(part)), Value::Object(none)) = (json.get_mut(part), none) {
            merge(part, &none);
        }
    }
}

/// What the provider object states of the entry's own fields.
fn stated(spec: &IntegrationProviderSpec) -> Map<String, Value> {
    let IntegrationProviderSpec { display_name, endpoints, scopes, .. } = spec;
    let fields =
        [("displayName", json!(display_name)), ("endpoints", json!(endpoints)), ("scopes", json!(scopes))];
    let stated = fields.into_iter().filter(|(_, value)| !value.is_null());
    stated.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Refuses a description that needs a token endpoint and has no way to one.
fn reachable(description: Description) -> Result<Description, ResolveError> {
    let nowhere = description.endpoints.token.is_none() && description.endpoints.issuer.is_none();
    if nowhere && description.uses_tokens() {
        let missing = vec!["endpoints.issuer or endpoints.token".to_owned()];
        return Err(ResolveError::ProviderIncomplete { missing });
    }
    Ok(description)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
