//! All watches and controllers: a watch for each cache, a controller for each of our kinds.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::follow::{Cache, Change, Parsed, follow};
use bowline_runtime::telemetry::chain;
use futures::{StreamExt, stream};
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::Lifetime;
use crate::context::{Context, Controlled, ReconcileError};
use crate::kinds::{Handle, Kinds};
use crate::kube_ext::index::{SecretChange, SecretIndex};
use crate::metrics::PassOutcome;

/// Concurrent reconciles of one kind. None waits for a provider, so this limits requests to the API server.
const CONCURRENCY: u16 = 32;
/// How soon a failed reconcile is repeated, so that the API server is not flooded.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Registry {
    client: Client,
    watches: Vec<Start>,
    controllers: Vec<Start>,
}

pub(super) type Start = Box<dyn FnOnce(&Arc<Context>, &Lifetime) + Send>;

macro_rules! register {
    ($($field:ident: $kind:ty,)+) => {
        impl Registry {
            pub(super) fn kinds(&mut self) -> Kinds {
                Kinds { $($field: self.kind()),+ }
            }
        }
    };
}

bowline_api::kinds!(register);

impl Registry {
    pub(super) fn new(client: Client) -> Self {
        Self { client, watches: Vec::new(), controllers: Vec::new() }
    }

    fn kind<K: Controlled>(&mut self) -> Handle<K> {
        let (waker, woken) = unbounded_channel();
        let cache = self.cache(Api::all(self.client.clone()), Config::default(), K::changed);
        let store = cache.store();
        self.controllers.push(Box::new(move |ctx, life| {
            ctx.metrics.expect_passes(K::LABEL);
            life.tasks.spawn(control::<K>(store, woken, ctx, &life.stop));
        }));
        Handle { cache, waker }
    }

    pub(super) fn cache<K>(
        &mut self,
        api: Api<Parsed<K>>,
        config: Config,
        changed: fn(&Context, &Change<K>),
    ) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let cache = Cache::default();
        let filled = cache.clone();
        let changed = move |ctx: &Arc<Context>, change: &Change<K>| {
            if let Change::SetAside(unreadable) = change {
                let object = Parsed::<K>(Err((**unreadable).clone())).object_ref(&());
                ctx.report_unreadable(object, unreadable.note());
            }
            changed(ctx, change);
        };
        self.watch(api, config, move |event| filled.take(event), changed);
        cache
    }

    /// An index of Secrets by their metadata.
    pub(super) fn index(&mut self, index: SecretIndex, changed: fn(&Context, &SecretChange)) -> SecretIndex {
        for watched in index.watches() {
            let (api, filled) = (watched.api(self.client.clone()), Arc::clone(watched));
            let take = move |event| filled.take(event);
            self.watch(api, index.selector().clone(), take, move |ctx, change| changed(ctx, change));
        }
        index
    }

    fn watch<T, C>(
        &mut self,
        api: Api<T>,
        config: Config,
        take: impl Fn(Event<T>) -> Vec<C> + Send + 'static,
        changed: impl Fn(&Arc<Context>, &C) + Send + 'static,
    ) where
        T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        C: Send,
    {
        self.watches.push(Box::new(move |ctx, life| {
            let (mut events, ctx) = (follow(api, config, &life.stop), Arc::clone(ctx));
            life.tasks.spawn(async move {
                while let Some(event) = events.next().await {
                    for change in take(event) {
                        changed(&ctx, &change);
                    }
                }
            });
        }));
    }

    /// Starts all watches, and returns what starts the controllers once the caches are filled.
    pub(super) fn start(self, ctx: &Arc<Context>, life: &Lifetime) -> Vec<Start> {
        self.watches.into_iter().for_each(|start| start(ctx, life));
        self.controllers
    }
}

/// Runs the controller of one kind. Only our own code wakes it (see [`Controlled::changed`]): kube's relations between kinds
/// would open a second watch and cache for each.
fn control<K: Controlled>(
    store: Store<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
    ctx: &Arc<Context>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let wakes = stream::unfold(woken, async |mut woken| woken.recv().await.map(|object| (object, woken)));
    let nothing = stream::pending::<Result<K, watcher::Error>>();
    Controller::for_stream(nothing, store)
        .reconcile_on(wakes)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(counted::<K>, |_, _, _| Action::requeue(AGAIN_AFTER), Arc::clone(ctx))
        .for_each(async |result| match result {
            // Deleted or set aside since the wake: nothing is left to do.
            Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
            Err(controller::Error::ReconcilerFailed(error, object)) => {
                tracing::warn!(%object, error = %chain(&error), "a reconcile failed");
            }
            Err(error) => tracing::warn!(kind = %K::kind(&()), error = %chain(&error), "a controller failed"),
        })
}

async fn counted<K: Controlled>(object: Arc<K>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let pass = ctx.metrics.pass(K::LABEL);
    let result = K::reconcile(object, ctx).await;
    pass.finish(result.as_ref().map_or(PassOutcome::Retrying, |(outcome, _)| *outcome));
    result.map(|(_, action)| action)
}
