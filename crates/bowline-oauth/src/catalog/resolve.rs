//! An entry, a provider object and a connection's parameters become a [`Description`].
//!
//! All of that is JSON until the end: what the provider object states is laid over the entry as `extends` lays a file over
//! its parent, parameters fill the placeholders, and then it is read into types, once. An overlay makes an entry of the
//! provider's own, which is checked like those of the catalogue.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bowline_api::connection::Method;
use bowline_api::provider::{IntegrationProviderSpec, Overlay};
use serde_json::{Map, Value, json};

use super::description::Description;
use super::entry::{CatalogEntry, ThirdParty, read};
use super::load::{self, get};
use super::merge::merge;
use super::refusal::ResolveError;
use super::settings;
use super::values::ParameterValues;

/// The entry of a provider object: the one that its type names, with its overlay laid over it.
pub fn entry_of(spec: &IntegrationProviderSpec) -> Result<Cow<'static, CatalogEntry>, ResolveError> {
    let entry = get(&spec.type_).ok_or_else(|| ResolveError::UnknownType { type_: spec.type_.clone() })?;
    let Some(Overlay(overlay)) = &spec.overlay else { return Ok(Cow::Borrowed(entry)) };
    let misfit = |flaw: String| ResolveError::Overlay { flaw };
    if overlay.contains_key("extends") {
        return Err(misfit("extends: spec.type names the entry that it is laid over".to_owned()));
    }
    if let Some(field) = contradiction(&stated(spec), overlay, "") {
        return Err(ResolveError::Contradiction { field });
    }
    let entry = entry.overlaid(overlay).map_err(|flaw| misfit(flaw.to_string()))?;
    load::check(&entry).map_err(|flaw| misfit(flaw.to_string()))?;
    Ok(Cow::Owned(entry))
}

/// The first field that both set, to different values.
fn contradiction(one: &Map<String, Value>, other: &Map<String, Value>, at: &str) -> Option<String> {
    one.iter().filter_map(|(name, value)| Some((name, value, other.get(name)?))).find_map(
        |(name, value, beside)| {
            let field = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match (value, beside) {
                (Value::Object(value), Value::Object(beside)) => contradiction(value, beside, &field),
                (Value::Null, _) => None,
                _ => (value != beside).then_some(field),
            }
        },
    )
}

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
    let own_issuer =
        spec.endpoints.as_ref().is_some_and(|own| own.issuer.is_some()) || overlays_issuer(entry, spec);
    let mut json = entry.json.clone();
    if own_issuer {
        drop_addresses(&mut json);
    }
    // What the overlay states counts before a default, and what a parameter is set to counts before both.
    settings::apply(&mut json, entry, values, false);
    merge(&mut json, &entry.stated);
    merge(&mut json, &stated(spec));
    settings::apply(&mut json, entry, values, true);
    let json = values.filled(json)?;
    let misfit = |flaw: String| ResolveError::Misfit { flaw };
    let core: ThirdParty<_> = read(json).map_err(|error| misfit(error.to_string()))?;
    core.check_issued_key().map_err(|flaw| misfit(flaw.to_string()))?;
    core.logins.check().map_err(|flaw| misfit(flaw.to_string()))?;
    let (provider, entry) = (provider.to_owned(), spec.type_.clone());
    let parameters = values.actual.clone();
    reachable(Description {
        provider,
        entry,
        core,
        parameters,
        own_issuer,
        discovered: false,
        certificate_bound: false,
    })
}

/// Whether the overlay names another issuer than the entry.
fn overlays_issuer(entry: &CatalogEntry, spec: &IntegrationProviderSpec) -> bool {
    let issuer =
        |json: &Map<String, Value>| json.get("endpoints")?.get("issuer")?.as_str().map(str::to_owned);
    let (stated, known) = (issuer(&entry.stated), get(&spec.type_).and_then(|known| issuer(&known.json)));
    stated.is_some() && stated != known
}

/// With another issuer, no address of the entry is trusted with its tokens.
fn drop_addresses(json: &mut Map<String, Value>) {
    json.remove("endpoints");
    let addresses = [
        ("identity", json!({"call": {"url": null}})),
        ("publishCall", json!({"url": null})),
        ("logins", json!({"git": {"url": null}, "registry": {"url": null}, "http": {"url": null}})),
        ("probe", json!({"call": null})),
        ("linkSession", json!({"url": null, "page": null})),
        ("revoke", json!({"url": null})),
    ];
    for (part, none) in addresses {
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
    let nowhere = description.endpoints.token.is_none() && description.metadata_source().is_none();
    let links = description.methods.contains(&Method::LinkSession);
    let session = description.link_session.as_ref().and_then(|session| session.url.as_ref());
    if nowhere && !links && description.uses_tokens() {
        let missing = vec!["endpoints.issuer or endpoints.token".to_owned()];
        return Err(ResolveError::ProviderIncomplete { missing });
    }
    if links && session.is_none() {
        return Err(ResolveError::ProviderIncomplete { missing: vec!["linkSession.url".to_owned()] });
    }
    Ok(description)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
