//! Following objects of the cluster: one loop for all watches but the keyring's, and caches of what it reports.
//!
//! - [`follow`]: a watch that never ends by itself.
//! - [`Cache`]: whole objects, with tolerance for unreadable ones ([`Parsed`]).
//! - [`project`]: what of an object's metadata is kept.
//! - [`Newest`]: the rule by which a cache is never behind our own writes.

mod cache;
mod lookup;
mod newest;
mod parsed;
mod projection;

use std::fmt::Debug;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

pub use cache::{Cache, Change};
use lookup::Lookup;
pub use lookup::LookupKey;
pub use newest::{CacheEntry, Newest, ObjectVersion, Source, Unlisted};
pub use parsed::{Parsed, Unreadable};
use projection::project;

use crate::telemetry::chain;

/// How many objects a page of a listing has: a page is in memory as a whole, and an object may have a megabyte of other
/// people's labels and annotations.
const PAGE: u32 = 50;

/// Everything that happens to the objects of `api` until `stop`, without what nobody reads. Failures are logged and retried
/// with growing pauses, 800 ms to 30 s.
pub fn follow<T>(
    api: Api<T>,
    config: watcher::Config,
    stop: &CancellationToken,
) -> BoxStream<'static, Event<T>>
where
    T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow_with_failures(api, config, stop).filter_map(async |event| event.ok()).boxed()
}

/// Like [`follow`], with each failure in its place.
pub fn follow_with_failures<T>(
    api: Api<T>,
    config: watcher::Config,
    stop: &CancellationToken,
) -> BoxStream<'static, watcher::Result<Event<T>>>
where
    T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(api, config.page_size(PAGE))
        .default_backoff()
        .inspect_err(|error| {
            tracing::warn!(kind = %T::kind(&()), error = %chain(error), "a watch failed and starts again");
        })
        .map_ok(|event| event.modify(project))
        .take_until(stop.clone().cancelled_owned())
        .boxed()
}

#[cfg(test)]
mod tests;
