//! Reading lists. An unreadable object hides no other; what the caller may not read need not stop a command.

use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;

use crate::screen::Screen;
use crate::session::{Listed, Namespaced, UserSession, plain};
use crate::table::printable;

/// The caller may not read it.
#[derive(Debug, Default, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Forbidden(String);

/// What is read, if the caller may.
pub(crate) type Readable<T> = Result<T, Forbidden>;

/// Distinguishes a lack of rights from any other failure.
pub(crate) fn seen<T>(answer: Result<T, kube::Error>) -> anyhow::Result<Readable<T>> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(error) if matches!(&error, kube::Error::Api(status) if status.is_forbidden()) => {
            Ok(Err(Forbidden(plain(error).to_string())))
        }
        Err(error) => Err(plain(error)),
    }
}

impl UserSession {
    /// All objects of a kind in the cluster.
    pub(crate) async fn all<K: Listed>(&self, params: &ListParams) -> anyhow::Result<Readable<Vec<K>>> {
        self.list(Api::all(self.client.clone()), params).await
    }

    /// All objects of a kind in a namespace.
    pub(crate) async fn within<K: Namespaced>(&self, namespace: &str) -> anyhow::Result<Readable<Vec<K>>> {
        self.list(Api::namespaced(self.client.clone(), namespace), &ListParams::default()).await
    }

    async fn list<K: Listed>(
        &self,
        objects: Api<DeserializeGuard<K>>,
        params: &ListParams,
    ) -> anyhow::Result<Readable<Vec<K>>> {
        let list = seen(objects.list(params).await)?;
        Ok(list.map(|list| list.items.into_iter().filter_map(|object| self.readable(object)).collect()))
    }

    /// The object, if it can be read; [`Self::warn`] names it otherwise. Managed fields, which kubectl does not show either,
    /// are dropped.
    pub(crate) fn readable<K: Listed>(&self, object: DeserializeGuard<K>) -> Option<K> {
        let invalid = match object.0 {
            Ok(mut object) => {
                object.meta_mut().managed_fields = None;
                return Some(object);
            }
            Err(invalid) => invalid,
        };
        let of = invalid.metadata.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let name = invalid.metadata.name.unwrap_or_default();
        let line = format!("{} {of}{name} cannot be read and is left out: {}", K::kind(&()), invalid.error);
        let mut unreadable = self.unreadable.borrow_mut();
        if !unreadable.contains(&line) {
            unreadable.push(line);
        }
        None
    }

    /// Reports what could not be read since the last time.
    pub(crate) fn warn(&self, screen: &mut Screen) {
        for line in self.unreadable.take() {
            screen.progress(&format!("warning: {}", printable(line)));
        }
    }
}
