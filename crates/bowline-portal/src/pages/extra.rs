//! Scopes that were granted but not requested: nothing is published before the owner agrees to them.

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::Reason;
use bowline_oauth::catalog::protocol::ScopeRules;

use crate::error::{PageError, Reply};
use crate::subject::{Subject, SubjectForm, need};
use crate::view::provider::description;
use crate::view::scopes::{ScopeWords, described};
use crate::write::ConnectionPatch;

/// What the owner can agree to.
pub(crate) struct Extra {
    pub(crate) scopes: Vec<ScopeWords>,
    /// Their names, which the form sends back: the owner agrees only to what the page showed.
    pub(crate) shown: String,
    /// Whether the reader can agree here.
    pub(crate) may: bool,
    /// The tool that manages the scopes.
    pub(crate) keeper: Option<String>,
}

/// Scopes that were granted but not requested, and not agreed to yet. Empty if the token is not withheld for them, and
/// also while an earlier grant is in use because the new one was not kept.
fn beyond(connection: &IntegrationConnection) -> Vec<String> {
    let status = connection.status.clone().unwrap_or_default();
    let withheld = connection.reason_of(ConditionType::Authorized) == Some(Reason::ExtraScopes);
    let mut names = status.scopes.filter(|_| withheld).map(|scopes| scopes.extra).unwrap_or_default();
    names.retain(|name| !connection.spec.scopes.contains(name));
    names
}

pub(crate) fn known(subject: &Subject) -> Option<ScopeRules> {
    description(&*subject.provider()?, &subject.connection).map(|description| description.core.scopes)
}

/// What the owner can agree to, if the token is withheld for it.
pub(crate) fn extra(subject: &Subject) -> Option<Extra> {
    let names = beyond(&subject.connection);
    if names.is_empty() {
        return None;
    }
    let keeper = subject.keeper("scopes");
    let known = known(subject).unwrap_or_default();
    Some(Extra {
        scopes: names.iter().map(|name| described(&known, name)).collect(),
        shown: names.join(" "),
        may: subject.may.agree() && keeper.is_none() && !subject.is_being_deleted(),
        keeper,
    })
}

/// The new `spec.scopes`. A list replaces the provider's default scopes, so an empty one is filled with them first.
fn agreed(connection: &IntegrationConnection, scopes: &ScopeRules, extra: &[String]) -> Vec<String> {
    let asked = &connection.spec.scopes;
    let mut all = if asked.is_empty() { scopes.default.clone() } else { asked.clone() };
    let new: Vec<String> = extra.iter().filter(|name| !all.contains(name)).cloned().collect();
    all.extend(new);
    all
}

/// `POST …/agree`: the owner agrees to the scopes that the page showed.
pub(crate) async fn agree(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    need(subject.may.agree(), "Only its owner can agree to more access.")?;
    subject.need_to_edit(&["scopes"], "Only its owner can agree to more access.")?;
    let names = beyond(&subject.connection);
    if names.is_empty() || form.fields.text("scopes") != names.join(" ") {
        return Err(PageError::conflict(
            "The access changed",
            "The access is no longer what your page showed, so nothing was agreed to.",
            "Reload the page and check what was granted.",
        ));
    }
    // Without the provider's default scopes the list could request less than before.
    let known = known(subject).ok_or_else(|| {
        let what = "The provider no longer exists, so nothing was agreed to.";
        PageError::conflict("There is no provider", what, "Ask your platform team.")
    })?;
    let all = agreed(&subject.connection, &known, &names);
    let change = ConnectionPatch::default().field("scopes", all).on_version_of(&subject.connection);
    let change = change.terms_by(subject.visit.session.user(), &subject.connection);
    form.write(change).await
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
        let provider = ScopeRules { default: vec!["read".into()], ..ScopeRules::default() };
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
        assert!(beyond(&["write"], "True", "Authorized").is_empty(), "an earlier grant works on");
    }
}
