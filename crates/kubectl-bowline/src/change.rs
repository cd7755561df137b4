//! Carrying out a change of a connection on exactly the one that was shown.

use anyhow::bail;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::exit::Usage;
use crate::session::plain;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;

/// Changes the connection that was `shown`, while it is still that owner's; with `dry_run` the API server only judges it.
pub(crate) async fn carry_out(
    change: &ConnectionChange,
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
    let (uid, resource_version) = (now.metadata.uid.clone(), now.metadata.resource_version.clone());
    let Some(mut patch) = change.patch(&now, &session.user().await?) else {
        let preconditions = Some(Preconditions { uid, resource_version });
        let params = DeleteParams { dry_run, preconditions, ..DeleteParams::default() };
        return connections.delete(&name, &params).await.map(drop).map_err(plain);
    };
    patch["metadata"]["uid"] = json!(uid);
    patch["metadata"]["resourceVersion"] = json!(resource_version);
    let params = PatchParams { dry_run, ..PatchParams::default() };
    connections.patch(&name, &params, &Patch::Merge(&patch)).await.map(drop).map_err(plain)
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
}
