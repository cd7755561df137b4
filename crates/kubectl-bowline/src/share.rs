//! `share` and `unshare`: promote a connection to its workspace, and take it back (R18, R19).

use anyhow::bail;
use bowline_api::names::connection_id;
use bowline_api::reason;
use bowline_api::{ConnectionShare, IntegrationConnection};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::describe::{about, shares, steps};
use super::exit::{NotInTime, Usage};
use super::impact::gather;
use super::list::condition;
use super::rights::Seen;
use super::screen::Screen;
use super::session::{Session, plain};
use super::table::Cell;
use super::wait::{WaitArgs, until, words};

const SHARE_EXAMPLES: &str = "Examples:
  kubectl bowline share github-work --workspace marketing
  kubectl bowline share github-work     with the workspace it names already

Publishes the access token in each namespace of the workspace: whoever may
read Secrets or run pods there gets it. Only the owner may do this, with the
verb share on the connection, while a member of the workspace.";

const UNSHARE_EXAMPLES: &str = "Examples:
  kubectl bowline unshare github-work

Takes the Secrets back from the workspace's namespaces; your own stays. Running
pods keep the token they have read. Who uses it there is shown first, as far
as you may look; share brings it back.";

/// Publish a connection in the namespaces of its workspace
#[derive(clap::Args, Debug)]
#[command(after_help = SHARE_EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
    /// The Workspace; without it the one that the connection names already
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Take a connection back from its workspace
#[derive(clap::Args, Debug)]
#[command(after_help = UNSHARE_EXAMPLES)]
pub(super) struct UnshareArgs {
    /// The connection
    name: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, workspace, wait } = self;
        let connections = Api::namespaced(session.client.clone(), &session.namespace);
        let before = session.connection(&name).await?;
        let Some(workspace) = workspace.or_else(|| before.spec.workspace.clone()) else {
            return Err(Usage("the connection names no workspace: say --workspace NAME").into());
        };
        change(&connections, &before, json!({"shared": true, "workspace": workspace})).await?;
        if !wait.wait {
            screen.progress(&format!("{name} is to be shared with {workspace}."));
            return Ok(());
        }
        screen
            .progress(&format!("Sharing {name} with {workspace}; waiting up to {} ...", words(wait.timeout)));
        let settled = |now: &IntegrationConnection| is_settled(now) && now.spec.shared == Some(true);
        let Some(after) = until(&connections, &name, wait.timeout.into(), settled).await? else {
            let now = session.connection(&name).await?;
            return Err(NotInTime { limit: wait.timeout, what: so_far(&now) }.into());
        };
        let verdict = condition(&after, "Shared");
        if verdict.is_some_and(|verdict| verdict.status == "True") {
            let told = told(&after, &workspace, &shares(session, &after).await?);
            return Ok(screen.result(&told)?);
        }
        let (reason, message) = verdict.map_or(("Unknown", ""), |it| (&it.reason, &it.message));
        let about = about(session, &after).await?;
        let todo: String = steps(&after, &about).iter().map(|step| step.lines("  ")).collect();
        let said = Cell::new(format!("{name}: {reason}: {message}")).text;
        screen.result(&format!("{said}\n{todo}"))?;
        bail!("{name} is not shared everywhere; what the spec asks for stays")
    }
}

impl UnshareArgs {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, wait } = self;
        let connections = Api::namespaced(session.client.clone(), &session.namespace);
        let before = session.connection(&name).await?;
        if before.spec.shared != Some(true) {
            screen.progress(&format!("{name} is not shared."));
            return Ok(());
        }
        let impact = gather(session, &before, false).await?;
        screen.progress(impact.render(&before, session.clock.now()).trim_end());
        change(&connections, &before, json!({"shared": false})).await?;
        if !wait.wait {
            screen.progress(&format!("{name} is being taken back."));
            return Ok(());
        }
        screen.progress(&format!("Taking {name} back; waiting up to {} ...", words(wait.timeout)));
        let settled = |now: &IntegrationConnection| is_judged(now) && now.spec.shared != Some(true);
        if until(&connections, &name, wait.timeout.into(), settled).await?.is_none() {
            let what = format!("{name} is asked to be taken back, and the operator has not done it yet");
            return Err(NotInTime { limit: wait.timeout, what }.into());
        }
        Ok(screen.result(&format!("{name} is yours alone.\n"))?)
    }
}

async fn change(
    connections: &Api<IntegrationConnection>,
    before: &IntegrationConnection,
    spec: Value,
) -> anyhow::Result<()> {
    // A connection made again under the same name is another one.
    let patch = json!({"metadata": {"uid": before.metadata.uid}, "spec": spec});
    let patched = connections.patch(&before.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(plain)
}

/// Whether the verdict on sharing speaks of this very spec, and is not just on its way.
fn is_judged(connection: &IntegrationConnection) -> bool {
    let generation = connection.metadata.generation;
    let status = connection.status.as_ref();
    status.is_some_and(|status| status.observed_generation == generation)
        && condition(connection, "Shared").is_some_and(|verdict| {
            verdict.status != "Unknown" && verdict.observed_generation.is_none_or(|of| Some(of) == generation)
        })
}

/// Whether the verdict is an end: each namespace takes a moment to be published to.
fn is_settled(connection: &IntegrationConnection) -> bool {
    is_judged(connection)
        && condition(connection, "Shared")
            .is_some_and(|verdict| verdict.reason != reason::PARTIALLY_PUBLISHED)
}

fn so_far(connection: &IntegrationConnection) -> String {
    let name = connection.name_any();
    match condition(connection, "Shared").filter(|_| is_judged(connection)) {
        Some(verdict) => format!("{name}: {}: {}", verdict.reason, verdict.message),
        None => format!("{name} is asked to be shared, and the operator has not done it yet"),
    }
}

fn told(connection: &IntegrationConnection, workspace: &str, shares: &Seen<Vec<ConnectionShare>>) -> String {
    let name = connection.name_any();
    let id = connection_id(&connection.namespace().unwrap_or_default(), &name);
    let places = match shares {
        Seen::Yes(shares) if shares.is_empty() => "it has no namespace besides this one".to_owned(),
        Seen::Yes(shares) => {
            let names: Vec<_> = shares.iter().filter_map(ResourceExt::namespace).collect();
            format!("Secret {id} in {}", names.join(", "))
        }
        Seen::MayNot => format!("Secret {id} in each of its namespaces, which you may not list"),
    };
    format!("{name} is shared with {workspace}: {places}.\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connection(observed: i64, of: i64, status: &str) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a", "generation": 4},
            "spec": {"provider": "github", "owner": "alice"},
            "status": {"observedGeneration": observed, "conditions": [{"type": "Shared", "status": status,
                "reason": "Shared", "message": "", "observedGeneration": of,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    #[test]
    fn a_verdict_on_an_older_spec_is_none() {
        assert!(is_judged(&connection(4, 4, "True")) && is_judged(&connection(4, 4, "False")));
        assert!(!is_judged(&connection(3, 3, "True")) && !is_judged(&connection(4, 3, "True")));
        assert!(!is_judged(&connection(4, 4, "Unknown")));
        let mut partly = connection(4, 4, "False");
        assert!(is_settled(&partly));
        partly.status.as_mut().unwrap().conditions[0].reason = reason::PARTIALLY_PUBLISHED.into();
        assert!(is_judged(&partly) && !is_settled(&partly), "each namespace takes a moment");
        assert!(so_far(&partly).starts_with("github: PartiallyPublished: "));
    }

    #[test]
    fn where_it_is_shared_is_told_as_far_as_it_may_be_seen() {
        let share = serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing",
                "provider": "github", "owner": "alice"}}))
        .unwrap();
        let it = connection(4, 4, "True");
        for (shares, end) in [
            (Seen::Yes(vec![share]), "Secret team-a.github in jobs.\n"),
            (Seen::Yes(Vec::new()), "it has no namespace besides this one.\n"),
            (Seen::MayNot, "which you may not list.\n"),
        ] {
            let text = told(&it, "marketing", &shares);
            assert!(text.starts_with("github is shared with marketing: ") && text.ends_with(end), "{text}");
        }
    }
}
