//! What has to be done next, by whom and with which command, from the table of reasons. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::related::ProviderFacts;
use crate::table::printable;
use bowline_api::condition::ConditionType::{
    Authorized, Delivered, Ready, SecretPublished, Shared, TokenFresh,
};
use bowline_api::condition::{Conditioned, Truth};
use bowline_api::names::{connection_id, connection_of};
use bowline_api::reason::{Entrance, Fixer, MessageFacts, Reason, Remedy, quoted};
use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextStep {
    who: String,
    what: String,
    /// The command that does it or shows more.
    command: String,
}

impl NextStep {
    /// What helps with a reason; `None` if everything is well.
    fn of(reason: Reason, facts: &MessageFacts<'_>, entrance: Entrance) -> Option<Self> {
        let row = reason.row();
        let name = match row.fixer {
            Fixer::Owner => facts.owner,
            Fixer::PlatformTeam => facts.contact,
            Fixer::WorkspaceKeeper => facts.workspace,
            Fixer::Nobody | Fixer::Author | Fixer::ProviderAdministrator => None,
        };
        let who = match (row.fixer, row.remedy) {
            (_, Remedy::None) => return None,
            (Fixer::Nobody, Remedy::Wait) => "nobody".to_owned(),
            (Fixer::Nobody, _) => "to continue".to_owned(),
            (fixer, _) => match name {
                Some(name) => format!("{} ({name})", fixer.label()),
                None => fixer.label().to_owned(),
            },
        };
        let (what, command) = (reason.step(facts), reason.command(facts, entrance));
        Some(Self { who, what, command })
    }
}

/// All steps, two lines each, the second one the command.
pub(crate) fn lines(steps: &[NextStep]) -> String {
    let text = |text: &String| printable(text);
    let line = |NextStep { who, what, command }: &NextStep| {
        format!("  {}: {}\n    {}\n", text(who), text(what), text(command))
    };
    steps.iter().map(line).collect()
}

/// The first condition that makes a connection ready and is not True: the later ones only follow from it.
pub(crate) fn failing(connection: &IntegrationConnection) -> Option<&Condition> {
    causes(connection).find(|condition| !is_true(condition))
}

fn causes(connection: &IntegrationConnection) -> impl Iterator<Item = &Condition> {
    [Authorized, TokenFresh, SecretPublished].into_iter().filter_map(|type_| connection.condition(type_))
}

fn is_true(condition: &Condition) -> bool {
    condition.status == Truth::True.as_str()
}

/// What has to be done about the present state of the connection.
pub(crate) fn steps(connection: &IntegrationConnection, provider: &ProviderFacts) -> Vec<NextStep> {
    let warns =
        |reason: &str| Reason::parse(reason).is_some_and(|reason| reason.row().fixer != Fixer::Nobody);
    let cause = causes(connection).find(|condition| !is_true(condition) || warns(&condition.reason));
    // Without a grant there is nothing to share, so that is no separate step.
    let may_be_shared = connection.condition(Authorized).is_none_or(is_true);
    let sharing = connection.condition(Shared).filter(|condition| may_be_shared && !is_true(condition));
    let reasons = cause.into_iter().chain(sharing);
    reasons.filter_map(|condition| step(connection, provider, &condition.reason)).collect()
}

/// What has to be done about one reason of the connection.
pub(crate) fn step(
    connection: &IntegrationConnection,
    provider: &ProviderFacts,
    reason: &str,
) -> Option<NextStep> {
    let (name, namespace) = (connection.name_any(), connection.namespace().unwrap_or_default());
    let Some(reason) = Reason::parse(reason) else {
        return Some(NextStep {
            who: format!("unknown reason {reason}"),
            what: "This plug-in is older than the operator; the message says what to do.".to_owned(),
            command: format!("kubectl get ic {} -n {} -o yaml", quoted(&name), quoted(&namespace)),
        });
    };
    let entrance = provider.entrance(connection);
    let authorization = connection.status.as_ref().and_then(|status| status.authorization.as_ref());
    let secret = connection.secret_name();
    let facts = MessageFacts {
        secret: Some(&secret),
        contact: provider.contact.as_deref(),
        approval: authorization.and_then(|open| open.admin_consent_url.as_deref()),
        how: Some(match entrance {
            Entrance::Browser | Entrance::Device => "sign in at the provider and allow access",
            Entrance::Import => "import a token answer, a key, or user name and password",
            Entrance::Key => "create a key",
        }),
        ..connection.facts()
    };
    NextStep::of(reason, &facts, entrance)
}

pub(crate) fn describe_command(connection: &IntegrationConnection) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    format!("kubectl bowline describe {} -n {}", quoted(&connection.name_any()), quoted(&namespace))
}

/// What has to be done about a share that is not published; `None` if it is.
pub(crate) fn share_step(share: &ConnectionShare) -> Option<NextStep> {
    let reason = share.reason_of(Ready).filter(|_| !share.is(Ready))?;
    let status = share.status.as_ref()?;
    let of = &share.spec.connection;
    let (here, secret) = (share.namespace(), connection_id(&of.namespace, &of.name));
    let facts = MessageFacts {
        owner: status.shared_by.as_deref(),
        provider: status.provider.as_deref(),
        workspace: Some(&share.spec.workspace),
        name: Some(&of.name),
        namespace: Some(&of.namespace),
        here: here.as_deref(),
        secret: Some(&secret),
        ..MessageFacts::default()
    };
    NextStep::of(reason, &facts, Entrance::Browser)
}

/// What has to be done about a binding that does not work; `None` if it does.
pub(crate) fn binding_step(binding: &ConnectionBinding) -> Option<NextStep> {
    step_of_binding(binding, binding.reason_of(Ready).filter(|_| !binding.is(Ready))?)
}

/// The same, and what has to be done about what its workload reports.
pub(crate) fn binding_steps(binding: &ConnectionBinding) -> Vec<NextStep> {
    let delivered = binding.reason_of(Delivered).filter(|_| !binding.is(Delivered));
    let of_delivery = delivered.and_then(|reason| step_of_binding(binding, reason));
    binding_step(binding).into_iter().chain(of_delivery).collect()
}

fn step_of_binding(binding: &ConnectionBinding, reason: Reason) -> Option<NextStep> {
    let (home, name) = connection_of(&binding.spec.connection)?;
    let (here, secret) = (binding.namespace().unwrap_or_default(), binding.secret_name());
    let status = binding.status.as_ref()?;
    let remedy = reason.row().remedy;
    let is_chosen_anew =
        matches!(remedy, Remedy::ChooseConnection | Remedy::ChooseAnother | Remedy::AskToShare);
    let facts = MessageFacts {
        owner: status.pinned.as_ref().map(|pinned| pinned.owner.as_str()),
        provider: status.provider.as_deref(),
        name: Some(name),
        // What the binding's own namespace may use, or the connection where it is.
        namespace: Some(if is_chosen_anew { &here } else { home }),
        here: Some(&here),
        secret: Some(&secret),
        ..MessageFacts::default()
    };
    let step = NextStep::of(reason, &facts, Entrance::Browser)?;
    let command = match remedy {
        Remedy::EditSecret
        | Remedy::EditTemplate
        | Remedy::EditConfig
        | Remedy::AcceptConnection
        | Remedy::CorrectMark => {
            format!("kubectl edit cb {} -n {}", quoted(&binding.name_any()), quoted(&here))
        }
        _ => step.command,
    };
    Some(NextStep { command, ..step })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use bowline_api::reason::ReasonPlace;

    fn connection(method: &str) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github-com", "owner": "alice; reboot", "method": method, "workspace": "marketing"},
            "status": {"account": {"id": "$(reboot)"}}}))
        .unwrap()
    }

    #[test]
    fn every_reason_of_a_binding_has_a_step_about_the_right_object() {
        for reason in Reason::ALL.iter().filter(|it| it.row().places.contains(&ReasonPlace::Binding)) {
            let binding: ConnectionBinding = serde_json::from_value(json!({
                "metadata": {"name": "post", "namespace": "jobs"}, "spec": {"connection": "team-a.mail"},
                "status": {"conditions": [{"type": "Ready", "status": reason.row().status.as_str(), "reason": reason.as_str(),
                    "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .unwrap();
            let step = binding_step(&binding);
            assert_eq!(step.is_none(), binding_steps(&binding).is_empty(), "{reason}");
            assert_eq!(step.is_none(), *reason == Reason::Bound, "{reason}");
            let Some(NextStep { command, .. }) = step else { continue };
            assert!(!command.contains("edit ic"), "{reason}: {command}");
            let theirs = ["-n jobs", "cb ", "describe mail -n team-a", "iprov", "list -n team-a --watch"];
            assert!(theirs.iter().any(|it| command.contains(it)), "{reason}: {command}");
        }
    }

    /// Every row of the table, as a person reads it here.
    #[test]
    fn every_reason_says_who_acts_and_gives_a_command() {
        let provider = ProviderFacts { contact: Some("ops".into()), ..ProviderFacts::default() };
        for reason in Reason::ALL {
            let row = reason.row();
            let step = step(&connection("AuthorizationCode"), &provider, reason.as_str());
            assert_eq!(step.is_none(), row.remedy == Remedy::None, "{reason}");
            let Some(NextStep { who, what, command }) = step else { continue };
            assert!(what.ends_with('.') && what.starts_with(char::is_uppercase), "{reason}: {what}");
            assert!(
                command.starts_with("kubectl ") && !command.contains(" $(reboot)"),
                "{reason}: {command}"
            );
            match row.fixer {
                Fixer::Nobody => {
                    assert!(["nobody", "to continue"].contains(&who.as_str()), "{reason}: {who}");
                }
                Fixer::Owner => assert_eq!(who, "the owner (alice; reboot)", "{reason}"),
                Fixer::PlatformTeam => assert_eq!(who, "the platform team (ops)", "{reason}"),
                Fixer::WorkspaceKeeper => assert!(who.ends_with("(marketing)"), "{reason}: {who}"),
                Fixer::Author | Fixer::ProviderAdministrator => {
                    assert_eq!(who, row.fixer.label(), "{reason}");
                }
            }
        }
    }

    #[test]
    fn the_command_fits_the_way_a_grant_comes() {
        let provider = ProviderFacts::default();
        for (method, command) in [
            ("AuthorizationCode", "kubectl bowline connect github -n team-a"),
            ("DeviceCode", "kubectl bowline connect github -n team-a --device"),
            ("ApiKey", "kubectl bowline import github -n team-a --from-file FILE"),
            ("IssuedKey", "kubectl bowline issue github -n team-a"),
            ("Telepathy", "kubectl bowline connect github -n team-a"),
        ] {
            let step = step(&connection(method), &provider, "AwaitingAuthorization").unwrap();
            assert_eq!(step.command, command, "{method}");
        }
    }

    #[test]
    fn what_an_account_is_called_stays_one_word_of_the_command() {
        let step =
            step(&connection("DeviceCode"), &ProviderFacts::default(), "AwaitingConfirmation").unwrap();
        assert_eq!(step.command, "kubectl bowline connect github -n team-a --accept-account '$(reboot)'");
    }

    #[test]
    fn a_share_names_its_own_namespace_and_its_connections_owner() {
        let share = |reason: &str| -> ConnectionShare {
            let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
                "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing"},
                "status": {"sharedBy": "alice", "conditions": [ready]}}))
            .unwrap()
        };
        for (reason, who, command) in [
            ("ConnectionNotReady", "the owner (alice)", "kubectl bowline describe github -n team-a"),
            ("NameTaken", "whoever maintains the object", "kubectl get secret team-a.github -n jobs -o yaml"),
            ("QuotaExceeded", "the platform team", "kubectl describe quota -n jobs"),
            ("Forbidden", "the platform team", "kubectl get rolebindings -n jobs"),
        ] {
            let step = share_step(&share(reason)).unwrap();
            assert_eq!((step.who.as_str(), step.command.as_str()), (who, command), "{reason}");
        }
        assert_eq!(share_step(&share("OfALaterVersion")), None);
    }
}
