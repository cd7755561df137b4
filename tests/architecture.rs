//! The module rules, read from the sources.
//!
//! A rule speaks of a folder or file that may not exist yet; one that is misspelled is found by
//! [`every_rule_speaks_of_something_known`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules in the order in which they may use each other: each may use those above it, and itself.
const ORDER: &[&str] = &[
    "api",
    "attempt",
    "catalog",
    "clock",
    "kubeconfig",
    "telemetry",
    "oauth",
    "metrics",
    "vault",
    "kube_ext",
    "sharing",
    "publishing",
    "grant",
    "discovered",
    "world",
    "context",
    "connection",
    "provider",
    "workspace",
    "share",
    "operator",
    "cli",
];

/// Modules beside the order, and all that they may use.
const BESIDE: &[(&str, &[&str])] = &[
    ("plugin", &["api", "clock", "kubeconfig"]),
    ("portal", &["api", "attempt", "catalog", "clock", "kubeconfig", "metrics", "oauth", "telemetry"]),
];

/// Controllers: siblings, and nobody uses another's insides.
const CONTROLLERS: &[&str] = &["connection", "provider", "workspace", "share"];

/// Pure code: no I/O and no clock, wherever such a file stands.
const PURE: &[&str] = &["api/", "catalog/", "vault/seal.rs", "oauth/classify.rs"];
const PURE_NAMES: &[&str] = &["decide.rs", "build.rs", "report.rs"];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 40;
/// What stands in the comment before a longer function, with the reason why it is better so.
const LONG: &str = "// long:";

struct Source {
    /// Path under src/, with `/`.
    path: String,
    /// Without unit tests, comments and blank prefixes.
    code: String,
    /// Without unit tests.
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file of nothing but tests or fixtures.
fn is_test_file(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap().trim_end_matches(".rs");
    path.contains("/tests/")
        || path.contains("/fixtures/")
        || stem.ends_with("tests")
        || stem.ends_with("fixtures")
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let all: Vec<_> = files(&src)
        .into_iter()
        .map(|file| (file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/"), file))
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, file)| {
            let whole = fs::read_to_string(file).unwrap();
            let text = whole.split("\n#[cfg(test)]").next().unwrap().to_owned();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            Source { path, code, text }
        })
        .collect();
    assert!(
        all.iter().any(|source| source.path.starts_with("api/")),
        "src/api is not where it is looked for"
    );
    all
}

fn none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}:\n  {}", problems.join("\n  "));
}

fn saying(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !allowed(&source.path))
        .flat_map(|source| {
            let said = words.iter().filter(|word| source.code.contains(**word));
            said.map(|word| format!("src/{} says {word}", source.path)).collect::<Vec<_>>()
        })
        .collect()
}

/// Modules of this crate that a source names, by `crate::`.
fn used(source: &Source) -> Vec<String> {
    let modules = source.code.split("crate::").skip(1).flat_map(|rest| {
        // `use crate::{api, clock::Clock}` names several.
        let names = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap());
        let many = rest.starts_with('{');
        names.split(',').take(if many { usize::MAX } else { 1 }).map(first_word).collect::<Vec<_>>()
    });
    modules.filter(|module| !module.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_rule_speaks_of_something_known() {
    let known = |name: &str| ORDER.contains(&name) || BESIDE.iter().any(|(module, _)| *module == name);
    let strangers: Vec<_> = sources()
        .iter()
        .filter(|source| {
            !["main.rs", "lib.rs"].contains(&source.path.as_str()) && !source.path.starts_with("bin/")
        })
        .filter(|source| !known(source.module()))
        .map(|source| format!("src/{}: give its module a place in ORDER or BESIDE", source.path))
        .collect();
    none(&strangers, "each module has its place");
    for module in CONTROLLERS.iter().chain(BESIDE.iter().flat_map(|(_, may)| may.iter())) {
        assert!(ORDER.contains(module), "{module} is misspelled");
    }
    for pure in PURE {
        let module = pure.split('/').next().unwrap();
        assert!(ORDER.contains(&module), "{pure} is misspelled");
    }
}

#[test]
fn arrows_go_one_way() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut problems = Vec::new();
    for source in sources() {
        let from = source.module();
        for to in used(&source).into_iter().filter(|to| to != from) {
            let allowed = match BESIDE.iter().find(|(module, _)| *module == from) {
                Some((_, may)) => may.contains(&to.as_str()),
                None => match (place(from), place(&to)) {
                    (Some(from), Some(to)) => to < from,
                    // Binaries and macros use what they like; a name that is no module is an item of the root.
                    // The command line starts every process.
                    _ => {
                        BESIDE.iter().all(|(module, _)| *module != to)
                            || place(from).is_none()
                            || (from, to.as_str()) == ("cli", "portal")
                    }
                },
            };
            if !allowed {
                problems.push(format!("src/{} uses {to}", source.path));
            }
        }
    }
    none(&problems, "a module uses only those before it");
}

#[test]
fn nobody_uses_a_controllers_insides() {
    let problems: Vec<_> = sources()
        .iter()
        .flat_map(|source| {
            let from = source.module().to_owned();
            let others =
                used(source).into_iter().filter(move |to| CONTROLLERS.contains(&to.as_str()) && *to != from);
            others.map(|to| format!("src/{} uses {to}", source.path)).collect::<Vec<_>>()
        })
        .filter(|problem| !problem.starts_with("src/operator"))
        .collect();
    none(&problems, "controllers are used by operator alone");
}

#[test]
fn pure_code_asks_nobody() {
    let words = [
        "kube::Client",
        "kube::Api",
        "Client::",
        "reqwest",
        "Timestamp::now",
        "Instant::now",
        "SystemTime::now",
    ];
    let pure = |path: &str| {
        PURE.iter().any(|pure| path == *pure || (pure.ends_with('/') && path.starts_with(pure)))
            || PURE_NAMES
                .iter()
                .any(|name| path.rsplit('/').next() == Some(name) && !path.starts_with("plugin/"))
            || path.contains("/decide/")
    };
    none(&saying(&words, |path| !pure(path)), "pure code does no I/O");
}

#[test]
fn the_clock_is_read_in_one_place() {
    none(
        &saying(&["Timestamp::now", "SystemTime::now", "Zoned::now"], |path| path == "clock.rs"),
        "clock.rs alone",
    );
}

#[test]
fn the_environment_is_read_where_settings_are_made() {
    let allowed = |path: &str| path == "cli.rs" || path.starts_with("cli/") || path.starts_with("plugin/");
    none(&saying(&["std::env", "env::var"], allowed), "cli.rs, and the plug-in");
}

#[test]
fn what_is_applied_is_applied_in_one_place() {
    let allowed = |path: &str| {
        path.starts_with("kube_ext/") || path.starts_with("plugin/") || path == "portal/write.rs"
    };
    none(&saying(&["PatchParams"], allowed), "kube_ext, the plug-in, and one file of the portal");
}

#[test]
fn names_say_something() {
    let empty = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];
    let problems: Vec<_> = sources()
        .iter()
        .filter(|source| source.path.split('/').any(|part| empty.contains(&part.trim_end_matches(".rs"))))
        .map(|source| source.path.clone())
        .collect();
    none(&problems, "a name that says nothing");
}

#[test]
fn files_fit_into_a_head() {
    let problems: Vec<_> = sources()
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > FILE_LINES)
        .map(|(lines, path)| format!("src/{path} has {lines} lines"))
        .collect();
    none(&problems, "at most 400 lines without tests");
}

/// First line, name and length of each function, found by the indentation of its closing brace.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let begins = |line: &str| {
        let words = line.trim_start().trim_start_matches("pub(").trim_start_matches("pub ");
        let before = words.split("fn ").next().unwrap_or_default();
        words.contains("fn ") && before.chars().all(|c| c.is_alphabetic() || " ():_".contains(c))
    };
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let name = first_word(line.split("fn ").nth(1).unwrap_or_default());
        let rest = lines[first..].iter();
        let length = rest.clone().position(|line| **line == format!("{indent}}}")).map_or(1, |last| last + 1);
        let declared =
            rest.take(length).position(|line| line.trim_end().ends_with(';') && !line.contains('{'));
        let opened = lines[first..first + length].iter().position(|line| line.trim_end().ends_with('{'));
        if opened.is_some() && declared.is_none_or(|end| opened < Some(end)) {
            found.push((first, name, length));
        }
    }
    found
}

#[test]
fn functions_fit_on_a_screen() {
    let mut problems = Vec::new();
    for source in sources() {
        let lines: Vec<_> = source.text.lines().collect();
        for (first, name, length) in functions(&source.text) {
            let comment =
                lines[..first].iter().rev().take_while(|line| line.trim_start().starts_with(['/', '#']));
            if length > FUNCTION_LINES && !comment.into_iter().any(|line| line.contains(LONG)) {
                problems.push(format!("src/{}:{}: {name} has {length} lines", source.path, first + 1));
            }
        }
    }
    none(&problems, "at most 40 lines, or a comment `// long: why`");
}

#[test]
fn a_long_function_is_seen() {
    let body = "    let x = 1;\n".repeat(50);
    let text = format!(
        "impl A {{\n}}\n\npub(super) async fn long(\n    a: u8,\n) -> u8 {{\n{body}}}\nfn short() {{\n}}\n"
    );
    let found = functions(&text);
    assert_eq!(found[0], (3, "long".to_owned(), 54));
    assert_eq!(found[1].1, "short");
}

#[test]
fn the_walk_through_names_files_that_exist() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else { return };
    let named = text.split('`').skip(1).step_by(2).map(|name| name.split(':').next().unwrap());
    let is_path =
        |name: &&str| name.contains('/') && name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let roots = ["src", "tests", "docs", "deploy", "crds", "examples", ".ci"];
    let problems: Vec<_> = named
        .filter(is_path)
        .filter(|name| roots.contains(&name.split('/').next().unwrap()))
        .filter(|name| !root().join(name).exists())
        .map(ToOwned::to_owned)
        .collect();
    none(&problems, "ARCHITECTURE.md names files that are there");
}
