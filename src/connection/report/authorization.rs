//! What somebody has to do to authorize a connection, as status shows it. Pure.

use bowline_api::IntegrationConnection;
use bowline_api::attempt;
use bowline_api::condition::Truth;
use bowline_api::connection::{AuthorizationStatus, Method};
use bowline_api::reason::{Reason, Remedy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use url::Url;

use super::super::decide::ConnectionPlan;
use super::super::decide::consent::shown_code;
use super::super::observed::ObservedConnection;
use crate::grant::target::{Target, requested};

/// What somebody has to do to authorize it.
pub(super) fn authorization(
    connection: &IntegrationConnection,
    observed: &ObservedConnection,
    plan: &ConnectionPlan,
) -> Option<AuthorizationStatus> {
    let target = observed.target()?;
    let code = shown_code(&observed.attempts);
    if code.is_none() && !asks_somebody(plan.authorized.reason) {
        return None;
    }
    let by_person = |method: &Method| {
        method.goes_by_browser() || matches!(method, Method::DeviceCode | Method::IssuedKey)
    };
    let portal = observed.portal.as_ref().filter(|_| target.methods().iter().any(by_person));
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    let (shown, ends) = code.unzip();
    let by_administrator = plan.authorized.reason == Reason::AdminConsentRequired;
    let status = AuthorizationStatus {
        url: portal.map(|portal| attempt::connection_page(portal, &namespace, &name)),
        user_code: shown.map(|code| code.user_code.clone()),
        verification_uri: shown.map(|code| code.verification_uri.clone()),
        verification_uri_complete: shown.and_then(|code| code.verification_uri_complete.clone()),
        expires_at: ends.map(Time),
        admin_consent_url: portal
            .filter(|_| by_administrator)
            .and_then(|it| approval(connection, target, it)),
    };
    (status != AuthorizationStatus::default()).then_some(status)
}

/// Whether somebody has something to do in the portal or at the provider.
fn asks_somebody(reason: Reason) -> bool {
    use Remedy::{
        Adopt, AdoptSpent, AgreeToScopes, ApproveApp, ConfirmAccount, Connect, CreateKey, Reconnect,
    };
    let helps = matches!(
        reason.row().remedy,
        Connect | Reconnect | ConfirmAccount | AgreeToScopes | ApproveApp | CreateKey | Adopt | AdoptSpent
    );
    helps && reason.row().status != Truth::True || reason == Reason::AuthorizationInProgress
}

/// The page where an administrator at the provider approves the app for the scopes of this connection.
fn approval(connection: &IntegrationConnection, target: &Target, portal: &Url) -> Option<String> {
    let spec = &connection.spec;
    // Only the actor reads the client id of an own app.
    let app = target.app().filter(|_| spec.app.is_none())?;
    let back = attempt::redirect_uri(portal, target.provider());
    let scopes = requested(target, &spec.scopes);
    target.description().admin_consent_url(&app.client_id, &back, &scopes, None).map(Into::into)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use bowline_oauth::app::{App, AppPurpose};
    use bowline_oauth::catalog;
    use secrecy::SecretString;
    use serde_json::json;

    use std::sync::Arc;

    use super::*;
    use crate::grant::target::tests::Offline;

    #[test]
    fn an_administrator_is_sent_to_approve_our_app_for_what_the_connection_asks_r7() {
        let spec = serde_json::from_value(json!({"type": "microsoft", "parameters": {"tenant": "contoso"}}))
            .unwrap();
        let entry = catalog::get("microsoft").unwrap();
        let description = catalog::resolve(entry, &spec, "work", &BTreeMap::new()).unwrap();
        let app = App {
            client_id: "our-app".to_owned(),
            client_secret: Some(SecretString::from("s")),
            client_secret_previous: None,
            private_key: None,
            certificate: None,
            purpose: AppPurpose::default(),
            version: None,
        };
        let target = Target::new(description, spec, Some(Arc::new(app)), Arc::new(Offline::default()));
        let connection = serde_json::from_value(json!({"metadata": {"name": "mail", "namespace": "n"},
            "spec": {"provider": "work", "owner": "alice", "scopes": ["Mail.Read"]}}))
        .unwrap();
        let portal = Url::parse("https://portal.example").unwrap();
        let address = Url::parse(&approval(&connection, &target, &portal).unwrap()).unwrap();
        let sent: BTreeMap<_, _> = address.query_pairs().into_owned().collect();
        assert!(address.path().starts_with("/contoso/"), "{address}");
        assert_eq!(sent["client_id"], "our-app");
        assert_eq!(sent["redirect_uri"], "https://portal.example/callback/work");
        assert!(sent["scope"].contains("Mail.Read"));
    }
}
