//! What the managed fields of a connection show: who created, paused or disconnected it, and which fields another tool manages,
//! where an edit in the portal would be reverted from Git a minute later.
//!
//! The portal writes the user to an annotation, which counts only while the portal is the field manager. For any other manager
//! the managed fields name the tool. Only the portal, the owner and holders of `assign-owner` may write such an annotation
//! (deploy/admission).

use bowline_api::IntegrationConnection;
use bowline_api::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::foreign;
use super::words::{Moment, Reader};

/// The portal's own.
pub(crate) const FIELD_MANAGER: &str = "bowline-portal";

/// The default manager of clients that set none.
const UNKNOWN: &str = "unknown";

/// Field managers that revert changes although they do not use server-side apply.
const RECONCILERS: &[&str] =
    &["argocd", "argo-cd", "flux", "kustomize-controller", "helm", "kubectl-client-side-apply"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doer {
    User(String),
    /// A tool, by its field manager.
    Tool(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// `Paused` or `Disconnected`.
    pub(crate) word: &'static str,
    pub(crate) by: Option<Doer>,
    pub(crate) since: Option<Moment>,
}

/// The pause or disconnection of a connection. `None` if it has none, or if neither user nor time is known.
pub(crate) fn stopped(connection: &IntegrationConnection, now: Timestamp) -> Option<Stopped> {
    let spec = &connection.spec;
    let (word, field, note) = if spec.disconnect.unwrap_or_default() {
        ("Disconnected", "disconnect", names::ANNOTATION_DISCONNECTED_BY)
    } else if spec.suspend.unwrap_or_default() {
        ("Paused", "suspend", names::ANNOTATION_SUSPENDED_BY)
    } else {
        return None;
    };
    let setter = setters(connection, field).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let manager = setter.manager.as_deref()?;
    let (by, since) = if manager == FIELD_MANAGER {
        let (time, user) = connection.annotations().get(note)?.split_once(' ')?;
        (Some(Doer::User(foreign(user))), Some(time.parse().ok()?))
    } else {
        (tool(manager), set_alone(setter, field))
    };
    let since = since.map(|since| Moment::new(since, now));
    (by.is_some() || since.is_some()).then_some(Stopped { word, by, since })
}

/// The value of the annotation that the portal adds to a change.
pub(crate) fn note(reader: &Reader<'_>) -> String {
    format!("{} {}", reader.now, reader.user)
}

fn tool(manager: &str) -> Option<Doer> {
    (![FIELD_MANAGER, UNKNOWN].contains(&manager)).then(|| Doer::Tool(foreign(manager)))
}

/// When a field was set. An entry has one time for all its fields, so it must contain this field only.
fn set_alone(entry: &ManagedFieldsEntry, field: &str) -> Option<Timestamp> {
    let key = format!("f:{field}");
    let alone = json!({ "f:spec": { key: {} } });
    let fields = entry.fields_v1.as_ref().filter(|fields| fields.0 == alone);
    fields.and(entry.time.as_ref()).map(|time| time.0)
}

/// Who created a connection: the user in the portal's annotation, or else the first manager of `provider`, a field that is
/// set at creation and never changes.
pub(crate) fn maker(connection: &IntegrationConnection) -> Option<Doer> {
    let entries = || setters(connection, "provider");
    let in_portal = entries().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let user = connection.annotations().get(names::ANNOTATION_MADE_BY).filter(|_| in_portal);
    // The annotation may have been removed.
    let first = || entries().min_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.as_deref();
    user.map(|user| Doer::User(foreign(user))).or_else(|| tool(first()?))
}

/// The field manager of a spec field, if it reverts changes of others.
pub(crate) fn keeper(connection: &IntegrationConnection, field: &str) -> Option<String> {
    let reverts = |entry: &ManagedFieldsEntry, manager: &str| {
        let name = manager.to_lowercase();
        entry.operation.as_deref() == Some("Apply") || RECONCILERS.iter().any(|known| name.starts_with(known))
    };
    setters(connection, field).find_map(|entry| {
        let manager = entry.manager.as_deref().filter(|manager| *manager != FIELD_MANAGER)?;
        reverts(entry, manager).then(|| foreign(manager))
    })
}

/// The entries that contain a field of the spec.
fn setters<'a>(
    connection: &'a IntegrationConnection,
    field: &str,
) -> impl Iterator<Item = &'a ManagedFieldsEntry> {
    let key = format!("f:{field}");
    connection.managed_fields().iter().filter(move |entry| {
        let spec = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        spec.is_some_and(|spec| spec.get(&key).is_some())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn now() -> Timestamp {
        "2026-05-03T15:00:00Z".parse().unwrap()
    }

    /// A connection with this spec and these annotations, and who set which fields when.
    fn connection(spec: &Value, notes: &Value, fields: &[(&str, &str, Value)]) -> IntegrationConnection {
        let mut whole = json!({"provider": "p", "owner": "alice"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let entry = |(manager, time, fields): &(&str, &str, Value)| {
            json!({"manager": manager, "operation": "Update", "apiVersion": "bowline.dev/v1alpha1",
                "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "spec": whole,
            "metadata": {"name": "c", "annotations": notes,
                "managedFields": fields.iter().map(entry).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn a_pause_in_the_portal_tells_who_and_when() {
        let by = |manager: &str, note: &str| {
            let fields = json!({"f:spec": {"f:suspend": {}, "f:description": {}}});
            let notes = json!({"bowline.dev/suspended-by": note});
            let object =
                connection(&json!({"suspend": true}), &notes, &[(manager, "2026-05-03T14:30:00Z", fields)]);
            stopped(&object, now())
        };
        let told = by(
            "bowline-portal",
            &note(&Reader { user: "alice b", now: "2026-05-03T14:00:00Z".parse().unwrap() }),
        )
        .unwrap();
        assert_eq!(told.by, Some(Doer::User("alice b".to_owned())));
        assert_eq!(told.since.unwrap().words, "60 minutes ago");
        assert_eq!(by("bowline-portal", "yesterday alice"), None, "a note that cannot be read says nothing");
        let told = by("flux", "2026-05-03T14:00:00Z alice").unwrap();
        assert_eq!(
            (told.by, told.since),
            (Some(Doer::Tool("flux".to_owned())), None),
            "an old note counts no more"
        );
    }

    #[test]
    fn a_tool_that_set_nothing_else_tells_when() {
        let alone = json!({"f:spec": {"f:disconnect": {}}});
        let entry = ("kubectl-patch", "2026-05-03T14:30:00Z", alone);
        let object = connection(&json!({"disconnect": true}), &json!({}), &[entry]);
        assert_eq!(stopped(&object, now()).unwrap().since.unwrap().words, "30 minutes ago");
        assert_eq!(stopped(&connection(&json!({}), &json!({}), &[]), now()), None);
        assert_eq!(stopped(&connection(&json!({"suspend": true}), &json!({}), &[]), now()), None);
    }

    #[test]
    fn who_made_it_is_no_tool_that_only_came_first_by_the_clock() {
        let (finalizer, whole) =
            (json!({"f:metadata": {"f:finalizers": {}}}), json!({"f:spec": {"f:provider": {}}}));
        let made = |manager: &str| {
            let fields = [
                ("bowline", "2026-05-03T14:00:00Z", finalizer.clone()),
                (manager, "2026-05-03T14:30:00Z", whole.clone()),
            ];
            maker(&connection(&json!({}), &json!({"bowline.dev/made-by": "carol"}), &fields))
        };
        assert_eq!(made("bowline-portal"), Some(Doer::User("carol".to_owned())));
        assert_eq!(made("kubectl-create"), Some(Doer::Tool("kubectl-create".to_owned())));
    }

    fn managed_by(manager: &str, operation: &str) -> IntegrationConnection {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "c", "managedFields": [{
                "manager": manager, "operation": operation, "apiVersion": "bowline.dev/v1alpha1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:displayName": {}}},
            }]},
            "spec": {"provider": "p", "owner": "alice"},
        }))
        .unwrap()
    }

    #[test]
    fn what_a_tool_puts_back_is_its_own() {
        let keeps = |manager, operation, field| keeper(&managed_by(manager, operation), field);
        assert_eq!(keeps("my-tool", "Apply", "displayName").as_deref(), Some("my-tool"));
        assert_eq!(keeps("argocd-controller", "Update", "displayName").as_deref(), Some("argocd-controller"));
        assert_eq!(keeps("my-tool", "Apply", "description"), None);
        assert_eq!(keeps("kubectl-edit", "Update", "displayName"), None);
        assert_eq!(keeps("bowline-portal", "Update", "displayName"), None);
    }
}
