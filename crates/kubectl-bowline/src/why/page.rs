//! The answer as text, from objects alone.

use std::fmt::Write as _;

use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::super::age::relative;
use super::super::describe::{About, share_steps, steps};
use super::super::impact::Via;
use super::super::list::condition;
use super::super::table::Cell;
use super::as_id;

/// What is behind a Secret.
pub(super) enum Source {
    /// A connection of the namespace publishes it.
    Own(Box<IntegrationConnection>, About),
    /// A share does; with the connection behind it, if that may be read.
    Shared(Box<ConnectionShare>, Option<Box<(IntegrationConnection, About)>>),
    /// The operator wrote it, but nothing publishes it now.
    Left {
        /// The connection it was written for.
        id: String,
    },
    /// It has nothing to do with Bowline.
    Foreign,
    /// There is no such Secret, and nothing that would publish it.
    Missing,
    /// The user may not look.
    Unknown,
}

/// One Secret that the pod names.
pub(super) struct Finding {
    pub secret: String,
    pub via: Via,
    pub source: Source,
}

/// Everything the answer is made of.
pub(super) struct Page<'a> {
    pub findings: Vec<Finding>,
    pub now: Timestamp,
    pub namespace: &'a str,
    pub pod: &'a Pod,
}

impl Page<'_> {
    pub fn render(&self) -> String {
        let status = self.pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
        let mut text = format!("pod/{} is {phase}\n", self.pod.name_any());
        for container in self.containers() {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            if let Some(waiting) = waiting {
                let reason = waiting.reason.as_deref().unwrap_or("Waiting");
                let message = waiting.message.as_deref().unwrap_or_default();
                let line = Cell::new(format!("container {} waits: {reason} {message}", container.name)).text;
                let _ = writeln!(text, "  {}", line.trim_end());
            }
        }
        let findings = self.findings.iter().map(|finding| self.finding(finding));
        text + &findings.collect::<String>()
    }

    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = self.pod.status.as_ref();
        let usual = status.and_then(|status| status.container_statuses.as_ref());
        let first = status.and_then(|status| status.init_container_statuses.as_ref());
        first.into_iter().chain(usual).flatten()
    }

    fn finding(&self, finding: &Finding) -> String {
        let Finding { secret, via, source } = finding;
        let mut text = format!("\nSecret {secret}, by {via}\n");
        let (line, refreshed) = match source {
            Source::Own(connection, about) => {
                let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
                let refreshed = token.and_then(|token| token.last_refreshed_at.clone());
                (own(connection, about), refreshed)
            }
            Source::Shared(share, behind) => {
                let refreshed = share.status.as_ref().and_then(|status| status.last_refreshed_at.clone());
                (shared(share, behind.as_deref()), refreshed)
            }
            Source::Left { id } => (
                format!(
                    "  was published for connection {}, which does not publish it here any more.\n",
                    Cell::new(id).text
                ),
                None,
            ),
            Source::Foreign => ("  exists, and is not one of Bowline's.\n".to_owned(), None),
            Source::Missing => (self.missing(secret), None),
            Source::Unknown => (
                "  no connection or share here publishes it; whether it exists you may not see.\n".to_owned(),
                None,
            ),
        };
        text.push_str(&line);
        text.push_str(&self.stale(via, refreshed.as_ref()));
        text
    }

    /// Nothing has that name; it may be that of a connection elsewhere.
    fn missing(&self, secret: &str) -> String {
        let mut text = "  does not exist, and no connection or share here would publish it.\n".to_owned();
        if let Some((namespace, name)) = as_id(secret) {
            let _ = writeln!(
                text,
                "  It is the id of connection {name} in namespace {namespace}, if there is one: its owner may share it with a workspace that has namespace {}.\n    kubectl bowline share {name} -n {namespace} --workspace WORKSPACE",
                self.namespace
            );
        }
        text
    }

    /// A variable keeps the value that it had when its container started.
    fn stale(&self, via: &Via, refreshed: Option<&Time>) -> String {
        let Some(refreshed) = refreshed else { return String::new() };
        let mut text = String::new();
        for name in via.variables() {
            let started = self
                .containers()
                .filter(|container| container.name == name)
                .find_map(|container| container.state.as_ref()?.running.as_ref()?.started_at.as_ref());
            if let Some(started) = started.filter(|started| started.0 < refreshed.0) {
                let _ = writeln!(
                    text,
                    "  container {name} still has the token of its start, {}; it was refreshed {}. Variables do not follow: mount the Secret as a volume, or restart the pod.",
                    relative(started, self.now),
                    relative(refreshed, self.now)
                );
            }
        }
        text
    }
}

fn verdict(ready: Option<&Condition>) -> String {
    match ready {
        None => "  the operator has not looked at it yet.\n".to_owned(),
        Some(ready) if ready.status == "True" => "  well: it holds a valid token.\n".to_owned(),
        Some(ready) => Cell::new(format!("  {}: {}", ready.reason, ready.message)).text + "\n",
    }
}

fn own(connection: &IntegrationConnection, about: &About) -> String {
    let id = connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any());
    let owner = Cell::new(&connection.spec.owner).text;
    let ready = condition(connection, "Ready");
    let todo: String = steps(connection, about).iter().map(|step| step.lines("  ")).collect();
    format!("  from connection {id}, owner {owner}\n{}{todo}", verdict(ready))
}

/// The connection's own reason says more than the share's, where it may be read.
fn shared(share: &ConnectionShare, behind: Option<&(IntegrationConnection, About)>) -> String {
    let of = &share.spec.connection;
    let id = connection_id(&of.namespace, &of.name);
    let owner = Cell::new(&share.spec.owner).text;
    let ready = share
        .status
        .as_ref()
        .and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready"));
    let mut text =
        format!("  from connection {id}, owner {owner}, shared by workspace {}\n", share.spec.workspace);
    text.push_str(&verdict(ready));
    if ready.is_none_or(|ready| ready.status == "True") {
        return text;
    }
    let behind = behind.map(|(connection, about)| (connection, steps(connection, about)));
    match behind {
        Some((connection, todo)) if !todo.is_empty() => {
            if let Some(ready) = condition(connection, "Ready").filter(|ready| ready.status != "True") {
                let line = format!("  the connection: {}: {}", ready.reason, ready.message);
                text.push_str(&(Cell::new(line).text + "\n"));
            }
            text.extend(todo.iter().map(|step| step.lines("  ")));
        }
        _ => text.extend(share_steps(share).map(|step| step.lines("  "))),
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ready(status: &str, reason: &str, message: &str) -> Value {
        json!({"type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn connection(conditions: &Value) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "github", "namespace": "team-a", "uid": "u"},
            "spec": {"provider": "github", "owner": "alice"}, "status": {"conditions": conditions,
                "token": {"lastRefreshedAt": "2026-01-01T11:30:00Z"}}}))
        .unwrap()
    }

    fn share(ready: &Value) -> ConnectionShare {
        serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing",
                "provider": "github", "owner": "alice"}, "status": {"conditions": [ready]}}))
        .unwrap()
    }

    fn pod(state: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "mailer"}, "status": {"phase": "Pending",
            "containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state}]}}))
        .unwrap()
    }

    fn told(pod: &Pod, secret: &str, source: Source) -> String {
        let via = Via { env: ["app".to_owned()].into(), ..Via::default() };
        let findings = vec![Finding { secret: secret.into(), via, source }];
        Page { findings, now: "2026-01-01T12:00:00Z".parse().unwrap(), namespace: "jobs", pod }.render()
    }

    #[test]
    fn a_pod_that_waits_is_traced_to_its_connection_and_owner() {
        let waiting = pod(
            &json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"github\" not found"}}),
        );
        let mut authorized = ready("False", "AwaitingAuthorization", "Nobody consented yet.");
        authorized["type"] = json!("Authorized");
        let conditions =
            json!([ready("False", "AwaitingAuthorization", "Nobody consented yet."), authorized]);
        assert_eq!(
            told(&waiting, "github", Source::Own(Box::new(connection(&conditions)), About::default())),
            "pod/mailer is Pending\n\
             \x20 container app waits: CreateContainerConfigError secret \"github\" not found\n\n\
             Secret github, by env\n  from connection team-a.github, owner alice\n\
             \x20 AwaitingAuthorization: Nobody consented yet.\n\
             \x20 the owner (alice): Connect it: sign in at the provider and agree.\n\
             \x20   kubectl bowline connect github -n team-a\n"
        );
    }

    #[test]
    fn behind_a_share_the_connections_reason_is_told_where_it_may_be_read() {
        let broken = ready("False", "ConnectionNotReady", "The connection has no valid token.");
        let idle = pod(&json!({}));
        let hidden = told(&idle, "team-a.github", Source::Shared(Box::new(share(&broken)), None));
        assert!(hidden.contains("from connection team-a.github, owner alice, shared by workspace marketing"));
        assert!(hidden.contains("the owner (alice): Mend the connection behind the share"), "{hidden}");
        let mut authorized = ready("False", "GrantRevoked", "Withdrawn.");
        authorized["type"] = json!("Authorized");
        let behind = connection(&json!([ready("False", "GrantRevoked", "Withdrawn."), authorized]));
        let behind = Some(Box::new((behind, About::default())));
        let open = told(&idle, "team-a.github", Source::Shared(Box::new(share(&broken)), behind));
        assert!(open.contains("the connection: GrantRevoked: Withdrawn."), "{open}");
        assert!(open.contains("the owner (alice): Authorize again."), "{open}");
        assert!(open.contains("kubectl bowline connect github -n team-a"), "{open}");
    }

    #[test]
    fn a_variable_older_than_the_token_is_named() {
        let running = |at: &str| pod(&json!({"running": {"startedAt": at}}));
        let well = || {
            let connection = connection(&json!([ready("True", "Connected", "")]));
            Source::Own(Box::new(connection), About::default())
        };
        let old = told(&running("2026-01-01T11:00:00Z"), "github", well());
        assert!(old.contains("well: it holds a valid token."), "{old}");
        assert!(
            old.contains(
                "container app still has the token of its start, 60m ago; it was refreshed 30m ago."
            )
        );
        let fresh = told(&running("2026-01-01T11:40:00Z"), "github", well());
        assert!(!fresh.contains("still has"), "{fresh}");
    }

    #[test]
    fn what_bowline_does_not_publish_is_told_apart() {
        let idle = pod(&json!({}));
        for (secret, source, words) in [
            ("db", Source::Foreign, "exists, and is not one of Bowline's."),
            ("db", Source::Missing, "does not exist, and no connection or share here would publish it."),
            (
                "team-a.github",
                Source::Missing,
                "kubectl bowline share github -n team-a --workspace WORKSPACE",
            ),
            ("db", Source::Unknown, "whether it exists you may not see."),
            ("x", Source::Left { id: "team-a.github".into() }, "was published for connection team-a.github"),
        ] {
            let text = told(&idle, secret, source);
            assert!(text.contains(words), "{words}\n{text}");
        }
    }
}
