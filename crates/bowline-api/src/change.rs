//! What becomes of a connection whose owner gives it up, or leaves. Pure: portal and plug-in carry it out.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::IntegrationConnection;
use super::condition::{ConditionType::Authorized, Conditioned};
use super::names::{
    ADOPT_EVEN_IF_SPENT, ADOPT_RECORD, ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_ADOPT, ANNOTATION_APPROVE_TERMS,
    ANNOTATION_CONFIRM_DELETE, ANNOTATION_INTAKE, ANNOTATION_REVOKE_NOW, ANNOTATION_TERMS_BY,
};
use super::reason::Reason;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionChange {
    /// To this user. What the former owner agreed to goes with it.
    Transfer(String),
    Unshare,
    /// Can be undone for a time.
    Disconnect,
    /// Disconnects, and has the grant revoked at once.
    Revoke,
    Delete,
    /// Has the record of a former object adopted; whether also one that may have been spent.
    Adopt {
        even_if_spent: bool,
    },
}

impl ConnectionChange {
    /// As in "would be … ".
    pub fn done(&self) -> String {
        match self {
            Self::Transfer(to) => format!("transferred to {to}"),
            Self::Unshare => "unshared".to_owned(),
            Self::Disconnect | Self::Revoke => "disconnected".to_owned(),
            Self::Delete => "deleted".to_owned(),
            Self::Adopt { .. } => "agreed to".to_owned(),
        }
    }

    /// Whether there is something to change.
    pub fn applies_to(&self, connection: &IntegrationConnection) -> bool {
        match self {
            Self::Transfer(to) => connection.spec.owner != *to,
            Self::Unshare => connection.wants_sharing(),
            Self::Disconnect => !connection.is_disconnected(),
            Self::Revoke => !connection.is_disconnected() || connection.revokes_at().is_some(),
            Self::Delete => true,
            Self::Adopt { even_if_spent } => match connection.reason_of(Authorized) {
                Some(Reason::AdoptionOffered) => true,
                Some(Reason::AdoptionHeld) => *even_if_spent,
                _ => false,
            },
        }
    }

    /// The merge patch by which `user` makes the change; `None` where the object is deleted.
    pub fn patch(&self, connection: &IntegrationConnection, user: &str) -> Option<Value> {
        let mut change = self.fields(connection)?;
        let transfers = matches!(self, Self::Transfer(_));
        if transfers || *self == Self::Unshare && user != connection.spec.owner {
            change["metadata"]["annotations"][ANNOTATION_TERMS_BY] = json!(user);
        }
        Some(change)
    }

    fn fields(&self, connection: &IntegrationConnection) -> Option<Value> {
        let grant = connection.grant().map(|grant| grant.id.as_str());
        match self {
            Self::Transfer(to) => Some(json!({
                "metadata": {"annotations": {
                    ANNOTATION_ACCEPT_ACCOUNT: null, ANNOTATION_APPROVE_TERMS: null, ANNOTATION_ADOPT: null,
                    ANNOTATION_CONFIRM_DELETE: null, ANNOTATION_INTAKE: null, ANNOTATION_REVOKE_NOW: null,
                }},
                "spec": {"owner": to, "account": null},
            })),
            Self::Unshare => Some(json!({"spec": {"shared": false}})),
            // A disconnected connection cannot be suspended as well.
            Self::Disconnect => Some(json!({"spec": {"disconnect": true, "suspend": null}})),
            Self::Revoke => Some(json!({
                "metadata": {"annotations": {ANNOTATION_REVOKE_NOW: grant}},
                "spec": {"disconnect": true, "suspend": null},
            })),
            Self::Adopt { even_if_spent } => {
                let value = if *even_if_spent { ADOPT_EVEN_IF_SPENT } else { ADOPT_RECORD };
                Some(json!({"metadata": {"annotations": {ANNOTATION_ADOPT: value}}}))
            }
            Self::Delete => None,
        }
    }

    /// What follows, in sentences; empty where nobody loses anything.
    pub fn consequences(&self, connection: &IntegrationConnection) -> String {
        let owner = &connection.spec.owner;
        let count = connection.dependents().map_or(0, |dependents| dependents.count);
        match self {
            Self::Transfer(to) => {
                let mut text = format!("The grant of {owner} is revoked at the provider; {to} has to connect again.");
                match count {
                    ..=0 => {}
                    1 => {
                        let _ = write!(text, " The binding that uses it waits until its author accepts {to}.");
                    }
                    _ => {
                        let _ = write!(text, " Each of the {count} bindings waits until its author accepts {to}.");
                    }
                }
                if connection.wants_sharing() {
                    let _ = write!(text, " It is shared again once {to} has connected, with what {to} allows.");
                }
                text
            }
            Self::Unshare => {
                let workspace = connection.spec.workspace.as_deref().unwrap_or_default();
                format!("It is withdrawn from workspace {workspace}. In its own namespace nothing changes.")
            }
            Self::Disconnect => "Its Secrets are removed everywhere, and its grant is revoked. Name, id, settings and bindings stay; for a short time this can be undone.".to_owned(),
            Self::Revoke => "Its Secrets are removed everywhere, and its grant is revoked at once.".to_owned(),
            Self::Delete if count > 0 && connection.is_deletion_protected() => {
                let used = if count == 1 { "A binding uses it".to_owned() } else { format!("{count} bindings use it") };
                format!("{used}, so it is refused unless its owner confirms it: disconnect it first.")
            }
            Self::Delete => "Its Secrets are removed everywhere, its grant is revoked, and the connection is gone.".to_owned(),
            Self::Adopt { .. } => String::new(),
        }
    }

    /// The field of the spec that another tool would set back.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Transfer(_) => Some("owner"),
            Self::Unshare => Some("shared"),
            Self::Disconnect | Self::Revoke => Some("disconnect"),
            Self::Delete | Self::Adopt { .. } => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connection(spec: &Value) -> IntegrationConnection {
        let mut object = json!({"metadata": {"name": "mail"}, "spec": {"provider": "p", "owner": "alice"},
            "status": {"dependents": {"count": 2, "names": []}, "conditions": []}});
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_transfer_carries_nothing_that_the_former_owner_said() {
        let to_bob = ConnectionChange::Transfer("bob".to_owned());
        let change = to_bob.patch(&connection(&json!({"shared": true, "workspace": "w"})), "admin").unwrap();
        assert_eq!(change["spec"], json!({"owner": "bob", "account": null}));
        let mut annotations = change["metadata"]["annotations"].as_object().unwrap().clone();
        assert_eq!(
            annotations.remove(ANNOTATION_TERMS_BY),
            Some(json!("admin")),
            "bob has agreed to nothing"
        );
        assert!(annotations.len() == 6 && annotations.values().all(Value::is_null), "{annotations:?}");
    }

    #[test]
    fn who_takes_terms_back_says_so_unless_they_are_their_own() {
        let shared = connection(&json!({"shared": true, "workspace": "w"}));
        let by = |user| {
            ConnectionChange::Unshare.patch(&shared, user).unwrap()["metadata"]["annotations"]
                [ANNOTATION_TERMS_BY]
                .clone()
        };
        assert_eq!((by("alice"), by("admin")), (Value::Null, json!("admin")));
    }

    #[test]
    fn what_is_so_already_is_not_changed() {
        let ended = connection(&json!({"disconnect": true}));
        for (change, applies) in [
            (ConnectionChange::Transfer("alice".to_owned()), false),
            (ConnectionChange::Transfer("bob".to_owned()), true),
            (ConnectionChange::Unshare, false),
            (ConnectionChange::Disconnect, false),
            (ConnectionChange::Delete, true),
        ] {
            assert_eq!(change.applies_to(&ended), applies, "{change:?}");
        }
    }

    #[test]
    fn what_follows_is_said_before() {
        let shared = connection(&json!({"shared": true, "workspace": "marketing"}));
        let text = |change: ConnectionChange| change.consequences(&shared);
        let transfer = text(ConnectionChange::Transfer("carol".to_owned()));
        for words in ["grant of alice is revoked", "the 2 bindings waits", "shared again once carol"] {
            assert!(transfer.contains(words), "{words}: {transfer}");
        }
        assert!(text(ConnectionChange::Unshare).contains("workspace marketing"));
        assert!(text(ConnectionChange::Delete).contains("refused"), "bindings hold it back");
        let mut one = shared.clone();
        one.status.as_mut().unwrap().dependents.as_mut().unwrap().count = 1;
        assert!(
            ConnectionChange::Transfer("carol".to_owned())
                .consequences(&one)
                .contains("The binding that uses it")
        );
        assert!(ConnectionChange::Delete.consequences(&one).starts_with("A binding uses it"));
        let free = connection(&json!({"deletionProtection": false}));
        assert!(ConnectionChange::Delete.consequences(&free).contains("is gone"));
    }
}
