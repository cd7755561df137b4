//! Rows of the table: the columns of the definition, in its order.

use bowline_api::IntegrationConnection;
use bowline_api::connection::Phase;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::super::age::since;
use super::super::screen::Paint;
use super::super::table::Cell;

/// Which columns there are.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub namespaces: bool,
    pub wide: bool,
}

impl Shape {
    pub fn heading(self) -> Vec<&'static str> {
        let mut heading = Vec::new();
        if self.namespaces {
            heading.push("NAMESPACE");
        }
        heading.extend([
            "NAME",
            "PROVIDER",
            "ACCOUNT",
            "OWNER",
            "READY",
            "STATUS",
            "REASON",
            "SHARED",
            "REFRESHED",
            "AGE",
        ]);
        if self.wide {
            heading.extend(["WORKSPACE", "EXPIRES"]);
        }
        heading
    }

    pub fn row(self, connection: &IntegrationConnection, now: Timestamp) -> Vec<Cell> {
        let phase = connection.status.as_ref().and_then(|status| status.phase);
        self.row_with(connection, Cell::new(phase_word(phase)).painted(phase.map(paint)), now)
    }

    /// The last row of a connection that is gone.
    pub fn deleted(self, connection: &IntegrationConnection, now: Timestamp) -> Vec<Cell> {
        self.row_with(connection, Cell::new("Deleted").painted(Some(Paint::Bad)), now)
    }

    fn row_with(self, connection: &IntegrationConnection, state: Cell, now: Timestamp) -> Vec<Cell> {
        let status = connection.status.as_ref();
        let spec = &connection.spec;
        let token = status.and_then(|status| status.token.as_ref());
        let account = status.and_then(|status| status.account.as_ref());
        let ready = condition(connection, "Ready");
        let mut row = Vec::new();
        if self.namespaces {
            row.push(Cell::new(connection.namespace().unwrap_or_default()));
        }
        row.extend([
            Cell::new(connection.name_any()),
            Cell::new(&spec.provider),
            Cell::new(account.map(account_word).unwrap_or_default()),
            Cell::new(&spec.owner),
            Cell::new(ready.map(|c| c.status.clone()).unwrap_or_default()),
            state,
            Cell::new(ready.map(|c| c.reason.clone()).unwrap_or_default()),
            Cell::new(condition(connection, "Shared").map(|c| c.status.clone()).unwrap_or_default()),
            Cell::new(since(token.and_then(|token| token.last_refreshed_at.as_ref()), now)),
            Cell::new(since(connection.metadata.creation_timestamp.as_ref(), now)),
        ]);
        if self.wide {
            row.push(Cell::new(spec.workspace.clone().unwrap_or_default()));
            let expires = token.and_then(|token| token.expires_at.as_ref());
            row.push(Cell::new(expires.map(|time| time.0.to_string()).unwrap_or_default()));
        }
        row
    }
}

/// A condition by its type.
pub(in super::super) fn condition<'a>(
    connection: &'a IntegrationConnection,
    kind: &str,
) -> Option<&'a Condition> {
    connection.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// The account's name, or its id where it has none.
pub(in super::super) fn account_word(account: &bowline_api::connection::AccountStatus) -> String {
    account.name.clone().unwrap_or_else(|| account.id.clone())
}

/// The phase as the API writes it; nothing before the operator saw the connection.
pub(in super::super) fn phase_word(phase: Option<Phase>) -> String {
    phase.map(|phase| format!("{phase:?}")).unwrap_or_default()
}

/// How a phase is meant.
pub(in super::super) fn paint(phase: Phase) -> Paint {
    match phase {
        Phase::Active => Paint::Good,
        Phase::Pending | Phase::Suspended | Phase::Disconnected => Paint::Calm,
        Phase::Expired | Phase::Error | Phase::Revoked => Paint::Bad,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::CustomResourceExt;
    use serde_json::json;

    use super::*;

    fn connection() -> IntegrationConnection {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "github", "namespace": "team-a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"provider": "github", "owner": "alice@example.com", "workspace": "marketing"},
            "status": {
                "phase": "Active", "account": {"id": "583231", "name": "octocat"},
                "token": {"expiresAt": "2026-01-01T02:00:00Z", "lastRefreshedAt": "2026-01-01T00:55:00Z"},
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Connected", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "Shared", "status": "False", "reason": "NotShared", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ],
            },
        }))
        .unwrap()
    }

    fn texts(shape: Shape, connection: &IntegrationConnection) -> Vec<String> {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        shape.row(connection, now).into_iter().map(|cell| cell.text).collect()
    }

    #[test]
    fn a_row_says_what_kubectl_would_say_and_more() {
        assert_eq!(
            texts(Shape { namespaces: true, wide: true }, &connection()),
            [
                "team-a",
                "github",
                "github",
                "octocat",
                "alice@example.com",
                "True",
                "Active",
                "Connected",
                "False",
                "5m",
                "60m",
                "marketing",
                "2026-01-01T02:00:00Z",
            ]
        );
    }

    #[test]
    fn a_connection_nobody_looked_at_yet_has_a_row() {
        let fresh = IntegrationConnection { status: None, ..connection() };
        let row = texts(Shape { namespaces: false, wide: false }, &fresh);
        assert_eq!(
            row[2..9],
            ["<none>", "alice@example.com", "<none>", "<none>", "<none>", "<none>", "<none>"]
        );
    }

    #[test]
    fn the_columns_are_those_of_the_definition() {
        let crd = IntegrationConnection::crd();
        let columns = crd.spec.versions[0].additional_printer_columns.clone().unwrap();
        let (plain, wide): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|column| column.priority.unwrap_or(0) == 0);
        let expected: Vec<_> = plain.iter().chain(&wide).map(|column| column.name.to_uppercase()).collect();
        assert_eq!(Shape { namespaces: false, wide: true }.heading()[1..], expected);
    }

    #[test]
    fn phases_are_written_as_the_api_writes_them() {
        for phase in
            [Phase::Pending, Phase::Active, Phase::Expired, Phase::Error, Phase::Revoked, Phase::Suspended]
        {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase_word(Some(phase)));
        }
    }
}
