//! Following objects of the cluster: one loop for all watches but the keyring's, and caches of what it reports.
//!
//! - [`follow`]: a watch that never ends by itself.
//! - [`Cache`]: whole objects, with tolerance for unreadable ones ([`Parsed`]).
//! - [`Newest`]: the rule by which a cache is never behind our own writes.

mod cache;
mod newest;
mod parsed;

use std::fmt::Debug;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

pub use cache::{Cache, Change};
pub use newest::{CacheEntry, Newest, ObjectVersion, Source, Unlisted};
pub use parsed::{Parsed, Unreadable};

use crate::telemetry::chain;

/// Prefix of the annotations that are read.
const OURS: &str = "bowline.dev/";

/// Everything that happens to the objects of `api` until `stop`, without large fields that nobody reads. Failures are logged
/// and retried with growing pauses, 800 ms to 30 s.
pub fn follow<T>(
    api: Api<T>,
    config: watcher::Config,
    stop: &CancellationToken,
) -> BoxStream<'static, Event<T>>
where
    T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(api, config)
        .default_backoff()
        .inspect_err(|error| {
            tracing::warn!(kind = %T::kind(&()), error = %chain(error), "a watch failed and starts again");
        })
        .filter_map(async |event| Some(event.ok()?.modify(strip)))
        .take_until(stop.clone().cancelled_owned())
        .boxed()
}

/// Removes large fields that nobody reads: an object may have 256 KiB of other people's annotations.
fn strip<T: Resource>(object: &mut T) {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().retain(|key, _| key.starts_with(OURS));
}

#[cfg(test)]
mod tests;
