//! Rows of the table: the columns of the definition, in its order.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::age::since;
use crate::screen::Paint;
use crate::table::{Cell, phase};
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::AccountStatus;
use bowline_api::{IntegrationConnection, definition};

const STATUS: &str = "STATUS";

/// Which columns there are.
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// The name, then those of the definition.
    pub(super) fn new(namespaces: bool, wide: bool) -> Self {
        let versions = definition::<IntegrationConnection>().spec.versions;
        let columns =
            versions.into_iter().flat_map(|version| version.additional_printer_columns.unwrap_or_default());
        let shown = columns.filter(|column| wide || column.priority.unwrap_or(0) == 0);
        let names = namespaces.then(|| "NAMESPACE".to_owned()).into_iter().chain(["NAME".to_owned()]);
        Self(names.chain(shown.map(|column| column.name.to_uppercase())).collect())
    }

    pub(super) fn heading(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    pub(super) fn row(&self, connection: &IntegrationConnection, now: Timestamp) -> Vec<Cell> {
        let cell = |column: &String| cell(column, connection, now).unwrap_or_else(|| Cell::new(""));
        self.0.iter().map(cell).collect()
    }

    /// The last row of a connection that is gone.
    pub(super) fn deleted(&self, connection: &IntegrationConnection, now: Timestamp) -> Vec<Cell> {
        let deleted = || Cell::new("Deleted").painted(Some(Paint::Bad));
        let row = self.0.iter().zip(self.row(connection, now));
        row.map(|(column, cell)| if column == STATUS { deleted() } else { cell }).collect()
    }
}

/// The value for a column; `None` for one that nobody knows here.
fn cell(column: &str, connection: &IntegrationConnection, now: Timestamp) -> Option<Cell> {
    let spec = &connection.spec;
    let status = |type_| connection.condition(type_).map(|it| it.status.clone()).unwrap_or_default();
    let token = connection.token();
    Some(match column {
        "NAMESPACE" => Cell::new(connection.namespace().unwrap_or_default()),
        "NAME" => Cell::new(connection.name_any()),
        "PROVIDER" => Cell::new(&spec.provider),
        "ACCOUNT" => Cell::new(connection.account().map(AccountStatus::word).unwrap_or_default()),
        "OWNER" => Cell::new(&spec.owner),
        "READY" => Cell::new(status(ConditionType::Ready)),
        STATUS => phase(connection),
        "REASON" => Cell::new(connection.reason()),
        "SHARED" => Cell::new(status(ConditionType::Shared)),
        "REFRESHED" => Cell::new(since(token.and_then(|token| token.last_refreshed_at.as_ref()), now)),
        "AGE" => Cell::new(since(connection.metadata.creation_timestamp.as_ref(), now)),
        "WORKSPACE" => Cell::new(spec.workspace.as_deref().unwrap_or_default()),
        "EXPIRES" => Cell::new(connection.token_expires_at().map(|at| at.to_string()).unwrap_or_default()),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

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
                    {"type": "Shared", "status": "False", "reason": "OwnerNotMember", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ],
            },
        }))
        .unwrap()
    }

    /// Values by their columns.
    fn texts(connection: &IntegrationConnection) -> BTreeMap<String, String> {
        let columns = Columns::new(true, true);
        let row = columns.row(connection, "2026-01-01T01:00:00Z".parse().unwrap());
        columns.0.iter().cloned().zip(row.into_iter().map(|cell| cell.text)).collect()
    }

    #[test]
    fn a_row_says_what_kubectl_would_say_and_more() {
        let row = texts(&connection());
        for (column, value) in [
            ("NAMESPACE", "team-a"),
            ("NAME", "github"),
            ("PROVIDER", "github"),
            ("ACCOUNT", "octocat"),
            ("OWNER", "alice@example.com"),
            ("READY", "True"),
            ("STATUS", "Active"),
            ("REASON", "Connected"),
            ("SHARED", "False"),
            ("REFRESHED", "5m"),
            ("AGE", "60m"),
            ("WORKSPACE", "marketing"),
            ("EXPIRES", "2026-01-01T02:00:00Z"),
        ] {
            assert_eq!(row[column], value, "{column}");
        }
    }

    #[test]
    fn a_connection_nobody_looked_at_yet_has_a_row() {
        let row = texts(&IntegrationConnection { status: None, ..connection() });
        for column in ["ACCOUNT", "READY", "STATUS", "REASON", "SHARED", "REFRESHED"] {
            assert_eq!(row[column], "<none>", "{column}");
        }
    }

    #[test]
    fn a_phase_and_a_reason_of_a_later_version_are_shown_as_they_are() {
        let mut later = connection();
        let status = later.status.as_mut().unwrap();
        status.phase = Some(serde_json::from_value(json!("Hibernating")).unwrap());
        status.conditions[0].reason = "SunTooFar".into();
        let row = texts(&later);
        assert_eq!((row["STATUS"].as_str(), row["REASON"].as_str()), ("Hibernating", "SunTooFar"));
    }

    #[test]
    fn every_column_of_the_definition_has_a_value() {
        for column in Columns::new(true, true).heading() {
            assert!(cell(column, &connection(), Timestamp::UNIX_EPOCH).is_some(), "{column}");
        }
        let usual = Columns::new(false, false);
        assert!(!usual.0.contains(&"WORKSPACE".to_owned()) && usual.heading()[0] == "NAME");
    }

    #[test]
    fn a_deleted_connection_says_so_in_place_of_its_phase() {
        let columns = Columns::new(false, false);
        let row = columns.deleted(&connection(), Timestamp::UNIX_EPOCH);
        let texts: Vec<_> = row.iter().map(|cell| cell.text.as_str()).collect();
        assert!(texts.contains(&"Deleted") && !texts.contains(&"Active"), "{texts:?}");
    }
}
