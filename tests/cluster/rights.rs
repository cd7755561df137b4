//! The shipped roles: what each gives, and what it does not give.

use serde_json::json;

use crate::asking::OPERATOR;
use crate::fixture::Team;

/// Who, verb, group, resource, name, where, and whether it is allowed.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, Place, bool);

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The namespace in which the people of the test have their roles.
    Team,
    Operator,
    Elsewhere,
    Cluster,
}
use Place::{Cluster, Elsewhere, Operator};

const OURS: &str = "bowline.dev";
const RBAC: &str = "rbac.authorization.k8s.io";
const POLICIES: &str = "admissionregistration.k8s.io";
const DEFINITIONS: &str = "apiextensions.k8s.io";

const ROWS: &[Row] = &[
    // The operator reads and annotates what people wrote, and never rewrites it.
    (OPERATOR, "patch", OURS, "integrationconnections", "c", Elsewhere, true),
    (OPERATOR, "patch", OURS, "integrationconnections/status", "c", Elsewhere, true),
    (OPERATOR, "update", OURS, "integrationconnections/finalizers", "c", Elsewhere, true),
    (OPERATOR, "watch", OURS, "integrationproviders", "", Cluster, true),
    (OPERATOR, "watch", OURS, "workspaces", "", Cluster, true),
    (OPERATOR, "patch", OURS, "integrationproviders/status", "p", Cluster, true),
    (OPERATOR, "patch", OURS, "integrationproviders", "p", Cluster, false),
    (OPERATOR, "update", OURS, "integrationproviders", "p", Cluster, false),
    // It holds what members get; a policy refuses it to use that.
    (OPERATOR, "patch", OURS, "workspaces", "w", Cluster, true),
    (OPERATOR, "update", OURS, "workspaces", "w", Cluster, true),
    (OPERATOR, "create", OURS, "integrationconnections", "", Elsewhere, false),
    (OPERATOR, "update", OURS, "integrationconnections", "c", Elsewhere, true),
    (OPERATOR, "delete", OURS, "integrationconnections", "c", Elsewhere, true),
    (OPERATOR, "connect", OURS, "integrationconnections", "c", Elsewhere, true),
    (OPERATOR, "share", OURS, "integrationconnections", "c", Elsewhere, false),
    (OPERATOR, "delete", OURS, "workspaces", "w", Cluster, false),
    (OPERATOR, "assign-owner", OURS, "integrationconnections", "c", Elsewhere, false),
    (OPERATOR, "create", OURS, "connectionshares", "", Elsewhere, true),
    (OPERATOR, "watch", OURS, "connectionbindings", "", Cluster, true),
    (OPERATOR, "patch", OURS, "connectionbindings/status", "b", Elsewhere, true),
    (OPERATOR, "patch", OURS, "connectionbindings", "b", Elsewhere, false),
    (OPERATOR, "create", OURS, "connectionbindings", "", Elsewhere, false),
    (OPERATOR, "delete", OURS, "connectionbindings", "b", Elsewhere, false),
    (OPERATOR, "use", OURS, "integrationconnections", "c", Elsewhere, true),
    (OPERATOR, "use", OURS, "connectionshares", "s", Elsewhere, false),
    (OPERATOR, "delete", OURS, "connectionshares", "s", Elsewhere, true),
    (OPERATOR, "create", "events.k8s.io", "events", "", Elsewhere, true),
    (OPERATOR, "patch", "events.k8s.io", "events", "e", Elsewhere, true),
    (OPERATOR, "get", DEFINITIONS, "customresourcedefinitions", "workspaces.bowline.dev", Cluster, true),
    (OPERATOR, "get", DEFINITIONS, "customresourcedefinitions", "others.example.com", Cluster, false),
    (OPERATOR, "list", DEFINITIONS, "customresourcedefinitions", "", Cluster, false),
    (OPERATOR, "watch", POLICIES, "validatingadmissionpolicies", "", Cluster, true),
    (OPERATOR, "watch", POLICIES, "validatingadmissionpolicybindings", "", Cluster, true),
    (OPERATOR, "patch", POLICIES, "validatingadmissionpolicies", "bowline-owner-stays", Cluster, false),
    (
        OPERATOR,
        "delete",
        POLICIES,
        "validatingadmissionpolicybindings",
        "bowline-owner-stays",
        Cluster,
        false,
    ),
    (OPERATOR, "watch", "", "namespaces", "", Cluster, true),
    (OPERATOR, "delete", "", "namespaces", "n", Cluster, false),
    // Records are replaced at a known version, so their namespace needs no patch; the cluster-wide mode, which the tests
    // install, includes it.
    (OPERATOR, "update", "", "secrets", "record-1", Operator, true),
    (OPERATOR, "update", "", "secrets", "s", Elsewhere, false),
    (OPERATOR, "create", "", "pods", "", Operator, false),
    (OPERATOR, "create", "", "serviceaccounts/token", "bowline", Operator, false),
    (OPERATOR, "patch", "apps", "deployments", "bowline", Operator, false),
    // The Roles of members; a policy limits what they give.
    (OPERATOR, "create", RBAC, "rolebindings", "", Elsewhere, true),
    (OPERATOR, "bind", RBAC, "roles", "", Elsewhere, false),
    (OPERATOR, "escalate", RBAC, "roles", "", Elsewhere, false),
    (OPERATOR, "bind", RBAC, "clusterroles", "", Cluster, false),
    (OPERATOR, "escalate", RBAC, "clusterroles", "", Cluster, false),
    // The built-in `edit` contains what editors need, by aggregation.
    ("alice", "create", OURS, "integrationconnections", "", Place::Team, true),
    ("alice", "use", OURS, "integrationconnections", "c", Place::Team, true),
    ("alice", "use", OURS, "connectionshares", "team-b.c", Place::Team, true),
    ("alice", "use", OURS, "integrationconnections", "c", Elsewhere, false),
    ("alice", "use", OURS, "connectionshares", "team-b.c", Elsewhere, false),
    ("alice", "create", OURS, "connectionbindings", "", Place::Team, true),
    ("alice", "deletecollection", OURS, "connectionbindings", "", Place::Team, false),
    ("alice", "connect", OURS, "integrationconnections", "c", Place::Team, true),
    ("alice", "share", OURS, "integrationconnections", "c", Place::Team, true),
    ("alice", "assign-owner", OURS, "integrationconnections", "c", Place::Team, false),
    ("alice", "delete", OURS, "integrationconnections", "c", Place::Team, true),
    ("alice", "deletecollection", OURS, "integrationconnections", "", Place::Team, false),
    ("alice", "share", OURS, "integrationconnections", "c", Elsewhere, false),
    ("alice", "create", OURS, "workspaces", "", Cluster, false),
    // A pipeline may name owners, and nothing more.
    ("gitops", "assign-owner", OURS, "integrationconnections", "c", Place::Team, true),
    ("gitops", "share", OURS, "integrationconnections", "c", Place::Team, false),
    ("gitops", "deletecollection", OURS, "integrationconnections", "", Place::Team, false),
    ("gitops", "get", "", "secrets", "s", Place::Team, false),
    ("gitops", "create", OURS, "connectionbindings", "", Place::Team, true),
    ("gitops", "use", OURS, "connectionshares", "team-b.c", Place::Team, true),
    ("gitops", "assign-owner", OURS, "integrationconnections", "c", Elsewhere, false),
    // A viewer sees states but no Secrets.
    ("vera", "get", OURS, "integrationconnections", "c", Place::Team, true),
    ("vera", "get", OURS, "connectionshares", "s", Place::Team, true),
    ("vera", "get", OURS, "connectionbindings", "b", Place::Team, true),
    ("vera", "create", OURS, "connectionbindings", "", Place::Team, false),
    ("vera", "use", OURS, "connectionshares", "team-b.c", Place::Team, false),
    ("vera", "patch", OURS, "integrationconnections", "c", Place::Team, false),
    ("vera", "get", "", "secrets", "s", Place::Team, false),
];

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn each_role_gives_what_its_work_needs_and_no_more() {
    let team = Team::new().await;
    team.bind("view", "ClusterRole", &["vera"]).await;
    team.until_allowed("vera", "get", OURS, "integrationconnections").await;
    for (who, verb, group, resource, name, place, allowed) in ROWS {
        let namespace = match place {
            Place::Team => &team.namespace,
            Operator => "bowline-system",
            Elsewhere => "default",
            Cluster => "",
        };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = json!({"verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "name": name, "namespace": namespace});
        let sentence = format!("{who} {verb} {resource}/{subresource} {name} in {place:?}");
        assert_eq!(team.is_allowed(who, &attributes).await, *allowed, "{sentence}");
    }
}
