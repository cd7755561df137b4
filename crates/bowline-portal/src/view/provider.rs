//! A provider's name and mark. No third party's logo: initials on a colour.

use bowline_api::connection::Method;
use bowline_api::{IntegrationConnection, IntegrationProvider};
use kube::ResourceExt;

use bowline_oauth::catalog::look::Group;
use bowline_oauth::catalog::{self, Description};

/// A provider on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Card {
    /// Name of the object.
    pub(crate) name: String,
    /// Name for people.
    pub(crate) title: String,
    pub(crate) initials: String,
    /// Class that colours the mark; empty for one that the catalogue does not know.
    pub(crate) mark: String,
    pub(crate) group: Group,
    /// What connecting it is good for, in one line.
    pub(crate) about: String,
    /// Whether it can be used, and what the operator says of that.
    pub(crate) ready: bool,
    pub(crate) message: String,
    pub(crate) contact: Option<String>,
    /// Whether a person allows access in a browser.
    pub(crate) by_browser: bool,
    /// Whether a code may be typed on another device.
    pub(crate) by_code: bool,
}

impl Card {
    /// A provider object's.
    pub(crate) fn of(provider: &IntegrationProvider) -> Self {
        let name = provider.name_any();
        let entry = catalog::get(&provider.spec.type_);
        let known = entry.map(|entry| real_name(&entry.display_name).to_owned());
        let title = provider.spec.display_name.clone().or(known).unwrap_or_else(|| name.clone());
        let status = provider.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let allows_codes =
            provider.spec.allow.as_ref().and_then(|allow| allow.device_flow).unwrap_or_default();
        Self {
            initials: initials(&title),
            mark: entry.map_or_else(String::new, |_| mark(&provider.spec.type_)),
            group: entry.map_or(Group::Generic, |entry| entry.group),
            about: entry.map(|entry| entry.about.clone()).unwrap_or_default(),
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
    pub(crate) fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            initials: initials(name),
            message: "There is no provider of this name.".to_owned(),
            ..Self::default()
        }
    }

    /// Whether this connection is made by somebody who allows access in a browser.
    pub(crate) fn connects_by_browser(&self, connection: &IntegrationConnection) -> bool {
        self.by_browser && matches!(connection.spec.method, None | Some(Method::AuthorizationCode))
    }

    /// Whether this connection may be made by a code on another device.
    pub(crate) fn connects_by_code(&self, connection: &IntegrationConnection) -> bool {
        let method = connection.spec.method;
        self.by_code && matches!(method, None | Some(Method::AuthorizationCode | Method::DeviceCode))
    }
}

/// What is known of a provider for one connection, placeholders filled where they can be.
pub(crate) fn description(
    provider: &IntegrationProvider,
    connection: &IntegrationConnection,
) -> Option<Description> {
    let entry = catalog::get(&provider.spec.type_)?;
    let name = provider.name_any();
    let exact = catalog::resolve(entry, &provider.spec, &name, &connection.spec.parameters).ok();
    exact.or_else(|| catalog::sketch(entry, &provider.spec, &name).ok())
}

/// A name without what the catalogue adds for administrators: `GitHub (OAuth App)` is GitHub to everybody else.
fn real_name(name: &str) -> &str {
    name.split(" (").next().unwrap_or(name)
}

/// The class of a catalogue entry's mark.
pub(crate) fn mark(entry: &str) -> String {
    format!("mark-{entry}")
}

/// The heading of a group of providers.
pub(crate) fn heading(group: Group) -> &'static str {
    match group {
        Group::Mail => "Mail",
        Group::Calendar => "Calendar",
        Group::Chat => "Chat",
        Group::Code => "Code",
        Group::Files => "Files",
        Group::Documents => "Documents",
        Group::Project => "Projects",
        Group::Account => "Accounts",
        Group::Generic => "Other services",
    }
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
}
