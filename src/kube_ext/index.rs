//! Which Secrets exist, without their data.
//!
//! Fed by watches on metadata and by our own writes; never behind the latter (see [`Newest`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_api::names::{
    ANNOTATION_GRANT_ID, ANNOTATION_REVISION, LABEL_MANAGED_BY, MANAGED_BY, TYPE_APP, TYPE_CREDENTIAL,
};
use bowline_runtime::follow::{Newest, ObjectVersion, Source};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use crate::vault::record::GrantVersion;

type NamespacedName = (String, String);

#[derive(Clone, Debug, PartialEq)]
pub struct IndexedSecret {
    pub object: ObjectVersion,
    pub owner: Option<Box<OwnerReference>>,
    /// The grant whose token it holds, by its annotations.
    pub grant: Option<GrantVersion>,
}

/// Somebody else changed, created or deleted a Secret, as far as the index knows.
///
/// A write of ours whose watch event overtakes its response is reported as well: compare the Secret's version, and do not
/// rely on having been woken.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretChange {
    pub namespace: String,
    pub name: String,
    /// Its controller now; if it has none any more, the last one known. Wake this one.
    pub owner: Option<Box<OwnerReference>>,
}

pub struct SecretIndex {
    selector: watcher::Config,
    watches: Vec<Arc<WatchedSecrets>>,
}

/// The scope of one watch: the Secrets of one namespace, or of all.
#[derive(Default)]
pub struct WatchedSecrets {
    namespace: Option<String>,
    known: Mutex<Newest<NamespacedName, IndexedSecret>>,
    listed: watch::Sender<bool>,
}

impl SecretIndex {
    /// Index of the Secrets that the operator wrote (label managed-by), in these namespaces; empty means all.
    pub fn published(namespaces: &BTreeSet<String>) -> Self {
        let ours = format!("{LABEL_MANAGED_BY}={MANAGED_BY}");
        Self::new(watcher::Config::default().labels(&ours), namespaces)
    }

    /// Index of the Secrets of type `bowline.dev/credential`, in these namespaces; empty means all.
    pub fn credentials(namespaces: &BTreeSet<String>) -> Self {
        Self::new(watcher::Config::default().fields(&format!("type={TYPE_CREDENTIAL}")), namespaces)
    }

    /// Index of the Secrets of type `bowline.dev/app`, in these namespaces; empty means all.
    pub fn apps(namespaces: &BTreeSet<String>) -> Self {
        Self::new(watcher::Config::default().fields(&format!("type={TYPE_APP}")), namespaces)
    }

    fn new(selector: watcher::Config, namespaces: &BTreeSet<String>) -> Self {
        let everywhere = namespaces.is_empty().then_some(None);
        let scopes = everywhere.into_iter().chain(namespaces.iter().cloned().map(Some));
        let watches =
            scopes.map(|namespace| WatchedSecrets { namespace, ..WatchedSecrets::default() }.into());
        Self { selector: selector.any_semantic(), watches: watches.collect() }
    }

    pub fn selector(&self) -> &watcher::Config {
        &self.selector
    }

    pub fn watches(&self) -> &[Arc<WatchedSecrets>] {
        &self.watches
    }

    /// Returns when every watch has delivered its first list.
    pub async fn wait_listed(&self) {
        for watched in &self.watches {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = watched.listed.subscribe().wait_for(|listed| *listed).await;
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<IndexedSecret> {
        let known = self.watching(namespace)?.known();
        let (_, held) = known.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(held.content.clone())
    }

    /// Adds what we wrote ourselves, at once. A watch event of this version or an older one then wakes nothing.
    pub fn wrote(&self, meta: &ObjectMeta) {
        let watched = meta.namespace.as_deref().and_then(|namespace| self.watching(namespace));
        let (Some(watched), Some((key, secret))) = (watched, read(meta)) else { return };
        watched.known().take(key, secret.object.clone(), secret, Source::OwnWrite);
    }

    /// Removes what we deleted ourselves, if it is still that object.
    pub fn deleted(&self, namespace: &str, name: &str, uid: &str) {
        let Some(watched) = self.watching(namespace) else { return };
        let (mut known, key) = (watched.known(), (namespace.to_owned(), name.to_owned()));
        let held = known.get(&key).map(|(_, held)| held.object.clone());
        if let Some(held) = held.filter(|held| &*held.uid == uid) {
            known.deleted(&key, &held);
        }
    }

    fn watching(&self, namespace: &str) -> Option<&WatchedSecrets> {
        let has = |it: &&Arc<WatchedSecrets>| it.namespace.as_deref().is_none_or(|own| own == namespace);
        self.watches.iter().find(has).map(Arc::as_ref)
    }
}

impl WatchedSecrets {
    pub fn api(&self, client: Client) -> Api<PartialObjectMeta<Secret>> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    pub fn take(&self, event: Event<PartialObjectMeta<Secret>>) -> Vec<SecretChange> {
        let mut known = self.known();
        match event {
            Event::Init => known.listing_begins(),
            Event::InitApply(object) | Event::Apply(object) => {
                let Some((key, secret)) = read(&object.metadata) else { return Vec::new() };
                let last = known.get(&key).and_then(|(_, held)| held.content.owner.clone());
                let owner = secret.owner.clone();
                if known.take(key.clone(), secret.object.clone(), secret, Source::Watch) {
                    return vec![change(key, owner.or(last))];
                }
            }
            Event::Delete(object) => {
                let Some((key, dead)) = read(&object.metadata) else { return Vec::new() };
                let last = known.deleted(&key, &dead.object);
                return last.map(|last| change(key, last.owner)).into_iter().collect();
            }
            Event::InitDone => {
                // What we wrote while the list was read stays: nobody else writes under that name.
                let gone = known.listing_ends().gone;
                self.listed.send_replace(true);
                return gone.into_iter().map(|(key, last)| change(key, last.owner)).collect();
            }
        }
        Vec::new()
    }

    fn known(&self) -> MutexGuard<'_, Newest<NamespacedName, IndexedSecret>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn grant_of(annotations: &BTreeMap<String, String>) -> Option<GrantVersion> {
    let id = annotations.get(ANNOTATION_GRANT_ID)?.clone().try_into().ok()?;
    Some(GrantVersion { id, revision: annotations.get(ANNOTATION_REVISION)?.parse().ok()? })
}

fn read(meta: &ObjectMeta) -> Option<(NamespacedName, IndexedSecret)> {
    let secret = IndexedSecret {
        object: ObjectVersion::of(meta)?,
        owner: controller_of(meta).cloned().map(Box::new),
        grant: meta.annotations.as_ref().and_then(grant_of),
    };
    Some(((meta.namespace.clone()?, meta.name.clone()?), secret))
}

fn change((namespace, name): NamespacedName, owner: Option<Box<OwnerReference>>) -> SecretChange {
    SecretChange { namespace, name, owner }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;
    use kube::core::PartialObjectMetaExt;

    fn secret(namespace: &str, uid: &str, version: u64) -> PartialObjectMeta<Secret> {
        let owner = OwnerReference {
            kind: "IntegrationConnection".into(),
            name: "github".into(),
            uid: "c1".into(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some("github".into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        }
        .into_response_partial()
    }

    fn index(namespaces: &[&str]) -> SecretIndex {
        SecretIndex::published(&namespaces.iter().map(|namespace| (*namespace).to_owned()).collect())
    }

    fn version(index: &SecretIndex) -> Option<String> {
        index.get("a", "github").map(|entry| entry.object.resource_version.to_string())
    }

    #[test]
    fn a_late_event_never_undoes_our_own_write() {
        let index = index(&[]);
        let watched = &index.watches()[0];
        index.wrote(&secret("a", "u2", 9).metadata);
        for late in [
            Event::Apply(secret("a", "u1", 7)),
            Event::Delete(secret("a", "u1", 8)),
            Event::Apply(secret("a", "u2", 9)),
        ] {
            assert_eq!(watched.take(late), [], "our own write wakes nobody");
        }
        assert_eq!(version(&index).as_deref(), Some("9"));
    }

    #[test]
    fn an_edit_and_a_deletion_wake_the_owner() {
        let index = index(&[]);
        index.wrote(&secret("a", "u", 9).metadata);
        let mut orphaned = secret("a", "u", 10);
        orphaned.metadata.owner_references = None;
        for event in
            [Event::Apply(orphaned), Event::Apply(secret("a", "u", 11)), Event::Delete(secret("a", "u", 12))]
        {
            let [change] = &index.watches()[0].take(event)[..] else { panic!("one change") };
            assert!(change.owner.as_ref().is_some_and(|owner| &*owner.uid == "c1"));
        }
        assert_eq!(version(&index), None);
    }

    #[test]
    fn a_new_list_drops_what_is_gone_in_its_namespace_only_and_keeps_what_we_wrote_meanwhile() {
        let index = index(&["a", "b"]);
        let [a, b] = index.watches() else { panic!("two watches") };
        b.take(Event::InitApply(secret("b", "b", 1)));
        a.take(Event::InitApply(secret("a", "u", 2)));
        a.take(Event::Init);
        index.wrote(&secret("a", "u", 5).metadata);
        assert_eq!(a.take(Event::InitDone), []);
        assert_eq!(version(&index).as_deref(), Some("5"));
        a.take(Event::Init);
        assert_eq!(a.take(Event::InitDone).len(), 1);
        assert_eq!(version(&index), None);
        assert!(index.get("b", "github").is_some());
        assert!(index.get("c", "github").is_none(), "nobody watches there");
    }

    #[tokio::test]
    async fn it_is_ready_when_every_watch_had_its_first_list() {
        let index = index(&["a", "b"]);
        let [a, b] = index.watches() else { panic!("two watches") };
        a.take(Event::InitDone);
        a.take(Event::InitDone);
        assert!(futures::FutureExt::now_or_never(index.wait_listed()).is_none());
        b.take(Event::InitDone);
        index.wait_listed().await;
    }

    #[test]
    fn our_own_deletion_removes_only_that_object() {
        let index = index(&[]);
        index.wrote(&secret("a", "u2", 9).metadata);
        index.deleted("a", "github", "u1");
        assert!(version(&index).is_some());
        index.deleted("a", "github", "u2");
        assert!(version(&index).is_none());
    }
}
