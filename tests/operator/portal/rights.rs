//! What the portal's `ServiceAccount` cannot reach, one test each: a hijacked portal has nothing worth stealing.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::house::Portal;
use crate::scene::{parsed, scene};

/// Whether the portal's account may do this.
async fn may(name: &str, questions: &[(&str, &str, &str, &str, &str)]) -> Vec<bool> {
    let it = scene(name).await;
    let _portal = Portal::start(&it, &[]).await;
    let reviews: Api<SubjectAccessReview> = Api::all(it.admin.clone());
    let mut answers = Vec::new();
    for (verb, group, resource, namespace, name) in questions {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes: Value = json!({"verb": verb, "group": group, "resource": resource,
            "subresource": subresource, "namespace": namespace, "name": name});
        let review: SubjectAccessReview = parsed(json!({"spec": {
            "user": "system:serviceaccount:bowline-portal:bowline-portal",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:bowline-portal", "system:authenticated"],
            "resourceAttributes": attributes}}));
        let answer = reviews.create(&PostParams::default(), &review).await.expect("a review");
        answers.push(answer.status.is_some_and(|status| status.allowed));
    }
    answers
}

const OURS: &str = "bowline.dev";

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_reads_no_record() {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let questions = verbs.map(|verb| (verb, "", "secrets", "bowline-system", "record-1"));
    assert_eq!(may("records", &questions).await, [false; 7]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_reads_no_keyring() {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let questions = verbs.map(|verb| (verb, "", "secrets", "bowline-system", "bowline-keyring"));
    assert_eq!(may("keyring", &questions).await, [false; 7]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_reads_no_client_secret() {
    let questions =
        ["get", "list", "watch"].map(|verb| (verb, "", "secrets", "bowline-system", "github-app"));
    assert_eq!(may("client-secret", &questions).await, [false; 3]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_reads_no_published_token() {
    let questions = ["get", "list", "watch"].map(|verb| (verb, "", "secrets", "default", "github"));
    assert_eq!(may("published", &questions).await, [false; 3]);
}

/// Their environment may hold secrets in clear.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_reads_no_pod() {
    let pods = ["get", "list", "watch"].map(|verb| (verb, "", "pods", "default", ""));
    let logs = ("get", "", "pods/log", "default", "p");
    let made_of = ("list", "apps", "deployments", "default", "");
    let questions: Vec<_> = pods.into_iter().chain([logs, made_of]).collect();
    assert_eq!(may("pods", &questions).await, [false; 5]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_becomes_nobody_else() {
    let rbac = "rbac.authorization.k8s.io";
    let questions = [
        ("impersonate", "", "users", "", "alice"),
        ("impersonate", "", "groups", "", "system:masters"),
        ("impersonate", "", "serviceaccounts", "bowline-system", "bowline"),
        ("create", "", "serviceaccounts/token", "bowline-portal", "bowline-portal"),
        ("patch", "", "secrets", "bowline-portal", "bowline-portal-session"),
        ("get", "", "secrets", "bowline-portal", "another"),
        ("create", "", "serviceaccounts/token", "bowline-system", "bowline"),
        ("create", "", "pods", "bowline-portal", ""),
        ("create", rbac, "rolebindings", "default", ""),
        ("patch", OURS, "integrationconnections/status", "default", "c"),
        ("patch", OURS, "integrationproviders", "", "p"),
        ("patch", OURS, "workspaces", "", "w"),
        ("delete", "", "secrets", "bowline-attempts", "attempt-1"),
        ("list", "", "secrets", "bowline-portal", ""),
    ];
    assert_eq!(may("nobody-else", &questions).await, [false; 14]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_portal_has_what_its_work_needs() {
    let questions = [
        ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
        ("create", "authentication.k8s.io", "tokenreviews", "", ""),
        ("patch", OURS, "integrationconnections", "default", "c"),
        ("assign-owner", OURS, "integrationconnections", "default", "c"),
        ("update", "", "secrets", "bowline-attempts", "attempt-1"),
        ("get", "", "secrets", "bowline-portal", "bowline-portal-session"),
    ];
    assert_eq!(may("its-work", &questions).await, [true; 6]);
}
