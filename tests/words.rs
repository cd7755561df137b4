//! The project's words: plain English of the field. docs/glossary.md defines its own terms.
//!
//! Pages, manifests, templates and scripts are read as text; of Rust sources only the comments and string literals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Phrases that are not used, forms separated by `|`, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("mend|mends|mended|mending", "fix"),
    ("bring|brings|bringing|brought", "import, provide, cause"),
    ("whom it hits|who it hits|what it hits|whom that hits", "who is affected, what is affected"),
    ("speak of|speaks of|spoke of|spoken of|speaking of", "refer to, describe"),
    ("tell of|tells of|told of", "report, describe"),
    ("got elsewhere|was got|is got|were got|be got", "obtained"),
    (
        "take the place of|takes the place of|took the place of|taken the place of|taking the place of",
        "replace",
    ),
    ("takes its place|took its place", "replaces it"),
    ("asked wrongly", "usage error, invalid request"),
    ("token ends|tokens end|token ended|token has ended|token that ended", "expires, expired"),
    ("no end|without an end|names an end|has an end", "never expires, expiry"),
    (
        "a try|one try|the try|each try|every try|this try|that try|another try|no try|first try|last try|next try",
        ATTEMPT,
    ),
    ("open tries|tries to connect", ATTEMPT),
    ("anew", "again"),
    ("for who", "for people who"),
];

const ATTEMPT: &str = "attempt, where an account is connected; elsewhere refresh, request, write";

/// What is read: files, and folders with everything in them.
const READ: &[&str] = &[
    ".github",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "charts",
    "crates",
    "deploy",
    "docs",
    "examples",
    "packaging",
    "src",
    "templates",
    "tests",
];
const ENDINGS: &[&str] = &["css", "html", "js", "md", "rs", "sh", "txt", "yaml", "yml"];

/// Pages for users: requirements have no numbers there, because their list is not in the repository.
const PAGES: &[&str] = &["README.md", "SECURITY.md", "docs", "examples", "deploy", "charts"];

struct Word {
    line: usize,
    /// In lower case; empty where a sentence, a cell or a literal ends.
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    if path.is_dir() && (!name.starts_with('.') || name == ".github") && name != "node_modules" {
        for entry in fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if path.is_file() {
        let is_text = path.extension().is_none_or(|end| ENDINGS.iter().any(|known| end == *known));
        let is_this = path.ends_with("tests/words.rs");
        found.extend((is_text && !is_this).then(|| path.to_owned()));
    }
}

/// Path below the root, and words, of each file in these places.
fn texts(places: &[&str]) -> Vec<(String, Vec<Word>)> {
    let mut found = Vec::new();
    for place in places {
        files(&root().join(place), &mut found);
    }
    found.sort();
    let read = |file: &PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_rust = file.extension().is_some_and(|end| end == "rs");
        let words = words(&if is_rust { prose(&without_old_names(&text)) } else { text });
        (path, words)
    };
    found.iter().map(read).collect()
}

/// Names in files of an earlier version are the names of that time.
fn without_old_names(source: &str) -> String {
    let line = |line| if str::contains(line, "#[serde(alias = ") { "" } else { line };
    source.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Comments and string literals of a Rust source, on their lines; NUL replaces code between them.
fn prose(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let is_said = said(rest, before);
        let length = is_said.or_else(|| character(rest)).unwrap_or(first.len_utf8());
        let (token, after) = rest.split_at(length);
        text += &if is_said.is_some() {
            token.to_owned()
        } else {
            token.replace(|c: char| !c.is_whitespace(), "\0")
        };
        before = first;
        rest = after;
    }
    text
}

/// The length of the comment or string at the beginning.
fn said(rest: &str, before: char) -> Option<usize> {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(to("*/", 2));
    }
    if let Some(inner) = rest.strip_prefix('"') {
        let mut escaped = false;
        let closes = |c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        };
        return Some(inner.find(closes).map_or(rest.len(), |at| at + 2));
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = &raw[..raw.len() - raw.trim_start_matches('#').len()];
    let begins = raw[hashes.len()..].starts_with('"') && !before.is_alphanumeric() && before != '_';
    begins.then(|| to(&format!("\"{hashes}"), rest.find('"').map_or(0, |at| at + 1)))
}

/// The length of the character literal at the beginning. A lifetime has no second quotation mark.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map(|at| at + 4);
    }
    let length = inner.chars().next()?.len_utf8();
    inner[length..].starts_with('\'').then_some(length + 2)
}

fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.replace("\\n", "\0").replace("\\\"", "\0");
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
        let mut rest = content.as_str();
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            if length > 0 {
                found.push(Word { line, text: rest[..length].to_lowercase() });
                rest = &rest[length..];
                continue;
            }
            if ".;:!?|\"\0".contains(first) {
                found.push(Word { line, text: String::new() });
            }
            rest = &rest[first.len_utf8()..];
        }
        if content.trim().is_empty() {
            found.push(Word { line, text: String::new() });
        }
    }
    found
}

/// Each phrase that should not be there: its line, the phrase, and what to write instead.
fn hits(words: &[Word]) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    for (forms, instead) in WORDS {
        for form in forms.split('|') {
            let phrase: Vec<_> = form.split(' ').collect();
            let here = words
                .windows(phrase.len())
                .filter(|window| window.iter().map(|word| &word.text).eq(phrase.iter()));
            found.extend(here.map(|window| (window[0].line, form, *instead)));
        }
    }
    found
}

#[test]
fn texts_keep_to_the_projects_words() {
    let mut problems = Vec::new();
    for (path, words) in texts(READ) {
        let here = hits(&words);
        problems.extend(
            here.iter().map(|(line, said, instead)| format!("{path}:{line}: \"{said}\" → {instead}")),
        );
    }
    assert!(
        problems.is_empty(),
        "use plain English of the field (docs/glossary.md; the list is in tests/words.rs):\n  {}",
        problems.join("\n  ")
    );
}

#[test]
fn requirements_have_no_numbers_on_pages() {
    let is_number = |text: &str| {
        text.strip_prefix('r')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut problems = Vec::new();
    for (path, words) in texts(PAGES) {
        let here = words.iter().filter(|word| is_number(&word.text));
        problems.extend(here.map(|word| format!("{path}:{}: {}", word.line, word.text.to_uppercase())));
    }
    assert!(problems.is_empty(), "the list of requirements is not in the repository: {problems:#?}");
}

#[test]
fn words_are_found_in_comments_and_strings_only() {
    let source = r##"
        // it took
        // the place of that
        fn mend<'a>(brings: &'a str) -> char {
            let text = "a \"quoted\" thing that he\
                        mends"; /* speaks of it */
            let raw = r#"say "anew" now"#;
            call('"', "it does"); mended('\'');
            "one. Try"
        }
    "##;
    let found: Vec<_> = hits(&words(&prose(source))).iter().map(|(line, said, _)| (*line, *said)).collect();
    assert_eq!(found, [(6, "mends"), (6, "speaks of"), (2, "took the place of"), (7, "anew")]);
}
