//! Fills the caches: one watch per kind, and tells [`super::relations`] of every change.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bowline_api::names::{TYPE_ATTEMPT, TYPE_RECORD};
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider, Workspace};
use bowline_runtime::telemetry::chain;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::relations::{self, Change};
use crate::context::Context;
use crate::kube_ext::index::Feed;
use crate::vault::keyring::secret::KEYRING_SECRET;

/// Prefix of the annotations that are read. Of the others, kubectl's alone holds a copy of the whole object.
const OURS: &str = "bowline.dev/";

/// The writing ends of the caches.
pub struct Writers {
    pub connections: Writer<IntegrationConnection>,
    pub providers: Writer<IntegrationProvider>,
    pub workspaces: Writer<Workspace>,
    pub shares: Writer<ConnectionShare>,
    pub namespaces: Writer<PartialObjectMeta<Namespace>>,
    pub app_secrets: Writer<Secret>,
    pub attempts: Writer<Secret>,
}

/// The watches, not yet started.
pub struct Watches {
    writers: Writers,
    feeds: Vec<Feed>,
}

impl Watches {
    /// Prepares the watches. The indexes of Secrets count theirs from here on, so that they are not ready too soon.
    pub fn new(ctx: &Context, writers: Writers) -> Self {
        let namespaces = &ctx.settings.secret_namespaces;
        let indexes = [&ctx.world.published, &ctx.world.credentials];
        let feeds = indexes.into_iter().flat_map(|index| -> Vec<Feed> {
            if namespaces.is_empty() {
                return vec![index.feed(None)];
            }
            namespaces.iter().map(|namespace| index.feed(Some(namespace))).collect()
        });
        Self { writers, feeds: feeds.collect() }
    }

    /// Starts all watches.
    pub fn start(self, ctx: &Arc<Context>, stop: &CancellationToken, tasks: &TaskTracker) {
        let Self { writers, feeds } = self;
        let Writers { connections, providers, workspaces, shares, namespaces, app_secrets, attempts } =
            writers;
        let client = || ctx.client.clone();
        let run = |watch: futures::future::BoxFuture<'static, ()>| {
            let stop = stop.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled(watch).await;
            });
        };
        let all = watcher::Config::default;
        run(Box::pin(follow(Api::all(client()), all(), connections, ctx.clone(), relations::connection)));
        run(Box::pin(follow(Api::all(client()), all(), providers, ctx.clone(), relations::provider)));
        run(Box::pin(follow(Api::all(client()), all(), workspaces, ctx.clone(), relations::workspace)));
        run(Box::pin(follow(Api::all(client()), all(), shares, ctx.clone(), relations::share)));
        run(Box::pin(follow(Api::all(client()), all(), namespaces, ctx.clone(), relations::namespace)));
        // Records have a cache of their own, sealed; the keyring is read by nobody else.
        let apps = all().fields(&format!("type!={TYPE_RECORD},metadata.name!={KEYRING_SECRET}"));
        let own = Api::namespaced(client(), &ctx.settings.namespace);
        run(Box::pin(follow(own, apps, app_secrets, ctx.clone(), relations::app_secret)));
        let tries = all().fields(&format!("type={TYPE_ATTEMPT}"));
        let there = Api::namespaced(client(), &ctx.settings.attempts_namespace);
        run(Box::pin(follow(there, tries, attempts, ctx.clone(), relations::attempt)));
        for feed in feeds {
            run(Box::pin(feed.run(client())));
        }
    }
}

/// Follows one kind until dropped; failures of the watch are logged and tried again with growing pauses.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    ctx: Arc<Context>,
    tell: fn(&Context, &Change<'_, K>),
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let store = writer.as_reader();
    let mut events = watcher::watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => stripped(event),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = %chain(&error), "a watch failed and starts again");
                continue;
            }
        };
        let (Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = &event else {
            let before = if matches!(event, Event::InitDone) { store.state() } else { Vec::new() };
            writer.apply_watcher_event(&event);
            for gone in vanished(before, &store) {
                tell(&ctx, &Change { object: &*gone, before: Some(&*gone), deleted: true });
            }
            continue;
        };
        let before = store.get(&ObjectRef::from_obj(object));
        let deleted = matches!(event, Event::Delete(_));
        let change = Change { object: &object.clone(), before: before.as_deref(), deleted };
        writer.apply_watcher_event(&event);
        tell(&ctx, &change);
    }
}

/// What was there before a listing and is not any more: nobody said that it was deleted, because the watch had a gap.
fn vanished<K>(before: Vec<Arc<K>>, now: &Store<K>) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    before.into_iter().filter(|object| now.get(&ObjectRef::from_obj(&**object)).is_none()).collect()
}

/// Takes off what is large and never read: an object may carry 256 KiB of other people's annotations.
fn stripped<K: Resource>(event: Event<K>) -> Event<K> {
    let strip = |mut object: K| {
        object.meta_mut().managed_fields = None;
        object.annotations_mut().retain(|key, _| key.starts_with(OURS));
        object
    };
    match event {
        Event::Apply(object) => Event::Apply(strip(object)),
        Event::InitApply(object) => Event::InitApply(strip(object)),
        Event::Delete(object) => Event::Delete(strip(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// Returns when every cache was filled once, but for tries to connect: connections live without them.
pub async fn all_ready(ctx: &Context) {
    let world = &ctx.world;
    ctx.store.wait_ready().await;
    world.published.wait_ready().await;
    world.credentials.wait_ready().await;
    // An error means that the writer is gone, which it is only when the process ends.
    let _ = tokio::join!(
        world.connections.wait_until_ready(),
        world.providers.wait_until_ready(),
        world.workspaces.wait_until_ready(),
        world.shares.wait_until_ready(),
        world.namespaces.wait_until_ready(),
        world.app_secrets.wait_until_ready(),
    );
}

/// The UID of `kube-system`, which names the cluster in every seal. `None` if the end came before it was known.
pub async fn cluster_id(client: &Client, stop: &CancellationToken) -> Option<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match namespaces.get_metadata("kube-system").await {
            Ok(namespace) => return namespace.uid(),
            Err(error) => tracing::warn!(error = %chain(&error), "the API server does not answer yet"),
        }
        stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(2))).await?;
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_a_gap_of_the_watch_is_found_when_all_is_listed_again() {
        let workspace =
            |name: &str| Workspace::new(name, serde_json::from_value(serde_json::json!({})).unwrap());
        let (store, mut writer) = kube::runtime::reflector::store();
        let mut list = |names: &[&str]| {
            let before = store.state();
            writer.apply_watcher_event(&Event::Init);
            for name in names {
                writer.apply_watcher_event(&Event::InitApply(workspace(name)));
            }
            writer.apply_watcher_event(&Event::InitDone);
            vanished(before, &store).iter().map(|gone| gone.name_any()).collect::<Vec<_>>()
        };
        assert!(list(&["a", "b"]).is_empty(), "nothing was known before");
        assert_eq!(list(&["b", "c"]), ["a"]);
    }

    #[test]
    fn of_annotations_only_ours_are_cached() {
        let mut namespace = Namespace::default();
        let annotations = [("bowline.dev/intake", "a/b"), ("example.com/large", "x")];
        *namespace.annotations_mut() = annotations.map(|(key, value)| (key.into(), value.into())).into();
        let Event::Apply(kept) = stripped(Event::Apply(namespace)) else { panic!("another event") };
        assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["bowline.dev/intake"]);
    }
}
