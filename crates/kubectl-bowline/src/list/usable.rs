//! `list --usable`: what pods of a namespace may use, and which Secret to mount for it.

use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::super::output::{Output, json, list_of, yaml};
use super::super::screen::{Paint, Screen};
use super::super::session::{Session, plain};
use super::super::table::{Cell, Table};
use super::rows;

/// One thing that can be used in a namespace.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Usable {
    id: String,
    provider: String,
    account: Option<String>,
    owner: String,
    via: Via,
    ready: bool,
    reason: Option<String>,
    /// The Secret to mount; absent while nothing is published.
    secret_name: Option<String>,
    expires_at: Option<Time>,
}

/// Why it is usable.
#[derive(Serialize, Debug, PartialEq)]
enum Via {
    /// It is a connection of the namespace.
    Own,
    /// Somebody shared it with a workspace that has the namespace.
    Share,
}

pub(super) async fn run(
    session: &Session,
    output: Option<Output>,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let every = ListParams::default();
    let own: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &session.namespace);
    let shares: Api<ConnectionShare> = Api::namespaced(session.client.clone(), &session.namespace);
    let own = own.list(&every).await.map_err(plain)?;
    let shares = shares.list(&every).await.map_err(plain)?;
    let usable: Vec<_> =
        own.items.iter().map(of_connection).chain(shares.items.iter().map(of_share)).collect();
    if usable.is_empty() && !output.is_some_and(Output::is_objects) {
        screen.progress(&format!("Nothing can be used in namespace {}.", session.namespace));
        return Ok(());
    }
    Ok(screen.result(&render(&usable, output, screen.colours())?)?)
}

fn render(usable: &[Usable], output: Option<Output>, colours: bool) -> anyhow::Result<String> {
    match output {
        Some(Output::Json) => json(&list_of(usable)),
        Some(Output::Yaml) => yaml(&list_of(usable)),
        Some(Output::Name) => Ok(usable.iter().flat_map(|one| [one.id.as_str(), "\n"]).collect()),
        None | Some(Output::Wide) => {
            let wide = output.is_some();
            let mut heading = vec!["ID", "PROVIDER", "ACCOUNT", "OWNER", "READY", "REASON", "SECRET"];
            if wide {
                heading.extend(["VIA", "EXPIRES"]);
            }
            let rows: Vec<_> = usable.iter().map(|one| row(one, wide)).collect();
            Ok(Table::fit(&heading, &rows, colours).1)
        }
    }
}

fn row(one: &Usable, wide: bool) -> Vec<Cell> {
    let (word, paint) = if one.ready { ("True", Paint::Good) } else { ("False", Paint::Bad) };
    let mut row = vec![
        Cell::new(&one.id),
        Cell::new(&one.provider),
        Cell::new(one.account.clone().unwrap_or_default()),
        Cell::new(&one.owner),
        Cell::new(word).painted(Some(paint)),
        Cell::new(one.reason.clone().unwrap_or_default()),
        Cell::new(one.secret_name.clone().unwrap_or_default()),
    ];
    if wide {
        row.push(Cell::new(format!("{:?}", one.via)));
        row.push(Cell::new(one.expires_at.as_ref().map(|time| time.0.to_string()).unwrap_or_default()));
    }
    row
}

fn of_connection(connection: &IntegrationConnection) -> Usable {
    let status = connection.status.as_ref();
    let ready = rows::condition(connection, "Ready");
    Usable {
        id: connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any()),
        provider: connection.spec.provider.clone(),
        account: status.and_then(|status| status.account.as_ref()).map(rows::account_word),
        owner: connection.spec.owner.clone(),
        via: Via::Own,
        ready: ready.is_some_and(|condition| condition.status == "True"),
        reason: ready.map(|condition| condition.reason.clone()),
        secret_name: status.and_then(|status| status.secret.as_ref()).map(|secret| secret.name.clone()),
        expires_at: status
            .and_then(|status| status.token.as_ref())
            .and_then(|token| token.expires_at.clone()),
    }
}

fn of_share(share: &ConnectionShare) -> Usable {
    let status = share.status.as_ref();
    let ready: Option<&Condition> =
        status.and_then(|status| status.conditions.iter().find(|c| c.type_ == "Ready"));
    Usable {
        id: connection_id(&share.spec.connection.namespace, &share.spec.connection.name),
        provider: share.spec.provider.clone(),
        account: status.and_then(|status| status.account.as_ref()).map(rows::account_word),
        owner: share.spec.owner.clone(),
        via: Via::Share,
        ready: ready.is_some_and(|condition| condition.status == "True"),
        reason: ready.map(|condition| condition.reason.clone()),
        secret_name: status.and_then(|status| status.secret_name.clone()),
        expires_at: status.and_then(|status| status.expires_at.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both() -> Vec<Usable> {
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
                "workspace": "marketing", "provider": "github", "owner": "alice",
            },
            "status": {"secretName": "team-a.github", "expiresAt": "2026-01-01T02:00:00Z", "conditions": [ready]},
        }))
        .unwrap();
        vec![of_connection(&own), of_share(&share)]
    }

    #[test]
    fn own_connections_and_shares_stand_in_one_table_with_the_secret_to_mount() {
        assert_eq!(
            render(&both(), None, false).unwrap(),
            "ID                PROVIDER   ACCOUNT   OWNER   READY   REASON      SECRET\n\
             marketing.slack   slack      <none>    bob     False   <none>      <none>\n\
             team-a.github     github     <none>    alice   True    Connected   team-a.github\n"
        );
    }

    #[test]
    fn scripts_get_ids_or_objects() {
        assert_eq!(render(&both(), Some(Output::Name), false).unwrap(), "marketing.slack\nteam-a.github\n");
        let list: serde_json::Value =
            serde_json::from_str(&render(&both(), Some(Output::Json), false).unwrap()).unwrap();
        assert_eq!(list["items"][1]["secretName"], "team-a.github");
        assert_eq!(list["items"][1]["via"], "Share");
        assert_eq!(list["items"][0]["ready"], false);
    }
}
