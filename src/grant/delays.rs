//! Answers of providers that the API server does not accept: the connection says so until they are on record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bowline_api::IntegrationConnection;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;

use super::lock;
use crate::vault::Place;

pub(crate) struct Delays {
    /// By the connection's UID.
    since: Mutex<HashMap<String, Timestamp>>,
    wake: UnboundedSender<ObjectRef<IntegrationConnection>>,
}

/// A commit that does not succeed; dropped when it has succeeded, or was given up.
pub(super) struct Delay {
    delays: Arc<Delays>,
    place: Place,
}

impl Delays {
    /// `wake` wakes a connection.
    pub(crate) fn new(wake: UnboundedSender<ObjectRef<IntegrationConnection>>) -> Arc<Self> {
        Arc::new(Self { since: Mutex::default(), wake })
    }

    /// Since when an answer for this connection waits to be stored, if it has waited for long.
    pub(crate) fn since(&self, uid: &str) -> Option<Timestamp> {
        lock(&self.since).get(uid).copied()
    }

    pub(super) fn begin(self: &Arc<Self>, place: &Place, since: Timestamp) -> Delay {
        tracing::error!(
            namespace = place.namespace,
            name = place.name,
            "an answer of the provider is not on record yet: it is kept, and written again"
        );
        lock(&self.since).insert(place.uid.clone(), since);
        let delay = Delay { delays: Arc::clone(self), place: place.clone() };
        delay.wake();
        delay
    }
}

impl Delay {
    fn wake(&self) {
        // There is no listener only while the process ends.
        let _ = self.delays.wake.send(ObjectRef::new(&self.place.name).within(&self.place.namespace));
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        lock(&self.delays.since).remove(&self.place.uid);
        self.wake();
    }
}
