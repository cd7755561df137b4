//! Which connection an id means in a namespace.

use std::sync::Arc;

use bowline_api::{IntegrationConnection, names};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::World;
use crate::sharing::Shared;
use crate::sharing::terms::TermsInForce;

/// What a namespace may use under the id of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Availability {
    /// There is none, or it is not shared with this namespace: nobody there learns which of the two.
    Absent,
    /// It cannot be read now, or it is not on record yet who shares under this id: nothing is published, and nothing withdrawn.
    Unknown,
    Available(Arc<IntegrationConnection>),
}

impl World {
    /// The connection with this id, if it is one of `namespace` or shared with it under its terms.
    pub(crate) fn available(
        &self,
        id: &str,
        namespace: &str,
        terms: impl Fn(&IntegrationConnection) -> TermsInForce,
    ) -> Availability {
        let Some((home, name)) = names::connection_of(id) else { return Availability::Absent };
        let key = ObjectRef::new(name).within(home);
        let its_share = ObjectRef::new(id).within(namespace);
        let share = self.kinds.shares.get(&its_share);
        let is_own = home == namespace;
        if self.kinds.connections.set_aside(&key).is_some() {
            return if is_own || share.is_some() { Availability::Unknown } else { Availability::Absent };
        }
        let connection = self.kinds.connections.get(&key);
        let Some(connection) = connection.filter(|it| it.metadata.deletion_timestamp.is_none()) else {
            return Availability::Absent;
        };
        if is_own {
            return Availability::Available(connection);
        }
        // Where it is shared is computed. The share shows that it is on record who shares under this id.
        let is_its =
            share.as_ref().is_some_and(|share| Some(&share.spec.connection.uid) == connection.uid().as_ref());
        match self.shared(&connection, &terms(&connection)) {
            Shared::In { namespaces, .. } if namespaces.contains(namespace) && is_its => {
                Availability::Available(connection)
            }
            Shared::In { namespaces, .. } if namespaces.contains(namespace) => Availability::Unknown,
            Shared::Unknown if is_its => Availability::Unknown,
            _ => Availability::Absent,
        }
    }
}
