//! Parameters that decide a setting: each value is an overlay of its own.

use serde_json::{Map, Value, json};

use super::entry::CatalogEntry;
use super::merge::merge;
use super::parameter::Setting;
use super::values::ParameterValues;

/// Lays the parameters that decide a setting over the entry's data: those that somebody set, or else the defaults of the others.
/// What an entry does not have is not set.
pub(super) fn apply(
    json: &mut Map<String, Value>,
    entry: &CatalogEntry,
    values: &ParameterValues<'_>,
    chosen: bool,
) {
    for (name, parameter) in &entry.parameters {
        if values.is_chosen(name) != chosen {
            continue;
        }
        if let (Some(setting), Some(value)) = (parameter.sets, values.actual.get(name)) {
            let Value::Object(mut overlay) = overlay(setting, value) else { continue };
            overlay.retain(|key, _| json.contains_key(key));
            merge(json, &overlay);
        }
    }
}

fn overlay(setting: Setting, value: &str) -> Value {
    let separator = match value {
        "comma" => ",",
        "plus" => "+",
        _ => " ",
    };
    // The account is read in the user info and in the answer to a key's check.
    let account = |part: &str, value: Value| json!({"identity": {"account": {part: value}}, "key": {"validate": {"account": {part: value}}}});
    match setting {
        Setting::ClientAuth => json!({"clientAuth": [choice(value)]}),
        Setting::Encoding => json!({"tokenRequest": {"encoding": choice(value)}}),
        Setting::ScopeSeparator => json!({"scopes": {"separator": separator}}),
        Setting::ScopeParameter => json!({"authorize": {"scopeParameter": choice(value)}}),
        Setting::AccountId => account("id", json!([value])),
        Setting::AccountName => account("name", json!(value)),
        Setting::AccountEmail => account("email", json!(value)),
        Setting::PublishingStatus => {
            json!({"grant": {"consentLifetime": (value == "testing").then_some("168h")}})
        }
        Setting::KeyHeader => json!({"key": {"header": value}}),
        Setting::KeyScheme => json!({"key": {"scheme": (value != "none").then_some(value)}}),
        Setting::KeyQuery => json!({"key": {"query": value}}),
        Setting::KeyPrefix => json!({"issuedKey": {"prefix": value}}),
        Setting::KeyOverlap => json!({"issuedKey": {"overlap": value}}),
        Setting::KeyLifetime => json!({"issuedKey": {"lifetime": value}}),
        Setting::ValidateUrl => json!({"key": {"validate": {"url": value}}}),
    }
}

/// A choice as an entry writes it.
fn choice(value: &str) -> &str {
    match value {
        "basic" => "Basic",
        "post" => "Post",
        "none" => "None",
        "private_key_jwt" => "PrivateKeyJWT",
        "tls_client_auth" => "TLSClientAuth",
        "self_signed_tls_client_auth" => "SelfSignedTLSClientAuth",
        "form" => "Form",
        "json" => "JSON",
        "scope" => "Scope",
        "user_scope" => "UserScope",
        other => other,
    }
}
