//! Who may use a provider: one question, asked of a connection before anything is taken in, minted or published for it.
//!
//! What a connection's author writes proves nothing. A workspace that it names counts if its owner is a member there and its
//! namespace belongs to it.

use std::collections::BTreeMap;

use bowline_api::connection::Method;
use bowline_api::open::Open;
use bowline_api::{IntegrationConnection, IntegrationConnectionSpec};
use kube::ResourceExt;

use crate::grant::target::{Target, requested};
use crate::sharing::WorkspaceStanding;

/// Whether a connection may use its provider. The texts are sentences for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProviderUse {
    Allowed,
    Refused(String),
    /// What it depends on cannot be read: nothing is withdrawn, and nothing newer is taken in, minted or published.
    Unknown(String),
}

/// `labels` are those of the connection's namespace; `standing` says how the connection stands to a workspace, `None` if that
/// cannot be read.
pub(super) fn may_use(
    target: &Target,
    connection: &IntegrationConnection,
    labels: &BTreeMap<String, String>,
    standing: impl FnOnce(&str) -> Option<WorkspaceStanding>,
) -> ProviderUse {
    let spec = &connection.spec;
    if let Some(why) = refused(target, spec, labels) {
        return ProviderUse::Refused(why);
    }
    let Some(allowed) = target.allowed_workspaces() else { return ProviderUse::Allowed };
    let Some(workspace) = spec.workspace.as_ref().filter(|workspace| allowed.contains(workspace)) else {
        let allowed = allowed.join(", ");
        return ProviderUse::Refused(format!(
            "It serves members of the workspaces {allowed}: spec.workspace must name one of them."
        ));
    };
    match standing(workspace) {
        Some(standing) => {
            not_within(standing, workspace, connection).map_or(ProviderUse::Allowed, ProviderUse::Refused)
        }
        None => ProviderUse::Unknown(format!(
            "Whether {} may use the provider is not known: Workspace {workspace} cannot be read. An administrator must correct it: its Event Unreadable names the field.",
            spec.owner
        )),
    }
}

fn not_within(
    standing: WorkspaceStanding,
    workspace: &str,
    connection: &IntegrationConnection,
) -> Option<String> {
    let (owner, namespace) = (&connection.spec.owner, connection.namespace().unwrap_or_default());
    match standing {
        WorkspaceStanding::Within => None,
        WorkspaceStanding::NoWorkspace => {
            Some(format!("It serves workspace {workspace}, and there is no such Workspace."))
        }
        WorkspaceStanding::NotMember => {
            Some(format!("It serves the members of workspace {workspace}, and {owner} is none of them."))
        }
        WorkspaceStanding::NamespaceOutside => Some(format!(
            "It serves the namespaces of workspace {workspace}, and {namespace} is none of them."
        )),
    }
}

/// Why the provider object excludes the connection, whatever workspaces there are.
fn refused(
    target: &Target,
    spec: &IntegrationConnectionSpec,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let method = target.method(spec);
    let offered = |method: &Open<Method>| method.known().is_some_and(|it| target.methods().contains(&it));
    // With an app of its own a connection uses its author's power, and nobody else's.
    let is_organizations = !method.is_a_persons() && spec.app.is_none();
    let beyond = target.scopes_beyond_allowed(&spec.scopes, is_organizations);
    let asked = requested(target, &spec.scopes);
    let unlimited = target.description().scopes.unlimited(&asked);
    Some(if !target.allows_namespace(labels) {
        "spec.allow.namespaces excludes this namespace.".to_owned()
    } else if spec.app.is_some() && !target.allows_own_app() {
        "It does not allow connections to use an app registration of their own.".to_owned()
    } else if let Some(method) = spec.method.as_ref().filter(|method| !offered(method)) {
        format!("It does not offer the method {method}.")
    } else if method == Method::TokenExchange && spec.method.is_none() {
        // Admission decides by the spec who may use a ServiceAccount's token.
        "It exchanges tokens of ServiceAccounts: set spec.method to TokenExchange.".to_owned()
    } else if is_organizations && !target.says_whom_it_serves() {
        format!(
            "With method {method:?} no person consents, so it serves nobody before it says whom: set spec.allow.namespaces or spec.allow.workspaces on the IntegrationProvider."
        )
    } else if is_organizations && !target.states_allowed_scopes() {
        format!(
            "With method {method:?} no person reviews the scopes: set spec.scopes.allowed on the IntegrationProvider to those that connections may request, or to []."
        )
    } else if !beyond.is_empty() {
        format!("It does not allow the scopes {}.", beyond.join(", "))
    } else if !unlimited.is_empty() {
        let kinds = unlimited.join(" and ");
        format!(
            "It allows some {kinds} only, and a token without any named has all: name some in spec.scopes."
        )
    } else {
        return None;
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use bowline_oauth::catalog;
    use serde_json::{Value, json};

    use super::*;
    use crate::grant::target::tests::Offline;

    fn target(entry: &str, allow: &Value, scopes: &Value) -> Target {
        let spec = json!({"type": entry, "endpoints": {"token": "https://p.example/token"}, "allow": allow,
            "scopes": scopes});
        let spec = serde_json::from_value(spec).unwrap();
        let description =
            catalog::resolve(catalog::get(entry).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
        Target::new(description, spec, None, Arc::new(Offline::default()))
    }

    fn connection(more: &Value) -> IntegrationConnection {
        let mut spec = json!({"provider": "p", "owner": "alice"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "team-a"}, "spec": spec}))
            .unwrap()
    }

    fn refusal(entry: &str, allow: &Value, scopes: &Value, more: &Value) -> Option<String> {
        let labels = [("team".to_owned(), "a".to_owned())].into();
        refused(&target(entry, allow, scopes), &connection(more).spec, &labels)
    }

    #[test]
    fn a_workspace_that_is_named_counts_if_the_connection_is_within_it() {
        let target = target("sandbox", &json!({"workspaces": ["w", "v"]}), &json!(null));
        let asked = |more: Value, standing: Option<WorkspaceStanding>| {
            may_use(&target, &connection(&more), &BTreeMap::new(), |_| standing)
        };
        let named = || json!({"workspace": "w"});
        assert_eq!(asked(named(), Some(WorkspaceStanding::Within)), ProviderUse::Allowed);
        assert!(matches!(asked(named(), None), ProviderUse::Unknown(_)), "unreadable");
        let rows = [
            (json!({}), WorkspaceStanding::Within, "must name one of them"),
            (json!({"workspace": "x"}), WorkspaceStanding::Within, "must name one of them"),
            (named(), WorkspaceStanding::NotMember, "alice is none of them"),
            (named(), WorkspaceStanding::NamespaceOutside, "team-a is none of them"),
            (named(), WorkspaceStanding::NoWorkspace, "no such Workspace"),
        ];
        for (more, standing, part) in rows {
            let ProviderUse::Refused(why) = asked(more, Some(standing)) else {
                panic!("{standing:?} is allowed")
            };
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn what_a_person_consents_to_needs_no_list_and_the_organizations_power_needs_two() {
        const MINTING: &str = "generic-oauth2-client-credentials";
        let (none, team) = (json!(null), json!({"namespaces": {"matchLabels": {"team": "a"}}}));
        let (read, nothing) = (json!({"allowed": ["read"]}), json!({"allowed": []}));
        let own_app = json!({"app": {"secretName": "own"}});
        let rows = [
            ("a person consents", "sandbox", &none, &none, json!({}), None),
            ("a key that somebody provides", "generic-api-key", &none, &none, json!({}), None),
            ("nobody is named", MINTING, &none, &read, json!({}), Some("set spec.allow.namespaces or")),
            (
                "device flow names nobody",
                MINTING,
                &json!({"deviceFlow": true}),
                &read,
                json!({}),
                Some("set spec.allow.namespaces or"),
            ),
            ("no scopes are named", MINTING, &team, &none, json!({}), Some("set spec.scopes.allowed")),
            ("both are named", MINTING, &team, &read, json!({"scopes": ["read"]}), None),
            ("a scope beyond", MINTING, &team, &read, json!({"scopes": ["write"]}), Some("the scopes write")),
            (
                "an empty list allows none",
                MINTING,
                &team,
                &nothing,
                json!({"scopes": ["read"]}),
                Some("read"),
            ),
            ("and those of the provider", MINTING, &team, &nothing, json!({}), None),
            (
                "a choice among the methods",
                "sandbox",
                &none,
                &none,
                json!({"method": "ClientCredentials"}),
                Some("set spec.allow.namespaces or"),
            ),
            ("its author's own app", MINTING, &json!({"ownApp": true}), &none, own_app.clone(), None),
            ("which is not allowed", MINTING, &team, &none, own_app, Some("of their own")),
            (
                "another namespace",
                "sandbox",
                &json!({"namespaces": {"matchLabels": {"team": "b"}}}),
                &none,
                json!({}),
                Some("excludes this namespace"),
            ),
        ];
        for (what, entry, allow, scopes, connection, expected) in rows {
            let said = refusal(entry, allow, scopes, &connection);
            match expected {
                None => assert_eq!(said, None, "{what}"),
                Some(part) => {
                    assert!(said.as_deref().is_some_and(|said| said.contains(part)), "{what}: {said:?}");
                }
            }
        }
    }

    #[test]
    fn a_token_without_named_repositories_would_have_all_of_them() {
        let spec = |allowed: Value| {
            let spec = json!({"type": "github-app-installation", "parameters": {"installation_id": "7"},
                "allow": {"namespaces": {}}, "scopes": {"allowed": allowed}});
            let spec = serde_json::from_value(spec).unwrap();
            let entry = catalog::get("github-app-installation").unwrap();
            let description = catalog::resolve(entry, &spec, "p", &BTreeMap::new()).unwrap();
            Target::new(description, spec, None, Arc::new(Offline::default()))
        };
        let refusal = |allowed: Value, scopes: Value| {
            refused(&spec(allowed), &connection(&json!({"scopes": scopes})).spec, &BTreeMap::new())
        };
        let limited = || json!(["contents:read", "repository:app", "repository:web"]);
        assert_eq!(refusal(limited(), json!(["contents:read", "repository:app"])), None);
        let rows = [
            (limited(), json!([]), "some permissions and repositories only"),
            (limited(), json!(["repository:app"]), "some permissions only"),
            (limited(), json!(["contents:read"]), "some repositories only"),
            (limited(), json!(["contents:write", "repository:app"]), "the scopes contents:write"),
            (limited(), json!(["contents:read", "repository:other"]), "the scopes repository:other"),
        ];
        for (allowed, scopes, part) in rows {
            let said = refusal(allowed, scopes.clone()).unwrap();
            assert!(said.contains(part), "{scopes}: {said}");
        }
        // What is not limited may be narrowed.
        assert_eq!(refusal(json!(["contents:read"]), json!(["contents:read", "repository:any"])), None);
        assert_eq!(refusal(json!([]), json!(["contents:read"])), None);
        assert_eq!(refusal(json!([]), json!([])), None);
    }
}
