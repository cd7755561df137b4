//! What came back with the browser: who says so (RFC 9207), and what a refusal means (RFC 6749 §4.1.2.1).

use serde_json::json;

use super::classify;
use super::issuer;
use crate::catalog::Description;
use crate::catalog::errors::{Class, Exchange};

/// A callback that may come from another server than the one that was asked (mix-up, RFC 9700 §4.4). Repeats nothing of
/// what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerMismatch {
    /// The provider says that its callbacks name it, and this one does not.
    #[error("the callback does not name the provider that it comes from")]
    Missing,
    /// Another issuer is named.
    #[error("the callback comes from another provider")]
    Other,
}

/// Checks `iss` of a callback, also of one that brings an error (RFC 9207 §2.4).
///
/// Compared as plain strings with the issuer that was asked. Missing is refused where metadata or the catalogue says that
/// callbacks carry it. For a provider without a known issuer, the name must be on the host of its authorization or token
/// endpoint.
pub fn callback_issuer(description: &Description, given: Option<&str>) -> Result<(), IssuerMismatch> {
    let endpoints = &description.endpoints;
    let fits = match (given, &endpoints.issuer) {
        (None, _) if description.authorize.issuer_in_callback => return Err(IssuerMismatch::Missing),
        (None, _) => true,
        (Some(given), Some(expected)) => issuer::is_callback_of(given, expected),
        (Some(given), None) => {
            let given = url::Url::parse(given).ok().filter(url::Url::has_host).map(|url| url.origin());
            let known = [&endpoints.authorization, &endpoints.token].into_iter().flatten();
            given.is_some_and(|given| known.map(url::Url::origin).any(|origin| origin == given))
        }
    };
    if fits { Ok(()) } else { Err(IssuerMismatch::Other) }
}

/// A callback that brings an error instead of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// What it means. [`Class::Cancelled`] is an outcome like another. Whatever it is, an older grant is untouched.
    pub class: Class,
    /// The provider's code, if it is 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub code: Option<String>,
    /// What the provider says about it: hostile text, on one line, at most [`SAID`] characters, without what looks like a
    /// credential or an address. Escape it where it is shown.
    pub said: Option<String>,
    /// One line for people, in our words.
    pub summary: String,
}

/// How much of a provider's text is kept, in characters.
pub const SAID: usize = 200;

/// Reads `error` and `error_description` of a callback. A finer code of the provider decides before the standard's; a code
/// that nobody knows is a [`Class::Bug`].
pub fn declined(description: &Description, error: &str, text: Option<&str>) -> Declined {
    let document = json!({"error": error, "error_description": text});
    let found = description.errors.token(Exchange::Callback, &document);
    let class = found.as_ref().map_or(Class::Bug, |found| found.class);
    let code = found.and_then(|found| found.code).or_else(|| Some(error.to_owned()));
    let code = code.filter(|code| classify::is_plain(code));
    let words = classify::words(class);
    let summary = code.as_ref().map_or_else(|| words.to_owned(), |code| format!("{words}: {code}"));
    Declined { class, code, said: text.and_then(scrubbed), summary }
}

/// The longest word that is kept: a correlation id fits, a token does not.
const LONGEST_WORD: usize = 40;

/// Text of a provider for people: one line of plain characters, without addresses and long words, cut.
pub fn scrubbed(text: &str) -> Option<String> {
    // More than is kept in the end, and little enough to look at.
    let cut: String =
        text.chars().take(4 * SAID).map(|char| if is_shown(char) { char } else { ' ' }).collect();
    let words = cut.split_whitespace().map(|word| if is_kept(word) { word } else { "…" });
    let mut line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() > SAID {
        line = line.chars().take(SAID - 1).chain(['…']).collect();
    }
    (!line.is_empty()).then_some(line)
}

/// Neither a control character nor one that is not seen or turns the direction of a text.
fn is_shown(char: char) -> bool {
    let unseen = matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    !char.is_control() && !unseen
}

fn is_kept(word: &str) -> bool {
    word.chars().count() <= LONGEST_WORD && !word.contains("://") && !word.contains('=')
}
