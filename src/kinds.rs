//! Our kinds, each with its cache and the way to have its objects reconciled.
//!
//! - [`keys`]: what objects are found by, so that a change wakes those it concerns and visits no others.

pub(crate) mod keys;

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Deref;

use bowline_runtime::follow::{Cache, LookupKey};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

/// One kind: its cache, to which it dereferences, and the channel to its controller.
pub(crate) struct Handle<K: Registered> {
    pub(crate) cache: Cache<K>,
    pub(crate) waker: UnboundedSender<ObjectRef<K>>,
}

/// A kind in the table of [`bowline_api::kinds`].
pub(crate) trait Registered:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
    fn handle(kinds: &Kinds) -> &Handle<Self>;

    /// What the object is found by when something else changes (see [`keys`]).
    fn keys(&self) -> Vec<LookupKey>;
}

impl<K: Registered> Handle<K> {
    /// Has an object reconciled. Never waits; there is no listener only while the process ends.
    pub(crate) fn wake(&self, object: ObjectRef<K>) {
        let _ = self.waker.send(object);
    }

    /// Has the objects reconciled that have this key. No other is visited.
    pub(crate) fn wake_having(&self, key: &LookupKey) {
        for object in self.having(key) {
            self.wake(ObjectRef::from_obj(&*object));
        }
    }

    /// Has the objects reconciled that are `wanted`, of all.
    pub(crate) fn wake_where(&self, wanted: impl Fn(&K) -> bool) {
        for object in self.state_filter(wanted) {
            self.wake(ObjectRef::from_obj(&*object));
        }
    }
}

impl<K: Registered> Deref for Handle<K> {
    type Target = Cache<K>;

    fn deref(&self) -> &Cache<K> {
        &self.cache
    }
}

macro_rules! handles {
    ($($field:ident: $kind:ty,)+) => {
        pub(crate) struct Kinds {
            $(pub $field: Handle<$kind>,)+
        }

        impl Kinds {
            /// Returns when every kind was listed once.
            pub(crate) async fn wait_listed(&self) {
                $(self.$field.wait_listed().await;)+
            }

            /// Has every readable object reconciled whose UID is `chosen`.
            pub(crate) fn look_again(&self, chosen: impl Fn(&str) -> bool) {
                $(self.$field.wake_where(|object| object.meta().uid.as_deref().is_some_and(&chosen));)+
            }

            /// How many objects of each kind exist and cannot be read.
            pub(crate) fn unreadable(&self) -> Vec<(Cow<'static, str>, usize)> {
                vec![$((<$kind>::kind(&()), self.$field.unreadable().len())),+]
            }
        }

        $(impl Registered for $kind {
            fn handle(kinds: &Kinds) -> &Handle<Self> {
                &kinds.$field
            }

            fn keys(&self) -> Vec<LookupKey> {
                keys::$field(self)
            }
        })+
    };
}

bowline_api::kinds!(handles);
