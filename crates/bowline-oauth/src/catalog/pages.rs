//! A page for each entry, in Markdown: what an administrator registers, what people consent to, and what then happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::entry::CatalogEntry;
use super::errors::{Class, ErrorTable, RefusalRule};
use super::files::DEFAULTS;
use super::load::get;
use super::protocol::ScopeRules;
use super::render::{facts, render};

/// A scope, as a row.
#[derive(Serialize)]
struct ScopeRow<'a> {
    scope: &'a str,
    says: &'a str,
    kind: String,
    risk: &'a str,
    requested: &'static str,
}

/// What a class of failures means, and what belongs to it.
#[derive(Serialize)]
struct ErrorRow {
    class: String,
    meaning: &'static str,
    signs: Vec<String>,
}

/// The page of one entry. `None` if there is no such entry. Ends with a line break.
pub fn render_page(name: &str) -> Option<String> {
    let entry = get(name)?;
    let more = context! {
        scopes => Serde(scopes(&entry.scopes)),
        errors => Serde(errors(&entry.errors)),
        auth_is_named => entry.client_auth.len() == 1,
    };
    Some(render("page", context! { ..more, ..facts(name, entry) }))
}

fn scopes(rules: &ScopeRules) -> Vec<ScopeRow<'_>> {
    let mut seen = BTreeSet::new();
    let all = [&rules.required, &rules.default, &rules.optional, &rules.allowed].into_iter().flatten();
    let all = all.chain(rules.describe.keys()).filter(|scope| seen.insert(*scope));
    all.map(|scope| scope_row(rules, scope)).collect()
}

fn scope_row<'a>(rules: &'a ScopeRules, scope: &'a String) -> ScopeRow<'a> {
    let meaning = rules.meaning(scope);
    ScopeRow {
        scope,
        says: meaning.map_or("", |meaning| &meaning.says),
        kind: meaning.map(|meaning| format!("{:?}", meaning.kind)).unwrap_or_default(),
        risk: meaning.and_then(|meaning| meaning.risk.as_deref()).unwrap_or_default(),
        requested: if rules.required.contains(scope) {
            "always"
        } else if rules.default.contains(scope) {
            "by default"
        } else {
            "if a connection names it"
        },
    }
}

const CLASSES: [(Class, &str); 10] = [
    (Class::Reauth, "The grant is gone. Its owner connects again."),
    (Class::Consent, "An approval is missing. An administrator of the account gives it."),
    (Class::Policy, "A rule of the account's organization forbids it. Its administrator decides."),
    (Class::StepUp, "The owner has to sign in again, or with a second factor. They connect again."),
    (Class::Config, "The registration or the provider object is wrong. You fix it; nobody connects again."),
    (Class::Transient, "It passes. The operator asks again later."),
    (
        Class::Ambiguous,
        "It may be about the grant or not. It is judged when no token works any more and several refusals came.",
    ),
    (Class::Alive, "The check was refused, but the credential works."),
    (Class::Cancelled, "The person declined."),
    (Class::Bug, "The provider did not understand the request. Report it."),
];

/// What the entry says beyond the standard, by class.
fn errors(table: &ErrorTable) -> Vec<ErrorRow> {
    let mut signs: BTreeMap<Class, BTreeSet<String>> = BTreeMap::new();
    let standard = &*STANDARD;
    for (own, standard) in [(&table.token, &standard.token), (&table.callback, &standard.callback)] {
        for (code, class) in own.iter().filter(|(code, class)| standard.get(*code) != Some(class)) {
            signs.entry(*class).or_default().insert(format!("`{code}`"));
        }
    }
    for rule in table.refusals.iter().chain(&table.api) {
        signs.entry(rule.class).or_default().insert(sign(rule));
    }
    let row = |(class, meaning): &(Class, &'static str)| {
        let signs = signs.remove(class)?.into_iter().collect();
        Some(ErrorRow { class: format!("{class:?}"), meaning, signs })
    };
    CLASSES.iter().filter_map(row).collect()
}

/// An answer, in words.
fn sign(rule: &RefusalRule) -> String {
    let header = rule.header.as_ref().map(|header| match &header.value {
        Some(value) => format!("with `{}: {value}`", header.name),
        None => format!("with `{}`", header.name),
    });
    let status = rule.status.map(|status| status.to_string());
    let code = rule.code.as_ref().map(|code| format!("`{code}`"));
    let text = rule.text.as_ref().map(|text| format!("\"{text} …\""));
    status.into_iter().chain(code).chain(text).chain(header).collect::<Vec<_>>().join(" ")
}

/// What every entry says unless it says otherwise.
#[allow(clippy::expect_used, reason = "compiled in, and tests render every entry")]
static STANDARD: LazyLock<ErrorTable> = LazyLock::new(|| {
    let fields = serde_yaml::from_str(DEFAULTS).expect("the defaults are YAML");
    CatalogEntry::read(fields).expect("the defaults fit the schema").core.errors
});

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    use bowline_api::connection::Method;

    use super::super::load::entries;
    use super::super::proof::{EntryProof, proof_of};
    use super::super::render::is_sandbox;
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// Entries that have a page.
    fn listed() -> impl Iterator<Item = (&'static String, &'static CatalogEntry)> {
        entries().iter().filter(|(name, _)| !is_sandbox(name))
    }

    /// Writes the file if `UPDATE_GOLDEN` is set.
    fn is_up_to_date(path: &Path, text: &str) {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path, text).unwrap();
        }
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "{} is not what the catalogue says: run make docs", path.display());
    }

    /// A page with what is between its two markers replaced.
    fn with_generated(path: &Path, table: &str) -> String {
        const BEGIN: &str =
            "<!-- Generated from the catalogue from here; do not edit. `make docs` writes it. -->\n";
        const END: &str = "<!-- Generated to here. -->";
        let page = fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        format!("{before}{BEGIN}\n{table}\n{END}{after}")
    }

    /// Mark, name, methods and proof of each entry, those without a provider of their own behind the others. `docs` is where
    /// the pages are.
    fn table(docs: &str, tested: fn(&EntryProof) -> String) -> String {
        let heading = "| | provider | `spec.type` | connected by | tested |\n|---|---|---|---|---|\n";
        let proof = |name: &str| proof_of(name).unwrap();
        let (servers, providers): (Vec<_>, Vec<_>) =
            listed().partition(|(name, _)| proof(name).server.is_some());
        providers.into_iter().chain(servers).fold(heading.to_owned(), |mut table, (name, entry)| {
            let page = format!("{docs}providers/{name}.md");
            let mark =
                format!("<img src=\"{docs}providers/marks/{name}.svg\" width=\"24\" height=\"24\" alt=\"\">");
            let methods: Vec<_> = entry.methods.iter().map(|method| in_a_word(*method)).collect();
            let (title, methods, tested) = (&entry.display_name, methods.join(", "), tested(proof(name)));
            writeln!(
                table,
                "| {mark} | [{title}]({page}) | `{name}` | {methods} | [{tested}]({page}#proof) |"
            )
            .unwrap();
            table
        })
    }

    fn in_a_word(method: Method) -> &'static str {
        match method {
            Method::IssuedKey => "key issued here",
            Method::AuthorizationCode => "browser",
            Method::DeviceCode => "device code",
            Method::LinkSession => "link session",
            Method::RefreshToken => "imported grant",
            Method::ClientCredentials => "the app itself",
            Method::JwtBearer => "signed assertion",
            Method::TokenExchange => "exchanged token",
            Method::ApiKey => "key",
            Method::BasicAuth => "password",
        }
    }

    #[test]
    fn every_page_is_up_to_date() {
        let folder = root().join("docs/providers");
        fs::create_dir_all(&folder).unwrap();
        for (name, _) in listed() {
            is_up_to_date(&folder.join(format!("{name}.md")), &render_page(name).unwrap());
        }
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let is_page = listed().any(|(entry, _)| entry == name);
            assert!(is_page || file.is_dir(), "{}: no entry has that name", file.display());
        }
    }

    #[test]
    fn the_table_of_the_readme_is_up_to_date() {
        let path = root().join("README.md");
        is_up_to_date(&path, &with_generated(&path, &table("docs/", |proof| proof.summary().to_owned())));
    }

    #[test]
    fn the_list_of_the_guide_is_up_to_date() {
        let path = root().join("docs/providers.md");
        is_up_to_date(&path, &with_generated(&path, &table("", EntryProof::in_a_cell)));
    }

    #[test]
    fn a_page_says_what_an_administrator_needs() {
        let page = render_page("github").unwrap();
        for part in [
            "https://github.com/settings/developers",
            "`https://YOUR-PORTAL/callback/github`",
            "--from-literal=providers=github",
            "| `repo` | Read and write your repositories, private ones too | Write | there is no read-only form",
            "- 365 days without use.",
            "Disconnecting: ends that token alone",
            "Proved against the emulator: connect, account, refusals 20 of 20",
            "- refresh: tokens of OAuth apps do not expire",
            "- The page where a person withdraws the grant.",
        ] {
            assert!(page.contains(part), "{part} is not in:\n{page}");
        }
        assert_eq!(render_page("nobody"), None);
    }

    #[test]
    fn every_page_says_what_to_set_up_and_what_ends_a_grant() {
        for (name, entry) in listed() {
            assert!(!entry.setup.steps.is_empty(), "{name} has no steps");
            let is_at_a_provider = proof_of(name).is_some_and(|proof| !proof.runs.is_empty());
            assert!(!is_at_a_provider || !entry.endings.is_empty(), "{name} does not say what ends a grant");
            // It belongs to what is only believed, which a page lists apart.
            let hidden = entry.notes.iter().chain(&entry.limits).find(|note| note.contains("not verified"));
            assert_eq!(hidden, None, "{name}");
        }
    }

    #[test]
    fn a_table_has_as_many_cells_in_each_row() {
        for (name, _) in listed() {
            let page = render_page(name).unwrap();
            for block in page.split("\n\n").filter(|block| block.starts_with('|')) {
                let cells = |line: &str| line.replace("\\|", "").matches('|').count();
                let first = cells(block.lines().next().unwrap());
                assert!(block.lines().all(|line| cells(line) == first), "{name}:\n{block}");
            }
        }
    }
}
