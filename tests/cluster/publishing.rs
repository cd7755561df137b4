//! Publishing on a real API server: preconditions of server-side apply, immutable Secrets, quotas and the texts of refusals
//! come from the API server and cannot be tested without it.

use bowline_api::IntegrationConnection;
use bowline_api::reason::Reason;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bowline::testing::{
    Desired, GrantVersion, Material, PublishError, Published, PublishedCredential, SecretChange, SecretIndex,
    Withdrawn, controller, publish, withdraw,
};
use bowline_api::connection::{SecretType, TemplateMetadata};
use bowline_runtime::follow::{ObjectVersion, follow};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::fixture::{administrator, cluster, operator};

/// One namespace, one Secret name, one publisher.
struct Place {
    /// The operator's own client: nobody else may set the labels of published Secrets.
    client: Client,
    admin: Client,
    index: SecretIndex,
    namespace: String,
    secrets: Api<Secret>,
    /// It must exist: the garbage collector deletes what has no owner.
    owner: IntegrationConnection,
}

fn version(revision: i64) -> GrantVersion {
    let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
    GrantVersion { id, revision, ordinal: 1 }
}

impl Place {
    async fn new() -> Self {
        let (client, admin) = (operator().await, administrator().await);
        let namespace: Namespace =
            serde_json::from_value(json!({ "metadata": { "generateName": "publishing-" } })).unwrap();
        let made = Api::all(admin.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let owner = IntegrationConnection::new(
            "owner",
            serde_json::from_value(json!({ "provider": "p", "owner": "alice" })).unwrap(),
        );
        let connections = Api::namespaced(admin.clone(), &made.name_any());
        let owner = connections.create(&PostParams::default(), &owner).await.unwrap();
        Self {
            index: SecretIndex::published(&[made.name_any()].into()),
            secrets: Api::namespaced(admin.clone(), &made.name_any()),
            namespace: made.name_any(),
            client,
            admin,
            owner,
        }
    }

    fn desired(&self, revision: i64) -> Desired {
        let token = SecretString::from(format!("token-{revision}"));
        let extras = BTreeMap::new();
        let material = Material {
            credential: PublishedCredential::OAuth { access_token: &token, token_type: "Bearer" },
            expires_at: None,
            scopes: &[],
            account_id: None,
            account_name: None,
            extras: &extras,
            config: None,
        };
        Desired {
            namespace: self.namespace.clone(),
            name: "github".to_owned(),
            owner: controller(&self.owner).unwrap(),
            connection_id: format!("{}.github", self.namespace),
            connection_uid: self.uid(),
            grant: version(revision),
            expires_at: None,
            metadata: TemplateMetadata::default(),
            content: Published::raw(&material).unwrap(),
            described: None,
        }
    }

    async fn publish(
        &self,
        revision: i64,
        known: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion, PublishError> {
        publish(&self.client, &self.index, &self.desired(revision), known, &|| Some(version(revision))).await
    }

    fn uid(&self) -> String {
        self.owner.uid().unwrap()
    }

    async fn edit(&self, patch: Value) {
        self.secrets.patch("github", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn create(&self, secret: Value) -> Secret {
        let secret: Secret = serde_json::from_value(secret).unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &secret).await.unwrap()
    }

    async fn stored(&self) -> Secret {
        self.secrets.get("github").await.unwrap()
    }

    /// The stored Secret has exactly this revision, is ours, and is the one in the index.
    async fn assert_holds(&self, revision: i64) {
        let stored = self.stored().await;
        let data: BTreeMap<_, _> = stored
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), String::from_utf8(value.0.clone()).unwrap()))
            .collect();
        let expected = [("access_token", format!("token-{revision}")), ("token_type", "Bearer".to_owned())];
        assert_eq!(data, BTreeMap::from(expected));
        assert_eq!(stored.annotations()["bowline.dev/revision"], revision.to_string());
        assert_eq!(stored.owner_references().first().map(|owner| owner.uid.clone()), Some(self.uid()));
        assert_eq!(stored.immutable, Some(false));
        let indexed = self.index.get(&self.namespace, "github").unwrap();
        assert_eq!(Some(&*indexed.object.resource_version), stored.resource_version().as_deref());
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_second_publish_is_one_conditional_apply() {
    let place = Place::new().await;
    let first = place.publish(1, None).await.unwrap();
    place.assert_holds(1).await;
    // Another cluster gives us no audit log; there the outcome must do.
    let audit = match cluster().await {
        foreign if foreign.is_foreign() => None,
        ours => Some(ours.audit().unwrap()),
    };
    let mark = audit.as_ref().map(|audit| audit.mark().unwrap());
    let second = place.publish(2, Some(&first)).await.unwrap();
    assert_eq!(first.uid, second.uid);
    place.assert_holds(2).await;
    if let Some((audit, mark)) = audit.zip(mark) {
        // `assert_holds` read after the publish: once the log shows that read, it also shows the whole publish.
        let seen = || audit.requests_since(mark).unwrap().on("secrets").in_namespace(&place.namespace);
        until(|| seen().with_verb("get").count() == 1).await;
        assert_eq!((seen().count(), seen().with_verb("patch").count()), (2, 1));
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_edited_secret_is_put_back_and_foreign_labels_stay() {
    let place = Place::new().await;
    let written = place.publish(1, None).await.unwrap();
    place
        .edit(json!({
            "metadata": { "labels": { "backup": "yes" } },
            "data": { "access_token": "aGFja2Vk", "token_type": null, "added": "eA==" },
        }))
        .await;
    place.publish(1, Some(&written)).await.unwrap();
    place.assert_holds(1).await;
    let labels = place.stored().await.labels().clone();
    assert_eq!(
        (labels["backup"].as_str(), labels["app.kubernetes.io/managed-by"].as_str()),
        ("yes", "bowline")
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_our_first_write_set_and_a_later_one_leaves_out_is_removed() {
    let place = Place::new().await;
    let mut desired = place.desired(1);
    desired.metadata.labels.insert("team".to_owned(), "a".to_owned());
    desired.metadata.annotations.insert("reloader.stakater.com/match".to_owned(), "true".to_owned());
    desired.expires_at = Some("2026-03-01T12:00:00Z".parse().unwrap());
    desired.content.data.insert("old".to_owned(), b"x".to_vec().into());
    let written = publish(&place.client, &place.index, &desired, None, &|| Some(version(1))).await.unwrap();
    place.publish(2, Some(&written)).await.unwrap();
    place.assert_holds(2).await;
    let stored = place.stored().await;
    assert!(!stored.labels().contains_key("team"));
    for gone in ["bowline.dev/expires-at", "reloader.stakater.com/match"] {
        assert!(!stored.annotations().contains_key(gone), "{gone}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn what_fits_a_type_for_us_fits_it_for_the_api_server() {
    let place = Place::new().await;
    let mut known: Option<ObjectVersion> = None;
    for (type_, key, value) in [
        (SecretType::BasicAuth, "username", ""),
        (SecretType::DockerConfigJson, ".dockerconfigjson", r#"{"auths": {"registry.example.com": {}}}"#),
        (SecretType::SshAuth, "ssh-privatekey", "k"),
        (SecretType::Opaque, "a", ""),
    ] {
        let mut desired = place.desired(1);
        let data = [(key.to_owned(), value.to_owned().into())].into();
        desired.content = Published::rendered(Some(&type_.into()), data).unwrap();
        let written =
            publish(&place.client, &place.index, &desired, known.as_ref(), &|| Some(version(1))).await;
        known = Some(written.unwrap_or_else(|error| panic!("{type_:?}: {error:?}")));
        assert_eq!(place.stored().await.type_.as_deref(), Some(type_.as_str()));
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_secret_is_created_again() {
    let place = Place::new().await;
    let written = place.publish(1, None).await.unwrap();
    place.secrets.delete("github", &DeleteParams::default()).await.unwrap();
    let again = place.publish(1, Some(&written)).await.unwrap();
    assert_ne!(again.uid, written.uid);
    place.assert_holds(1).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_immutable_secret_and_one_of_another_type_are_replaced() {
    let place = Place::new().await;
    let written = place.publish(1, None).await.unwrap();
    place.edit(json!({ "immutable": true })).await;
    let again = place.publish(2, Some(&written)).await.unwrap();
    assert_ne!(again.uid, written.uid);
    place.assert_holds(2).await;

    let owner = serde_json::to_value(place.desired(1).owner).unwrap();
    place.secrets.delete("github", &DeleteParams::default()).await.unwrap();
    place
        .create(json!({ "metadata": { "name": "github", "ownerReferences": [owner] }, "type": "example.com/other" }))
        .await;
    place.publish(3, None).await.unwrap();
    place.assert_holds(3).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_secret_of_somebody_else_is_never_touched() {
    let place = Place::new().await;
    let theirs = json!({
        "metadata": { "name": "github", "labels": { "app.kubernetes.io/managed-by": "bowline" } },
        "data": { "access_token": "dGhlaXJz" },
    });
    let before = place.create(theirs).await;
    assert!(matches!(place.publish(1, None).await, Err(PublishError::NameTaken)));
    let known = ObjectVersion { uid: place.uid().into(), resource_version: "1".into() };
    assert!(matches!(place.publish(1, Some(&known)).await, Err(PublishError::NameTaken)));
    let left =
        withdraw(&place.client, &place.index, &place.namespace, "github", &place.uid(), None).await.unwrap();
    assert_eq!(left, Withdrawn::NotOurs);
    let bytes = |secret: &Secret| serde_json::to_vec(secret).unwrap();
    assert_eq!(bytes(&place.stored().await), bytes(&before));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_stripped_owner_reference_comes_back() {
    let place = Place::new().await;
    let written = place.publish(1, None).await.unwrap();
    // The policies let nobody but the operator do it; where they are not in force, an editor may.
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let stripped = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    secrets.patch("github", &PatchParams::default(), &stripped).await.unwrap();
    assert!(matches!(place.publish(1, None).await, Err(PublishError::NameTaken)), "not known as ours");
    place.publish(1, Some(&written)).await.unwrap();
    place.assert_holds(1).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_stale_resource_version_is_read_again_once() {
    let place = Place::new().await;
    let first = place.publish(1, None).await.unwrap();
    let second = place.publish(2, Some(&first)).await.unwrap();
    assert_ne!(first.resource_version, second.resource_version);
    place.publish(3, Some(&first)).await.unwrap();
    place.assert_holds(3).await;
}

/// Another process refreshed meanwhile, and the records of this one do not show it yet.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_27_a_process_that_is_behind_never_publishes_an_older_revision() {
    let place = Place::new().await;
    let first = place.publish(1, None).await.unwrap();
    place.publish(3, Some(&first)).await.unwrap();
    for known in [Some(&first), None] {
        let behind = place.publish(2, known).await;
        assert!(matches!(behind, Err(PublishError::Superseded)), "{behind:?}");
        place.assert_holds(3).await;
    }
}

/// Without our label anybody may have written it: an editor cannot stop the connection by a number.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_27_what_others_note_on_a_secret_stops_nobody() {
    let place = Place::new().await;
    let owner = controller(&place.owner).unwrap();
    let noted = json!({"bowline.dev/grant-id": version(1).id.to_string(), "bowline.dev/revision": "999"});
    let forged = json!({"metadata": {"name": "github", "annotations": noted, "ownerReferences": [owner]}});
    place.create(forged).await;
    place.publish(2, None).await.unwrap();
    place.assert_holds(2).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_quota_that_is_full_has_its_own_reason() {
    let place = Place::new().await;
    let quotas = Api::<ResourceQuota>::namespaced(place.admin.clone(), &place.namespace);
    let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "secrets": "0" } } });
    let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // Admission reads the quota's status, which the quota controller writes. The test writes it itself, so that it has the
    // same result with and without a controller manager.
    let status = json!({ "status": { "hard": { "secrets": "0" }, "used": { "secrets": "0" } } });
    quotas.patch_status("none", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match place.publish(1, None).await {
                Err(error @ PublishError::QuotaExceeded(_)) => break error,
                // The admission plugin has not seen the quota yet.
                _ => place.secrets.delete("github", &DeleteParams::default()).await.map_or((), drop),
            }
        }
    });
    assert_eq!(refused.await.unwrap().reason(), Reason::QuotaExceeded);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_namespace_that_is_not_there_is_named_as_such() {
    let mut place = Place::new().await;
    place.namespace = format!("{}-gone", place.namespace);
    assert!(matches!(place.publish(1, None).await, Err(PublishError::NamespaceNotFound(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an API server: make test"]
async fn two_racing_publishers_never_put_an_older_revision_over_a_newer_one() {
    let place = Place::new().await;
    let mut known: Option<ObjectVersion> = None;
    for revision in (1..60).step_by(2) {
        let newest = AtomicI64::new(revision);
        let (older, newer) = (place.desired(revision), place.desired(revision + 1));
        let read = || Some(version(newest.load(Ordering::SeqCst)));
        let late = async {
            newest.store(revision + 1, Ordering::SeqCst);
            publish(&place.client, &place.index, &newer, known.as_ref(), &read).await
        };
        let (early, late) =
            tokio::join!(publish(&place.client, &place.index, &older, known.as_ref(), &read), late);
        assert!(matches!(early, Ok(_) | Err(PublishError::Superseded)), "{early:?}");
        known = Some(late.unwrap());
        place.assert_holds(revision + 1).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn withdrawing_deletes_ours_and_is_done_when_it_is_gone() {
    let place = Place::new().await;
    place.publish(1, None).await.unwrap();
    for _ in 0..2 {
        let done = withdraw(&place.client, &place.index, &place.namespace, "github", &place.uid(), None)
            .await
            .unwrap();
        assert_eq!(done, Withdrawn::Gone);
        assert!(place.secrets.get_opt("github").await.unwrap().is_none());
        assert!(place.index.get(&place.namespace, "github").is_none());
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_watch_reports_edits_and_deletions_by_others() {
    let place = Place::new().await;
    place.publish(1, None).await.unwrap();
    let [watched] = place.index.watches() else { panic!("one watch") };
    let (stop, selector) = (CancellationToken::new(), place.index.selector().clone());
    let mut events = follow(watched.api(place.client.clone()), selector, &stop);
    let changes = Mutex::new(Vec::new());
    let watch = async {
        while let Some(event) = events.next().await {
            changes.lock().unwrap().extend(watched.take(event));
        }
    };
    let reported = || changes.lock().unwrap().len();
    let test = async {
        place.index.wait_listed().await;
        assert_eq!(reported(), 0, "the first list shows what we wrote ourselves");
        place.edit(json!({ "data": { "access_token": "eA==" } })).await;
        until(|| reported() == 1).await;
        place.secrets.delete("github", &DeleteParams::default()).await.unwrap();
        until(|| reported() == 2).await;
        stop.cancel();
    };
    tokio::join!(watch, test);
    assert!(place.index.get(&place.namespace, "github").is_none());
    let changes = changes.into_inner().unwrap();
    let owner = |change: &SecretChange| change.owner.as_ref().map(|owner| owner.uid.clone());
    assert!(changes.iter().all(|change| owner(change) == Some(place.uid())), "{changes:?}");
}

async fn until(met: impl Fn() -> bool) {
    let wait = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !met() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}
