//! A separate namespace, with the people who work in it, and objects to begin with.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use bowline_testbed::cluster::Cluster;
use bowline_testbed::definitions::Foreign;
use bowline_testbed::objects::condition;
use bowline_testbed::stage::Stage;
use bowline_testbed::wait::wait_for;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::asking::{ADMIN, Ask, OPERATOR, PORTAL, Person};

/// The name of a portal that is not ours.
pub const LOOKALIKE: &str = "system:serviceaccount:team-a:bowline-portal";

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A new namespace in which alice, bob, mallory and a pipeline have rights.
///
/// - alice and mallory have the built-in role `edit`, and with it, by aggregation, `bowline-editor`;
/// - bob may write connections, bindings and Secrets, but has no custom verb;
/// - gitops has `bowline-gitops`;
/// - the portal, and somebody with a similar name, may write connections, and have no custom verb;
/// - RBAC lets all of them write status and shares, and lets the operator do all of this too, so that a refusal comes from a
///   policy. rights.rs tests what RBAC gives the operator.
pub struct Team {
    pub namespace: String,
    client: Client,
}

/// The cluster under test, with the shipped manifests applied once and the policies in force.
pub async fn cluster() -> &'static Cluster {
    static DEPLOYED: OnceCell<&'static Cluster> = OnceCell::const_new();
    let deployed = DEPLOYED.get_or_init(|| async {
        let cluster = Cluster::shared().await.expect("a cluster");
        Stage::install(cluster).await.expect("the manifests are applied and in force");
        cluster
    });
    deployed.await
}

/// An administrator of the cluster under test. The client belongs to the test's runtime.
pub async fn administrator() -> Client {
    cluster().await.client_for(ADMIN).await.expect("a client")
}

/// The operator's `ServiceAccount` on the cluster under test, with the rights it ships with.
pub async fn operator() -> Client {
    static KUBECONFIG: OnceCell<PathBuf> = OnceCell::const_new();
    let kubeconfig = KUBECONFIG.get_or_init(|| async {
        cluster().await.service_account_kubeconfig("bowline-system", "bowline").await.expect("a token")
    });
    bowline_testbed::access::client(kubeconfig.await).await.expect("a client")
}

pub fn random_name(prefix: &str) -> String {
    format!("{prefix}-{:08x}", RandomState::new().build_hasher().finish() & 0xffff_ffff)
}

impl Team {
    pub async fn new() -> Self {
        let client = administrator().await;
        let team = Self { namespace: random_name("team"), client };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.namespace}});
        team.person(ADMIN).must(&Ask::post("/api/v1/namespaces", &namespace)).await;
        let everything = ["get", "list", "create", "update", "patch", "delete", "deletecollection"];
        let outputs = [
            "connectionshares",
            "connectionshares/status",
            "integrationconnections/status",
            "connectionbindings/status",
        ];
        team.role(
            "outputs",
            &["bowline.dev"],
            &outputs,
            &everything,
            &["alice", "bob", "mallory", "gitops", OPERATOR, PORTAL],
        )
        .await;
        team.role(
            "writer",
            &["bowline.dev", ""],
            &["integrationconnections", "connectionbindings", "secrets"],
            &everything,
            &["bob", OPERATOR, PORTAL, LOOKALIKE],
        )
        .await;
        team.bind("edit", "ClusterRole", &["alice", "mallory"]).await;
        team.bind("bowline-gitops", "ClusterRole", &["gitops"]).await;
        team.until_allowed(OPERATOR, "create", "bowline.dev", "connectionshares").await;
        team.until_allowed("bob", "create", "", "secrets").await;
        team.until_allowed("alice", "use", "bowline.dev", "connectionshares").await;
        team.until_allowed("mallory", "share", "bowline.dev", "integrationconnections").await;
        team.until_allowed("gitops", "assign-owner", "bowline.dev", "integrationconnections").await;
        team
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn person(&self, name: &str) -> Person {
        Person::new(self.client.clone(), name)
    }

    /// Whether RBAC lets somebody do something in `namespace`; empty means the whole cluster.
    pub async fn is_allowed(&self, who: &str, attributes: &Value) -> bool {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec":
            {"user": who, "groups": ["system:authenticated"], "resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = self.person(ADMIN).must(&Ask::post(path, &review)).await;
        answer["status"]["allowed"].as_bool().unwrap()
    }

    /// A new binding takes effect a moment after it is written.
    pub async fn until_allowed(&self, who: &str, verb: &str, group: &str, resource: &str) {
        self.until_it_is(true, who, verb, group, resource).await;
    }

    /// So does one that is removed.
    pub async fn until_refused(&self, who: &str, verb: &str, group: &str, resource: &str) {
        self.until_it_is(false, who, verb, group, resource).await;
    }

    async fn until_it_is(&self, allowed: bool, who: &str, verb: &str, group: &str, resource: &str) {
        let attributes =
            json!({"verb": verb, "group": group, "resource": resource, "namespace": self.namespace});
        let waiting = async { while self.is_allowed(who, &attributes).await != allowed {} };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("rights take effect");
    }

    /// A connection of alice's, as stored.
    pub async fn connection_of_alice(&self, change: &Value) -> Value {
        let connection = crate::asking::merged(connection(&random_name("c"), "alice"), change);
        self.person("alice").must(&Ask::post(&self.connections(), &connection)).await
    }

    /// Something the operator created.
    pub async fn made_by_operator(&self, path: &str, object: &Value) -> Value {
        self.person(OPERATOR).must(&Ask::post(path, object)).await
    }

    /// Kinds that are not ours and that a test uses. They stay in the cluster.
    pub async fn define(&self, kinds: &[Foreign]) {
        let admin = self.person(ADMIN);
        for kind in kinds {
            let definition = kind.definition().expect("a definition");
            let made = admin.ask(&Ask::post(DEFINITIONS, &definition)).await;
            assert!(made.is_accepted() || made.status == 409, "{}", made.words());
            let path = format!("{DEFINITIONS}/{}", definition["metadata"]["name"].as_str().unwrap());
            wait_for("the kind is served", Duration::from_mins(2), async || {
                let definition = admin.must(&Ask::get(&path)).await;
                let established =
                    condition(&definition, "Established").is_some_and(|it| it["status"] == "True");
                if established { Ok(()) } else { Err(definition["status"]["conditions"].to_string()) }
            })
            .await
            .expect("the kind is served");
        }
    }

    pub fn connections(&self) -> String {
        format!("/apis/bowline.dev/v1alpha1/namespaces/{}/integrationconnections", self.namespace)
    }

    pub fn shares(&self) -> String {
        format!("/apis/bowline.dev/v1alpha1/namespaces/{}/connectionshares", self.namespace)
    }

    pub fn bindings(&self) -> String {
        format!("/apis/bowline.dev/v1alpha1/namespaces/{}/connectionbindings", self.namespace)
    }

    pub fn secrets(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    pub async fn role(
        &self,
        name: &str,
        groups: &[&str],
        resources: &[&str],
        verbs: &[&str],
        users: &[&str],
    ) {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", self.namespace);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
            "rules": [{"apiGroups": groups, "resources": resources, "verbs": verbs}]});
        self.person(ADMIN).must(&Ask::post(&path, &role)).await;
        self.bind(name, "Role", users).await;
    }

    pub async fn bind(&self, role: &str, kind: &str, users: &[&str]) {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", self.namespace);
        let subject =
            |user: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": users.iter().map(subject).collect::<Vec<_>>()});
        self.person(ADMIN).must(&Ask::post(&path, &binding)).await;
    }
}

pub fn connection(name: &str, owner: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "metadata": {"name": name},
        "spec": {"provider": "sandbox", "owner": owner}})
}

pub fn secret(name: &str, type_: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "type": type_,
        "data": {"access_token": "b2xk"}})
}

pub fn share(name: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionShare", "metadata": {"name": name},
        "spec": {"workspace": "marketing",
            "connection": {"namespace": "team-a", "name": "c", "uid": "0"}}})
}

pub fn binding(name: &str, connection: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ConnectionBinding", "metadata": {"name": name},
        "spec": {"connection": connection}})
}

pub fn provider(name: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider", "metadata": {"name": name},
        "spec": {"type": "sandbox"}})
}

pub fn workspace(name: &str) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": {}})
}
