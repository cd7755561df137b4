//! Everything that is followed: a watch for each cache, and for each kind of ours a controller.

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
use tokio_util::task::TaskTracker;

use crate::context::{Context, Kind};
use crate::kinds::{Handle, Kinds};
use crate::kube_ext::index::{SecretChange, SecretIndex};
use crate::metrics::PassOutcome;

/// Reconciles of one kind that run at once. None waits for a provider, so this bounds requests to the API server.
const CONCURRENCY: u16 = 32;
/// How soon a failed reconcile is tried again: the API server needs a pause, not a storm.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What is followed and not started yet.
pub(super) struct Registry {
    client: Client,
    watches: Vec<Start>,
    controllers: Vec<Start>,
}

type Start = Box<dyn FnOnce(&Arc<Context>, &CancellationToken, &TaskTracker) + Send>;

macro_rules! register {
    ($($field:ident: $kind:ty,)+) => {
        impl Registry {
            /// All kinds of ours.
            pub(super) fn kinds(&mut self) -> Kinds {
                Kinds { $($field: self.kind()),+ }
            }
        }
    };
}

bowline_api::kinds!(register);

impl Registry {
    /// Nothing is followed yet.
    pub(super) fn new(client: Client) -> Self {
        Self { client, watches: Vec::new(), controllers: Vec::new() }
    }

    fn kind<K: Kind>(&mut self) -> Handle<K> {
        let (waker, woken) = unbounded_channel();
        let cache = self.cache(Api::all(self.client.clone()), Config::default(), K::changed);
        let store = Store::clone(&cache);
        self.controllers.push(Box::new(move |ctx, stop, tasks| {
            ctx.metrics.expect_passes(K::LABEL);
            tasks.spawn(control::<K>(store, woken, ctx, stop));
        }));
        Handle { cache, waker }
    }

    /// Some objects, whole, that no controller of ours reconciles.
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
        self.watch(
            api,
            config,
            move |event| filled.take(event),
            move |ctx, change| {
                if let Change::SetAside(unreadable) = change {
                    let object = Parsed::<K>(Err((**unreadable).clone())).object_ref(&());
                    ctx.report_unreadable(object, unreadable.note());
                }
                changed(ctx, change);
            },
        );
        cache
    }

    /// Secrets by their metadata.
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
        self.watches.push(Box::new(move |ctx, stop, tasks| {
            let (mut events, ctx) = (follow(api, config, stop), Arc::clone(ctx));
            tasks.spawn(async move {
                while let Some(event) = events.next().await {
                    for change in take(event) {
                        changed(&ctx, &change);
                    }
                }
            });
        }));
    }

    /// Starts all watches; gives what starts the controllers when the caches are full.
    pub(super) fn start(
        self,
        ctx: &Arc<Context>,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> impl FnOnce(&Arc<Context>, &CancellationToken, &TaskTracker) {
        for watch in self.watches {
            watch(ctx, stop, tasks);
        }
        |ctx, stop, tasks| self.controllers.into_iter().for_each(|start| start(ctx, stop, tasks))
    }
}

/// Runs the controller of one kind. It is woken by hand alone (see [`Kind::changed`]): kube's relations between kinds would
/// open a second watch and cache for each.
fn control<K: Kind>(
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
            // Gone, or set aside, between the wake and the look: nothing is left to do.
            Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
            Err(controller::Error::ReconcilerFailed(error, object)) => {
                tracing::warn!(%object, error = %chain(&error), "a reconcile failed");
            }
            Err(error) => tracing::warn!(kind = %K::kind(&()), error = %chain(&error), "a controller failed"),
        })
}

async fn counted<K: Kind>(object: Arc<K>, ctx: Arc<Context>) -> Result<Action, K::Error> {
    let pass = ctx.metrics.pass(K::LABEL);
    match K::reconcile(object, ctx).await {
        Ok((outcome, action)) => {
            pass.finish(outcome);
            Ok(action)
        }
        Err(error) => {
            pass.finish(PassOutcome::Retrying);
            Err(error)
        }
    }
}
