//! The values of an entry's parameters for one connection, and the addresses they are filled into.

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::provider::IntegrationProviderSpec;
use serde_json::{Map, Value};
use url::{Host, Url};

use super::entry::CatalogEntry;
use super::load::EntryFlaw;
use super::login::USERNAMES;
use super::parameter::{Rule, SetBy, Setting, is_endpoint};
use super::pointer::Pointer;
use super::refusal::ResolveError;
use super::template::Template;

/// Replaces a connection's value while an address without it is compared with the address with it.
const STAND_IN: &str = "bowline-stand-in";

/// Where an entry has parameters of requests, and claims, whose values may have placeholders.
const PARAMETERS: [&str; 5] = [
    "/authorize/params",
    "/device/params",
    "/tokenRequest/params",
    "/tokenRequest/assertion/claims",
    "/publishText",
];

/// Where an entry has the audience of tokens that are exchanged, which may have placeholders.
const SUBJECT_AUDIENCE: &str = "/tokenRequest/subject/audience";

/// The values in effect.
pub(super) struct ParameterValues<'a> {
    entry: &'a CatalogEntry,
    pub(super) actual: BTreeMap<String, String>,
    /// Those that somebody set.
    chosen: BTreeSet<String>,
    /// The same with the connection's values replaced by a placeholder value.
    neutral: BTreeMap<String, String>,
    allow_http: bool,
}

impl<'a> ParameterValues<'a> {
    /// Checks what the provider object and the connection set.
    pub(super) fn judge(
        entry: &'a CatalogEntry,
        spec: &IntegrationProviderSpec,
        connection: &BTreeMap<String, String>,
    ) -> Result<Self, ResolveError> {
        let defaults = entry.parameters.iter().filter_map(|(name, parameter)| {
            parameter.default.as_ref().map(|default| (name.clone(), default.clone()))
        });
        let mut actual: BTreeMap<String, String> = defaults.collect();
        for (name, value) in &spec.parameters {
            allowed(entry, SetBy::Provider, name, value)?;
            actual.insert(name.clone(), value.clone());
        }
        let mut neutral = actual.clone();
        for (name, value) in connection {
            allowed(entry, SetBy::Connection, name, value)?;
            if spec.parameters.contains_key(name) {
                return Err(ResolveError::AlreadySet { parameter: name.clone() });
            }
            actual.insert(name.clone(), value.clone());
            neutral.insert(name.clone(), STAND_IN.to_owned());
        }
        let chosen = spec.parameters.keys().chain(connection.keys()).cloned().collect();
        let allow_http = spec.network.as_ref().and_then(|network| network.allow_http).unwrap_or_default();
        Ok(Self { entry, actual, chosen, neutral, allow_http })
    }

    /// Whether somebody set it.
    pub(super) fn is_chosen(&self, name: &str) -> bool {
        self.chosen.contains(name)
    }

    /// Uses a placeholder value where a connection would set one, to check a provider object alone.
    pub(super) fn imagine_connection(&mut self) {
        for (name, parameter) in &self.entry.parameters {
            if parameter.settable_by == SetBy::Connection {
                self.actual.entry(name.clone()).or_insert_with(|| STAND_IN.to_owned());
                self.neutral.entry(name.clone()).or_insert_with(|| STAND_IN.to_owned());
            }
        }
    }

    /// Refuses values that leave out a required parameter.
    pub(super) fn complete(&self) -> Result<(), ResolveError> {
        let required = self.entry.parameters.iter().filter(|(_, parameter)| parameter.required);
        let names = required.map(|(name, _)| name.as_str());
        let open: Vec<&str> = names.filter(|name| !self.actual.contains_key(*name)).collect();
        if open.is_empty() { Ok(()) } else { Err(self.missing(&open)) }
    }

    /// The error for parameters without a value: the provider's first, because a connection cannot set those.
    fn missing(&self, names: &[&str]) -> ResolveError {
        let of = |by: SetBy| -> Vec<String> {
            let left_to =
                |name: &&&str| self.entry.parameters.get(**name).is_some_and(|found| found.settable_by == by);
            names.iter().filter(left_to).map(|name| format!("parameters.{name}")).collect()
        };
        let missing = of(SetBy::Provider);
        if missing.is_empty() {
            ResolveError::ConnectionIncomplete { missing: of(SetBy::Connection) }
        } else {
            ResolveError::ProviderIncomplete { missing }
        }
    }

    /// An entry's data with the placeholders filled.
    pub(super) fn filled(&self, json: Map<String, Value>) -> Result<Map<String, Value>, ResolveError> {
        let mut json = Value::Object(json);
        for (place, what, _) in self.entry.named_addresses() {
            if let Some(Value::String(address)) = json.pointer_mut(place) {
                *address = self.url(what, address)?.into();
            }
        }
        for place in USERNAMES {
            let Some(username) = json.pointer_mut(place) else { continue };
            *username = self.text(place, username.take())?.unwrap_or_default();
        }
        for place in PARAMETERS {
            let Some(Value::Object(parameters)) = json.pointer_mut(place) else { continue };
            for (name, value) in std::mem::take(parameters) {
                if let Some(value) = self.text(place, value)? {
                    parameters.insert(name, value);
                }
            }
        }
        if let Some(audience) = json.pointer_mut(SUBJECT_AUDIENCE) {
            *audience = self.text(SUBJECT_AUDIENCE, audience.take())?.unwrap_or_default();
        }
        Ok(if let Value::Object(json) = json { json } else { Map::new() })
    }

    /// A parameter of a request; `None` if its placeholder has no value.
    fn text(&self, place: &str, value: Value) -> Result<Option<Value>, ResolveError> {
        let Value::String(text) = value else { return Ok(Some(value)) };
        let misfit = |flaw: EntryFlaw| ResolveError::Misfit { flaw: format!("{place}: {flaw}") };
        let template = Template::try_from(text).map_err(|error| misfit(error.into()))?;
        if let Some(name) = template.placeholders().find(|name| !self.entry.fills(name)) {
            return Err(misfit(EntryFlaw::UnknownPlaceholder(name.to_owned())));
        }
        Ok(template.fill(|name| self.actual.get(name).map(String::as_str)).ok().map(Value::String))
    }

    /// The checked address. Its origin and its number of path segments are the same as without the connection.
    fn url(&self, what: &'static str, text: &str) -> Result<Url, ResolveError> {
        let bad = ResolveError::BadAddress { what, rule: Rule::Url };
        let Ok(template) = Template::try_from(text.to_owned()) else { return Err(bad) };
        if let Some(name) = template.placeholders().find(|name| !self.entry.fills(name)) {
            return Err(ResolveError::UnknownPlaceholder { what, placeholder: name.to_owned() });
        }
        let fill = |values: &BTreeMap<String, String>| {
            // A value that is an address itself is followed by a path.
            let part = |name: &str| values.get(name).map(|value| value.strip_suffix('/').unwrap_or(value));
            template.fill(part).map_err(|name| self.missing(&[name]))
        };
        let (actual, neutral) = (fill(&self.actual)?, fill(&self.neutral)?);
        let Ok(intended) = Url::parse(&neutral) else { return Err(bad) };
        if !is_endpoint(&neutral, &intended) {
            return Err(bad);
        }
        if intended.scheme() != "https" && !self.allow_http {
            return Err(ResolveError::Insecure { what });
        }
        let changed = ResolveError::AddressChanged { what };
        let Ok(url) = Url::parse(&actual) else { return Err(changed) };
        if !is_endpoint(&actual, &url) || !leads_alike(&intended, &url) {
            return Err(changed);
        }
        Ok(url)
    }
}

/// Whether the address differs from the intended one only where the placeholder value was.
fn leads_alike(intended: &Url, url: &Url) -> bool {
    let parts = |mine: &str, theirs: &str, separator: char| {
        mine.split(separator).count() == theirs.split(separator).count()
            && mine.split(separator).zip(theirs.split(separator)).all(|(a, b)| a == b || a.contains(STAND_IN))
    };
    let hosts = match (intended.host(), url.host()) {
        (Some(Host::Domain(mine)), Some(Host::Domain(theirs))) => parts(mine, theirs, '.'),
        (mine, theirs) => mine == theirs,
    };
    hosts
        && intended.scheme() == url.scheme()
        && intended.port_or_known_default() == url.port_or_known_default()
        && parts(intended.path(), url.path(), '/')
        && intended.query() == url.query()
}

fn allowed(entry: &CatalogEntry, by: SetBy, name: &str, value: &str) -> Result<(), ResolveError> {
    let Some(parameter) = entry.parameters.get(name) else {
        let open = entry
            .parameters
            .iter()
            .filter(|(_, parameter)| by == SetBy::Provider || parameter.settable_by == SetBy::Connection);
        let has = open.map(|(name, _)| name.clone()).collect();
        return Err(ResolveError::UnknownParameter { by, parameter: name.to_owned(), has });
    };
    if by == SetBy::Connection && parameter.settable_by == SetBy::Provider {
        return Err(ResolveError::ProviderOnly { parameter: name.to_owned() });
    }
    let bad = |rule| ResolveError::BadValue { by, parameter: name.to_owned(), rule };
    parameter.check(value).map_err(bad)?;
    match parameter.sets {
        Some(Setting::AccountId | Setting::AccountName | Setting::AccountEmail) => {
            Pointer::try_from(value.to_owned()).map(drop).map_err(|_| bad(Rule::Pointer))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The second check, after the kinds of parameters: it must work even if a kind allows too much.
    #[test]
    fn an_address_that_leads_elsewhere_is_noticed() {
        let intended = Url::parse("https://bowline-stand-in.example.com/t/bowline-stand-in/token").unwrap();
        let rows = [
            ("https://acme.example.com/t/all/token", true),
            ("https://acme.example.com:443/t/all/token", true),
            ("http://acme.example.com/t/all/token", false),
            ("https://acme.example.com:8443/t/all/token", false),
            ("https://acme.evil.com/t/all/token", false),
            ("https://a.b.example.com/t/all/token", false),
            ("https://example.com/t/all/token", false),
            ("https://127.0.0.1/t/all/token", false),
            ("https://acme.example.com/t/all/more/token", false),
            ("https://acme.example.com/t/token", false),
            ("https://acme.example.com/t/all/other", false),
            ("https://acme.example.com/t/all/token?x=y", false),
        ];
        for (address, alike) in rows {
            assert_eq!(leads_alike(&intended, &Url::parse(address).unwrap()), alike, "{address}");
        }
    }
}
