//! The four controllers. All are woken by hand (see [`super::relations`]), so one stream per kind serves everybody.

use std::sync::Arc;

use bowline_runtime::telemetry::chain;
use futures::{StreamExt, stream};
use kube::Resource;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parts::Woken;
use crate::context::Context;
use crate::{connection, provider, share, workspace};

/// Reconciles of one kind that run at once. None waits for a provider, so this bounds requests to the API server.
const CONCURRENCY: u16 = 32;

/// Starts the controllers.
pub fn start(ctx: &Arc<Context>, woken: Woken, stop: &CancellationToken, tasks: &TaskTracker) {
    let Woken { connections, providers, workspaces, shares } = woken;
    let world = &ctx.world;
    tasks.spawn(run(
        world.connections.clone(),
        connections,
        ctx,
        stop,
        connection::reconcile,
        connection::error_policy,
    ));
    tasks.spawn(run(
        world.providers.clone(),
        providers,
        ctx,
        stop,
        provider::reconcile,
        provider::error_policy,
    ));
    tasks.spawn(run(
        world.workspaces.clone(),
        workspaces,
        ctx,
        stop,
        workspace::reconcile,
        workspace::error_policy,
    ));
    tasks.spawn(run(world.shares.clone(), shares, ctx, stop, share::reconcile, share::error_policy));
}

fn run<K, E, F>(
    store: Store<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
    ctx: &Arc<Context>,
    stop: &CancellationToken,
    reconcile: impl FnMut(Arc<K>, Arc<Context>) -> F + Send + 'static,
    error_policy: impl Fn(Arc<K>, &E, Arc<Context>) -> Action + Send + Sync + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    E: std::error::Error + Send + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
{
    let wakes = stream::unfold(woken, async |mut woken| woken.recv().await.map(|object| (object, woken)));
    let nothing = stream::pending::<Result<K, watcher::Error>>();
    Controller::for_stream(nothing, store)
        .reconcile_on(wakes)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, error_policy, Arc::clone(ctx))
        .for_each(async |result| match result {
            // Gone between the wake and the look: nothing is left to do.
            Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
            Err(controller::Error::ReconcilerFailed(error, object)) => {
                tracing::warn!(%object, error = %chain(&error), "a reconcile failed");
            }
            Err(error) => tracing::warn!(kind = %K::kind(&()), error = %chain(&error), "a watch failed"),
        })
}
