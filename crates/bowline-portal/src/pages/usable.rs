//! Use in a workflow: the connections of a namespace, its own and shared ones, with YAML to copy.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Query;
use bowline_api::ConnectionShare;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::names::connection_id;
use kube::ResourceExt;
use serde::Deserialize;

use super::bindings::three_lines;
use crate::access::Permission;
use crate::error::Reply;
use crate::page::{Frame, html};
use crate::subject::is_label;
use crate::view::row::ConnectionRow;
use crate::view::status::chip;
use crate::view::title;
use crate::visit::Visit;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Where {
    namespace: String,
}

/// A connection that the workloads of a namespace can use.
struct UsableConnection {
    row: ConnectionRow,
    from: String,
}

#[derive(Template)]
#[template(path = "usable.html")]
struct UsablePage {
    frame: Frame,
    namespace: String,
    namespaces: Vec<String>,
    rows: Vec<UsableConnection>,
}

/// `GET /use`
pub(crate) async fn page(visit: Visit, Query(Where { mut namespace }): Query<Where>) -> Reply {
    let (connections, shares) = (visit.app.cluster.connections.state(), visit.app.cluster.shares.state());
    let of_connections = connections.iter().filter_map(|connection| connection.namespace());
    let all: BTreeSet<String> =
        of_connections.chain(shares.iter().filter_map(|share| share.namespace())).collect();
    let namespaces = visit.filter(all, |namespace| Permission::connection("list", namespace, "")).await?;
    if namespace.is_empty() {
        namespace = namespaces.first().cloned().unwrap_or_default();
    }
    let known = is_label(&namespace) && namespaces.contains(&namespace);
    let rows = if known { rows(&visit, &namespace) } else { Vec::new() };
    let frame = Frame::of(&visit, "Use in a workflow", "use").await;
    Ok(html(&UsablePage { frame, namespace, namespaces, rows }))
}

fn rows(visit: &Visit, namespace: &str) -> Vec<UsableConnection> {
    let (connections, shares) = (visit.app.cluster.connections.state(), visit.app.cluster.shares.state());
    let own = connections.iter().filter(|it| it.namespace().as_deref() == Some(namespace)).map(|it| {
        let row = ConnectionRow::of(it, visit.card(&it.spec.provider), visit.reader());
        UsableConnection { row, from: "from this namespace".to_owned() }
    });
    let of_others = shares.iter().filter(|it| it.namespace().as_deref() == Some(namespace));
    let mut rows: Vec<UsableConnection> = own.chain(of_others.map(|it| of_share(visit, it))).collect();
    rows.sort_by_key(|usable| usable.row.title.to_lowercase());
    rows
}

fn of_share(visit: &Visit, share: &ConnectionShare) -> UsableConnection {
    let of = &share.spec.connection;
    let status = share.status.clone().unwrap_or_default();
    let published = share.is(ConditionType::Ready);
    let connection = visit.app.cluster.connection(&of.namespace, &of.name);
    let row = ConnectionRow {
        title: connection.map_or_else(|| of.name.clone(), |connection| title(&connection)),
        id: connection_id(&of.namespace, &of.name),
        card: visit.card(&status.provider.unwrap_or_default()),
        chip: if published { chip("good", "✓", "Connected") } else { chip("wait", "○", "Not ready") },
        secret: status.secret_name.filter(|_| published),
        ..ConnectionRow::default()
    };
    let owner = status.shared_by.unwrap_or_default();
    UsableConnection { row, from: format!("shared by {owner} with {}", share.spec.workspace) }
}

/// YAML that sets the entries of a Secret as environment variables.
fn as_environment(secret: &str) -> String {
    format!("envFrom:\n  - secretRef:\n      name: {secret}\n")
}

/// YAML that mounts a Secret. Files are updated with each refresh; environment variables are not. kubelet removes the files of a
/// withdrawn Secret only if it is optional.
fn as_files(secret: &str) -> String {
    format!(
        "volumes:\n  - name: connection\n    secret:\n      secretName: {secret}\n      optional: true\ncontainers:\n  - name: app\n    volumeMounts:\n      - name: connection\n        mountPath: /var/run/connection\n        readOnly: true\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_yaml_and_name_the_secret() {
        for text in [as_environment("team-a.github"), as_files("team-a.github")] {
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            assert!(value.to_string().contains("team-a.github"));
        }
    }
}
