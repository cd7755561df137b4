//! The bindings of a connection. Each publishes a Secret of its own, so that workloads name that one.

use std::collections::BTreeSet;
use std::fmt;

use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection};
use kube::ResourceExt;
use serde::Serialize;

use crate::UserSession;
use crate::related::{SecretPlace, listed};
use crate::table::printable;

/// Bindings that use the connection and that the caller may not list.
#[derive(Serialize, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnseenBindings {
    /// As `<namespace>/<name>`, as far as the connection names them.
    names: Vec<String>,
    /// How many there are besides.
    more: i32,
}

/// Those with a Secret, in the connection's namespace and where it is shared, as far as the caller may list them.
pub(super) async fn of(
    session: &UserSession,
    connection: &IntegrationConnection,
    shares: &[ConnectionShare],
) -> anyhow::Result<Vec<ConnectionBinding>> {
    let namespaces: BTreeSet<_> =
        shares.iter().filter_map(ResourceExt::namespace).chain(connection.namespace()).collect();
    let mut bindings = Vec::new();
    for namespace in namespaces {
        let there = session.within::<ConnectionBinding>(&namespace).await?.unwrap_or_default();
        bindings.extend(there.into_iter().filter(|binding| has_secret_of(connection, binding)));
    }
    Ok(bindings)
}

fn has_secret_of(connection: &IntegrationConnection, binding: &ConnectionBinding) -> bool {
    let has_secret = binding.status.as_ref().is_some_and(|status| status.secret_name.is_some());
    has_secret
        && binding.spec.connection == connection.id()
        && binding.pinned().map(|pinned| &pinned.uid) == connection.metadata.uid.as_ref()
}

/// Where its Secret is.
pub(super) fn place(binding: &ConnectionBinding, shares: &[ConnectionShare]) -> SecretPlace {
    let namespace = binding.namespace().unwrap_or_default();
    let share = shares.iter().find(|share| share.metadata.namespace.as_ref() == Some(&namespace));
    let written = binding.status.as_ref().and_then(|status| status.secret_name.clone());
    SecretPlace {
        is_written: written.is_some(),
        name: written.unwrap_or_else(|| binding.secret_name()),
        workspace: share.map(|share| share.spec.workspace.clone()),
        binding: Some(binding.name_any()),
        namespace,
    }
}

impl UnseenBindings {
    /// What the connection's status counts and was not `found`; of its own namespace only if `own`.
    pub(super) fn of(connection: &IntegrationConnection, found: &[ConnectionBinding], own: bool) -> Self {
        let Some(all) = connection.dependents() else { return Self::default() };
        let found: BTreeSet<_> = found
            .iter()
            .map(|binding| format!("{}/{}", binding.namespace().unwrap_or_default(), binding.name_any()))
            .collect();
        let home = format!("{}/", connection.namespace().unwrap_or_default());
        let (seen, unseen): (Vec<_>, Vec<_>) = all.names.iter().partition(|name| found.contains(*name));
        let found_besides = i32::try_from(found.len() - seen.len()).unwrap_or(i32::MAX);
        let names = unseen.into_iter().filter(|name| own || !name.starts_with(&home)).cloned().collect();
        Self { names, more: all.more().saturating_sub(found_besides).max(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.more == 0
    }
}

impl fmt::Display for UnseenBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(format!("bindings that you may not list: {}", listed(&self.names, self.more))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(count: i32, names: &[&str]) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "mail", "namespace": "team-a", "uid": "u"},
            "spec": {"provider": "p", "owner": "alice"},
            "status": {"dependents": {"count": count, "names": names}}}))
        .unwrap()
    }

    fn binding(namespace: &str, name: &str, uid: &str) -> ConnectionBinding {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace},
            "spec": {"connection": "team-a.mail"},
            "status": {"secretName": format!("{name}-token"), "connection": "team-a.mail",
                "pinned": {"uid": uid, "owner": "alice"}}}))
        .unwrap()
    }

    #[test]
    fn a_binding_has_a_secret_of_its_own_connection() {
        let it = connection(1, &["jobs/post"]);
        assert!(has_secret_of(&it, &binding("jobs", "post", "u")));
        assert!(!has_secret_of(&it, &binding("jobs", "post", "another")));
        let mut withdrawn = binding("jobs", "post", "u");
        withdrawn.status.as_mut().unwrap().secret_name = None;
        assert!(!has_secret_of(&it, &withdrawn));
        let share = serde_json::from_value(json!({"metadata": {"name": "team-a.mail", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "mail", "uid": "u"}, "workspace": "marketing"}}));
        let place = place(&binding("jobs", "post", "u"), &[share.unwrap()]);
        assert_eq!(place.to_string(), "jobs: Secret post-token (workspace marketing, binding post)");
    }

    #[test]
    fn what_is_counted_and_not_found_is_said() {
        let it = connection(4, &["jobs/post", "team-a/digest"]);
        let found = [binding("jobs", "post", "u"), binding("team-a", "weekly", "u")];
        let unseen = UnseenBindings::of(&it, &found, true);
        assert_eq!(unseen.to_string(), "bindings that you may not list: team-a/digest and 1 more");
        let elsewhere = UnseenBindings::of(&it, &found, false);
        assert_eq!(elsewhere, UnseenBindings { names: Vec::new(), more: 1 });
        assert!(UnseenBindings::of(&connection(1, &["jobs/post"]), &found, true).is_empty());
        assert!(UnseenBindings::of(&connection(0, &[]), &found, true).is_empty());
    }
}
