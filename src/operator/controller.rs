//! Runs the reconciles of one kind, and keeps a fault in one of them from the others.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::telemetry::chain;
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::controller::{Action, Config, Controller, Error};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::context::ReconcileError;

/// Concurrent reconciles of one kind. None waits for a provider, so this limits requests to the API server.
const CONCURRENCY: u16 = 32;
/// How soon a failed reconcile is repeated, so that the API server is not flooded.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How soon one that panicked is: it would probably do so again.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// What is done with an object that is woken, and with one whose reconcile panicked.
pub(super) struct Work<Reconcile, Panicked> {
    pub(super) reconcile: Reconcile,
    pub(super) panicked: Panicked,
}

/// Runs the controller of one kind. Only our own code wakes it (see [`crate::context::Controlled::changed`]): kube's relations
/// between kinds would open a second watch and cache for each.
pub(super) fn run<K, C, R, P>(
    store: Store<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
    ctx: Arc<C>,
    work: Work<
        impl Fn(Arc<K>, Arc<C>) -> R + Send + 'static,
        impl Fn(Arc<C>, ObjectReference) -> P + Clone + Send + 'static,
    >,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
    P: Future<Output = ()> + Send,
{
    let wakes = stream::unfold(woken, async |mut woken| woken.recv().await.map(|object| (object, woken)));
    let nothing = stream::pending::<Result<K, watcher::Error>>();
    let Work { reconcile, panicked } = work;
    let guarded = move |object: Arc<K>, ctx: Arc<C>| {
        let (about, panicked) = (object.object_ref(&()), panicked.clone());
        let reconcile = AssertUnwindSafe(reconcile(object, Arc::clone(&ctx))).catch_unwind();
        async move {
            let Ok(result) = reconcile.await else {
                panicked(ctx, about).await;
                return Err(ReconcileError::Panicked);
            };
            result
        }
    };
    Controller::for_stream(nothing, store)
        .reconcile_on(wakes)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(guarded, |_, error, _| Action::requeue(pause_after(error)), ctx)
        .for_each(async |result| log(&K::kind(&()), result.map(drop)))
}

fn log(kind: &str, result: Result<(), Error<ReconcileError, watcher::Error>>) {
    match result {
        // Deleted or set aside since the wake: nothing is left to do.
        Ok(()) | Err(Error::ObjectNotFound(_)) => {}
        Err(Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(%object, error = %chain(&error), "a reconcile failed");
        }
        Err(error) => tracing::warn!(kind, error = %chain(&error), "a controller failed"),
    }
}

fn pause_after(error: &ReconcileError) -> Duration {
    if matches!(error, ReconcileError::Panicked) { AFTER_PANIC } else { AGAIN_AFTER }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use bowline_api::Workspace;
    use bowline_runtime::follow::{Cache, Parsed};
    use kube::ResourceExt;
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::Instant;

    use super::*;

    fn workspaces(names: &[&str]) -> Cache<Workspace> {
        let cache = Cache::default();
        for name in names {
            let object = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"},
                "spec": {"members": [], "namespaces": []}});
            cache.take(Event::Apply(serde_json::from_value::<Parsed<Workspace>>(object).unwrap()));
        }
        cache
    }

    /// The name of each workspace as it is reconciled; of the bad one before it panics.
    async fn reconcile(
        object: Arc<Workspace>,
        seen: Arc<UnboundedSender<String>>,
    ) -> Result<Action, ReconcileError> {
        seen.send(object.name_any()).unwrap();
        assert_ne!(object.name_any(), "bad", "a fault of ours");
        Ok(Action::await_change())
    }

    #[tokio::test(start_paused = true)]
    async fn class_23_a_panic_in_one_reconcile_is_told_and_repeated_later_while_others_go_on() {
        let (cache, stop) = (workspaces(&["bad", "good"]), CancellationToken::new());
        let (waker, woken) = unbounded_channel();
        let (seen, mut reconciled) = unbounded_channel();
        let panicked = |seen: Arc<UnboundedSender<String>>, object: ObjectReference| async move {
            seen.send(format!("{} panicked", object.name.unwrap())).unwrap();
        };
        let work = Work { reconcile, panicked };
        let running = tokio::spawn(run(cache.store(), woken, Arc::new(seen), work, &stop));
        let mut next = async || reconciled.recv().await.unwrap();

        waker.send(ObjectRef::new("bad")).unwrap();
        assert_eq!((next().await, next().await), ("bad".into(), "bad panicked".into()));
        let began = Instant::now();
        waker.send(ObjectRef::new("good")).unwrap();
        assert_eq!(next().await, "good");
        assert_eq!((next().await, next().await), ("bad".into(), "bad panicked".into()));
        assert!(began.elapsed().as_secs() + 1 >= AFTER_PANIC.as_secs(), "it is not repeated at once");
        stop.cancel();
        running.await.unwrap();
    }
}
