//! Questions about a connection, answered in one place: for controllers, portal and plug-in alike. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::IntegrationConnection;
use super::condition::{ConditionType, Conditioned, Truth};
use super::connection::{
    AccountStatus, AttemptResult, DependentsStatus, GrantStatus, IssuedKeyStatus, LastAttempt, Phase,
    RevocationStatus, ScopesStatus, TokenStatus,
};
use super::delivery::LastDelivery;
use super::member::{ConnectionMember, MemberRole};
use super::open::Open;
use super::reason::{Effect, Fixer, MessageFacts, Reason, Remedy};

/// What a Secret of the connection may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    Newest,
    /// What is there may stay.
    NothingNewer,
    Nothing,
}

impl IntegrationConnection {
    /// Why the connection is not ready; `None` if it is ready, if the operator has not looked yet, or if this version does
    /// not know the reason.
    pub fn trouble(&self) -> Option<Reason> {
        self.reason_of(ConditionType::Ready).filter(|reason| reason.row().status != Truth::True)
    }

    /// The reason of Ready as written; empty while nothing is known.
    pub fn reason(&self) -> &str {
        self.condition(ConditionType::Ready).map(|ready| ready.reason.as_str()).unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.is(ConditionType::Ready)
    }

    /// Who can change what keeps the connection from being ready.
    pub fn fixer(&self) -> Fixer {
        self.trouble().map_or(Fixer::Nobody, |reason| reason.row().fixer)
    }

    pub fn remedy(&self) -> Remedy {
        self.trouble().map_or(Remedy::None, |reason| reason.row().remedy)
    }

    /// Why no grant would be accepted now, whoever allows access: somebody else must act first.
    pub fn blocked(&self) -> Option<Reason> {
        let reason = self.reason_of(ConditionType::Authorized)?;
        let row = reason.row();
        let others = matches!(row.fixer, Fixer::Author | Fixer::PlatformTeam);
        let stops = matches!(row.effect, Effect::Coast | Effect::Withdraw);
        // A new grant replaces a record that was changed.
        (others && stops && row.remedy != Remedy::InspectRecord).then_some(reason)
    }

    /// What its Secrets may contain, by the condition of the grant in use.
    pub fn may_be_published(&self) -> Publication {
        let Some(authorized) = self.reason_of(ConditionType::Authorized) else {
            return Publication::NothingNewer;
        };
        match authorized.row().effect {
            Effect::Withdraw | Effect::End => Publication::Nothing,
            Effect::Withhold => Publication::NothingNewer,
            _ if authorized == Reason::ConsentOutdated => Publication::NothingNewer,
            Effect::Serve | Effect::Coast => Publication::Newest,
        }
    }

    /// The name of the Secret in the connection's namespace.
    pub fn secret_name(&self) -> String {
        let chosen = self.spec.secret.as_ref().and_then(|secret| secret.name.clone());
        chosen.unwrap_or_else(|| self.name_any())
    }

    /// Whether pods that mount its Secret learn of each change at once.
    pub fn nudges(&self) -> bool {
        self.spec.secret.as_ref().and_then(|secret| secret.nudge).unwrap_or_default()
    }

    /// The stable id, `<namespace>.<name>`.
    pub fn id(&self) -> String {
        super::names::connection_id(&self.namespace().unwrap_or_default(), &self.name_any())
    }

    /// The bindings that hold its token.
    pub fn dependents(&self) -> Option<&DependentsStatus> {
        self.status.as_ref()?.dependents.as_ref()
    }

    /// What a workload reported last of what it did with its token.
    pub fn last_delivery(&self) -> Option<&LastDelivery> {
        self.status.as_ref()?.last_delivery.as_ref()
    }

    /// Whether a deletion is refused while bindings hold its token, unless its owner confirms it.
    pub fn is_deletion_protected(&self) -> bool {
        self.spec.deletion_protection.unwrap_or(true) && !self.is_disconnected()
    }

    pub fn is_paused(&self) -> bool {
        self.spec.suspend.unwrap_or_default()
    }

    pub fn is_disconnected(&self) -> bool {
        self.spec.disconnect.unwrap_or_default()
    }

    pub fn wants_sharing(&self) -> bool {
        self.spec.shared.unwrap_or_default()
    }

    /// Whether a grant was accepted and no disconnection has ended it, or begun to.
    pub fn was_connected(&self) -> bool {
        self.has_accepted_grant() && self.phase() != Some(Phase::Disconnected)
    }

    /// Whether a grant was accepted and no disconnection has ended it yet.
    pub fn has_accepted_grant(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.connected_at.is_some())
    }

    /// The phase, if this version knows it.
    pub fn phase(&self) -> Option<Phase> {
        self.status.as_ref()?.phase.as_ref().and_then(Open::known)
    }

    /// The phase as people read it; empty before the operator has looked.
    pub fn phase_text(&self) -> String {
        let phase = self.status.as_ref().and_then(|status| status.phase.as_ref());
        phase.map(ToString::to_string).unwrap_or_default()
    }

    pub fn last_attempt(&self) -> Option<&LastAttempt> {
        self.status.as_ref()?.last_attempt.as_ref()
    }

    /// What became at the provider of the grant that ended here last.
    pub fn revocation(&self) -> Option<&RevocationStatus> {
        self.status.as_ref()?.revocation.as_ref()
    }

    /// Whether its members may do anything: the present owner has allowed access. Admission asks the same.
    pub fn has_members_in_force(&self) -> bool {
        let connected_by = self.status.as_ref().and_then(|status| status.connected_by.as_deref());
        connected_by == Some(self.spec.owner.as_str())
    }

    /// Whether a member with role Admin is this user, or one of their groups.
    pub fn is_administered_by(&self, user: &str, groups: &[String]) -> bool {
        let is_admin = |it: &ConnectionMember| it.role.is(MemberRole::Admin) && it.is(user, groups);
        self.has_members_in_force() && self.spec.members.iter().any(is_admin)
    }

    /// When its grant is revoked, while the disconnection can be undone.
    pub fn revokes_at(&self) -> Option<Timestamp> {
        let at = self.status.as_ref()?.revokes_at.as_ref().map(|at| at.0);
        at.filter(|_| self.is_disconnected())
    }

    pub fn account(&self) -> Option<&AccountStatus> {
        self.status.as_ref()?.account.as_ref()
    }

    pub fn scopes(&self) -> Option<&ScopesStatus> {
        self.status.as_ref()?.scopes.as_ref()
    }

    pub fn grant(&self) -> Option<&GrantStatus> {
        self.status.as_ref()?.grant.as_ref()
    }

    /// Keys that were issued for it and are valid, the newest first.
    pub fn issued_keys(&self) -> &[IssuedKeyStatus] {
        self.status.as_ref().map(|status| status.issued_keys.as_slice()).unwrap_or_default()
    }

    /// What keys that are issued for it begin with; `None` where none are issued.
    pub fn key_prefix(&self) -> Option<&str> {
        // It goes to terminals and pages as a part of a key.
        let is_plain =
            |prefix: &&str| prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.status.as_ref()?.key_prefix.as_deref().filter(is_plain)
    }

    pub fn token(&self) -> Option<&TokenStatus> {
        self.status.as_ref()?.token.as_ref()
    }

    pub fn token_expires_at(&self) -> Option<Timestamp> {
        self.token()?.expires_at.as_ref().map(|time| time.0)
    }

    /// What sentences can name of this connection. The caller adds what only it knows.
    pub fn facts(&self) -> MessageFacts<'_> {
        let account = self.account();
        MessageFacts {
            owner: Some(&self.spec.owner),
            provider: Some(&self.spec.provider),
            workspace: self.spec.workspace.as_deref(),
            account: account.map(AccountStatus::word),
            account_id: account.map(|account| account.id.as_str()),
            name: self.metadata.name.as_deref(),
            namespace: self.metadata.namespace.as_deref(),
            ..MessageFacts::default()
        }
    }
}

impl AccountStatus {
    /// Its name for people, or its id if it has none.
    pub fn word(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

impl LastAttempt {
    pub fn is_running(&self) -> bool {
        self.result.is(AttemptResult::Running)
    }

    /// Whether it ended without a grant, or the result is unknown.
    pub fn failed(&self) -> bool {
        self.result.is(AttemptResult::Failed) || self.result.is(AttemptResult::Unknown)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_is_taken_in_unless_somebody_else_must_act_first() {
        for (reason, blocks) in [
            ("ProviderNotFound", true),
            ("ProviderNotReady", true),
            ("ProviderNotAllowed", true),
            ("ParametersInvalid", true),
            ("OwnerUnverified", true),
            ("RecordUnreadable", true),
            ("AwaitingAuthorization", false),
            ("AdminConsentRequired", false),
            ("GrantRevoked", false),
            ("RecordTampered", false),
            ("Authorized", false),
            ("OfALaterVersion", false),
        ] {
            let condition = json!({"type": "Authorized", "status": "False", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let connection: IntegrationConnection =
                serde_json::from_value(json!({"metadata": {"name": "mail"},
                "spec": {"provider": "p", "owner": "alice"}, "status": {"conditions": [condition]}}))
                .unwrap();
            assert_eq!(connection.blocked().is_some(), blocks, "{reason}");
        }
    }

    #[test]
    fn a_disconnection_under_way_has_not_ended_the_grant_yet() {
        let connection = |status| -> IntegrationConnection {
            let spec = json!({"provider": "p", "owner": "alice"});
            serde_json::from_value(json!({"metadata": {"name": "mail"}, "spec": spec, "status": status}))
                .unwrap()
        };
        let since = "2026-01-01T00:00:00Z";
        for (status, accepted, connected) in [
            (json!({"phase": "Pending"}), false, false),
            (json!({"phase": "Active", "connectedAt": since}), true, true),
            (json!({"phase": "Revoked", "connectedAt": since}), true, true),
            (json!({"phase": "Disconnected", "connectedAt": since}), true, false),
            (json!({"phase": "Disconnected"}), false, false),
        ] {
            let it = connection(status.clone());
            assert_eq!((it.has_accepted_grant(), it.was_connected()), (accepted, connected), "{status}");
        }
    }
}
