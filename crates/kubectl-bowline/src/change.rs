//! What becomes of a connection whose owner gives it up, and carrying that out on exactly the one that was shown.

use anyhow::bail;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::exit::Usage;
use crate::session::plain;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType::Authorized, Conditioned};
use bowline_api::names::{
    ADOPT_EVEN_IF_SPENT, ADOPT_RECORD, ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_ADOPT, ANNOTATION_APPROVE_TERMS,
    ANNOTATION_CONFIRM_DELETE, ANNOTATION_INTAKE, ANNOTATION_REVOKE_NOW, ANNOTATION_TERMS_BY,
};
use bowline_api::reason::Reason;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionChange {
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
    pub(crate) fn done(&self) -> String {
        match self {
            Self::Transfer(to) => format!("transferred to {to}"),
            Self::Unshare => "unshared".to_owned(),
            Self::Disconnect | Self::Revoke => "disconnected".to_owned(),
            Self::Delete => "deleted".to_owned(),
            Self::Adopt { .. } => "agreed to".to_owned(),
        }
    }

    /// Whether there is something to change.
    pub(crate) fn applies_to(&self, connection: &IntegrationConnection) -> bool {
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

    fn patch(&self, grant: Option<&str>) -> Option<Value> {
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

    /// Changes the connection that was `shown`, while it is still that owner's; with `dry_run` the API server only judges it.
    pub(crate) async fn carry_out(
        &self,
        session: &UserSession,
        shown: &IntegrationConnection,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        let (name, namespace) = (shown.name_any(), shown.namespace().unwrap_or_default());
        let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &namespace);
        let now = connections.get(&name).await.map_err(plain)?;
        if now.metadata.uid != shown.metadata.uid || now.spec.owner != shown.spec.owner {
            bail!("it is another one's now: look again");
        }
        let (uid, resource_version) = (now.metadata.uid, now.metadata.resource_version);
        let grant = now.status.and_then(|status| status.grant).map(|grant| grant.id);
        let Some(mut change) = self.patch(grant.as_deref()) else {
            let preconditions = Some(Preconditions { uid, resource_version });
            let params = DeleteParams { dry_run, preconditions, ..DeleteParams::default() };
            return connections.delete(&name, &params).await.map(drop).map_err(plain);
        };
        let user = session.user().await?;
        let to_another = matches!(self, Self::Transfer(_));
        if to_another || *self == Self::Unshare && user != shown.spec.owner {
            change["metadata"]["annotations"][ANNOTATION_TERMS_BY] = json!(user);
        }
        change["metadata"]["uid"] = json!(uid);
        change["metadata"]["resourceVersion"] = json!(resource_version);
        let params = PatchParams { dry_run, ..PatchParams::default() };
        connections.patch(&name, &params, &Patch::Merge(&change)).await.map(drop).map_err(plain)
    }
}

/// Asks for a yes; if others are affected, for the name.
pub(crate) fn confirm(verb: &str, name: &str, others: bool, screen: &mut Screen) -> anyhow::Result<()> {
    let question = if others {
        format!("Others lose it too. Type the name {name} to {verb} it: ")
    } else {
        let mut letters = verb.chars();
        let begins = letters.next().map(|letter| letter.to_ascii_uppercase()).unwrap_or_default();
        format!("{begins}{} {name}? [y/N] ", letters.as_str())
    };
    match screen.ask(&question)? {
        None => Err(Usage("no answer: pass --yes").into()),
        Some(answer) if agrees(&answer, name, others) => Ok(()),
        Some(_) => bail!("nothing was changed"),
    }
}

/// Whether this answer is a yes; if others are affected, one letter is not enough.
fn agrees(answer: &str, name: &str, others: bool) -> bool {
    if others { answer == name } else { ["y", "Y", "yes"].contains(&answer) || answer == name }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_others_are_affected_only_the_name_is_a_yes() {
        for (answer, alone, others) in [
            ("y", true, false),
            ("yes", true, false),
            ("github", true, true),
            ("", false, false),
            ("n", false, false),
        ] {
            assert_eq!(agrees(answer, "github", false), alone, "{answer:?}");
            assert_eq!(agrees(answer, "github", true), others, "{answer:?}");
        }
    }

    #[test]
    fn a_transfer_carries_nothing_that_the_former_owner_said() {
        let change = ConnectionChange::Transfer("bob".to_owned()).patch(None).unwrap();
        assert_eq!(change["spec"], json!({"owner": "bob", "account": null}));
        let dropped = change["metadata"]["annotations"].as_object().unwrap();
        assert!(dropped.len() == 6 && dropped.values().all(Value::is_null), "{dropped:?}");
    }

    #[test]
    fn what_is_so_already_is_not_changed() {
        let connection: IntegrationConnection = serde_json::from_value(json!({"metadata": {"name": "mail"},
            "spec": {"provider": "p", "owner": "alice", "disconnect": true}}))
        .unwrap();
        for (change, applies) in [
            (ConnectionChange::Transfer("alice".to_owned()), false),
            (ConnectionChange::Transfer("bob".to_owned()), true),
            (ConnectionChange::Unshare, false),
            (ConnectionChange::Disconnect, false),
            (ConnectionChange::Delete, true),
        ] {
            assert_eq!(change.applies_to(&connection), applies, "{change:?}");
        }
    }
}
