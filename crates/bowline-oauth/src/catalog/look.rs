//! How an entry looks to people: its group, its colour, what a scope means in plain words, and what to set up first.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an entry stands among others.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum Group {
    /// Mail.
    Mail,
    /// Calendars.
    Calendar,
    /// Chat.
    Chat,
    /// Source code.
    Code,
    /// Files.
    Files,
    /// Pages and notes.
    Documents,
    /// Issues and projects.
    Project,
    /// Bank accounts.
    Bank,
    /// An account that opens many things.
    Account,
    /// Whatever it is used for.
    #[default]
    Generic,
}

/// A colour that white text is readable on: `#rrggbb`, with a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^#[0-9a-f]{6}$"))]
pub struct Color(String);

/// A text that is no such colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColorError {
    /// Not `#` and six lower-case hexadecimal digits.
    #[error("a color is written #rrggbb, in lower case")]
    Form,
    /// White text cannot be read on it.
    #[error("white text is not readable on the color: the contrast is below 4.5")]
    Pale,
}

impl Default for Color {
    /// A grey.
    fn default() -> Self {
        Self("#57606a".to_owned())
    }
}

impl fmt::Display for Color {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for Color {
    type Error = ColorError;

    fn try_from(text: String) -> Result<Self, ColorError> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(ColorError::Form)?;
        if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ColorError::Form);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| ColorError::Form)?;
        let [_, red, green, blue] = value.to_be_bytes();
        if contrast_to_white([red, green, blue]) < 4.5 { Err(ColorError::Pale) } else { Ok(Self(text)) }
    }
}

/// WCAG 2.2, "contrast ratio" and "relative luminance".
fn contrast_to_white(channels: [u8; 3]) -> f64 {
    let linear = |channel: u8| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = channels.map(linear);
    let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    1.05 / (luminance + 0.05)
}

/// What a scope lets its holder do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeMeaning {
    /// In plain words, from its holder's side: "Read your mail".
    pub says: String,
    /// How far it goes.
    pub kind: ScopeKind,
    /// Why to think twice, in one clause. Absent where nothing stands out.
    pub risk: Option<String>,
}

/// How far a scope goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum ScopeKind {
    /// It sees.
    Read,
    /// It changes, or acts in somebody's name.
    Write,
    /// It changes who may do what, or settings for others.
    Manage,
}

/// What an administrator sets up at the provider before people can connect, or what a person creates there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Setup {
    /// What the provider calls it, such as `OAuth app`.
    pub what: String,
    /// The page where it is created.
    pub page: Option<String>,
    /// What to do there, one sentence each. `CALLBACK` stands for the callback URL.
    pub steps: Vec<String>,
    /// What the app Secret has of it, as arguments of `kubectl create secret generic`.
    pub(crate) secret: Vec<String>,
}

/// How well the facts of an entry are established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Confidence {
    /// By an official document, and code.
    High,
    /// By two independent code bases, or one official text of uncertain age.
    Medium,
    /// By one indirect source: verify before relying on it.
    #[default]
    Low,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::load::entries;
    use super::*;

    #[test]
    fn only_colors_that_carry_white_text_are_taken() {
        let rows = [
            ("#000000", None),
            ("#767676", None),
            ("#777777", Some(ColorError::Pale)),
            ("#ffffff", Some(ColorError::Pale)),
            ("#36c5f0", Some(ColorError::Pale)),
            ("#00000", Some(ColorError::Form)),
            ("000000", Some(ColorError::Form)),
            ("#00000G", Some(ColorError::Form)),
            ("#AABBCC", Some(ColorError::Form)),
            ("#+00000", Some(ColorError::Form)),
            ("red;}", Some(ColorError::Form)),
        ];
        for (text, flaw) in rows {
            assert_eq!(Color::try_from(text.to_owned()).err(), flaw, "{text}");
        }
        assert!(Color::try_from(Color::default().0).is_ok());
    }

    #[test]
    fn every_entry_says_what_it_enables_in_one_line() {
        for (name, entry) in entries() {
            assert!((10..=80).contains(&entry.about.chars().count()), "{name}: {}", entry.about);
            assert!(entry.about.ends_with('.') && !entry.about.contains('\n'), "{name}");
        }
    }

    #[test]
    fn every_scope_that_an_entry_names_is_told_in_plain_words() {
        for (name, entry) in entries() {
            let scopes = &entry.scopes;
            for scope in scopes.default.iter().chain(&scopes.required).chain(&scopes.optional) {
                let meaning = scopes.meaning(scope);
                assert!(meaning.is_some(), "{name} does not tell what {scope} means");
            }
            for (scope, meaning) in &scopes.describe {
                let texts = std::iter::once(&meaning.says).chain(&meaning.risk);
                for text in texts {
                    assert!((4..=80).contains(&text.chars().count()), "{name} {scope}: {text}");
                    assert!(!text.ends_with('.') && !text.contains('\n'), "{name} {scope}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_scope_is_found_in_the_form_in_which_it_was_granted() {
        let google = &entries()["google"].scopes;
        let granted = google.meaning("https://www.googleapis.com/auth/userinfo.email").unwrap();
        assert_eq!((granted.says.as_str(), granted.kind), ("See your e-mail address", ScopeKind::Read));
        let microsoft = &entries()["outlook"].scopes;
        assert_eq!(
            microsoft.meaning("https://graph.microsoft.com/mail.send").unwrap().kind,
            ScopeKind::Write
        );
        assert!(microsoft.meaning("Files.Read").is_none());
    }
}
