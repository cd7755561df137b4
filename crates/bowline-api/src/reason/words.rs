//! Sentences from rows and facts.

use std::borrow::Cow;

use super::{Fixer, Remedy};

/// What a sentence can name. What is not known is said in general words.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The connection's owner.
    pub owner: Option<&'a str>,
    /// The `IntegrationProvider`.
    pub provider: Option<&'a str>,
    /// The Workspace.
    pub workspace: Option<&'a str>,
    /// The Secret.
    pub secret: Option<&'a str>,
    /// The account at the provider, by its name for people.
    pub account: Option<&'a str>,
    /// Its id.
    pub account_id: Option<&'a str>,
    /// Scopes, namespaces, or whatever else is listed.
    pub list: Option<&'a str>,
    /// A time.
    pub at: Option<&'a str>,
    /// The connection's name.
    pub name: Option<&'a str>,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// Who looks after the provider.
    pub contact: Option<&'a str>,
    /// A command, or the address of a page.
    pub how: Option<&'a str>,
    /// The field of the spec.
    pub field: Option<&'a str>,
    /// What else is known, as sentences; stands between what happened and what to do.
    pub detail: Cow<'a, str>,
}

impl Facts<'_> {
    /// What stands in a hole.
    fn get(&self, hole: &str) -> Option<&str> {
        let (known, general) = match hole {
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
            "contact" => (self.contact, "your platform team"),
            "how" => (self.how, "kubectl bowline connect NAME, or in the portal"),
            "field" => (self.field, "secret"),
            _ => return None,
        };
        Some(known.unwrap_or(general))
    }

    /// `template` with its holes filled, in one pass: what is filled in is not read again. Braces around anything else stay.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            match after.split_once('}').and_then(|(hole, after)| Some((self.get(hole)?, after))) {
                Some((word, after)) => {
                    filled.push_str(word);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled + rest
    }

    pub(super) fn message(&self, sentence: &str, fixer: Fixer, remedy: Remedy) -> String {
        let parts = [self.fill(sentence), ended(self.detail.trim()), self.what_to_do(fixer, remedy)];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What to do, and who does it; empty where nothing is to be done.
    pub(super) fn what_to_do(&self, fixer: Fixer, remedy: Remedy) -> String {
        let known = Facts { field: field(remedy).or(self.field), ..self.clone() };
        match (fixer, remedy) {
            (_, Remedy::None) => String::new(),
            (_, Remedy::Wait) => "It continues by itself.".to_owned(),
            _ => capitalized(&known.fill(&format!("{}{}.", fixer.request(), remedy.step()))),
        }
    }
}

const fn field(remedy: Remedy) -> Option<&'static str> {
    match remedy {
        Remedy::EditSpec(field) => Some(field),
        _ => None,
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
fn capitalized(text: &str) -> String {
    match text.strip_prefix("the owner") {
        Some(rest) => format!("The owner{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn a_message_says_what_happened_then_what_to_do_and_who() {
        let facts = Facts {
            owner: Some("alice"),
            provider: Some("github"),
            contact: Some("ops@example.com"),
            detail: "bad_refresh_token".into(),
            ..Facts::default()
        };
        assert_eq!(
            Reason::GrantExpired.message(&facts),
            "The provider no longer accepts the grant. bad_refresh_token. alice must connect again."
        );
        assert_eq!(
            Reason::ProviderNotFound.message(&Facts { detail: "".into(), ..facts }),
            "There is no IntegrationProvider github. Ask ops@example.com to create the IntegrationProvider github; then it continues by itself."
        );
        assert_eq!(
            Reason::GrantRevoked.message(&Facts::default()),
            "The grant was revoked at the provider. The owner must connect again."
        );
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let facts = Facts { owner: Some("{provider}"), provider: Some("p"), ..Facts::default() };
        assert_eq!(facts.fill("{owner} {provider} {unknown} {"), "{provider} p {unknown} {");
    }

    #[test]
    fn every_hole_of_every_row_is_known() {
        for reason in Reason::ALL {
            let row = reason.row();
            for text in [row.sentence, row.remedy.step()] {
                assert!(!Facts::default().fill(text).contains(['{', '}']), "{reason}: {text}");
            }
            assert!(!reason.message(&Facts::default()).contains(['{', '}']), "{reason}");
        }
    }
}
