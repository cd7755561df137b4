//! `list --unused`: connections and bindings of which no workload reported a use for a long time.

use std::time::Duration;

use bowline_api::condition::{ConditionType::Ready, Conditioned};
use bowline_api::{ConnectionBinding, IntegrationConnection};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use crate::age::since;
use crate::output::{ListView, Output};
use crate::screen::Screen;
use crate::session::{Namespaced, UserSession};
use crate::table::Cell;

const DAY: u64 = 24 * 60 * 60;

/// `90d`, or a duration as Kubernetes writes it.
pub(super) fn age(text: &str) -> Result<Duration, &'static str> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let parsed = days.map(|days| Duration::from_secs(u64::from(days) * DAY));
    let other = || text.parse::<bowline_api::duration::Duration>().map(bowline_api::duration::Duration::get);
    parsed.or_else(|| other().ok()).ok_or("a time is written like 90d, 12h or 30m")
}

#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct UnusedRow {
    kind: &'static str,
    namespace: String,
    name: String,
    /// The owner of the connection, where it is known.
    owner: Option<String>,
    ready: bool,
    /// When a workload last reported a use; absent if none ever did.
    last_used_at: Option<Time>,
    created_at: Option<Time>,
}

impl UnusedRow {
    /// Whether it was there and not used since `limit`.
    fn rests_since(&self, limit: Timestamp) -> bool {
        [&self.last_used_at, &self.created_at].into_iter().flatten().all(|at| at.0 <= limit)
    }
}

const UNUSED: ListView<UnusedRow> = ListView {
    name: |one| format!("{}.bowline.dev/{}", one.kind.to_lowercase(), one.name),
    usual: &[
        ("NAMESPACE", |one, _| Cell::new(&one.namespace)),
        ("KIND", |one, _| Cell::new(one.kind)),
        ("NAME", |one, _| Cell::new(&one.name)),
        ("OWNER", |one, _| Cell::some(one.owner.as_ref())),
        ("READY", |one, _| Cell::new(if one.ready { "True" } else { "False" })),
        ("LAST USED", |one, now| match &one.last_used_at {
            None => Cell::new("never"),
            used => Cell::new(since(used.as_ref(), now)),
        }),
        ("AGE", |one, now| Cell::new(since(one.created_at.as_ref(), now))),
    ],
    wide: &[],
};

/// Of the user's namespace, or of all.
pub(super) async fn run(
    session: &UserSession,
    everywhere: bool,
    (age, output): (Duration, Option<Output>),
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let now = session.clock.now();
    let limit = now - age;
    let mut rows: Vec<_> =
        all::<IntegrationConnection>(session, everywhere).await?.iter().map(of_connection).collect();
    rows.extend(all::<ConnectionBinding>(session, everywhere).await?.iter().map(of_binding));
    rows.retain(|row| row.rests_since(limit));
    rows.sort_by(|one, other| {
        (&one.namespace, one.kind, &one.name).cmp(&(&other.namespace, other.kind, &other.name))
    });
    let place = if everywhere { String::new() } else { format!(" in namespace {}", session.namespace) };
    UNUSED.show(&rows, output, now, &format!("Nothing is unused for so long{place}."), screen)
}

async fn all<K: Namespaced>(session: &UserSession, everywhere: bool) -> anyhow::Result<Vec<K>> {
    if everywhere {
        return Ok(session.all(&ListParams::default()).await??);
    }
    Ok(session.within(&session.namespace).await??)
}

fn of_connection(connection: &IntegrationConnection) -> UnusedRow {
    UnusedRow {
        kind: "IntegrationConnection",
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.name_any(),
        owner: Some(connection.spec.owner.clone()),
        ready: connection.is_ready(),
        last_used_at: connection.status.as_ref().and_then(|status| status.last_used_at.clone()),
        created_at: connection.creation_timestamp(),
    }
}

fn of_binding(binding: &ConnectionBinding) -> UnusedRow {
    UnusedRow {
        kind: "ConnectionBinding",
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
        owner: binding.pinned().map(|pinned| pinned.owner.clone()),
        ready: binding.is(Ready),
        last_used_at: binding.status.as_ref().and_then(|status| status.last_used_at.clone()),
        created_at: binding.creation_timestamp(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_never_used_counts_from_its_creation() {
        let limit: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let (before, after) = ("2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z");
        for (created, used, rests) in [
            (before, None, true),
            (before, Some(before), true),
            (before, Some(after), false),
            (after, None, false),
        ] {
            let binding: ConnectionBinding = serde_json::from_value(json!({
                "metadata": {"name": "post", "namespace": "jobs", "creationTimestamp": created},
                "spec": {"connection": "team-a.mail"}, "status": {"lastUsedAt": used}}))
            .unwrap();
            assert_eq!(of_binding(&binding).rests_since(limit), rests, "{created} {used:?}");
        }
    }

    #[test]
    fn both_kinds_are_in_one_table() {
        let connection = serde_json::from_value(json!({
            "metadata": {"name": "mail", "namespace": "team-a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"provider": "p", "owner": "alice"}, "status": {"lastUsedAt": "2026-01-11T00:00:00Z"}}))
        .unwrap();
        let binding = serde_json::from_value(json!({
            "metadata": {"name": "post", "namespace": "jobs", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"connection": "team-a.mail"}}))
        .unwrap();
        let now = "2026-05-01T00:00:00Z".parse().unwrap();
        let text =
            UNUSED.render(&[of_connection(&connection), of_binding(&binding)], None, now, false).unwrap();
        assert_eq!(
            text,
            "NAMESPACE   KIND                    NAME   OWNER    READY   LAST USED   AGE\n\
             team-a      IntegrationConnection   mail   alice    False   110d        120d\n\
             jobs        ConnectionBinding       post   <none>   False   never       120d\n"
        );
    }

    #[test]
    fn an_age_is_in_days_or_as_kubernetes_writes_it() {
        for (text, seconds) in [
            ("90d", Some(90 * DAY)),
            ("0d", Some(0)),
            ("12h", Some(DAY / 2)),
            ("-1d", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(age(text).ok().map(|age| age.as_secs()), seconds, "{text}");
        }
    }
}
