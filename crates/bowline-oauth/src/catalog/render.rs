//! The catalogue as text, for `bowline catalog`: templates in `render/`, over entries with their defaults.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::sync::LazyLock;

use bowline_api::connection::Method;
use bowline_api::duration::Duration;
use bowline_api::provider::Rotation;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, merge_maps};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::calls::{RevokeScope, RevokeStyle};
use super::entry::CatalogEntry;
use super::load::{entries, get};
use super::proof::{EntryProof, proof_of};

/// No line is longer, unless a word is.
const WIDTH: usize = 100;
/// Entries of the provider that only demo and tests have: people with a real account do not look for them.
const SANDBOX: &str = "sandbox";

#[allow(clippy::expect_used, reason = "compiled in, and tests render every entry")]
static TEMPLATES: LazyLock<Environment<'_>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let lines_of_blocks_leave_no_trace =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    templates.set_syntax(lines_of_blocks_leave_no_trace.expect("the usual delimiters"));
    templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    templates.add_filter("in_words", in_words);
    templates.add_filter("quoted", quoted);
    for (name, text) in [
        ("list", include_str!("render/list.txt")),
        ("entry", include_str!("render/entry.txt")),
        ("example", include_str!("render/example.txt")),
        ("provider", include_str!("render/provider.yaml")),
        ("page", include_str!("render/page.md")),
    ] {
        templates.add_template(name, text).expect("a template of ours");
    }
    templates
});

#[allow(clippy::expect_used, reason = "compiled in, and tests render every entry")]
pub(super) fn render(template: &str, context: Value) -> String {
    let template = TEMPLATES.get_template(template);
    template.and_then(|template| template.render(context)).expect("a template of ours, with what it needs")
}

/// Entries as a table: name, display name, first method, rotation, how it was tested; and what the last two mean. Those of the sandbox only
/// if `all` are asked for, and then apart. Ends with a line break.
pub fn render_list(all: bool) -> String {
    let (sandbox, providers): (Vec<_>, Vec<_>) =
        entries().iter().map(|(name, entry)| (name.as_str(), entry)).partition(|(name, _)| is_sandbox(name));
    let (providers, sandbox) = (table(&providers), table(&sandbox));
    render("list", context! { all, providers, sandbox, rotations => Serde(rotations()) })
}

pub(super) fn is_sandbox(name: &str) -> bool {
    name == SANDBOX || name.strip_prefix(SANDBOX).is_some_and(|rest| rest.starts_with('-'))
}

fn table(entries: &[(&str, &CatalogEntry)]) -> String {
    let header = ["NAME", "DISPLAY NAME", "METHOD", "ROTATION", "TESTED"].map(str::to_owned);
    let rows = entries.iter().map(|(name, entry)| {
        let method = entry.methods.first().map(|method| format!("{method:?}")).unwrap_or_default();
        let rotation =
            if entry.uses_tokens() { format!("{:?}", entry.grant.rotation) } else { "-".to_owned() };
        let tested = proof_of(name).map_or("-", EntryProof::summary).to_owned();
        [(*name).to_owned(), entry.display_name.clone(), method, rotation, tested]
    });
    let rows: Vec<[String; 5]> = iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (name, display, how, rotation) = (width(0), width(1), width(2), width(3));
    rows.iter().fold(String::new(), |mut text, [a, b, c, d, e]| {
        _ = writeln!(text, "{a:name$}  {b:display$}  {c:how$}  {d:rotation$}  {e}");
        text
    })
}

/// One entry for a person who is about to use it, with an `IntegrationProvider` to apply. `None` if there is no such
/// entry. Ends with a line break.
pub fn render_entry(name: &str) -> Option<String> {
    let text = render("entry", facts(name, get(name)?));
    Some(text.lines().fold(String::new(), |mut wrapped, line| {
        wrap(line.to_owned(), &mut wrapped);
        wrapped
    }))
}

/// One entry as YAML, with all that it inherits: what an overlay may change. `None` if there is no such entry.
pub fn render_yaml(name: &str) -> Option<String> {
    serde_yaml::to_string(&get(name)?.fields()).ok()
}

/// What the templates need to know of an entry.
pub(super) fn facts(name: &str, entry: &CatalogEntry) -> Value {
    let named = entry.named_addresses().into_iter().filter(|(place, ..)| place.starts_with("/endpoints/"));
    let endpoints: Vec<_> =
        named.filter_map(|(_, name, address)| Some((name, address?.to_string()))).collect();
    let proof = proof_of(name);
    context! {
        name,
        endpoints => Serde(endpoints),
        entry => merge_maps([Value::from(Serde(entry)), Value::from(Serde(&entry.core))]),
        logins => Serde(logins(entry)),
        has_token_endpoint => entry.endpoints.token.is_some() || entry.link_session.is_some(),
        methods => Serde(entry.methods.iter().map(|it| (format!("{it:?}"), method_in_words(*it))).collect::<BTreeMap<_, _>>()),
        access_token => access_token(entry),
        refresh_token => refresh_token(entry),
        revocation => revocation(entry),
        rotation => rotation_in_words(entry.grant.rotation),
        rotations => Serde(rotations()),
        registers_itself => entry.registers_itself(),
        uses_tokens => entry.uses_tokens(),
        needs_certificate => entry.needs_certificate(),
        proof => Serde(proof.cloned().unwrap_or_default()),
        proof_in_short => proof.map_or("-", EntryProof::summary),
        proof_lines => Serde(proof.map(EntryProof::lines).unwrap_or_default()),
        proof_classes => Serde(proof.map(EntryProof::classes).unwrap_or_default()),
        proof_unsaid => Serde(proof.map(EntryProof::unsaid).unwrap_or_default()),
    }
}

/// Where a kind of tool signs in, as a row.
#[derive(Serialize)]
struct LoginRow<'a> {
    name: &'static str,
    formats: &'static str,
    url: String,
    username: Option<&'a str>,
}

fn logins(entry: &CatalogEntry) -> Vec<LoginRow<'_>> {
    let named = entry.logins.named().into_iter();
    let rows = named.filter_map(|(name, login)| {
        let formats = match name {
            "git" => "GitCredentials, Netrc",
            "registry" => "DockerConfigJson",
            _ => "Netrc",
        };
        let url = login.url.as_ref()?.to_string();
        Some(LoginRow { name, formats, url, username: login.username.as_deref() })
    });
    rows.collect()
}

const fn method_in_words(method: Method) -> &'static str {
    match method {
        Method::IssuedKey => "keys are issued here, and their digests published",
        Method::AuthorizationCode => "a person consents at the provider, by way of the portal",
        Method::DeviceCode => "a person consents on another device, with a code",
        Method::LinkSession => "a person links an account on a page of the provider, by way of the portal",
        Method::RefreshToken => "a refresh token that was obtained elsewhere is imported",
        Method::ClientCredentials => "the app registration is the grant; no person consents",
        Method::JwtBearer => "an assertion that the app's key signs is the grant; no person consents",
        Method::TokenExchange => {
            "the token of the ServiceAccount that owns it is exchanged; no person consents"
        }
        Method::ApiKey => "a key is provided",
        Method::BasicAuth => "user name and password are provided",
    }
}

fn access_token(entry: &CatalogEntry) -> String {
    match entry.grant.access_lifetime {
        Some(lifetime) => format!("lives {}, unless its answer says otherwise", days(lifetime)),
        None if has_refresh_tokens(entry) || entry.grant.rotation == Rotation::PerMint => {
            "lives as long as its answer says".to_owned()
        }
        None => "does not expire by itself".to_owned(),
    }
}

fn refresh_token(entry: &CatalogEntry) -> String {
    let lifetime = entry.grant.refresh_lifetime.map(|it| format!("; it lives {}", days(it)));
    if !has_refresh_tokens(entry) {
        return "none".to_owned();
    }
    format!("{}{}", rotation_in_words(entry.grant.rotation), lifetime.unwrap_or_default())
}

/// Whether the provider issues them: then one can be imported, too.
fn has_refresh_tokens(entry: &CatalogEntry) -> bool {
    entry.methods.contains(&Method::RefreshToken)
}

fn revocation(entry: &CatalogEntry) -> &'static str {
    match (entry.revoke.style, entry.revoke.scope) {
        (RevokeStyle::None, _) => {
            "not possible by request: the grant is erased here, and the person removes the app there"
        }
        (_, RevokeScope::Token) => "ends that token alone",
        (_, RevokeScope::Grant) => "ends all tokens of that account through this app",
        (_, RevokeScope::Install) => "ends the app's installation, for everybody",
        (_, RevokeScope::Unknown) => {
            "ends that token; whether it ends other tokens of that account is not known"
        }
    }
}

/// Breaks a line that is too long at the last blank that fits, or else the first. The rest is indented by two more columns.
fn wrap(mut line: String, text: &mut String) {
    let indentation = line.chars().take_while(|char| *char == ' ').count();
    let inner = if indentation == 0 { 0 } else { indentation + 2 };
    while let Some((end, _)) = line.char_indices().nth(WIDTH) {
        let after = line.len().min(inner);
        let blank = line[after..=end].rfind(' ').or_else(|| line[after..].find(' ')).filter(|at| *at > 0);
        let Some(at) = blank else { break };
        _ = writeln!(text, "{}", line[..after + at].trim_end());
        line = format!("{:inner$}{}", "", line[after + at..].trim_start());
    }
    _ = writeln!(text, "{line}");
}

fn rotations() -> Vec<(String, &'static str)> {
    use Rotation::{None, Optional, PerMint, SingleUse, Sliding};
    [None, Optional, Sliding, SingleUse, PerMint]
        .map(|it| (format!("{it:?}"), rotation_in_words(it)))
        .to_vec()
}

const fn rotation_in_words(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "it never changes, or there is none",
        Rotation::Optional => "a new one may come; treated as SingleUse",
        Rotation::Sliding => "a new one comes, and the old one still works",
        Rotation::SingleUse => "a new one comes, and the old one dies",
        Rotation::PerMint => "there is none: the app registration itself asks for each access token",
    }
}

/// A text in YAML, in quotation marks where it would be read as something else.
#[allow(clippy::needless_pass_by_value)]
fn quoted(text: String) -> String {
    match serde_yaml::from_str(&text) {
        Ok(serde_yaml::Value::String(read)) if read == text => text,
        _ => serde_json::Value::from(text).to_string(),
    }
}

fn in_words(text: &str) -> String {
    text.parse::<Duration>().map_or_else(|_| text.to_owned(), days)
}

/// People count long times in days.
fn days(duration: Duration) -> String {
    let hours = duration.get().as_secs() / 3600;
    if hours >= 48 && hours.is_multiple_of(24) {
        format!("{} days", hours / 24)
    } else {
        duration.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::IntegrationProvider;
    use bowline_api::connection::Method;
    use schemars::{JsonSchema, schema_for};
    use serde::Deserialize;
    use serde_json::json;

    use super::super::calls::RevokeScope;
    use super::super::entry::{Pkce, ThirdParty};
    use super::super::merge::merge;
    use super::*;

    fn row<'l>(list: &'l str, name: &str) -> Option<&'l str> {
        list.lines().find(|line| line.split(' ').next() == Some(name))
    }

    #[test]
    fn the_list_is_aligned_and_whole() {
        let list = render_list(true);
        for (table, heading) in list.split("\n\n").filter_map(|part| Some((part, part.lines().next()?))) {
            let Some(column) = heading.find("METHOD ") else { continue };
            for line in table.lines() {
                assert_eq!(line.chars().nth(column - 1), Some(' '), "{line}");
                assert_ne!(line.chars().nth(column), Some(' '), "{line}");
            }
        }
        for name in entries().keys() {
            assert!(row(&list, name).is_some(), "{name} is not in:\n{list}");
        }
    }

    #[test]
    fn the_sandbox_is_not_among_the_real_ones() {
        let (list, whole) = (render_list(false), render_list(true));
        for (name, entry) in entries() {
            assert_eq!(row(&list, name).is_some(), !name.starts_with("sandbox"), "{name}");
            assert_eq!(is_sandbox(name), entry.display_name.starts_with("Sandbox"), "{name}");
        }
        assert!(whole.find("\nslack") < whole.find("For demo and tests"));
        assert!(whole.find("For demo and tests") < whole.find("\nsandbox"));
    }

    #[test]
    fn each_rotation_is_explained_under_the_list() {
        for (name, entry) in entries() {
            let word = format!("{:?}", entry.grant.rotation);
            assert!(render_list(false).contains(&format!("\n  {word} ")), "{name}: {word}");
        }
    }

    /// The words of an enum, as files have them.
    fn words<T: JsonSchema>() -> Vec<String> {
        let schema = schema_for!(T).to_value();
        let array = |of: &str| schema[of].as_array().cloned().unwrap_or_default();
        let described = array("oneOf").into_iter().map(|variant| variant["const"].clone());
        described.chain(array("enum")).map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_word_that_is_explained_anywhere_has_an_explanation() {
        let explained = |over: serde_json::Value| {
            let entry = get("google").unwrap();
            let mut json = entry.json.clone();
            merge(&mut json, over.as_object().unwrap());
            let core = ThirdParty::deserialize(serde_json::Value::Object(json)).unwrap();
            // A word without one is undefined, which is not rendered.
            render("entry", facts("google", &CatalogEntry { core, ..entry.clone() }))
        };
        let (methods, rotations) = (words::<Method>(), words::<Rotation>());
        let (pkce, scopes) = (words::<Pkce>(), words::<RevokeScope>());
        assert_eq!([methods.len(), rotations.len(), pkce.len(), scopes.len()], [10, 5, 4, 4]);
        for word in methods {
            assert!(explained(json!({"methods": [word]})).contains(&format!("  {word:18} ")), "{word}");
        }
        for word in rotations {
            assert!(
                explained(json!({"grant": {"rotation": word}})).contains(&format!("  {word}: ")),
                "{word}"
            );
        }
        for word in pkce {
            drop(explained(json!({"authorize": {"pkce": word}})));
        }
        for word in scopes {
            drop(explained(json!({"revoke": {"scope": word}})));
        }
    }

    #[test]
    fn lines_fit_100_columns_unless_a_word_does_not() {
        let texts: String = entries().keys().map(|name| render_entry(name).unwrap()).collect();
        // A table is not wrapped.
        let (texts, list) = (texts.lines().map(|line| (line, WIDTH)), render_list(true));
        for (line, width) in texts.chain(list.lines().map(|line| (line, WIDTH + 20))) {
            let fits = line.chars().count() <= width;
            assert!(fits || line.trim_start().starts_with("https://"), "{line}");
        }
        assert!(render_entry("google").unwrap().contains("\n    external apps stop at 100 users.\n"));
    }

    #[test]
    fn an_entry_tells_what_a_person_needs() {
        let text = render_entry("microsoft").unwrap();
        for part in [
            "microsoft: Microsoft (Entra ID)",
            "  AuthorizationCode  a person consents",
            "  RefreshToken ",
            "/oauth2/v2.0/token",
            "tenant: ",
            "default common",
            "Sliding: ",
            "by hand: ",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert_eq!(render_entry("nobody"), None);
        assert!(render_entry("generic-oauth2").unwrap().contains("set spec.endpoints.issuer"));
    }

    #[test]
    fn every_example_is_an_integration_provider_that_resolves() {
        for (name, entry) in entries() {
            let example = render("example", facts(name, entry));
            // As it is, and with what it offers in comments.
            for text in [example.clone(), example.replace("\n  # ", "\n  ")] {
                let provider: IntegrationProvider = serde_yaml::from_str(&text).unwrap();
                let resolved = super::super::sketch(entry, &provider.spec, name);
                assert_eq!(resolved.err(), None, "{name}");
            }
            assert!(render_entry(name).unwrap().contains("kind: IntegrationProvider"), "{name}");
        }
    }

    #[test]
    fn an_example_as_it_is_points_to_no_server_that_a_person_would_have_to_have() {
        let provider: IntegrationProvider =
            serde_yaml::from_str(&render("example", facts("github", get("github").unwrap()))).unwrap();
        assert!(provider.spec.parameters.is_empty(), "{:?}", provider.spec.parameters);
    }
}
