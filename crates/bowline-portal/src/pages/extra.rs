//! Scopes that were given and not asked for: nothing is published before the owner agrees to them, here.

use bowline_api::{IntegrationConnection, reason};
use bowline_oauth::catalog::protocol::Scopes;

use crate::failure::{Failure, Reply};
use crate::subject::{Subject, SubjectForm};
use crate::view::foreign;
use crate::view::provider::description;
use crate::view::scopes::{self, ScopeWords};
use crate::view::status::condition;
use crate::write::Change;

/// What its owner can agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// The scopes, in words.
    pub(crate) scopes: Vec<ScopeWords>,
    /// Their names as the form sends them back: it agrees to what was shown and to nothing else.
    pub(crate) shown: String,
    /// Whether the reader can agree here.
    pub(crate) may: bool,
    /// Who keeps the scopes, if another tool does.
    pub(crate) keeper: Option<String>,
}

/// Scopes that were given, not asked for, and not agreed to yet. Empty where nothing is wrong, or something else; also while an
/// earlier grant works on: then the new one was not kept.
fn beyond(connection: &IntegrationConnection) -> Vec<String> {
    let status = connection.status.clone().unwrap_or_default();
    let told = condition(&status, "Authorized");
    let withheld = told.is_some_and(|told| told.reason == reason::EXTRA_SCOPES && told.status != "True");
    let mut names = status.scopes.filter(|_| withheld).map(|scopes| scopes.extra).unwrap_or_default();
    names.retain(|name| !connection.spec.scopes.contains(name));
    names
}

/// The scopes of a connection's provider, if that is known.
pub(crate) fn known(subject: &Subject) -> Option<Scopes> {
    description(&*subject.provider()?, &subject.connection).map(|description| description.scopes)
}

/// What its owner can agree to, if that is what keeps it from being published.
pub(crate) fn extra(subject: &Subject) -> Option<Extra> {
    let names = beyond(&subject.connection);
    if names.is_empty() {
        return None;
    }
    let keeper = subject.keeper("scopes");
    let scopes = scopes::described(&known(subject).unwrap_or_default(), &names).into_iter();
    Some(Extra {
        scopes: scopes.map(|scope| ScopeWords { name: foreign(&scope.name), ..scope }).collect(),
        shown: names.join(" "),
        may: subject.may.edit() && keeper.is_none() && !subject.is_being_deleted(),
        keeper,
    })
}

/// What the spec asks for once its owner has agreed. A list that is no longer empty takes the place of the provider's default
/// scopes, so these go into it, too.
fn agreed(connection: &IntegrationConnection, scopes: &Scopes, extra: &[String]) -> Vec<String> {
    let asked = &connection.spec.scopes;
    let mut all = if asked.is_empty() { scopes.default.clone() } else { asked.clone() };
    for name in extra {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

/// `POST …/agree`: the owner agrees to the scopes that the form names, as the page showed them.
pub(crate) async fn agree(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    subject.need_to_edit(&["scopes"], "Only its owner agrees to what a connection may do.")?;
    let names = beyond(&subject.connection);
    if names.is_empty() || form.fields.text("scopes") != names.join(" ") {
        return Err(Failure::conflict(
            "This changed meanwhile",
            "It is not what your page showed any more, so nothing was agreed to.",
            "Load the page again and look what was given.",
        ));
    }
    // Without the default ones, which only the provider knows, the list could ask for less than before.
    let known = known(subject).ok_or_else(|| {
        let what = "The provider is not there any more, so nothing was agreed to.";
        Failure::conflict("There is no provider", what, "Ask your platform team.")
    })?;
    let all = agreed(&subject.connection, &known, &names);
    let change = Change::new().field("scopes", all).on_version_of(&subject.connection);
    form.write(change, "extra scopes agreed to").await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(scopes: &[&str], verdict: &str, reason: &str) -> IntegrationConnection {
        let told = json!({"type": "Authorized", "status": verdict, "reason": reason,
            "message": "M.",
            "lastTransitionTime": "2026-05-03T14:20:00Z"});
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "metadata": {"name": "c"},
            "spec": {"provider": "p", "owner": "alice", "scopes": scopes},
            "status": {"conditions": [told], "scopes": {"extra": ["email"]}},
        }))
        .unwrap()
    }

    #[test]
    fn who_agrees_goes_on_asking_for_what_was_asked_before() {
        let provider = Scopes { default: vec!["read".into()], ..Scopes::default() };
        let agreed =
            |asked: &[&str]| agreed(&connection(asked, "False", ""), &provider, &["email".to_owned()]);
        assert_eq!(agreed(&["write"]), ["write", "email"]);
        assert_eq!(agreed(&[]), ["read", "email"], "an empty list means the default ones");
        assert_eq!(agreed(&["email"]), ["email"]);
    }

    #[test]
    fn there_is_nothing_to_agree_to_where_something_else_is_wrong() {
        let beyond = |asked, verdict, reason| beyond(&connection(asked, verdict, reason));
        assert_eq!(beyond(&[], "False", "ExtraScopes"), ["email"]);
        assert!(beyond(&["email"], "False", "ExtraScopes").is_empty(), "agreed to already");
        assert!(beyond(&[], "False", "MissingScopes").is_empty());
        assert!(beyond(&["write"], "True", "ExtraScopes").is_empty(), "an earlier grant works on");
    }
}
