//! What is said about a connection while it is being connected.

use bowline_api::IntegrationConnection;
use bowline_api::connection::AuthorizationStatus;
use bowline_api::names::connection_id;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::super::age::relative;
use super::super::describe::account_in_full;
use super::super::table::{Cell, Lines};
use super::attempt::Attempt;

/// Connection, provider, and whom it is for.
pub(super) fn what(connection: &IntegrationConnection) -> String {
    let id = connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any());
    format!("{id} ({})", connection.spec.provider)
}

/// What is going to be connected, where, and the code: whoever types it should see what they agree to.
pub(super) fn code(connection: &IntegrationConnection, open: &AuthorizationStatus, now: Timestamp) -> String {
    let spec = &connection.spec;
    let status = connection.status.as_ref();
    let pinned = status.and_then(|status| status.account.as_ref()).map(account_in_full);
    let expected = spec.account.as_ref().map(|account| format!("{} only", Cell::new(&account.id).text));
    let mut lines = Lines::default();
    lines.add("Connection", &what(connection));
    lines.add_some("Name", spec.display_name.as_deref());
    lines.add("Owner", &spec.owner);
    let account = expected.or_else(|| pinned.map(|account| format!("{account} only")));
    lines.add("Account", account.as_deref().unwrap_or("whichever signs in there; you confirm it afterwards"));
    let scopes = status.and_then(|status| status.scopes.as_ref()).map(|scopes| scopes.requested.join(" "));
    lines.add_some("Asks for", scopes.filter(|scopes| !scopes.is_empty()).as_deref());
    lines.add("Open", open.verification_uri.as_deref().unwrap_or("the provider's page for devices"));
    lines.add_some("or, filled in", open.verification_uri_complete.as_deref());
    lines.add("Code", open.user_code.as_deref().unwrap_or_default());
    if let Some(end) = &open.expires_at {
        lines.add("Code ends", &relative(end, now));
    }
    lines.0
}

/// The command that accepts an account.
pub(super) fn accept(connection: &IntegrationConnection, id: &str) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    let id = Cell::new(id).text.replace('\'', "'\\''");
    format!("kubectl bowline connect {} -n {namespace} --accept-account '{id}'", connection.name_any())
}

/// How far an attempt is when it is not waited for any longer.
pub(super) fn so_far(attempt: &Attempt) -> &'static str {
    if attempt.has_code() {
        "nothing has come of the code yet. It stays good, and the same command goes on with it"
    } else {
        "nobody has allowed access yet. The page stays good, and the same command waits again"
    }
}

/// The command that gets another code.
pub(super) fn another(connection: &IntegrationConnection) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    format!(
        "kubectl bowline connect {} -n {namespace} --device --accept-account THE-ID-YOU-MEAN",
        connection.name_any()
    )
}

/// The command that shows what is known of a connection.
pub(super) fn describe(connection: &IntegrationConnection) -> String {
    let namespace = connection.namespace().unwrap_or_default();
    format!("kubectl bowline describe {} -n {namespace}", connection.name_any())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_code_stands_beside_what_is_agreed_to() {
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
             Asks for:       repo\nOpen:           https://github.com/login/device\nCode:           WDJB-MJHT\n\
             Code ends:      in 10m\n"
        );
    }

    #[test]
    fn an_id_from_a_provider_stays_one_word_of_the_command() {
        let connection: IntegrationConnection = serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "team-a"}, "spec": {"provider": "g", "owner": "alice"}}))
        .unwrap();
        assert_eq!(
            accept(&connection, "1' ; rm -rf ~ '"),
            r"kubectl bowline connect github -n team-a --accept-account '1'\'' ; rm -rf ~ '\'''"
        );
    }
}
