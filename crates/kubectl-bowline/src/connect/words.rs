//! What is said about a connection while it is being connected.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::age::relative;
use crate::table::{Cell, Lines, account_in_full};
use bowline_api::IntegrationConnection;
use bowline_api::connection::AuthorizationStatus;
use bowline_api::reason::quoted;

/// Connection and provider.
pub(super) fn what(connection: &IntegrationConnection) -> String {
    format!("{} ({})", connection.id(), connection.spec.provider)
}

/// The connection as arguments of a command.
pub(super) fn of(connection: &IntegrationConnection) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    format!("{} -n {}", quoted(&connection.name_any()), quoted(&namespace))
}

/// What is going to be connected, where, and the code: whoever types it should see what they agree to.
pub(super) fn code(connection: &IntegrationConnection, open: &AuthorizationStatus, now: Timestamp) -> String {
    let spec = &connection.spec;
    let expected = spec.account.as_ref().map(|account| Cell::new(&account.id).text);
    let account = expected.or_else(|| connection.account().map(account_in_full));
    let account = account.map(|account| format!("{account} only"));
    let scopes = connection.scopes().map(|scopes| scopes.requested.join(" "));
    let mut lines = Lines::default();
    lines.add("Connection", &what(connection));
    lines.add_some("Name", spec.display_name.as_deref());
    lines.add("Owner", &spec.owner);
    lines.add("Account", account.as_deref().unwrap_or("whichever signs in there; you confirm it afterwards"));
    lines.add_some("Requests", scopes.filter(|scopes| !scopes.is_empty()).as_deref());
    lines.add("Open", open.verification_uri.as_deref().unwrap_or("the provider's page for devices"));
    lines.add_some("or, filled in", open.verification_uri_complete.as_deref());
    lines.add("Code", open.user_code.as_deref().unwrap_or_default());
    if let Some(at) = &open.expires_at {
        lines.add("Code expires", &relative(at, now));
    }
    lines.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_code_is_shown_with_what_is_agreed_to() {
        let connection: IntegrationConnection = serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github-com", "owner": "alice", "account": {"id": "583231"}},
            "status": {"scopes": {"requested": ["repo"]}, "authorization": {"userCode": "WDJB-MJHT",
                "verificationURI": "https://github.com/login/device", "expiresAt": "2026-01-01T00:15:00Z"}},
        }))
        .unwrap();
        let open = connection.status.as_ref().unwrap().authorization.clone().unwrap();
        assert_eq!(
            code(&connection, &open, "2026-01-01T00:05:00Z".parse().unwrap()),
            "Connection:     team-a.github (github-com)\nOwner:          alice\nAccount:        583231 only\n\
             Requests:       repo\nOpen:           https://github.com/login/device\nCode:           WDJB-MJHT\n\
             Code expires:   in 10m\n"
        );
    }
}
