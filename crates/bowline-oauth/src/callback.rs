//! What the browser returns with: whose response it is (RFC 9207), and what a refusal means (RFC 6749 §4.1.2.1).

use serde_json::json;

use super::classify;
use super::issuer;
use crate::catalog::Description;
use crate::catalog::errors::{Class, Operation};

/// A callback that may come from another server than the one that was asked (mix-up, RFC 9700 §4.4). Repeats nothing of the
/// callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerMismatch {
    /// The provider announces `iss` in its callbacks, and this one has none.
    #[error("the callback does not name the provider that it comes from")]
    Missing,
    /// It names another issuer.
    #[error("the callback comes from another provider")]
    Other,
}

/// Checks `iss` of a callback, also of one with an error (RFC 9207 §2.4).
///
/// Compared as a plain string with the issuer that was asked. A missing one is refused if metadata or the catalogue says
/// that callbacks have it. For a provider without a known issuer, the name must be on the host of its authorization or token
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

/// A callback with an error instead of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    /// What it means. [`Class::Cancelled`] is an ordinary outcome. In any case an older grant is unchanged.
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
pub(crate) const SAID: usize = 200;

/// Reads `error` and `error_description` of a callback. A more specific code of the provider counts before the standard one;
/// an unknown code is a [`Class::Bug`].
pub fn declined(description: &Description, error: &str, text: Option<&str>) -> Declined {
    let document = json!({"error": error, "error_description": text});
    let found = description.errors.token(Operation::Callback, &document);
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
pub(crate) fn scrubbed(text: &str) -> Option<String> {
    // More than is kept in the end, and little enough to process.
    let cut: String = text.chars().take(4 * SAID).map(shown).collect();
    let words = cut.split_whitespace().map(|word| if is_kept(word) { word } else { "…" });
    let mut line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() > SAID {
        line = line.chars().take(SAID - 1).chain(['…']).collect();
    }
    (!line.is_empty()).then_some(line)
}

/// As it is shown. It cannot contain its own quotation mark, which would end the quotation and continue in our name.
fn shown(char: char) -> char {
    match char {
        '\u{201c}'..='\u{201f}' => '"',
        char if is_shown(char) => char,
        _ => ' ',
    }
}

/// Neither a control character nor an invisible one nor one that changes the direction of a text.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::description;

    fn entry(name: &str) -> Description {
        let spec = json!({"type": name});
        let spec = serde_json::from_value(spec).unwrap();
        crate::catalog::resolve(crate::catalog::get(name).unwrap(), &spec, name, &[].into()).unwrap()
    }

    #[test]
    fn a_providers_text_does_not_end_its_own_quotation() {
        let said = scrubbed("no\u{201d}. Bowline asks you to call us. \u{201c}").unwrap();
        assert_eq!(said, "no\". Bowline asks you to call us. \"");
    }

    #[test]
    fn the_issuer_of_a_callback_is_compared_as_plain_text() {
        let mut known = description();
        known.core.endpoints.issuer = Some("https://id.example.com/realm".parse().unwrap());
        let mut announced = known.clone();
        announced.core.authorize.issuer_in_callback = true;
        let other = Err(IssuerMismatch::Other);
        let rows = [
            (&known, None, Ok(())),
            (&announced, None, Err(IssuerMismatch::Missing)),
            (&announced, Some("https://id.example.com/realm"), Ok(())),
            (&known, Some("https://id.example.com/realm"), Ok(())),
            (&known, Some("https://id.example.com/realm/"), other),
            (&known, Some("https://ID.example.com/realm"), other),
            (&known, Some("https://id.example.com:443/realm"), other),
            (&known, Some("https://id.example.com/%72ealm"), other),
            (&known, Some("https://id.example.com/realm?"), other),
            (&known, Some("http://id.example.com/realm"), other),
            (&known, Some("https://evil.example.com/realm"), other),
            (&known, Some(""), other),
        ];
        for (description, given, want) in rows {
            assert_eq!(callback_issuer(description, given), want, "{given:?}");
        }
    }

    #[test]
    fn without_a_known_issuer_it_must_be_on_a_host_that_was_asked() {
        let rows = [
            (None, true),
            (Some("https://provider.example.com"), true),
            (Some("https://provider.example.com/oauth"), true),
            (Some("https://provider.example.com.evil.example"), false),
            (Some("https://provider.example.com@evil.example"), false),
            (Some("http://provider.example.com"), false),
            (Some("provider.example.com"), false),
            (Some("data:,x"), false),
        ];
        for (given, good) in rows {
            assert_eq!(callback_issuer(&description(), given).is_ok(), good, "{given:?}");
        }
    }

    #[test]
    fn a_shared_tenant_of_microsoft_may_answer_as_any_tenant_and_google_only_as_itself() {
        let tenant = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
        let microsoft = entry("microsoft");
        assert_eq!(callback_issuer(&microsoft, Some(tenant)), Ok(()));
        for other in
            ["https://login.microsoftonline.com/{tenantid}/v2.0", "https://login.microsoftonline.com/x/v2.0"]
        {
            assert!(callback_issuer(&microsoft, Some(other)).is_err(), "{other}");
        }
        let google = entry("google");
        assert_eq!(callback_issuer(&google, Some("https://accounts.google.com")), Ok(()));
        assert!(callback_issuer(&google, Some("accounts.google.com")).is_err());
        assert_eq!(callback_issuer(&entry("github"), Some("https://github.com/login/oauth")), Ok(()));
    }

    #[test]
    fn errors_of_callbacks_mean_what_the_catalogue_says() {
        let rows = [
            ("sandbox-like", "access_denied", None, Class::Cancelled, "access_denied"),
            ("google", "admin_policy_enforced", None, Class::Consent, "admin_policy_enforced"),
            (
                "microsoft",
                "access_denied",
                Some("AADSTS65001: The user has not consented"),
                Class::Consent,
                "65001",
            ),
            ("microsoft", "access_denied", Some("AADSTS90094: admin"), Class::Consent, "90094"),
            ("microsoft", "access_denied", Some("AADSTS65004: declined"), Class::Cancelled, "65004"),
            ("microsoft", "server_error", None, Class::Transient, "server_error"),
            ("github", "redirect_uri_mismatch", None, Class::Config, "redirect_uri_mismatch"),
            ("slack", "never_heard_of", None, Class::Bug, "never_heard_of"),
        ];
        for (name, error, text, class, code) in rows {
            let description = entry(if name == "sandbox-like" { "github" } else { name });
            let found = declined(&description, error, text);
            assert_eq!((found.class, found.code.as_deref()), (class, Some(code)), "{name} {error}");
            assert!(found.summary.contains(code), "{}", found.summary);
        }
    }

    #[test]
    fn hostile_text_is_cut_and_cleaned() {
        let rows = [
            ("The user\r\nsaid  no\u{202e}\u{0}", Some("The user said no")),
            ("see https://evil.example/x now", Some("see … now")),
            ("code=abc left", Some("… left")),
            (
                "Correlation ID: 72f988bf-86f1-41af-91ab-2d7cd011db47",
                Some("Correlation ID: 72f988bf-86f1-41af-91ab-2d7cd011db47"),
            ),
            (" \u{200b} ", None),
        ];
        for (text, want) in rows {
            assert_eq!(scrubbed(text).as_deref(), want, "{text:?}");
        }
        assert_eq!(scrubbed(&"a".repeat(41)).as_deref(), Some("…"));
        assert_eq!(scrubbed(&"ab ".repeat(1_000_000)).unwrap().chars().count(), SAID);
        let odd = declined(&description(), "<script>", Some("<script>alert(1)</script>"));
        assert_eq!((odd.code, odd.class), (None, Class::Bug));
        assert!(!odd.summary.contains('<'), "{}", odd.summary);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded_and_on_one_line(error in "\\PC{0,100}", text in ".{0,600}", iss in "\\PC{0,80}") {
            let found = declined(&description(), &error, Some(&text));
            prop_assert!(found.code.is_none_or(|code| code.len() <= 64));
            if let Some(said) = found.said {
                prop_assert!(said.chars().count() <= SAID && said.chars().all(is_shown));
            }
            let _ = callback_issuer(&description(), Some(&iss));
        }
    }
}
