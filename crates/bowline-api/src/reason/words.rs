//! Sentences from rows and facts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use super::{Fixer, Reason, Remedy, Row};
use crate::condition_type::Truth;
use crate::names::connection_id;

const KEEPER: &str = "whoever maintains the workspace";

/// What a message can name. Unknown things are described in general words.
#[derive(Clone, Debug, Default)]
pub struct MessageFacts<'a> {
    pub owner: Option<&'a str>,
    pub provider: Option<&'a str>,
    pub workspace: Option<&'a str>,
    pub secret: Option<&'a str>,
    /// The account at the provider, by its name for people.
    pub account: Option<&'a str>,
    pub account_id: Option<&'a str>,
    /// Scopes, namespaces, or other listed things.
    pub list: Option<&'a str>,
    /// A time.
    pub at: Option<&'a str>,
    /// The connection's name and namespace.
    pub name: Option<&'a str>,
    pub namespace: Option<&'a str>,
    /// The namespace of the Secret, if it is another one: a share's.
    pub here: Option<&'a str>,
    /// The page where an administrator at the provider approves the app.
    pub approval: Option<&'a str>,
    /// Who is responsible for the provider.
    pub contact: Option<&'a str>,
    /// Who is responsible for the workspace.
    pub keeper: Option<&'a str>,
    /// A command, or the address of a page.
    pub how: Option<&'a str>,
    /// What else is known, as sentences; placed between what happened and what to do.
    pub detail: Cow<'a, str>,
}

impl MessageFacts<'_> {
    /// The value for a placeholder, and the text if there is no value.
    fn get(&self, placeholder: &str) -> Option<(Option<Cow<'_, str>>, &'static str)> {
        if placeholder == "acceptance" {
            return Some((self.acceptance().map(Cow::Owned), "PATCH"));
        }
        if placeholder == "keeper" && self.keeper.is_none() {
            return Some((
                self.workspace.map(|it| Cow::Owned(format!("whoever maintains workspace {it}"))),
                KEEPER,
            ));
        }
        let (value, general) = self.known(placeholder)?;
        Some((value.map(Cow::Borrowed), general))
    }

    /// The change of a Workspace that accepts the owner of this connection.
    fn acceptance(&self) -> Option<String> {
        let id = connection_id(self.namespace?, self.name?);
        let owners = BTreeMap::from([(id, self.owner?)]);
        Some(json!({"spec": {"acceptedOwners": owners}}).to_string())
    }

    fn known(&self, placeholder: &str) -> Option<(Option<&str>, &'static str)> {
        Some(match placeholder {
            "owner" => (self.owner, "the owner"),
            "provider" => (self.provider, "the provider"),
            "workspace" => (self.workspace, "of this connection"),
            "secret" => (self.secret, "that the spec names"),
            "account" => (self.account, "at the provider"),
            "account_id" => (self.account_id, "ID"),
            "list" => (self.list, "what the message names"),
            "at" => (self.at, "the time in status"),
            "name" => (self.name, "NAME"),
            "namespace" => (self.namespace, "of this object"),
            "here" => (self.here.or(self.namespace), "of this object"),
            "approval" => (self.approval, "its administration page"),
            "keeper" => (self.keeper, KEEPER),
            "contact" => (self.contact, "your platform team"),
            "how" => (self.how, "kubectl bowline connect NAME, or in the portal"),
            _ => return None,
        })
    }

    /// Fills the placeholders of `template` in one pass: what is filled in is not parsed again. Other braces stay.
    fn fill_with(&self, template: &str, word: impl Fn(&str, Option<&str>, &str) -> String) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            rest = after;
            if let Some((placeholder, after)) = after.split_once('}')
                && let Some((known, general)) = self.get(placeholder)
            {
                filled.push_str(&word(placeholder, known.as_deref(), general));
                rest = after;
            } else {
                filled.push('{');
            }
        }
        filled + rest
    }

    /// For people.
    pub(crate) fn fill(&self, template: &str) -> String {
        self.fill_with(template, |_, known, general| known.unwrap_or(general).to_owned())
    }

    /// For a shell: each value is one word, whoever chose it. Unknown values are left for people to fill in.
    pub(super) fn command(&self, template: &str) -> String {
        self.fill_with(template, |placeholder, known, _| {
            known.map_or_else(|| placeholder.to_uppercase().replace('_', "-"), quoted)
        })
    }

    /// What to do, and that `fixer` does it; empty if there is nothing to do.
    pub(crate) fn what_to_do(&self, fixer: Fixer, row: &Row) -> String {
        match row.remedy {
            Remedy::None => String::new(),
            Remedy::Wait => "It continues by itself.".to_owned(),
            remedy => {
                // Whoever is responsible for the provider cannot help with the rest of the cluster.
                let contact = self.contact.filter(|_| remedy.is_about_the_provider());
                let asked = MessageFacts { contact, ..self.clone() };
                let step = asked.fill(fixer.request()) + &self.fill_step(row);
                let command = self.command(remedy.short_command());
                let separator = if command.is_empty() { "" } else { ": " };
                capitalized(&format!("{step}{separator}{command}."))
            }
        }
    }

    fn fill_step(&self, row: &Row) -> String {
        match row.remedy {
            Remedy::Reconnect if row.status == Truth::True => "connect again before then".to_owned(),
            remedy => self.fill(remedy.step()),
        }
    }
}

impl Reason {
    /// What happened, then what to do and who does it.
    pub fn message(self, facts: &MessageFacts<'_>) -> String {
        let row = self.row();
        let parts = [facts.fill(row.sentence), ended(facts.detail.trim()), facts.what_to_do(row.fixer, row)];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What helps, as a sentence that leaves open who does it; empty if there is nothing to do.
    pub fn step(self, facts: &MessageFacts<'_>) -> String {
        let row = self.row();
        if matches!(row.remedy, Remedy::None | Remedy::Wait) {
            return facts.what_to_do(row.fixer, row);
        }
        let mut step = facts.fill_step(row) + ".";
        if let Some(first) = step.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        step
    }
}

/// As one word of a shell's command line.
pub fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

/// As a sentence: with a full stop.
fn ended(text: &str) -> String {
    match text.chars().last() {
        None => String::new(),
        Some('.' | '!' | '?' | ')') => text.to_owned(),
        Some(_) => format!("{text}."),
    }
}

/// User names keep their spelling; only our own words begin a sentence in lower case.
pub(crate) fn capitalized(text: &str) -> String {
    match text.strip_prefix("the owner") {
        Some(rest) => format!("The owner{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entrance;
    use super::*;

    #[test]
    fn a_message_says_what_happened_then_what_to_do_and_who() {
        let facts = MessageFacts {
            owner: Some("alice"),
            provider: Some("github"),
            contact: Some("ops@example.com"),
            detail: "bad_refresh_token".into(),
            ..MessageFacts::default()
        };
        assert_eq!(
            Reason::GrantExpired.message(&facts),
            "The provider no longer accepts the grant. bad_refresh_token. alice must connect again."
        );
        assert_eq!(
            Reason::ProviderNotFound.message(&MessageFacts { detail: "".into(), ..facts }),
            "There is no IntegrationProvider github. Ask ops@example.com to create the IntegrationProvider github; then it continues by itself."
        );
        assert_eq!(
            Reason::GrantRevoked.message(&MessageFacts::default()),
            "The grant was revoked at the provider. The owner must connect again."
        );
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let facts =
            MessageFacts { owner: Some("{provider}"), provider: Some("p"), ..MessageFacts::default() };
        assert_eq!(facts.fill("{owner} {provider} {unknown} {"), "{provider} p {unknown} {");
    }

    #[test]
    fn every_placeholder_of_every_row_is_known() {
        for reason in Reason::ALL {
            let row = reason.row();
            for text in [row.sentence, row.remedy.step(), row.remedy.short_command()] {
                assert!(!MessageFacts::default().fill(text).contains(['{', '}']), "{reason}: {text}");
            }
            assert!(!reason.message(&MessageFacts::default()).contains(['{', '}']), "{reason}");
        }
    }

    #[test]
    fn what_to_do_soon_says_until_when() {
        let message =
            Reason::GrantExpiringSoon.message(&MessageFacts { at: Some("noon"), ..MessageFacts::default() });
        assert!(message.ends_with("The owner must connect again before then."), "{message}");
        assert_eq!(Reason::GrantExpired.step(&MessageFacts::default()), "Connect again.");
    }

    #[test]
    fn a_value_stays_one_word_of_a_command() {
        let facts = MessageFacts {
            name: Some("mail"),
            namespace: Some("team-a"),
            account_id: Some("1' ; rm -rf ~ '"),
            ..MessageFacts::default()
        };
        let id = r"'1'\'' ; rm -rf ~ '\'''";
        let command = Reason::AwaitingConfirmation.command(&facts, Entrance::Device);
        assert_eq!(command, format!("kubectl bowline connect mail -n team-a --accept-account {id}"));
        let message = Reason::AwaitingConfirmation.message(&facts);
        assert!(message.ends_with(&format!("--accept-account {id}.")), "{message}");
        let nothing = Reason::AwaitingConfirmation.command(&MessageFacts::default(), Entrance::Device);
        assert_eq!(nothing, "kubectl bowline connect NAME -n NAMESPACE --accept-account ACCOUNT-ID");
        for (value, word) in [("583231", "583231"), ("", "''"), ("a@b.c", "a@b.c"), ("$x", "'$x'")] {
            assert_eq!(quoted(value), word);
        }
    }

    #[test]
    fn every_reason_has_a_command_without_placeholders() {
        let ours = [r#"{"spec":{"suspend":false}}"#, r#"{"spec":{"disconnect":false}}"#];
        let ours = ours.iter().chain(&["{.status.authorization.adminConsentURL}"]);
        for reason in Reason::ALL {
            for entrance in [Entrance::Browser, Entrance::Device, Entrance::Import, Entrance::Key] {
                let command = reason.command(&MessageFacts::default(), entrance);
                let rest = ours.clone().fold(command.clone(), |rest, json| rest.replace(json, ""));
                assert!(command.starts_with("kubectl ") && !rest.contains(['{', '}']), "{reason}: {command}");
            }
        }
    }
}
