//! Reads and writes connections. The portal does so as itself and names the acting user in each change; admission treats that
//! user as the caller. Whoever calls these functions has checked that user's rights.

use bowline_api::change::ConnectionChange;
use bowline_api::names::{
    ANNOTATION_ACTING_USER, ANNOTATION_ACTING_WITH, ANNOTATION_CONFIRM_DELETE, ANNOTATION_DISCONNECTED_BY,
    ANNOTATION_MADE_BY, ANNOTATION_REFRESH_REQUESTED, ANNOTATION_TERMS_BY, VERB_ASSIGN_OWNER,
};
use bowline_api::{IntegrationConnection, IntegrationConnectionSpec};
use bowline_runtime::follow::Parsed;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Map, Value, json};

use crate::PortalState;
use crate::error::{PageError, in_time};
use crate::view::managed::{self, FIELD_MANAGER};
use crate::visit::Visit;

/// How often a deletion is tried while others write.
const DELETIONS: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct ConnectionPatch {
    spec: Map<String, Value>,
    annotations: Map<String, Value>,
    /// The only version that it may be applied to.
    version: Option<String>,
    /// Whether the user acts on somebody else's connection, by the verb `assign-owner`.
    assigns: bool,
}

impl ConnectionPatch {
    /// Sets a field of the spec; `null` removes it.
    #[must_use]
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.spec.insert(name.to_owned(), value.into());
        self
    }

    /// Applies only to the version that was read: needed for lists, which a patch replaces as a whole.
    #[must_use]
    pub(crate) fn on_version_of(mut self, connection: &IntegrationConnection) -> Self {
        self.version = connection.resource_version();
        self
    }

    /// The fields and annotations of a merge patch, in the name of a user who acts with `assign-owner` or on their own.
    fn of(patch: &Value, assigns: bool) -> Self {
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let annotations = map(&patch["metadata"]["annotations"]);
        Self { spec: map(&patch["spec"]), annotations, version: None, assigns }
    }

    /// Sets an annotation; `null` removes it.
    #[must_use]
    pub(crate) fn annotation(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Says who sets the terms: a member always, and the owner where somebody else has set them before and nothing of that waits.
    /// Otherwise the owner's change is part of what waits.
    #[must_use]
    pub(crate) fn terms_by(self, user: &str, connection: &IntegrationConnection) -> Self {
        let takes_over = connection.terms_by_another().is_some() && connection.may_take_over_terms();
        if user != connection.spec.owner || takes_over {
            return self.annotation(ANNOTATION_TERMS_BY, user);
        }
        self
    }

    /// The merge patch for the object with this uid, in the name of `user`.
    fn patch(mut self, uid: &str, user: &str) -> Value {
        self.annotations.insert(ANNOTATION_ACTING_USER.to_owned(), user.into());
        let with = if self.assigns { VERB_ASSIGN_OWNER.into() } else { Value::Null };
        self.annotations.insert(ANNOTATION_ACTING_WITH.to_owned(), with);
        let mut patch = json!({ "metadata": { "uid": uid, "annotations": self.annotations } });
        if let Some(version) = self.version {
            patch["metadata"]["resourceVersion"] = version.into();
        }
        if !self.spec.is_empty() {
            patch["spec"] = self.spec.into();
        }
        patch
    }
}

impl Visit {
    fn connections(&self, namespace: &str) -> Api<IntegrationConnection> {
        Api::namespaced(self.app.client.clone(), namespace)
    }

    /// Reads a connection from the API server, with its managed fields.
    pub(crate) async fn read(&self, namespace: &str, name: &str) -> Result<IntegrationConnection, PageError> {
        let api: Api<Parsed<_>> = Api::namespaced(self.app.client.clone(), namespace);
        let Parsed(parsed) = in_time(api.get(name)).await??;
        parsed.map_err(|unreadable| PageError::unreadable(&unreadable))
    }

    /// Creates a connection. The caller sets the user as its owner.
    pub(crate) async fn create(
        &self,
        namespace: &str,
        name: &str,
        spec: IntegrationConnectionSpec,
    ) -> Result<(), PageError> {
        let mut connection = IntegrationConnection::new(name, spec);
        for name in [ANNOTATION_ACTING_USER, ANNOTATION_MADE_BY] {
            connection.annotations_mut().insert(name.to_owned(), self.session.user().to_owned());
        }
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        in_time(self.connections(namespace).create(&parameters, &connection)).await??;
        Ok(())
    }

    /// Changes a connection.
    pub(crate) async fn change(
        &self,
        connection: &IntegrationConnection,
        change: ConnectionPatch,
    ) -> Result<(), PageError> {
        self.changed(connection, change).await.map(drop)
    }

    async fn changed(
        &self,
        connection: &IntegrationConnection,
        change: ConnectionPatch,
    ) -> Result<IntegrationConnection, PageError> {
        patched(&self.app, connection, change, self.session.user()).await
    }

    /// Deletes a connection. The user is written to it first, because a deletion carries no annotation. What is deleted is the
    /// very version that names them: otherwise the audit log might have an older one, from the API server's cache. Where bindings
    /// were shown to the owner, their agreement is written as well.
    pub(crate) async fn delete(&self, connection: &IntegrationConnection) -> Result<(), PageError> {
        self.delete_as(connection, false).await
    }

    /// Carries out what becomes of a connection whose owner gives it up or leaves, on the version that was read. `assigns`: the
    /// user acts with the verb `assign-owner`, and agrees to nothing in the owner's name.
    pub(crate) async fn give_up(
        &self,
        connection: &IntegrationConnection,
        change: &ConnectionChange,
        assigns: bool,
    ) -> Result<(), PageError> {
        let Some(patch) = change.patch(connection, self.session.user()) else {
            return self.delete_as(connection, assigns).await;
        };
        let mut patch = ConnectionPatch::of(&patch, assigns).on_version_of(connection);
        if matches!(change, ConnectionChange::Disconnect) {
            patch = patch.annotation(ANNOTATION_DISCONNECTED_BY, managed::note(&self.reader()));
        }
        self.change(connection, patch).await
    }

    async fn delete_as(&self, connection: &IntegrationConnection, assigns: bool) -> Result<(), PageError> {
        let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
        let mut tries = 0;
        loop {
            let agreement = connection.dependents().and_then(|_| connection.uid()).filter(|_| !assigns);
            let plain = ConnectionPatch { assigns, ..ConnectionPatch::default() };
            let change = agreement
                .into_iter()
                .fold(plain, |change, uid| change.annotation(ANNOTATION_CONFIRM_DELETE, uid));
            let named = self.changed(connection, change).await?;
            let preconditions =
                Preconditions { uid: connection.uid(), resource_version: named.resource_version() };
            let only_this = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            tries += 1;
            match in_time(self.connections(&namespace).delete(&name, &only_this)).await? {
                // The operator wrote its status in between.
                Err(kube::Error::Api(status)) if status.is_conflict() && tries < DELETIONS => {}
                deleted => return deleted.map(drop).map_err(Into::into),
            }
        }
    }
}

async fn patched(
    app: &PortalState,
    connection: &IntegrationConnection,
    change: ConnectionPatch,
    user: &str,
) -> Result<IntegrationConnection, PageError> {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    let patch = change.patch(&connection.uid().unwrap_or_default(), user);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api: Api<IntegrationConnection> = Api::namespaced(app.client.clone(), &namespace);
    Ok(in_time(api.patch(&name, &parameters, &Patch::Merge(&patch))).await??)
}

/// Requests a refresh, because the provider says that the grant may have ended. No user acts: the change names the webhook.
pub(crate) async fn look_at(
    app: &PortalState,
    connection: &IntegrationConnection,
    provider: &str,
) -> Result<(), PageError> {
    let requested_at = app.clock.now().to_string();
    let change = ConnectionPatch::default().annotation(ANNOTATION_REFRESH_REQUESTED, requested_at);
    patched(app, connection, change, &format!("webhook:{provider}")).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_names_the_object_and_the_user() {
        let change = ConnectionPatch::default().field("displayName", "Work").annotation("bowline.dev/x", "1");
        let expected = json!({
            "metadata": { "uid": "u", "annotations": { "bowline.dev/x": "1", "bowline.dev/acting-user": "alice",
                "bowline.dev/acting-with": null } },
            "spec": { "displayName": "Work" },
        });
        assert_eq!(change.patch("u", "alice"), expected);
    }

    #[test]
    fn nobody_writes_in_another_name_by_an_annotation_of_their_own() {
        let change = ConnectionPatch::default().annotation(ANNOTATION_ACTING_USER, "mallory");
        assert_eq!(change.patch("u", "alice")["metadata"]["annotations"][ANNOTATION_ACTING_USER], "alice");
    }
}
