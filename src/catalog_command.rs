//! `bowline catalog`: the catalogue as text, and provider objects before they are applied. Needs no cluster.
#![allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bowline_api::IntegrationProvider;
use bowline_oauth::catalog::{self, Checked};
use bowline_oauth::rehearsal::{Recorded, rehearse};
use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

/// What to do with the catalogue.
#[derive(Subcommand, Debug)]
pub enum CatalogCommand {
    /// List the entries.
    List {
        /// The sandbox of demo and tests as well.
        #[arg(long)]
        all: bool,
    },
    /// Describe an entry, with an example to apply.
    Show {
        /// Name of the entry.
        name: String,
        /// What to print: text or a page for people, or all fields, of which spec.overlay may change each.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: EntryFormat,
    },
    /// Check IntegrationProviders in a YAML file as the operator does: what does not fit, where tokens would go, what is risky.
    /// Ends with 1 if one cannot be used.
    Check {
        /// The file; - for standard input.
        file: PathBuf,
    },
    /// Show which requests an IntegrationProvider in a YAML file makes, and what would be taken from a recorded answer. Nothing
    /// is sent.
    Try(TryFlags),
}

/// How an entry is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EntryFormat {
    /// For people.
    #[default]
    Text,
    /// For people, as a page in Markdown.
    Markdown,
    /// All fields, with what the entry inherits.
    Yaml,
}

/// Flags of `bowline catalog try`.
#[derive(Args, Debug)]
pub struct TryFlags {
    /// The file with the IntegrationProvider; - for standard input.
    file: PathBuf,

    /// A recorded answer of the token endpoint, its secrets replaced. Without it, an answer is made up.
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,

    /// A recorded answer of the call that names the account.
    #[arg(long, value_name = "FILE")]
    user_info: Option<PathBuf>,

    /// The query of a recorded callback, such as realmId=9130&location=eu.
    #[arg(long, value_name = "QUERY", default_value = "", hide_default_value = true)]
    callback: String,
}

/// Carries it out. The error says what cannot be used.
pub async fn run(out: &mut impl Write, command: &CatalogCommand, now: Timestamp) -> anyhow::Result<()> {
    let text = match command {
        CatalogCommand::List { all } => catalog::render_list(*all),
        CatalogCommand::Show { name, output } => show(name, *output)?,
        CatalogCommand::Check { file } => return check(out, &providers(file)?),
        CatalogCommand::Try(flags) => Box::pin(rehearsal(flags, now)).await?,
    };
    out.write_all(text.as_bytes()).context("cannot print")
}

fn show(name: &str, output: EntryFormat) -> anyhow::Result<String> {
    let text = match output {
        EntryFormat::Text => catalog::render_entry(name),
        EntryFormat::Markdown => catalog::render_page(name),
        EntryFormat::Yaml => catalog::render_yaml(name),
    };
    text.with_context(|| format!("the catalogue has no entry {name}; bowline catalog list shows them"))
}

/// Prints what becomes of each provider object, also after one that cannot be used.
fn check(out: &mut impl Write, providers: &[IntegrationProvider]) -> anyhow::Result<()> {
    let mut unusable = Vec::new();
    for provider in providers {
        let name = provider.name_any();
        match catalog::check(provider) {
            Ok(checked) => write_checked(out, &checked).context("cannot print")?,
            Err(error) => {
                writeln!(out, "{name}: {error}").context("cannot print")?;
                unusable.push(name);
            }
        }
    }
    if unusable.is_empty() { Ok(()) } else { bail!("not usable as written: {}", unusable.join(", ")) }
}

fn write_checked(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    out.write_all(checked.render().as_bytes())?;
    if !checked.risks.is_empty() {
        writeln!(out, "\nRisks")?;
    }
    checked.risks.iter().try_for_each(|risk| writeln!(out, "  - {risk}"))
}

async fn rehearsal(flags: &TryFlags, now: Timestamp) -> anyhow::Result<String> {
    let providers = providers(&flags.file)?;
    let [provider] = &providers[..] else {
        bail!("{} holds {} IntegrationProviders: give one", flags.file.display(), providers.len())
    };
    let checked = catalog::check(provider)?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let recorded = Recorded {
        answer: flags.answer.as_deref().map(read).transpose()?,
        user_info: flags.user_info.as_deref().map(read).transpose()?,
        callback: url::form_urlencoded::parse(flags.callback.as_bytes()).into_owned().collect(),
    };
    Ok(rehearse(checked.description(), &recorded, now).await)
}

/// The `IntegrationProvider`s of a file, which may hold other objects too.
fn providers(path: &Path) -> anyhow::Result<Vec<IntegrationProvider>> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object =
            Value::deserialize(document).with_context(|| format!("{} is no YAML", path.display()))?;
        if object["kind"] == "IntegrationProvider" {
            let name = object["metadata"]["name"].as_str().unwrap_or("without a name").to_owned();
            let provider = serde_json::from_value(object);
            found.push(provider.with_context(|| format!("IntegrationProvider {name} cannot be read"))?);
        }
    }
    if found.is_empty() {
        bail!("{} holds no IntegrationProvider", path.display());
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::env;

    use super::*;

    /// What the command prints about a file with this text, or its error.
    async fn said(name: &str, text: &str, command: impl Fn(PathBuf) -> CatalogCommand) -> (String, String) {
        let path = env::temp_dir().join(format!("bowline-catalog-{}-{name}.yaml", std::process::id()));
        fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let done = run(&mut out, &command(path.clone()), Timestamp::UNIX_EPOCH).await;
        fs::remove_file(path).unwrap();
        (String::from_utf8(out).unwrap(), done.err().map(|error| format!("{error:#}")).unwrap_or_default())
    }

    fn checked(file: PathBuf) -> CatalogCommand {
        CatalogCommand::Check { file }
    }

    const GOOD: &str = "apiVersion: bowline.dev/v1alpha1\nkind: IntegrationProvider\nmetadata: {name: good}\nspec: {type: google}\n";

    #[tokio::test]
    async fn an_unknown_entry_is_an_error_that_says_where_to_look() {
        for output in [EntryFormat::Text, EntryFormat::Markdown, EntryFormat::Yaml] {
            let command = CatalogCommand::Show { name: "nobody".to_owned(), output };
            let error = run(&mut Vec::new(), &command, Timestamp::UNIX_EPOCH).await.unwrap_err();
            assert!(error.to_string().contains("bowline catalog list"));
        }
    }

    #[tokio::test]
    async fn the_yaml_of_an_entry_is_an_overlay_that_changes_nothing() {
        let command = CatalogCommand::Show { name: "microsoft".to_owned(), output: EntryFormat::Yaml };
        let mut out = Vec::new();
        run(&mut out, &command, Timestamp::UNIX_EPOCH).await.unwrap();
        let fields: Value = serde_yaml::from_slice(&out).unwrap();
        let spec = serde_json::json!({"type": "microsoft", "overlay": fields});
        let overlaid = catalog::entry_of(&serde_json::from_value(spec).unwrap()).unwrap();
        assert_eq!(overlaid.core, catalog::get("microsoft").unwrap().core);
    }

    #[tokio::test]
    async fn every_provider_of_a_file_is_checked_and_one_that_cannot_be_used_is_an_error() {
        let bad = "kind: IntegrationProvider\nmetadata: {name: bad}\nspec: {type: google, overlay: {colour: red}}\n";
        let (out, error) = said("both", &format!("{bad}---\nkind: Secret\n---\n{GOOD}"), checked).await;
        assert!(out.contains("bad: spec.overlay does not fit: colour: unknown field"), "{out}");
        assert!(out.contains("good: Google (google)") && out.contains("Risks"), "{out}");
        assert_eq!(error, "not usable as written: bad");
        let (_, error) = said("good", GOOD, checked).await;
        assert_eq!(error, "");
    }

    #[tokio::test]
    async fn a_file_without_a_provider_is_an_error() {
        for (name, text, words) in [
            ("none", "kind: Secret\n", "holds no IntegrationProvider"),
            ("broken", "a: [", "is no YAML"),
            (
                "shape",
                "kind: IntegrationProvider\nmetadata: {name: x}\nspec: {type: 7}\n",
                "IntegrationProvider x cannot be read",
            ),
        ] {
            let (_, error) = said(name, text, checked).await;
            assert!(error.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn a_rehearsal_shows_the_requests() {
        let tried = |file| {
            CatalogCommand::Try(TryFlags { file, answer: None, user_info: None, callback: String::new() })
        };
        let (out, error) = said("try", GOOD, tried).await;
        assert!(
            out.contains("POST https://oauth2.googleapis.com/token") && error.is_empty(),
            "{out} {error}"
        );
    }
}
