//! What the pages for users say is true of the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "docs/chart.rs"]
mod chart;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bowline::cli;
use bowline_oauth::catalog;
use clap::{CommandFactory, Parser};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Pages outside of docs/.
const PAGES: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "charts/bowline/README.md",
    "examples/README.md",
];

/// Every page, by its path.
fn pages() -> BTreeMap<String, String> {
    let mut paths: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    for folder in ["docs", "docs/providers", "docs/runbooks"] {
        let files = fs::read_dir(root().join(folder)).unwrap();
        let paths_there = files.map(|file| Path::new(folder).join(file.unwrap().file_name()));
        // The folders also contain pictures.
        paths.extend(paths_there.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let pages = paths.into_iter().map(|path| path.to_str().unwrap().to_owned());
    pages.map(|path| (path.clone(), read(&path))).collect()
}

/// What is in backticks, outside of fenced blocks.
fn quoted(page: &str) -> Vec<String> {
    let prose: String = page.split("```").step_by(2).collect();
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(ToOwned::to_owned).collect()
}

/// Lines of fenced blocks, continued lines joined.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2).collect::<Vec<_>>().join("\n");
    blocks.replace("\\\n", " ").lines().map(|line| line.trim().to_owned()).collect()
}

fn none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}:\n  {}", problems.join("\n  "));
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let texts = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"));
    texts.map(|text| text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()).collect()
}

#[test]
fn the_example_of_an_entry_fits_the_schema_of_the_catalogue() {
    let page = read("docs/providers.md");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = blocks.into_iter().find(|block| block.starts_with("displayName:")).unwrap();
    let example = serde_yaml::from_str(example).unwrap();
    let schema = jsonschema::validator_for(&catalog::schema()).unwrap();
    let problems = schema.iter_errors(&example).map(|error| format!("{}: {error}", error.instance_path()));
    none(&problems.collect::<Vec<_>>(), "docs/providers.md shows an entry that the catalogue takes");
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for (path, page) in pages() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            let is_there = file.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&file).unwrap()).iter().any(|a| a == anchor));
            if !is_there {
                problems.push(format!("{path}: {target}"));
            }
        }
    }
    none(&problems, "links lead to files and headings that are there");
}

#[test]
fn every_page_is_in_the_summary_of_the_site_once() {
    let summary = read("docs/SUMMARY.md");
    let sections: Vec<_> = summary.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    assert_eq!(sections, ["Summary", "Tutorial", "How to", "Reference", "Explanation"]);
    let mut listed: Vec<_> = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(ToOwned::to_owned)
        .collect();
    listed.sort();
    let pages = pages().into_keys().filter_map(|path| path.strip_prefix("docs/").map(ToOwned::to_owned));
    let pages: Vec<_> = pages.filter(|path| path != "SUMMARY.md").collect();
    assert_eq!(listed, pages, "docs/SUMMARY.md lists each page of docs/ once");
}

#[test]
fn paths_that_are_named_exist() {
    let folders = ["crates/", "crds/", "deploy/", "docs/", "examples/", "packaging/", "src/", "tests/"];
    let mut problems = Vec::new();
    // ARCHITECTURE.md has its own test; the changelog also names what was removed.
    let elsewhere = ["ARCHITECTURE.md", "CHANGELOG.md"];
    for (path, page) in pages().into_iter().filter(|(path, _)| !elsewhere.contains(&path.as_str())) {
        let said = quoted(&page);
        let named = said.iter().filter(|said| folders.iter().any(|folder| said.starts_with(folder)));
        // A name with a placeholder stands for many.
        let whole = named.filter(|said| !said.contains(['*', ' ']) && !said.contains("NAME"));
        problems
            .extend(whole.filter(|said| !root().join(said).exists()).map(|said| format!("{path}: {said}")));
    }
    none(&problems, "paths lead to files that are there");
}

#[test]
fn targets_of_make_that_are_named_exist() {
    let makefile = read("Makefile");
    let mut problems = Vec::new();
    for (path, page) in pages() {
        for said in quoted(&page).into_iter().chain(commands(&page)) {
            let Some(target) = said.trim_start_matches("CI=true ").strip_prefix("make ") else { continue };
            for target in target.split(' ') {
                if !makefile.contains(&format!("\n{target}:")) {
                    problems.push(format!("{path}: make {target}"));
                }
            }
        }
    }
    none(&problems, "make has these targets");
}

#[test]
fn flags_of_the_operator_that_are_named_exist() {
    let command = cli::Cli::command();
    let operator = command.find_subcommand("operator").unwrap();
    let flags: Vec<_> = operator.get_arguments().filter_map(clap::Arg::get_long).collect();
    let mut problems = Vec::new();
    for path in ["docs/operations.md", "docs/guarantees.md", "docs/security.md", "docs/permissions.md"] {
        for said in quoted(&read(path)) {
            let Some(flag) = said.strip_prefix("--") else { continue };
            let flag = flag.split([' ', '=']).next().unwrap();
            if !flags.contains(&flag) {
                problems.push(format!("{path}: --{flag}"));
            }
        }
    }
    none(&problems, "bowline operator has these flags");
}

/// All long flags of a command and its subcommands.
fn flags(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_long).map(ToOwned::to_owned);
    own.chain(command.get_subcommands().flat_map(flags)).collect()
}

#[test]
fn flags_that_are_named_anywhere_exist() {
    let known = [flags(&cli::Cli::command()), flags(&kubectl_bowline::Cli::command())].concat();
    let mut problems = Vec::new();
    for (path, page) in pages().into_iter().filter(|(path, _)| path != "CHANGELOG.md") {
        let said = quoted(&page);
        let named = said.iter().filter_map(|said| said.strip_prefix("--")?.split([' ', '=']).next());
        let strangers = named.filter(|flag| !known.iter().any(|known| known == flag));
        problems.extend(strangers.map(|flag| format!("{path}: --{flag}")));
    }
    none(&problems, "bowline or kubectl bowline has these flags");
}

#[test]
fn flags_of_the_portal_that_are_named_exist() {
    let command = cli::Cli::command();
    let portal = command.find_subcommand("portal").unwrap();
    let flags: Vec<_> = portal.get_arguments().filter_map(clap::Arg::get_long).collect();
    let said = quoted(&read("docs/portal.md"));
    let named = said.iter().filter_map(|said| said.strip_prefix("--"));
    let strangers: Vec<_> =
        named.filter(|flag| !flags.contains(flag)).map(|flag| format!("--{flag}")).collect();
    none(&strangers, "bowline portal has these flags");
}

#[test]
fn commands_of_the_plug_in_are_ones_it_takes() {
    let mut seen = 0;
    let mut problems = Vec::new();
    for (path, page) in pages() {
        for line in commands(&page) {
            let Some(rest) = line.split("kubectl bowline ").nth(1) else { continue };
            // What follows belongs to the shell.
            let words = rest.split(['#', '>', '|']).next().unwrap().split_whitespace();
            seen += 1;
            if let Err(error) =
                kubectl_bowline::Cli::try_parse_from(["kubectl-bowline"].into_iter().chain(words))
            {
                problems.push(format!("{path}: {line}: {error}"));
            }
        }
    }
    assert!(seen >= 4, "only {seen} commands were found");
    none(&problems, "kubectl bowline takes these commands");
}
