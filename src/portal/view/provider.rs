//! A provider's name and mark. No third party's logo: initials on a colour.

use crate::api::connection::Method;
use crate::api::{IntegrationConnection, IntegrationProvider};
use kube::ResourceExt;

use crate::catalog::{self, Description};

/// Colours of marks: white letters on each have at least 4.5:1. The class `mark-N` names them.
pub const COLORS: &[&str] = &[
    "#1f5fbf", "#8a3ffc", "#0f766e", "#b42318", "#9a4a00", "#4a5568", "#a21a68", "#33691e", "#005f87",
    "#5b3cc4",
];

/// A provider on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Name of the object.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// One or two letters.
    pub initials: String,
    /// Class that colours the mark.
    pub mark: String,
    /// What kind of service it is: mail, chat, code.
    pub group: String,
    /// What connecting it is good for, in one line.
    pub about: String,
    /// Whether it can be used, as the operator says.
    pub ready: bool,
    /// What the operator says of it.
    pub message: String,
    /// Whom to ask.
    pub contact: Option<String>,
    /// Whether a person allows access in a browser.
    pub by_browser: bool,
    /// Whether a code may be typed on another device.
    pub by_code: bool,
}

impl Card {
    /// A provider object's.
    pub fn of(provider: &IntegrationProvider) -> Self {
        let name = provider.name_any();
        let known = catalog::get(&provider.spec.type_).map(|entry| entry.display_name.clone());
        let title = provider.spec.display_name.clone().or(known).unwrap_or_else(|| name.clone());
        let status = provider.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let allows_codes =
            provider.spec.allow.as_ref().and_then(|allow| allow.device_flow).unwrap_or_default();
        Self {
            initials: initials(&title),
            mark: mark(&provider.spec.type_),
            group: "Services".to_owned(),
            about: String::new(),
            ready: ready.is_some_and(|ready| ready.status == "True"),
            message: ready.map_or_else(|| "Not looked at yet.".to_owned(), |ready| ready.message.clone()),
            contact: provider.spec.contact.clone(),
            by_browser: status.methods.contains(&Method::AuthorizationCode),
            by_code: status.methods.contains(&Method::DeviceCode) && allows_codes,
            title,
            name,
        }
    }

    /// The card of a provider that does not exist, or not any more.
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            initials: initials(name),
            mark: mark(name),
            group: "Services".to_owned(),
            about: String::new(),
            ready: false,
            message: "There is no provider of this name.".to_owned(),
            contact: None,
            by_browser: false,
            by_code: false,
        }
    }

    /// Whether this connection is made by somebody who allows access in a browser.
    pub fn connects_by_browser(&self, connection: &IntegrationConnection) -> bool {
        self.by_browser && matches!(connection.spec.method, None | Some(Method::AuthorizationCode))
    }

    /// Whether this connection may be made by a code on another device.
    pub fn connects_by_code(&self, connection: &IntegrationConnection) -> bool {
        let method = connection.spec.method;
        self.by_code && matches!(method, None | Some(Method::AuthorizationCode | Method::DeviceCode))
    }
}

/// What is known of a provider for one connection, placeholders filled where they can be.
pub fn description(
    provider: &IntegrationProvider,
    connection: Option<&IntegrationConnection>,
) -> Option<Description> {
    let entry = catalog::get(&provider.spec.type_)?;
    let name = provider.name_any();
    let exact = connection.and_then(|connection| {
        catalog::resolve(entry, &provider.spec, &name, &connection.spec.parameters).ok()
    });
    exact.or_else(|| catalog::sketch(entry, &provider.spec, &name).ok())
}

fn mark(type_: &str) -> String {
    let sum = type_.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    format!("mark-{}", sum % COLORS.len())
}

fn initials(title: &str) -> String {
    let letters = |word: &str| word.chars().find(|c| c.is_alphanumeric());
    let mut words = title.split(|c: char| c.is_whitespace() || c == '(' || c == '-').filter_map(letters);
    let both: String = words.by_ref().take(2).collect();
    both.to_uppercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_has_one_or_two_letters() {
        for (title, letters) in
            [("GitHub", "G"), ("Google Calendar", "GC"), ("slack", "S"), ("Trello (EU) x", "TE"), ("…", "")]
        {
            assert_eq!(initials(title), letters);
        }
    }

    #[test]
    fn white_letters_can_be_read_on_every_mark() {
        let channel = |hex: &str| {
            let value = f64::from(u8::from_str_radix(hex, 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        for color in COLORS {
            let light = 0.2126 * channel(&color[1..3])
                + 0.7152 * channel(&color[3..5])
                + 0.0722 * channel(&color[5..7]);
            assert!(1.05 / (light + 0.05) >= 4.5, "{color}");
        }
    }
}
