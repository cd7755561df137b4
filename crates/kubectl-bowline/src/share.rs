//! `share` and `unshare`: share a connection with its workspace, and stop sharing it (R18, R19).

use anyhow::bail;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::exit::Usage;
use crate::impact::gather;
use crate::next::{lines, steps};
use crate::reading::Readable;
use crate::related::{provider_of, shares_of};
use crate::table::printable;
use crate::wait::{WaitArgs, is_current};
use crate::{Screen, UserSession};
use bowline_api::condition::{ConditionType::Shared, Conditioned, Truth};
use bowline_api::names::ANNOTATION_TERMS_BY;
use bowline_api::reason::{Reason, Remedy};
use bowline_api::{ConnectionShare, IntegrationConnection};

const SHARE_EXAMPLES: &str = "Examples:
  kubectl bowline share github-work --workspace marketing
  kubectl bowline share github-work     with the workspace it names already

Publishes the access token in each namespace of the workspace: whoever may
read Secrets or run pods there gets it. Only the owner may do this, with the
verb share on the connection, while a member of the workspace.";

const UNSHARE_EXAMPLES: &str = "Examples:
  kubectl bowline unshare github-work

Removes the Secrets from the workspace's namespaces; your own stays. Running
pods keep the token they have read. Lists first who uses it there, as far as
you may look; share publishes it again.";

/// Publish a connection in the namespaces of its workspace
#[derive(clap::Args, Debug)]
#[command(after_help = SHARE_EXAMPLES)]
pub(crate) struct ShareArgs {
    /// The connection
    name: String,
    /// The Workspace; without it the one that the connection names already
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Remove a connection from its workspace
#[derive(clap::Args, Debug)]
#[command(after_help = UNSHARE_EXAMPLES)]
pub(crate) struct UnshareArgs {
    /// The connection
    name: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl ShareArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, workspace, wait } = self;
        let before = session.connection(&name).await?;
        let Some(workspace) = workspace.or_else(|| before.spec.workspace.clone()) else {
            return Err(Usage("the connection names no workspace: pass --workspace NAME").into());
        };
        let wanted = json!({"shared": true, "workspace": workspace});
        session.patch(&before, set_by(&session.user().await?, &before, &wanted)).await?;
        if !wait.begin(&format!("Sharing {name} with {workspace}"), screen) {
            return Ok(());
        }
        let settled = |now: &IntegrationConnection| is_settled(now) && now.wants_sharing();
        let after = wait.until(session, &name, settled, so_far).await?;
        if after.is(Shared) {
            return Ok(screen.result(&shared(&after, &workspace, &shares_of(session, &after).await?))?);
        }
        let next = lines(&steps(&after, &provider_of(session, &after).await?));
        screen.result(&format!("{}\n{next}", so_far(&after)))?;
        bail!("{name} is not shared everywhere; spec.shared stays as it is")
    }
}

impl UnshareArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, wait } = self;
        let before = session.connection(&name).await?;
        if !before.wants_sharing() {
            screen.progress(&format!("{name} is not shared."));
            return Ok(());
        }
        let impact = gather(session, &before, false).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        let change = set_by(&session.user().await?, &before, &json!({"shared": false}));
        session.patch(&before, change).await?;
        if !wait.begin(&format!("Unsharing {name}"), screen) {
            return Ok(());
        }
        let so_far = |_: &IntegrationConnection| {
            format!("{name} is to be unshared, and the operator has not done it yet")
        };
        wait.until(session, &name, is_unshared, so_far).await?;
        Ok(screen.result(&format!("{name} is yours alone.\n"))?)
    }
}

/// The change of the terms, with who sets them where that has to be said: whoever is not the owner, and the owner where somebody else
/// has set what is all agreed to.
fn set_by(user: &str, before: &IntegrationConnection, spec: &Value) -> Value {
    let mut change = json!({ "spec": spec });
    let takes_over = before.terms_by_another().is_some() && before.may_take_over_terms();
    if user != before.spec.owner || takes_over {
        change["metadata"] = json!({"annotations": {ANNOTATION_TERMS_BY: user}});
    }
    change
}

fn is_unshared(connection: &IntegrationConnection) -> bool {
    is_current(connection) && !connection.wants_sharing() && connection.condition(Shared).is_none()
}

/// Whether sharing works, or somebody has to act: publishing takes a moment in each namespace.
fn is_settled(connection: &IntegrationConnection) -> bool {
    let waits =
        |reason: &str| Reason::parse(reason).is_some_and(|reason| reason.row().remedy == Remedy::Wait);
    is_current(connection)
        && connection
            .condition(Shared)
            .is_some_and(|it| it.status != Truth::Unknown.as_str() && !waits(&it.reason))
}

fn so_far(connection: &IntegrationConnection) -> String {
    let name = connection.name_any();
    match connection.condition(Shared).filter(|_| is_current(connection)) {
        Some(shared) => printable(format!("{name}: {}: {}", shared.reason, shared.message)),
        None => format!("{name} is to be shared, and the operator has not done it yet"),
    }
}

fn shared(
    connection: &IntegrationConnection,
    workspace: &str,
    shares: &Readable<Vec<ConnectionShare>>,
) -> String {
    let (name, id) = (connection.name_any(), connection.id());
    let places = match shares {
        Ok(shares) if shares.is_empty() => "it has no namespace besides this one".to_owned(),
        Ok(shares) => {
            let names: Vec<_> = shares.iter().filter_map(ResourceExt::namespace).collect();
            format!("Secret {id} in {}", names.join(", "))
        }
        Err(_) => format!("Secret {id} in each of its namespaces, which you may not list"),
    };
    format!("{name} is shared with {workspace}: {places}.\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::reading::Forbidden;

    fn connection(observed: i64, shared: bool, status: &str, reason: &str) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a", "generation": 4},
            "spec": {"provider": "github", "owner": "alice", "shared": shared, "workspace": "marketing"},
            "status": {"observedGeneration": observed, "conditions": [{"type": "Shared", "status": status,
                "reason": reason, "message": "Said.", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    #[test]
    fn what_is_said_of_an_older_spec_settles_nothing() {
        for (observed, status, reason, settled) in [
            (4, "True", "Shared", true),
            (4, "False", "OwnerNotMember", true),
            (4, "False", "OfALaterVersion", true),
            (3, "True", "Shared", false),
            (4, "Unknown", "Shared", false),
            (4, "False", "PartiallyPublished", false),
        ] {
            let it = connection(observed, true, status, reason);
            assert_eq!(is_settled(&it), settled, "{observed} {status} {reason}");
        }
        let partly = connection(4, true, "False", "PartiallyPublished");
        assert_eq!(so_far(&partly), "github: PartiallyPublished: Said.");
        assert!(so_far(&connection(3, true, "True", "Shared")).contains("has not done it yet"));
    }

    #[test]
    fn who_sets_the_terms_of_somebody_else_says_so() {
        let mut it = connection(4, true, "True", "Shared");
        let said = |user: &str, it: &IntegrationConnection| {
            set_by(user, it, &json!({"shared": false}))["metadata"]["annotations"][ANNOTATION_TERMS_BY]
                .clone()
        };
        assert_eq!(said("alice", &it), Value::Null);
        assert_eq!(said("bob", &it), "bob");
        it.metadata.annotations = Some([(ANNOTATION_TERMS_BY.to_owned(), "bob".to_owned())].into());
        assert_eq!(said("alice", &it), Value::Null, "nobody has agreed to it yet");
        let agreed = json!({"agreed": {"shared": true}, "observedGeneration": 4});
        it.status.as_mut().unwrap().terms = serde_json::from_value(agreed).unwrap();
        assert_eq!(said("alice", &it), "alice");
    }

    #[test]
    fn it_is_unshared_once_the_condition_is_gone() {
        let mut it = connection(4, false, "False", "PartiallyPublished");
        assert!(!is_unshared(&it));
        it.status.as_mut().unwrap().conditions.clear();
        assert!(is_unshared(&it));
        it.status.as_mut().unwrap().observed_generation = Some(3);
        assert!(!is_unshared(&it));
    }

    #[test]
    fn where_it_is_shared_is_said_as_far_as_it_may_be_seen() {
        let share = serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing"}}))
        .unwrap();
        let it = connection(4, true, "True", "Shared");
        for (shares, end) in [
            (Ok(vec![share]), "Secret team-a.github in jobs.\n"),
            (Ok(Vec::new()), "it has no namespace besides this one.\n"),
            (Err(Forbidden::default()), "which you may not list.\n"),
        ] {
            let text = shared(&it, "marketing", &shares);
            assert!(text.starts_with("github is shared with marketing: ") && text.ends_with(end), "{text}");
        }
    }
}
