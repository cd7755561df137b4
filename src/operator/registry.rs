//! All watches, one for each cache, and what starts a controller for each of our kinds.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::follow::{Cache, Change, LookupKey, Parsed, follow_with_failures};
use bowline_runtime::tasks::Tasks;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::controller::{self, Work};
use super::liveness::{Liveness, Underway};
use super::relations;
use crate::context::{Context, Controlled, ReconcileError};
use crate::kinds::{Handle, Kinds};
use crate::kube_ext::index::{SecretChange, SecretIndex, WatchedSecrets};
use crate::metrics::PassOutcome;

/// How soon the Secrets of a namespace are listed again that could not be.
const LIST_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Registry {
    client: Client,
    watches: Vec<StartWatch>,
    controllers: Vec<StartController>,
}

type StartWatch = Box<dyn FnOnce(&Arc<Context>, &Tasks) + Send>;
pub(super) type StartController = Box<dyn FnOnce(&Arc<Context>, &Liveness, &Tasks) + Send>;

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
        let cache = self.cache(K::keys, Api::all(self.client.clone()), Config::default(), K::changed);
        let store = cache.store();
        self.controllers.push(Box::new(move |ctx, liveness, life| {
            ctx.metrics.expect_passes(K::LABEL);
            let reconciles = liveness.controller(K::LABEL);
            let work = Work {
                reconcile: move |object, ctx| counted::<K>(object, ctx, reconciles.begin()),
                panicked: async |ctx: Arc<Context>, object| ctx.report_panic(K::LABEL, &object).await,
            };
            let run = controller::run(store, woken, Arc::clone(ctx), work, life.stop());
            life.own(format!("the controller of {}", K::kind(&())), run);
        }));
        Handle { cache, waker }
    }

    /// A cache that can find its objects by these keys.
    pub(super) fn cache<K>(
        &mut self,
        keys: fn(&K) -> Vec<LookupKey>,
        api: Api<Parsed<K>>,
        config: Config,
        changed: fn(&Context, &Change<K>),
    ) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let cache = Cache::looked_up_by(keys);
        self.watch(api, config, FilledCache { cache: cache.clone(), changed });
        cache
    }

    /// An index of Secrets by their metadata.
    pub(super) fn index(&mut self, index: SecretIndex, changed: fn(&Context, &SecretChange)) -> SecretIndex {
        for watched in index.watches() {
            let filled = FilledIndex { secrets: Arc::clone(watched), changed };
            self.watch(watched.api(self.client.clone()), index.selector().clone(), filled);
        }
        index
    }

    fn watch<T>(&mut self, api: Api<T>, config: Config, filled: impl Filled<T>)
    where
        T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.watches.push(Box::new(move |ctx, life| {
            let (ctx, stop) = (Arc::clone(ctx), life.stop().clone());
            life.own(format!("the watch of {}", T::kind(&())), async move {
                while fill(&api, &config, &filled, &ctx, &stop).await == Next::Listing {
                    stop.run_until_cancelled(sleep(LIST_AGAIN)).await;
                }
            });
        }));
    }

    /// Starts all watches, and returns what starts the controllers once the caches are filled.
    pub(super) fn start(self, ctx: &Arc<Context>, life: &Tasks) -> Vec<StartController> {
        self.watches.into_iter().for_each(|start| start(ctx, life));
        self.controllers
    }
}

/// What the events of a watch of `T` fill.
trait Filled<T>: Send + Sync + 'static {
    /// Accepts an event, and wakes what it concerns.
    fn take(&self, ctx: &Arc<Context>, event: Event<T>);

    /// A listing or watch failed; it is repeated anyway. Returns whether to begin with a listing.
    fn failed(&self, _ctx: &Context, _error: &watcher::Error) -> bool {
        false
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    End,
    Listing,
}

async fn fill<T>(
    api: &Api<T>,
    config: &Config,
    filled: &impl Filled<T>,
    ctx: &Arc<Context>,
    stop: &CancellationToken,
) -> Next
where
    T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = follow_with_failures(api.clone(), config.clone(), stop);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => filled.take(ctx, event),
            Err(error) if filled.failed(ctx, &error) => return Next::Listing,
            Err(_) => {}
        }
    }
    Next::End
}

struct FilledCache<K: Resource<DynamicType = ()> + Clone + 'static> {
    cache: Cache<K>,
    changed: fn(&Context, &Change<K>),
}

impl<K> Filled<Parsed<K>> for FilledCache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    fn take(&self, ctx: &Arc<Context>, event: Event<Parsed<K>>) {
        for change in self.cache.take(event) {
            if let Change::SetAside(unreadable) = &change {
                let object = Parsed::<K>(Err((**unreadable).clone())).object_ref(&());
                ctx.report_unreadable(object, unreadable.note());
            }
            (self.changed)(ctx, &change);
        }
    }
}

struct FilledIndex {
    secrets: Arc<WatchedSecrets>,
    changed: fn(&Context, &SecretChange),
}

impl FilledIndex {
    /// Wakes what is in the namespace if something changed whether it can be read.
    fn telling<R>(&self, ctx: &Context, change: impl FnOnce() -> R) -> R {
        let before = self.secrets.fails();
        let result = change();
        if let Some(namespace) = self.secrets.namespace().filter(|_| self.secrets.fails() != before) {
            relations::readability(ctx, namespace);
        }
        result
    }
}

impl Filled<PartialObjectMeta<Secret>> for FilledIndex {
    fn take(&self, ctx: &Arc<Context>, event: Event<PartialObjectMeta<Secret>>) {
        for change in self.telling(ctx, || self.secrets.take(event)) {
            (self.changed)(ctx, &change);
        }
    }

    fn failed(&self, ctx: &Context, error: &watcher::Error) -> bool {
        self.telling(ctx, || self.secrets.failed(error))
    }
}

async fn counted<K: Controlled>(
    object: Arc<K>,
    ctx: Arc<Context>,
    _underway: Underway,
) -> Result<Action, ReconcileError> {
    // Everything is woken once this process leads.
    if !ctx.grants.leads() {
        return Ok(Action::await_change());
    }
    let pass = ctx.metrics.pass(K::LABEL);
    let result = K::reconcile(object, ctx).await;
    pass.finish(result.as_ref().map_or(PassOutcome::Retrying, |(outcome, _)| *outcome));
    result.map(|(_, action)| action)
}
