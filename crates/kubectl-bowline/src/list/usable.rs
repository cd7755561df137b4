//! `list --usable`: what pods of a namespace may use, and which Secret to mount for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::output::{ListView, Output};
use crate::screen::{Paint, Screen};
use crate::session::UserSession;
use crate::table::Cell;
use bowline_api::condition::{ConditionType::Ready, Conditioned};
use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection};

#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct UsableRow {
    id: String,
    provider: Option<String>,
    account: Option<String>,
    owner: Option<String>,
    /// `Own`, or `Share` if somebody shared it with the workspace of the namespace.
    via: &'static str,
    ready: bool,
    reason: Option<String>,
    /// The Secret to mount; absent while nothing is published.
    secret_name: Option<String>,
    expires_at: Option<Time>,
}

pub(super) async fn run(
    session: &UserSession,
    output: Option<Output>,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let own: Vec<IntegrationConnection> = session.within(&session.namespace).await??;
    let shares: Vec<ConnectionShare> = session.within(&session.namespace).await??;
    let usable: Vec<_> = own.iter().map(of_connection).chain(shares.iter().map(of_share)).collect();
    let empty = format!("Nothing can be used in namespace {}.", session.namespace);
    USABLE.show(&usable, output, session.clock.now(), &empty, screen)
}

const USABLE: ListView<UsableRow> = ListView {
    name: |one| one.id.clone(),
    usual: &[
        ("ID", |one, _| Cell::new(&one.id)),
        ("PROVIDER", |one, _| Cell::some(one.provider.as_ref())),
        ("ACCOUNT", |one, _| Cell::some(one.account.as_ref())),
        ("OWNER", |one, _| Cell::some(one.owner.as_ref())),
        ("READY", |one, _| {
            let (word, paint) = if one.ready { ("True", Paint::Good) } else { ("False", Paint::Bad) };
            Cell::new(word).painted(Some(paint))
        }),
        ("REASON", |one, _| Cell::some(one.reason.as_ref())),
        ("SECRET", |one, _| Cell::some(one.secret_name.as_ref())),
    ],
    wide: &[
        ("VIA", |one, _| Cell::new(one.via)),
        ("EXPIRES", |one, _| Cell::some(one.expires_at.as_ref().map(|time| time.0.to_string()))),
    ],
};

fn of_connection(connection: &IntegrationConnection) -> UsableRow {
    let secret = connection.status.as_ref().and_then(|status| status.secret.as_ref());
    UsableRow {
        id: connection.id(),
        provider: Some(connection.spec.provider.clone()),
        account: connection.account().map(|account| account.word().to_owned()),
        owner: Some(connection.spec.owner.clone()),
        via: "Own",
        ready: connection.is_ready(),
        reason: connection.condition(Ready).map(|ready| ready.reason.clone()),
        secret_name: secret.map(|secret| secret.name.clone()),
        expires_at: connection.token_expires_at().map(Time),
    }
}

fn of_share(share: &ConnectionShare) -> UsableRow {
    let status = share.status.clone().unwrap_or_default();
    UsableRow {
        id: connection_id(&share.spec.connection.namespace, &share.spec.connection.name),
        provider: status.provider,
        account: status.account.map(|account| account.word().to_owned()),
        owner: status.shared_by,
        via: "Share",
        ready: share.is(Ready),
        reason: share.condition(Ready).map(|ready| ready.reason.clone()),
        secret_name: status.secret_name,
        expires_at: status.expires_at,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn both() -> Vec<UsableRow> {
        let ready = json!({"type": "Ready", "status": "True", "reason": "Connected", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let own = serde_json::from_value(json!({
            "metadata": {"name": "slack", "namespace": "marketing"},
            "spec": {"provider": "slack", "owner": "bob"},
        }))
        .unwrap();
        let share = serde_json::from_value(json!({
            "metadata": {"name": "team-a.github", "namespace": "marketing"},
            "spec": {
                "connection": {"namespace": "team-a", "name": "github", "uid": "u"},
                "workspace": "marketing",
            },
            "status": {"provider": "github", "sharedBy": "alice", "secretName": "team-a.github", "expiresAt": "2026-01-01T02:00:00Z", "conditions": [ready]},
        }))
        .unwrap();
        vec![of_connection(&own), of_share(&share)]
    }

    #[test]
    fn own_connections_and_shares_are_in_one_table_with_the_secret_to_mount() {
        assert_eq!(
            USABLE.render(&both(), None, NOW, false).unwrap(),
            "ID                PROVIDER   ACCOUNT   OWNER   READY   REASON      SECRET\n\
             marketing.slack   slack      <none>    bob     False   <none>      <none>\n\
             team-a.github     github     <none>    alice   True    Connected   team-a.github\n"
        );
    }

    #[test]
    fn scripts_get_ids_or_objects() {
        assert_eq!(
            USABLE.render(&both(), Some(Output::Name), NOW, false).unwrap(),
            "marketing.slack\nteam-a.github\n"
        );
        let list: serde_json::Value =
            serde_json::from_str(&USABLE.render(&both(), Some(Output::Json), NOW, false).unwrap()).unwrap();
        assert_eq!(list["items"][1]["secretName"], "team-a.github");
        assert_eq!(list["items"][1]["via"], "Share");
        assert_eq!(list["items"][0]["ready"], false);
    }
}
