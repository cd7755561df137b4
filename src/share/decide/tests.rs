use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::vault::Grant;
use crate::vault::record::GrantVersion;

fn grant_of(owner: &str) -> Arc<Grant> {
    Arc::new(
        serde_json::from_value(json!({
            "credential": {"apiKey": {"apiKey": "k"}},
            "obtainedAt": Timestamp::UNIX_EPOCH,
            "boundTo": {"owner": owner, "authority": "https://provider.example"},
        }))
        .unwrap(),
    )
}

fn version(revision: i64) -> GrantVersion {
    let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
    GrantVersion { id, revision, ordinal: 1 }
}

fn connection(authorized: &str, published: &str, revision: i64) -> IntegrationConnection {
    let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": Timestamp::UNIX_EPOCH});
    serde_json::from_value(json!({
        "metadata": {"name": "c", "namespace": "team-a", "uid": "u", "generation": 2},
        "spec": {"provider": "github", "owner": "alice", "workspace": "w", "shared": true},
        "status": {
            "observedGeneration": 2,
            "grant": {"id": version(5).id, "revision": revision, "obtainedAt": Timestamp::UNIX_EPOCH},
            "conditions": [condition("Authorized", authorized), condition("SecretPublished", published)],
        },
    }))
    .unwrap()
}

fn observed(connection: IntegrationConnection) -> ObservedShare {
    let shared = Shared::In { workspace: "w".into(), namespaces: BTreeSet::from(["x".to_owned()]) };
    let grant = Some(GrantInUse { grant: grant_of("alice"), version: version(5) });
    let source = Some(ShareSource { connection: Arc::new(connection), shared, grant });
    let [uid, namespace, name] = ["s", "x", "team-a.c"].map(ToOwned::to_owned);
    ObservedShare { uid, namespace, name, source, secret: None, written: None }
}

fn share(namespace: &str) -> ConnectionShare {
    sharing::share(&connection("Authorized", "Published", 5), "w", namespace)
}

#[test]
fn what_the_connection_says_decides_what_becomes_of_the_secret() {
    let table = [
        ("Authorized", "Published", 5, SecretPlan::Write),
        ("Authorized", "NameTaken", 5, SecretPlan::Write),
        ("Authorized", "Published", 4, SecretPlan::Nothing),
        ("MissingScopes", "Withheld", 5, SecretPlan::Withhold),
        ("ConsentOutdated", "Published", 5, SecretPlan::Withhold),
        ("GrantRevoked", "Withdrawn", 5, SecretPlan::Withdraw),
        ("GrantRevoked", "Forbidden", 4, SecretPlan::Withdraw),
    ];
    for (authorized, published, revision, expected) in table {
        let plan = decide(&share("x"), &observed(connection(authorized, published, revision))).unwrap();
        assert_eq!(plan.secret, expected, "{authorized} {published} {revision}");
        assert_eq!(plan.correction, None);
    }
}

#[test]
fn a_grant_of_another_owner_is_never_published() {
    let mut observed = observed(connection("Authorized", "Published", 5));
    observed.source.as_mut().unwrap().grant =
        Some(GrantInUse { grant: grant_of("bob"), version: version(5) });
    assert_eq!(decide(&share("x"), &observed).unwrap().secret, SecretPlan::Withdraw);
}

#[test]
fn while_the_workspace_cannot_be_read_nothing_is_written_and_what_must_go_goes() {
    for (authorized, published, expected) in [
        ("Authorized", "Published", SecretPlan::Nothing),
        ("GrantRevoked", "Withdrawn", SecretPlan::Withdraw),
        ("ProviderNotAllowed", "Withdrawn", SecretPlan::Withdraw),
    ] {
        let mut observed = observed(connection(authorized, published, 5));
        observed.source.as_mut().unwrap().shared = Shared::Unknown;
        assert_eq!(decide(&share("x"), &observed).unwrap().secret, expected, "{authorized}");
    }
}

#[test]
fn an_untouched_secret_of_this_revision_is_kept_and_an_edited_one_written() {
    let mut observed = observed(connection("Authorized", "Published", 5));
    observed.written = Some(PublishedVersion {
        name: "team-a.c".into(),
        uid: "s".into(),
        resource_version: Some("1".into()),
        grant: Some(version(5)),
        described: None,
    });
    for (version, expected) in [("1", SecretPlan::Keep), ("2", SecretPlan::Write)] {
        observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: version.into() });
        assert_eq!(decide(&share("x"), &observed).unwrap().secret, expected);
    }
}

#[test]
fn a_share_outside_the_computed_set_is_taken_back() {
    let with = |shared: Option<Shared>| {
        let mut observed = observed(connection("Authorized", "Published", 5));
        match shared {
            Some(shared) => observed.source.as_mut().unwrap().shared = shared,
            None => observed.source = None,
        }
        decide(&share("x"), &observed).unwrap_err()
    };
    assert_eq!(with(None), Unshared::ConnectionGone);
    assert_eq!(with(Some(Shared::NotAsked)), Unshared::NotAsked);
    assert_eq!(with(Some(Shared::WorkspaceNotFound)), Unshared::WorkspaceGone);
    let removed = with(Some(Shared::OwnerNotMember));
    assert_eq!((removed, removed.reason()), (Unshared::OwnerRemoved, Reason::OwnerRemoved));
    let observed = observed(connection("Authorized", "Published", 5));
    assert_eq!(decide(&share("y"), &observed).unwrap_err(), Unshared::NamespaceLeft);
    let mut forged = share("x");
    forged.metadata.name = Some("mine".into());
    assert_eq!(decide(&forged, &observed).unwrap_err(), Unshared::WrongName);
}

#[test]
fn a_changed_spec_is_put_right() {
    let mut edited = share("x");
    edited.spec.workspace = "mallorys".into();
    let plan = decide(&edited, &observed(connection("Authorized", "Published", 5))).unwrap();
    assert_eq!(plan.correction, Some(share("x")));
}
