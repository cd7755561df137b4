//! Has kubelet read a Secret now instead of within a minute or two: an annotation on the pods that mount it.
//!
//! Kubelet looks at the volumes of a pod when the pod changes, and otherwise once in a while. Whoever wants that lets the operator
//! list and patch the pods of a namespace; without that, what is published is published all the same. Publishing never waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_api::names::ANNOTATION_NUDGED_AT;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::clock::Clock;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodSpec, Volume, VolumeMount};
use kube::api::ListParams;
use kube::{Api, Client, Error, ResourceExt};
use tokio::sync::Semaphore;

use crate::kube_ext::apply::annotate;
use crate::kube_ext::events::Events;
use crate::kube_ext::memory::Memory;

/// Namespaces that are looked through at once.
const AT_ONCE: usize = 2;
/// Pods of one page of a list.
const PAGE: u32 = 100;
/// Pages that are looked through; pods beyond them are not told.
const PAGES: usize = 10;
/// Pods that are annotated for one change of a namespace's Secrets.
const PODS: usize = 100;
/// The longest time for one namespace.
const LASTS: Duration = Duration::from_secs(30);

/// The Secrets of a namespace that were published, by name, with the object that publishes each.
type PublishedNow = BTreeMap<String, ObjectReference>;

pub(crate) struct Nudges {
    client: Client,
    events: Arc<Events>,
    clock: Clock,
    places: Semaphore,
    /// What waits, by namespace: one list of pods serves all of it.
    waiting: Mutex<BTreeMap<String, PublishedNow>>,
    /// The objects, by UID, that were told that the operator may not do it.
    told: Memory<()>,
}

impl Nudges {
    pub(crate) fn new(client: Client, events: Arc<Events>, clock: Clock) -> Self {
        let places = Semaphore::new(AT_ONCE);
        Self { client, events, clock, places, waiting: Mutex::default(), told: Memory::default() }
    }

    /// Tells the pods that mount this Secret, soon. `publisher` is the object that publishes it.
    pub(crate) fn published(self: &Arc<Self>, publisher: ObjectReference, secret: &str) {
        let Some(namespace) = publisher.namespace.clone() else { return };
        let mut waiting = self.waiting();
        let is_first = !waiting.contains_key(&namespace);
        waiting.entry(namespace.clone()).or_default().insert(secret.to_owned(), publisher);
        if is_first {
            let nudges = Arc::clone(self);
            tokio::spawn(async move { nudges.run(&namespace).await });
        }
    }

    /// The object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.told.forget(uid);
    }

    async fn run(&self, namespace: &str) {
        // The semaphore is never closed.
        let Ok(_place) = self.places.acquire().await else { return };
        let secrets = self.waiting().remove(namespace).unwrap_or_default();
        match tokio::time::timeout(LASTS, self.nudge(namespace, &secrets)).await {
            Ok(Ok(())) => {
                secrets.values().filter_map(|it| it.uid.as_deref()).for_each(|uid| self.told.forget(uid));
            }
            Ok(Err(Error::Api(status))) if status.code == 403 => self.refused(namespace, &secrets).await,
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), namespace, "pods do not know of a new token yet");
            }
            Err(_) => tracing::warn!(namespace, "not all pods know of a new token: it took too long"),
        }
    }

    async fn nudge(&self, namespace: &str, secrets: &PublishedNow) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        // Also those that wait in an init container for the files to come.
        let live = "status.phase!=Succeeded,status.phase!=Failed";
        let mut query = ListParams::default().fields(live).limit(PAGE);
        let mut left = PODS;
        for _ in 0..PAGES {
            let page = pods.list(&query).await?;
            for pod in page.items.iter().filter(|pod| reads(pod, secrets)).take(left) {
                left -= 1;
                let now = self.clock.now().to_string();
                match annotate(&pods, &pod.name_any(), ANNOTATION_NUDGED_AT, &now).await {
                    Err(Error::Api(status)) if status.is_not_found() => {}
                    told => told?,
                }
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) if left > 0 => query.continue_token = Some(next),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Says so once, to each object that requests it.
    async fn refused(&self, namespace: &str, secrets: &PublishedNow) {
        for (secret, publisher) in secrets {
            let uid = publisher.uid.as_deref().unwrap_or_default();
            if self.told.get(uid).is_some() {
                continue;
            }
            self.told.set(uid, ());
            let known =
                MessageFacts { secret: Some(secret), here: Some(namespace), ..MessageFacts::default() };
            let note = Reason::NudgeForbidden.message(&known);
            self.events.publish(publisher, Reason::NudgeForbidden, "Nudge", &note).await;
        }
    }

    // A panic elsewhere cannot leave it half changed.
    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PublishedNow>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a pod that stays reads one of these Secrets from files that follow it.
fn reads(pod: &Pod, secrets: &PublishedNow) -> bool {
    let stays = pod.metadata.deletion_timestamp.is_none();
    let begins = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
    stays && pod.spec.as_ref().is_some_and(|spec| follows(spec, secrets, begins))
}

/// Variables and files that are mounted by `subPath` keep what they had when the container started.
fn follows(spec: &PodSpec, secrets: &PublishedNow, begins: bool) -> bool {
    let is_theirs = |volume: &&Volume| {
        let secret = volume.secret.iter().filter_map(|source| source.secret_name.as_deref());
        let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
        let projected =
            projected.filter_map(|source| source.secret.as_ref().map(|secret| secret.name.as_str()));
        secret.chain(projected).any(|name| secrets.contains_key(name))
    };
    let volumes: Vec<_> =
        spec.volumes.iter().flatten().filter(is_theirs).map(|volume| &volume.name).collect();
    let is_whole = |mount: &VolumeMount| {
        let is_part = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
        volumes.contains(&&mount.name) && !is_part(&mount.sub_path) && !is_part(&mount.sub_path_expr)
    };
    // An init container is over in a running pod, unless it is a sidecar.
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars =
        sidecars.filter(|container| begins || container.restart_policy.as_deref() == Some("Always"));
    let containers = spec.containers.iter().chain(sidecars).map(|container| &container.volume_mounts);
    let others = spec.ephemeral_containers.iter().flatten().map(|container| &container.volume_mounts);
    containers.chain(others).flatten().flatten().any(is_whole)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_pods_whose_files_follow_the_secret_are_told() {
        let secret = json!({"name": "v", "secret": {"secretName": "mail"}});
        let projected = json!({"name": "v", "projected": {"sources": [
            {"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "mail"}}]}});
        let other = json!({"name": "v", "secret": {"secretName": "chat"}});
        let mount = |more: Value| {
            let mut mount = json!({"name": "v", "mountPath": "/v"});
            mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!([{"name": "c", "volumeMounts": [mount]}])
        };
        let whole = mount(json!({}));
        let variable = json!([{"name": "c", "env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "access_token"}}}],
            "envFrom": [{"secretRef": {"name": "mail"}}]}]);
        let none = json!([{"name": "c"}]);
        for (what, spec, told) in [
            ("a volume", json!({"volumes": [secret], "containers": whole}), true),
            ("a projected one", json!({"volumes": [projected], "containers": whole}), true),
            ("another Secret", json!({"volumes": [other], "containers": whole}), false),
            ("variables", json!({"containers": variable}), false),
            (
                "subPath",
                json!({"volumes": [secret], "containers": mount(json!({"subPath": "access_token"}))}),
                false,
            ),
            (
                "subPathExpr",
                json!({"volumes": [secret], "containers": mount(json!({"subPathExpr": "$(X)"}))}),
                false,
            ),
            (
                "an empty subPath",
                json!({"volumes": [secret], "containers": mount(json!({"subPath": ""}))}),
                true,
            ),
            ("mounted nowhere", json!({"volumes": [secret], "containers": none}), false),
            (
                "an init container",
                json!({"volumes": [secret], "containers": none, "initContainers": whole}),
                false,
            ),
            (
                "a sidecar",
                json!({"volumes": [secret], "containers": none,
                "initContainers": [{"name": "s", "restartPolicy": "Always", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
                true,
            ),
        ] {
            let publisher = || PublishedNow::from([("mail".to_owned(), ObjectReference::default())]);
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(reads(&pod, &publisher()), told, "{what}");
            let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec});
            assert!(!reads(&serde_json::from_value(going).unwrap(), &publisher()), "{what}, going");
        }
        let waits = json!({"volumes": [secret], "containers": none, "initContainers": whole});
        let waits = serde_json::from_value(json!({"spec": waits, "status": {"phase": "Pending"}})).unwrap();
        let publisher = PublishedNow::from([("mail".to_owned(), ObjectReference::default())]);
        assert!(reads(&waits, &publisher), "an init container that waits for it");
    }
}
