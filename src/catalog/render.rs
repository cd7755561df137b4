//! The catalogue as text, for `bowline catalog`.

use std::fmt::Write as _;

use super::calls::{RevokeScope, RevokeStyle};
use super::entry::{Authorize, Confidence, Endpoints, Entry, Pkce};
use super::load::{entries, get};
use super::parameter::{Parameter, SettableBy};
use crate::api::connection::Method;
use crate::api::provider::Rotation;

/// All entries as a table: name, display name, methods, rotation. Ends with a line break.
pub fn render_list() -> String {
    let header = ["NAME", "DISPLAY NAME", "METHODS", "ROTATION"].map(str::to_owned);
    let rows = entries().iter().map(|(name, entry)| {
        [
            name.clone(),
            entry.display_name.clone(),
            methods(entry),
            rotation_word(entry.grant.rotation).to_owned(),
        ]
    });
    let rows: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (name, display, how) = (width(0), width(1), width(2));
    rows.iter().fold(String::new(), |mut text, [a, b, c, d]| {
        _ = writeln!(text, "{a:name$}  {b:display$}  {c:how$}  {d}");
        text
    })
}

/// One entry for a person who is about to use it, with an `IntegrationProvider` to apply. `None` if there is no such
/// entry. Ends with a line break.
pub fn render_entry(name: &str) -> Option<String> {
    let entry = get(name)?;
    let mut text = format!("{} ({name})\n{}\n", entry.display_name, entry.about);
    section(&mut text, "Methods", [methods(entry)]);
    section(&mut text, "Endpoints", endpoint_lines(&entry.endpoints));
    section(&mut text, "Authorization request", authorize_lines(entry));
    section(&mut text, "Scopes", scope_lines(entry));
    section(
        &mut text,
        "Parameters",
        entry.parameters.iter().flat_map(|(name, found)| parameter_lines(name, found)),
    );
    if methods_refresh(entry) {
        section(&mut text, "Rotation", rotation_lines(entry));
        section(&mut text, "Revocation", revocation_lines(entry));
    }
    section(&mut text, "Key", key_lines(entry));
    section(
        &mut text,
        "Credentials",
        entry.token_prefixes.iter().map(|(kind, begin)| format!("{kind}: begins with {begin}")),
    );
    section(&mut text, "Limits", entry.limits.iter().cloned());
    section(&mut text, "Notes", entry.notes.iter().cloned());
    section(
        &mut text,
        &format!("Sources (confidence: {})", confidence(entry.confidence)),
        entry.sources.iter().cloned(),
    );
    section(&mut text, "Example", example(name, entry).lines().map(str::to_owned));
    Some(text)
}

/// A heading and its lines; nothing without lines.
fn section(text: &mut String, heading: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        _ = writeln!(text, "\n{heading}");
    }
    for line in lines {
        _ = writeln!(text, "  {line}");
    }
}

fn methods(entry: &Entry) -> String {
    let names: Vec<String> = entry.methods.iter().map(|method| format!("{method:?}")).collect();
    names.join(", ")
}

fn methods_refresh(entry: &Entry) -> bool {
    !entry.methods.iter().all(|method| matches!(method, Method::ApiKey | Method::BasicAuth))
}

fn endpoint_lines<U: std::fmt::Display>(endpoints: &Endpoints<U>) -> Vec<String> {
    let Endpoints {
        issuer,
        authorization,
        pushed_authorization_request,
        token,
        device_authorization,
        revocation,
        userinfo,
        admin_consent,
    } = endpoints;
    let named = [
        ("issuer", issuer),
        ("authorization", authorization),
        ("pushed request", pushed_authorization_request),
        ("token", token),
        ("device authorization", device_authorization),
        ("revocation", revocation),
        ("userinfo", userinfo),
        ("admin consent", admin_consent),
    ];
    named.iter().filter_map(|(name, url)| url.as_ref().map(|url| format!("{name:21} {url}"))).collect()
}

/// Empty for entries to which no person is sent.
fn authorize_lines(entry: &Entry) -> Vec<String> {
    if !entry.methods.contains(&Method::AuthorizationCode) {
        return Vec::new();
    }
    let Authorize { pkce, scope_parameter: _, params, optional_params, issuer_in_callback } =
        &entry.authorize;
    let pkce = match pkce {
        Pkce::Supported => "PKCE with S256",
        Pkce::Ignored => "PKCE is taken without an effect",
        Pkce::Off => "no PKCE: it would change what kind of client the app is",
    };
    let sent = params.iter().map(|(name, value)| format!("{name}={value}"));
    let optional = (!optional_params.is_empty()).then(|| format!("optional: {}", optional_params.join(", ")));
    let issuer = issuer_in_callback.then(|| "callbacks name the issuer".to_owned());
    std::iter::once(pkce.to_owned()).chain(sent).chain(optional).chain(issuer).collect()
}

const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "high",
        Confidence::Medium => "medium",
        Confidence::Low => "low",
    }
}

fn scope_lines(entry: &Entry) -> Vec<String> {
    let scopes = &entry.scopes;
    let line =
        |name: &str, list: &[String]| (!list.is_empty()).then(|| format!("{name:9} {}", list.join(" ")));
    let lists = [
        ("default", &scopes.default),
        ("required", &scopes.required),
        ("allowed", &scopes.allowed),
        ("optional", &scopes.optional),
    ];
    let words = scopes.describe.iter().map(|(name, meaning)| {
        let risk = meaning.risk.as_ref().map_or_else(String::new, |risk| format!(" ({risk})"));
        format!("{name}: {}{risk}", meaning.says)
    });
    lists.iter().filter_map(|(name, list)| line(name, list)).chain(words).collect()
}

fn parameter_lines(name: &str, parameter: &Parameter) -> Vec<String> {
    let who = match parameter.settable_by {
        SettableBy::Provider => "set on the IntegrationProvider",
        SettableBy::Connection => "set on the IntegrationProvider, or else by each connection",
    };
    let mut facts = vec![who.to_owned()];
    facts.extend(parameter.required.then(|| "required".to_owned()));
    facts.extend((!parameter.choices.is_empty()).then(|| format!("one of {}", parameter.choices.join(", "))));
    facts.extend(parameter.default.as_ref().map(|value| format!("default {value}")));
    vec![format!("{name}: {}", parameter.description), format!("  ({})", facts.join("; "))]
}

const fn rotation_word(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "none",
        Rotation::Optional => "optional",
        Rotation::Sliding => "sliding",
        Rotation::SingleUse => "single_use",
        Rotation::PerMint => "per_mint",
    }
}

const fn rotation_meaning(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "the refresh token, if there is one, never changes",
        Rotation::Optional => "a refresh may bring a new refresh token; treated as single use",
        Rotation::Sliding => "each refresh brings a new refresh token, and the old one still works",
        Rotation::SingleUse => "each refresh brings a new refresh token, and the old one dies",
        Rotation::PerMint => "no refresh token: a new access token is asked for with the app registration",
    }
}

fn rotation_lines(entry: &Entry) -> Vec<String> {
    let grant = &entry.grant;
    let mut lines = vec![format!("{}: {}", rotation_word(grant.rotation), rotation_meaning(grant.rotation))];
    lines.extend(grant.grace.map(|span| format!("grace: the old one dies {span} later only")));
    lines.extend(grant.refresh_ends_access.then(|| "a refresh also ends the access token in use".to_owned()));
    lines.extend(grant.access_lifetime.map(|span| format!("an access token lives {span}")));
    lines.extend(grant.refresh_lifetime.map(|span| format!("a refresh token lives {span}")));
    lines.extend(grant.idle_lifetime.map(|span| format!("unused, a grant ends after {span}")));
    lines
}

fn revocation_lines(entry: &Entry) -> Vec<String> {
    let what = match (entry.revoke.style, entry.revoke.scope) {
        (RevokeStyle::None, _) => {
            "not possible by request: the grant is erased here, and the person removes the app there"
        }
        (_, RevokeScope::Token) => "ends that token alone",
        (_, RevokeScope::Grant) => "ends all tokens of that account through this app",
        (_, RevokeScope::Install) => "ends the app's installation, for everybody",
    };
    let by_hand = entry.revoke.by_hand.as_ref().map(|way| format!("by hand: {way}"));
    std::iter::once(what.to_owned()).chain(by_hand).collect()
}

fn key_lines(entry: &Entry) -> Vec<String> {
    let Some(key) = &entry.key else { return Vec::new() };
    let value = if key.password { "user name and password" } else { "key" };
    let scheme = key.scheme.as_ref().map(|scheme| format!("{scheme} ")).unwrap_or_default();
    vec![format!("sent as {}: {scheme}<{value}>", key.header)]
}

/// An `IntegrationProvider` to start from, with what has to be set.
fn example(name: &str, entry: &Entry) -> String {
    let mut text = format!(
        "apiVersion: bowline.dev/v1alpha1\nkind: IntegrationProvider\nmetadata:\n  name: {name}\nspec:\n  type: {name}\n"
    );
    if methods_refresh(entry) {
        _ = writeln!(
            text,
            "  app:\n    secretName: {name}-app   # client_id and client_secret, in the operator's namespace"
        );
        if entry.endpoints.token.is_none() {
            text.push_str("  endpoints:\n    issuer: https://id.example.com\n");
        }
    }
    let set: Vec<_> =
        entry.parameters.iter().filter_map(|(name, found)| Some((name, found.example.as_ref()?))).collect();
    if !set.is_empty() {
        text.push_str("  parameters:\n");
    }
    for (name, value) in set {
        let wanted = entry.parameters.get(name).is_some_and(|parameter| parameter.required);
        _ = writeln!(text, "    {name}: {value}{}", if wanted { "" } else { "   # optional" });
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::IntegrationProvider;

    #[test]
    fn the_list_is_aligned_and_whole() {
        let list = render_list();
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), entries().len() + 1);
        let column = lines[0].find("METHODS").unwrap();
        for line in &lines {
            assert_eq!(line.chars().nth(column - 1), Some(' '), "{line}");
            assert_ne!(line.chars().nth(column), Some(' '), "{line}");
        }
        assert!(list.contains("github-app-user"), "{list}");
    }

    #[test]
    fn an_entry_tells_what_a_person_needs() {
        let text = render_entry("microsoft").unwrap();
        for part in [
            "Microsoft (Entra ID) (microsoft)",
            "AuthorizationCode, DeviceCode, RefreshToken",
            "/oauth2/v2.0/token",
            "tenant: ",
            "default common",
            "sliding: ",
            "by hand: ",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert_eq!(render_entry("nobody"), None);
    }

    #[test]
    fn every_example_is_an_integration_provider_that_resolves() {
        for (name, entry) in entries() {
            let provider: IntegrationProvider = serde_yaml::from_str(&example(name, entry)).unwrap();
            assert_eq!(super::super::check(entry, &provider.spec, name), Ok(()), "{name}");
            assert!(render_entry(name).unwrap().contains("kind: IntegrationProvider"), "{name}");
        }
    }
}
