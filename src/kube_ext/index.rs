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
    reading: watch::Sender<Reading>,
}

/// Whether what is known of a watch's Secrets is all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Begins,
    Complete,
    /// The API server refuses the listing, or has not answered it yet: what exists there is not known.
    Fails,
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
        // Listed from a quorum: a listing that is older than what we know would count as a deletion of what it lacks.
        Self { selector, watches: watches.collect() }
    }

    pub fn selector(&self) -> &watcher::Config {
        &self.selector
    }

    pub fn watches(&self) -> &[Arc<WatchedSecrets>] {
        &self.watches
    }

    /// Returns when every watch has delivered its first list, or cannot: one namespace must not hold up the others.
    pub async fn wait_listed(&self) {
        for watched in &self.watches {
            // The sender lives in `self`, so waiting cannot fail.
            let _ = watched.reading.subscribe().wait_for(|reading| *reading != Reading::Begins).await;
        }
    }

    /// The namespaces whose Secrets cannot be listed now.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.watches.iter().filter(|watched| watched.fails()).filter_map(|watched| watched.namespace())
    }

    /// Whether it is not known which Secrets a namespace has.
    pub fn is_unreadable(&self, namespace: &str) -> bool {
        self.watching(namespace).is_some_and(WatchedSecrets::fails)
    }

    /// Whether there is such a Secret, or that is not known.
    pub fn may_have(&self, namespace: &str, name: &str) -> bool {
        self.is_unreadable(namespace) || self.get(namespace, name).is_some()
    }

    /// `None` also if it is not known.
    pub fn get(&self, namespace: &str, name: &str) -> Option<IndexedSecret> {
        let known = self.watching(namespace).filter(|watched| !watched.fails())?.known();
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
    /// Its namespace, unless it has all.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A listing or watch failed. Returns whether to begin again with a listing: a watch that is resumed later says nothing
    /// of its success.
    pub fn failed(&self, error: &watcher::Error) -> bool {
        use watcher::Error::{InitialListFailed, WatchStartFailed};
        let answer = |error: &kube::Error| match error {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        };
        let refused = match error {
            InitialListFailed(error) | WatchStartFailed(error) => {
                matches!(answer(error), Some(401 | 403 | 404))
            }
            watcher::Error::WatchError(status) => matches!(status.code, 401 | 403 | 404),
            watcher::Error::WatchFailed(_) | watcher::Error::NoResourceVersion => false,
        };
        // Without any namespace there is nothing to serve: then the start waits.
        let is_one_of_many = self.namespace.is_some();
        self.reading.send_if_modified(|reading| {
            let fails = is_one_of_many && (refused || *reading == Reading::Begins);
            fails && std::mem::replace(reading, Reading::Fails) != Reading::Fails
        });
        refused && is_one_of_many
    }

    pub fn fails(&self) -> bool {
        *self.reading.borrow() == Reading::Fails
    }

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
                    // Replaced in a gap of the watch: the former owner has lost its Secret.
                    let former =
                        last.clone().filter(|last| owner.as_ref().is_some_and(|now| now.uid != last.uid));
                    let former = former.map(|former| change(key.clone(), Some(former)));
                    return former.into_iter().chain([change(key, owner.or(last))]).collect();
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
                self.reading.send_replace(Reading::Complete);
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

/// The grant that a published Secret holds, as the operator noted on it.
pub(crate) fn grant_of(annotations: &BTreeMap<String, String>) -> Option<GrantVersion> {
    let id = annotations.get(ANNOTATION_GRANT_ID)?.clone().try_into().ok()?;
    let revision = annotations.get(ANNOTATION_REVISION)?.parse().ok()?;
    // Only the operator's own objects say which grant came after which: a Secret is in the hands of its namespace.
    Some(GrantVersion { id, revision, ordinal: 0 })
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

    fn refused(code: u16) -> watcher::Error {
        let status = kube::core::Status::failure("no", "R").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[tokio::test]
    async fn class_22_a_namespace_that_cannot_be_listed_holds_up_no_other_and_is_unknown() {
        let index = index(&["a", "b"]);
        let [a, b] = index.watches() else { panic!("two watches") };
        b.take(Event::InitApply(secret("b", "b", 1)));
        b.take(Event::InitDone);
        assert!(a.failed(&refused(403)), "it begins again with a listing");
        assert!(futures::FutureExt::now_or_never(index.wait_listed()).is_some(), "the start waits for it");
        assert_eq!(index.unreadable().collect::<Vec<_>>(), ["a"]);
        assert!(
            index.may_have("a", "github") && index.get("a", "github").is_none(),
            "nothing is known there"
        );
        assert!(!index.may_have("b", "other") && index.get("b", "github").is_some());

        a.take(Event::InitApply(secret("a", "a", 2)));
        a.take(Event::InitDone);
        assert!(!index.is_unreadable("a") && index.get("a", "github").is_some());
        assert!(!a.failed(&refused(500)), "a passing failure is repeated by the watch");
        assert!(!index.is_unreadable("a"));
        a.failed(&refused(404));
        assert!(
            index.is_unreadable("a") && index.get("a", "github").is_none(),
            "what was known may be outdated"
        );
    }

    #[tokio::test]
    async fn where_all_namespaces_are_one_watch_the_start_waits_for_it() {
        let index = index(&[]);
        assert!(!index.watches()[0].failed(&refused(403)));
        assert!(futures::FutureExt::now_or_never(index.wait_listed()).is_none());
        assert!(!index.is_unreadable("a"));
    }

    #[test]
    fn class_17_the_owner_of_a_secret_that_was_replaced_in_a_gap_is_woken_too() {
        let index = index(&[]);
        index.wrote(&secret("a", "u1", 1).metadata);
        let mut another = secret("a", "u2", 5);
        another.metadata.owner_references.iter_mut().flatten().for_each(|owner| owner.uid = "c2".into());
        let woken = index.watches()[0].take(Event::InitApply(another));
        let uids = woken.iter().filter_map(|change| change.owner.as_ref()).map(|owner| &*owner.uid);
        assert_eq!(uids.collect::<Vec<_>>(), ["c1", "c2"]);
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
