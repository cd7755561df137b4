//! The catalogue as text, for `bowline catalog`.

use std::fmt::Write as _;

use bowline_api::connection::Method;
use bowline_api::duration::Duration;
use bowline_api::provider::Rotation;

use super::calls::{RevokeScope, RevokeStyle};
use super::entry::{Authorize, Confidence, Entry, Pkce};
use super::load::{entries, get};
use super::parameter::{Parameter, SettableBy};

/// No line is longer, unless a word is.
const WIDTH: usize = 100;
/// Entries of the provider that only demo and tests have: not what somebody looks for who has an account somewhere.
const SANDBOX: &str = "sandbox";

/// Entries as a table: name, display name, first method, rotation; and what the last means. Those of the sandbox only
/// if `all` are asked for, and then apart. Ends with a line break.
pub fn render_list(all: bool) -> String {
    let (sandbox, real): (Vec<_>, Vec<_>) =
        entries().iter().map(|(name, entry)| (name.as_str(), entry)).partition(|(name, _)| is_sandbox(name));
    let mut text = table(&real);
    if all {
        _ = write!(text, "\nFor demo and tests\n\n{}", table(&sandbox));
    }
    text.push_str("\nMETHOD: how a connection is authorized unless its spec.method says otherwise.\n");
    text.push_str("ROTATION: what a refresh does to the refresh token (-: nothing is refreshed).\n");
    for rotation in ROTATIONS {
        _ = writeln!(text, "  {:10}  {}", format!("{rotation:?}"), rotation_meaning(*rotation));
    }
    text.push_str("\nbowline catalog NAME describes one, with an example to apply.\n");
    if !all {
        text.push_str("bowline catalog --all also lists the sandbox of demo and tests.\n");
    }
    text
}

fn is_sandbox(name: &str) -> bool {
    name == SANDBOX || name.strip_prefix(SANDBOX).is_some_and(|rest| rest.starts_with('-'))
}

fn table(entries: &[(&str, &Entry)]) -> String {
    let header = ["NAME", "DISPLAY NAME", "METHOD", "ROTATION"].map(str::to_owned);
    let rows = entries.iter().map(|(name, entry)| {
        let method = entry.methods.first().map(|method| format!("{method:?}")).unwrap_or_default();
        let rotation =
            if methods_refresh(entry) { format!("{:?}", entry.grant.rotation) } else { "-".to_owned() };
        [(*name).to_owned(), entry.display_name.clone(), method, rotation]
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
    let mut text = format!("{name}: {}\n{}\n", entry.display_name, entry.about);
    section(&mut text, "Methods (the first unless spec.method says otherwise)", method_lines(entry));
    section(&mut text, "Endpoints", endpoint_lines(entry));
    section(&mut text, "Authorization request", authorize_lines(entry));
    section(&mut text, "Scopes", scope_lines(entry));
    section(
        &mut text,
        "Parameters",
        entry.parameters.iter().flat_map(|(name, found)| parameter_lines(name, found)),
    );
    if methods_refresh(entry) {
        section(&mut text, "Rotation (what a refresh does to the refresh token)", rotation_lines(entry));
        section(&mut text, "Revocation", revocation_lines(entry));
    }
    section(&mut text, "Key", key_lines(entry));
    section(
        &mut text,
        "What its tokens look like",
        entry.token_prefixes.iter().map(|(kind, begin)| format!("{kind}: begins with {begin}")),
    );
    section(&mut text, "Limits", entry.limits.iter().map(|limit| format!("- {limit}")));
    section(&mut text, "Notes", entry.notes.iter().map(|note| format!("- {note}")));
    section(
        &mut text,
        &format!("Sources (confidence: {})", confidence(entry.confidence)),
        entry.sources.iter().cloned(),
    );
    section(&mut text, "Example", example(name, entry).lines().map(str::to_owned));
    Some(text)
}

/// A heading and its lines; nothing without lines. What goes on after a break stands two columns further in.
fn section(text: &mut String, heading: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        _ = writeln!(text, "\n{heading}");
    }
    for line in lines {
        let mut rest = format!("  {line}");
        let inner = rest.chars().take_while(|c| *c == ' ').count() + 2;
        while let Some(end) = break_of(&rest, inner) {
            _ = writeln!(text, "{}", rest[..end].trim_end());
            rest = format!("{:inner$}{}", "", rest[end..].trim_start());
        }
        _ = writeln!(text, "{rest}");
    }
}

/// Where a line that is too long breaks: at the last blank that fits, or the first one, behind the indentation.
fn break_of(line: &str, indentation: usize) -> Option<usize> {
    let (end, _) = line.char_indices().nth(WIDTH)?;
    let after = line.len().min(indentation);
    line[after..=end]
        .rfind(' ')
        .or_else(|| line[after..].find(' '))
        .map(|at| after + at)
        .filter(|at| *at > after)
}

fn method_lines(entry: &Entry) -> Vec<String> {
    let meaning = |method: &Method| match method {
        Method::AuthorizationCode => "a person consents at the provider, by way of the portal",
        Method::DeviceCode => "a person consents on another device, with a code",
        Method::RefreshToken => "a refresh token that was got elsewhere is brought in",
        Method::ClientCredentials => "the app registration is the grant; no person consents",
        Method::ApiKey => "a key is brought in",
        Method::BasicAuth => "user name and password are brought in",
    };
    entry.methods.iter().map(|method| format!("{:18} {}", format!("{method:?}"), meaning(method))).collect()
}

fn methods_refresh(entry: &Entry) -> bool {
    !entry.methods.iter().all(|method| matches!(method, Method::ApiKey | Method::BasicAuth))
}

fn endpoint_lines(entry: &Entry) -> Vec<String> {
    if methods_refresh(entry) && entry.endpoints.token.is_none() {
        return vec![
            "yours: set spec.endpoints.issuer, and the others are read from there; or set token and others"
                .to_owned(),
        ];
    }
    let named = entry.endpoints.named().into_iter();
    named.filter_map(|(name, url)| url.map(|url| format!("{name:21} {url}"))).collect()
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

const ROTATIONS: &[Rotation] =
    &[Rotation::None, Rotation::Optional, Rotation::Sliding, Rotation::SingleUse, Rotation::PerMint];

const fn rotation_meaning(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "it never changes, or there is none",
        Rotation::Optional => "a new one may come; treated as SingleUse",
        Rotation::Sliding => "a new one comes, and the old one still works",
        Rotation::SingleUse => "a new one comes, and the old one dies",
        Rotation::PerMint => "there is none: the app registration itself asks for each access token",
    }
}

fn rotation_lines(entry: &Entry) -> Vec<String> {
    let grant = &entry.grant;
    let mut lines = vec![format!("{:?}: {}", grant.rotation, rotation_meaning(grant.rotation))];
    lines.extend(grant.grace.map(|span| format!("grace: the old one dies {} later only", in_words(span))));
    lines.extend(grant.refresh_ends_access.then(|| "a refresh also ends the access token in use".to_owned()));
    lines.extend(grant.access_lifetime.map(|span| format!("an access token lives {}", in_words(span))));
    lines.extend(grant.refresh_lifetime.map(|span| format!("a refresh token lives {}", in_words(span))));
    lines.extend(grant.idle_lifetime.map(|span| format!("unused, a grant ends after {}", in_words(span))));
    lines
}

/// People count long times in days.
fn in_words(duration: Duration) -> String {
    let hours = duration.get().as_secs() / 3600;
    if hours >= 48 && hours.is_multiple_of(24) {
        format!("{} days", hours / 24)
    } else {
        duration.to_string()
    }
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

/// An `IntegrationProvider` to start from, with what has to be set. What may be set stands in comments: an example that
/// is applied as it is must not point to a server that does not exist.
fn example(name: &str, entry: &Entry) -> String {
    let mut text = String::new();
    if methods_refresh(entry) {
        _ = writeln!(text, "# kubectl -n bowline-system create secret generic {name}-app \\");
        text.push_str("#   --from-literal=client_id=YOUR-ID --from-literal=client_secret=YOUR-SECRET\n");
    }
    _ = write!(
        text,
        "apiVersion: bowline.dev/v1alpha1\nkind: IntegrationProvider\nmetadata:\n  name: {name}\nspec:\n  type: {name}\n"
    );
    if methods_refresh(entry) {
        _ = writeln!(text, "  app:\n    secretName: {name}-app");
        if entry.endpoints.token.is_none() {
            text.push_str("  endpoints:\n    issuer: https://id.example.com\n");
        }
    }
    let set =
        entry.parameters.iter().filter_map(|(name, found)| Some((name, found, found.example.as_ref()?)));
    let (wanted, free): (Vec<_>, Vec<_>) = set.partition(|(_, parameter, _)| parameter.required);
    for (mark, parameters) in [("", &wanted), ("# ", &free)] {
        if !parameters.is_empty() && (mark.is_empty() || wanted.is_empty()) {
            _ = writeln!(text, "  {mark}parameters:");
        }
        for (name, _, value) in parameters {
            _ = writeln!(text, "  {mark}  {name}: {value}");
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::IntegrationProvider;

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

    #[test]
    fn lines_fit_100_columns_unless_a_word_does_not() {
        let texts = entries().keys().map(|name| render_entry(name).unwrap()).chain([render_list(true)]);
        for line in texts.collect::<String>().lines() {
            let fits = line.chars().count() <= WIDTH;
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
            let example = example(name, entry);
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
            serde_yaml::from_str(&example("github", get("github").unwrap())).unwrap();
        assert!(provider.spec.parameters.is_empty(), "{:?}", provider.spec.parameters);
    }
}
