//! Fields that another tool manages: an edit in the portal would be reverted from Git a minute later.

use bowline_api::IntegrationConnection;
use kube::ResourceExt;

use crate::write::FIELD_MANAGER;

/// Field managers that revert changes although they do not use server-side apply.
const RECONCILERS: &[&str] =
    &["argocd", "argo-cd", "flux", "kustomize-controller", "helm", "kubectl-client-side-apply"];

/// The field manager of a spec field, if it reverts changes of others.
pub(crate) fn keeper(connection: &IntegrationConnection, field: &str) -> Option<String> {
    let key = format!("f:{field}");
    connection.managed_fields().iter().find_map(|entry| {
        let manager = entry.manager.as_deref().filter(|manager| *manager != FIELD_MANAGER)?;
        let declares = entry.operation.as_deref() == Some("Apply");
        let reconciles = RECONCILERS.iter().any(|known| manager.to_lowercase().starts_with(known));
        let spec = entry.fields_v1.as_ref()?.0.get("f:spec")?;
        (spec.get(&key).is_some() && (declares || reconciles)).then(|| super::foreign(manager))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(manager: &str, operation: &str) -> IntegrationConnection {
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
        let keeps = |manager, operation, field| keeper(&connection(manager, operation), field);
        assert_eq!(keeps("my-tool", "Apply", "displayName").as_deref(), Some("my-tool"));
        assert_eq!(keeps("argocd-controller", "Update", "displayName").as_deref(), Some("argocd-controller"));
        assert_eq!(keeps("my-tool", "Apply", "description"), None);
        assert_eq!(keeps("kubectl-edit", "Update", "displayName"), None);
        assert_eq!(keeps("bowline-portal", "Update", "displayName"), None);
    }
}
