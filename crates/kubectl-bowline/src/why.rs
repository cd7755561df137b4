//! `why`: from a pod to the Secrets it names, to the connections behind them, to who can fix what is wrong.

use std::fmt::Write as _;

use anyhow::bail;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};

use crate::age::relative;
use crate::binding::used;
use crate::exit::Usage;
use crate::impact::{Via, references};
use crate::next::{binding_step, binding_steps, lines, share_step, steps};
use crate::reading::seen;
use crate::related::{ProviderFacts, provider_of};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use crate::table::{Cell, printable};
use bowline_api::condition::{ConditionType::Ready, Conditioned};
use bowline_api::names::{ANNOTATION_CONNECTION, connection_id, connection_of};
use bowline_api::reason::{Reason, quoted};
use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection};

const EXAMPLES: &str = "Examples:
  kubectl bowline why pod/mailer-6c9f
  kubectl bowline why pod/mailer-6c9f -n team-a

Follows each Secret that the pod names in env, envFrom and volumes to its
connection, also by a binding, and where the connection is in another namespace
and shared into this one. Needs the right to get the pod and to list
connections, shares and bindings beside it.";

/// Show why a pod does not get its token, and who can fix that, how
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArgs {
    /// The pod, as pod/NAME
    #[arg(value_name = "pod/NAME")]
    pod: String,
}

impl WhyArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(name) = pod_name(&self.pod) else {
            return Err(Usage("only pods can be explained: pass pod/NAME").into());
        };
        let namespace = &session.namespace;
        let Some(pod) = session.api::<Pod>().get_opt(name).await.map_err(plain)? else {
            bail!("there is no pod {name} in namespace {namespace}; -n chooses another namespace");
        };
        let named = pod.spec.as_ref().map(references).unwrap_or_default();
        if named.is_empty() {
            screen.progress(&format!("pod/{name} names no Secret in env, envFrom or volumes."));
            return Ok(());
        }
        let publishers = Publishers {
            connections: session.within(namespace).await??,
            shares: session.within(namespace).await??,
            bindings: session.within(namespace).await??,
        };
        let mut findings = Vec::new();
        for (secret, via) in named {
            let source = publishers.source(session, &secret).await?;
            findings.push(NamedSecret { secret, via, source });
        }
        let page = PodPage { findings, now: session.clock.now(), namespace, pod: &pod };
        Ok(screen.result(&page.render())?)
    }
}

/// The name of a pod as kubectl takes it; `None` for other kinds.
fn pod_name(text: &str) -> Option<&str> {
    match text.split_once('/') {
        None => Some(text),
        Some(("pod" | "pods" | "po", name)) => Some(name),
        Some(_) => None,
    }
    .filter(|name| !name.is_empty() && !name.contains('/'))
}

struct Publishers {
    connections: Vec<IntegrationConnection>,
    shares: Vec<ConnectionShare>,
    bindings: Vec<ConnectionBinding>,
}

impl Publishers {
    async fn source(&self, session: &UserSession, secret: &str) -> anyhow::Result<SecretSource> {
        if let Some(connection) = self.connections.iter().find(|one| one.secret_name() == secret) {
            let provider = provider_of(session, connection).await?;
            let connection = connection.clone();
            return Ok(SecretSource::Own(Box::new(ConnectionBehind { connection, provider })));
        }
        if let Some(share) = self.shares.iter().find(|share| share.name_any() == secret) {
            let behind = behind(session, share).await?.map(Box::new);
            return Ok(SecretSource::Shared { share: Box::new(share.clone()), behind });
        }
        if let Some(binding) = self.bindings.iter().find(|binding| binding.secret_name() == secret) {
            let behind = bound(session, binding).await?.map(Box::new);
            return Ok(SecretSource::Bound { binding: Box::new(binding.clone()), behind });
        }
        Ok(match seen(session.api::<Secret>().get_metadata_opt(secret).await)? {
            Ok(None) => SecretSource::Missing,
            Ok(Some(found)) => match found.annotations().get(ANNOTATION_CONNECTION) {
                Some(id) => SecretSource::Left { id: id.clone() },
                None => SecretSource::Foreign,
            },
            Err(_) => SecretSource::Unknown,
        })
    }
}

/// The connection behind a share, as far as the user may read it.
async fn behind(session: &UserSession, share: &ConnectionShare) -> anyhow::Result<Option<ConnectionBehind>> {
    let of = &share.spec.connection;
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), &of.namespace);
    let found = seen(connections.get_opt(&of.name).await)?.ok().flatten();
    let Some(connection) = found.filter(|it| it.uid().as_deref() == Some(&of.uid)) else { return Ok(None) };
    let provider = provider_of(session, &connection).await?;
    Ok(Some(ConnectionBehind { connection, provider }))
}

/// The connection that a binding names, as far as the user may read it.
async fn bound(
    session: &UserSession,
    binding: &ConnectionBinding,
) -> anyhow::Result<Option<ConnectionBehind>> {
    let Some((namespace, name)) = connection_of(&binding.spec.connection) else { return Ok(None) };
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), namespace);
    let Some(connection) = seen(connections.get_opt(name).await)?.ok().flatten() else { return Ok(None) };
    let provider = provider_of(session, &connection).await?;
    Ok(Some(ConnectionBehind { connection, provider }))
}

/// The connection that a Secret is from.
struct ConnectionBehind {
    connection: IntegrationConnection,
    provider: ProviderFacts,
}

enum SecretSource {
    /// A connection of the namespace publishes it.
    Own(Box<ConnectionBehind>),
    /// A share does; the connection is there if the user may read it.
    Shared { share: Box<ConnectionShare>, behind: Option<Box<ConnectionBehind>> },
    /// A binding does; the connection is there if the user may read it.
    Bound { binding: Box<ConnectionBinding>, behind: Option<Box<ConnectionBehind>> },
    /// The operator wrote it for this connection, but nothing publishes it now.
    Left { id: String },
    /// It has nothing to do with Bowline.
    Foreign,
    /// There is no such Secret, and nothing that would publish it.
    Missing,
    /// The user may not read it.
    Unknown,
}

struct NamedSecret {
    secret: String,
    via: Via,
    source: SecretSource,
}

struct PodPage<'a> {
    findings: Vec<NamedSecret>,
    now: Timestamp,
    namespace: &'a str,
    pod: &'a Pod,
}

impl PodPage<'_> {
    fn render(&self) -> String {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let mut text = format!("pod/{} is {}\n", self.pod.name_any(), phase.unwrap_or("Unknown"));
        for container in self.containers() {
            if let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) {
                let reason = waiting.reason.as_deref().unwrap_or("Waiting");
                let message = waiting.message.as_deref().unwrap_or_default();
                let line = printable(format!("container {} waits: {reason} {message}", container.name));
                let _ = writeln!(text, "  {}", line.trim_end());
            }
        }
        text.extend(self.findings.iter().map(|finding| self.finding(finding)));
        text
    }

    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = self.pod.status.iter();
        status
            .flat_map(|status| [&status.init_container_statuses, &status.container_statuses])
            .flatten()
            .flatten()
    }

    fn finding(&self, NamedSecret { secret, via, source }: &NamedSecret) -> String {
        let text = match source {
            SecretSource::Own(behind) => own(behind),
            SecretSource::Shared { share, behind } => shared(share, behind.as_deref()),
            SecretSource::Bound { binding, behind } => {
                by_binding(binding, behind.as_deref()) + &last_use(binding, self.now)
            }
            SecretSource::Left { id } => format!(
                "  was published for connection {}, which no longer publishes it here.\n",
                printable(id)
            ),
            SecretSource::Foreign => "  exists, and is not one of Bowline's.\n".to_owned(),
            SecretSource::Missing => self.missing(secret),
            SecretSource::Unknown => {
                "  no connection, share or binding here publishes it; you may not see whether it exists.\n"
                    .to_owned()
            }
        };
        let refreshed = match source {
            SecretSource::Own(behind) | SecretSource::Bound { behind: Some(behind), .. } => {
                behind.connection.token().and_then(|token| token.last_refreshed_at.as_ref())
            }
            SecretSource::Shared { share, .. } => {
                share.status.as_ref().and_then(|status| status.last_refreshed_at.as_ref())
            }
            _ => None,
        };
        let kept = refreshed.map(|refreshed| self.kept(via, refreshed)).unwrap_or_default();
        format!("\nSecret {}, by {via}\n{text}{kept}", printable(secret))
    }

    /// Nothing has that name; it may be the name of a connection in another namespace.
    fn missing(&self, secret: &str) -> String {
        let mut text =
            "  does not exist, and no connection, share or binding here would publish it.\n".to_owned();
        if let Some((namespace, name)) = as_id(secret) {
            let _ = writeln!(
                text,
                "  It would be the id of connection {name} in namespace {namespace}: its owner may share it with a workspace that has namespace {}.\n    kubectl bowline share {} -n {} --workspace WORKSPACE",
                self.namespace,
                quoted(name),
                quoted(namespace)
            );
        }
        text
    }

    /// A variable, and a file mounted by `subPath`, keep what they had when their container started.
    fn kept(&self, via: &Via, refreshed: &Time) -> String {
        let mut text = String::new();
        for name in via.fixed() {
            let started = self
                .containers()
                .filter(|container| container.name == name)
                .find_map(|container| container.state.as_ref()?.running.as_ref()?.started_at.as_ref());
            let Some(started) = started else { continue };
            let kept = if started.0 < refreshed.0 {
                format!(
                    "still has the token from its start, {}; it was refreshed {}",
                    relative(started, self.now),
                    relative(refreshed, self.now)
                )
            } else {
                "keeps the token that was there when it started".to_owned()
            };
            let _ = writeln!(
                text,
                "  container {name} {kept}. Variables and subPath do not follow: mount the whole Secret as a volume, or restart the pod after each refresh."
            );
        }
        text
    }
}

/// The connection that a Secret's name would refer to if it were shared: `<namespace>.<name>`.
fn as_id(secret: &str) -> Option<(&str, &str)> {
    let (namespace, name) = connection_of(secret)?;
    (!name.contains('.') && !name.is_empty() && !namespace.is_empty()).then_some((namespace, name))
}

/// One line: whether it works, or why not.
fn state(ready: Option<&Condition>) -> String {
    match ready {
        None => "  the operator has not looked at it yet.\n".to_owned(),
        Some(ready) if ready.status == "True" => "  works: it holds a valid token.\n".to_owned(),
        Some(ready) => printable(format!("  {}: {}", ready.reason, ready.message)) + "\n",
    }
}

fn own(ConnectionBehind { connection, provider }: &ConnectionBehind) -> String {
    let owner = printable(&connection.spec.owner);
    let (state, next) = (state(connection.condition(Ready)), lines(&steps(connection, provider)));
    format!("  from connection {}, owner {owner}\n{state}{next}", connection.id())
}

/// The connection's own reason says more than the share's, where it may be read.
fn shared(share: &ConnectionShare, behind: Option<&ConnectionBehind>) -> String {
    let of = &share.spec.connection;
    let owner = share.status.as_ref().and_then(|status| status.shared_by.as_deref());
    let mut text = format!(
        "  from connection {}, owner {}, shared by workspace {}\n{}",
        connection_id(&of.namespace, &of.name),
        Cell::some(owner).text,
        share.spec.workspace,
        state(share.condition(Ready))
    );
    if share.condition(Ready).is_none() || share.is(Ready) {
        return text;
    }
    let next = behind.map(|it| steps(&it.connection, &it.provider)).unwrap_or_default();
    if next.is_empty() {
        return text + &lines(share_step(share).as_slice());
    }
    text += &behind.map(|it| failing(&it.connection)).unwrap_or_default();
    text + &lines(&next)
}

/// Whether it is the binding that has to be changed, or the connection behind it.
fn by_binding(binding: &ConnectionBinding, behind: Option<&ConnectionBehind>) -> String {
    let owner = behind.map(|it| it.connection.spec.owner.as_str());
    let whose = printable(format!(
        "  from binding {} of connection {}, owner {}",
        binding.name_any(),
        binding.spec.connection,
        Cell::some(owner).text
    ));
    let text = format!("{whose}\n{}", state(binding.condition(Ready)));
    if binding.condition(Ready).is_none() || binding.is(Ready) {
        return text;
    }
    let waits = binding.reason_of(Ready) == Some(Reason::ConnectionNotReady);
    let Some(ConnectionBehind { connection, provider }) = behind.filter(|_| waits) else {
        return text + &lines(binding_step(binding).as_slice());
    };
    text + &failing(connection) + &lines(&steps(connection, provider))
}

/// What its workload reported last, and what to do about a failure.
fn last_use(binding: &ConnectionBinding, now: Timestamp) -> String {
    let Some(used) = used(binding, now) else { return String::new() };
    let steps = if binding.is(Ready) { lines(&binding_steps(binding)) } else { String::new() };
    printable(format!("  last used {used}")) + "\n" + &steps
}

/// What the connection says about itself, if it does not work.
fn failing(connection: &IntegrationConnection) -> String {
    let ready = connection.condition(Ready).filter(|_| !connection.is_ready());
    let line = |ready: &Condition| {
        printable(format!("  the connection: {}: {}", ready.reason, ready.message)) + "\n"
    };
    ready.map(line).unwrap_or_default()
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

    fn behind(conditions: &Value) -> Box<ConnectionBehind> {
        let provider = ProviderFacts::default();
        Box::new(ConnectionBehind { connection: connection(conditions), provider })
    }

    fn share(ready: &Value) -> ConnectionShare {
        serde_json::from_value(json!({"metadata": {"name": "team-a.github", "namespace": "jobs"},
            "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u"}, "workspace": "marketing"},
            "status": {"sharedBy": "alice", "conditions": [ready]}}))
        .unwrap()
    }

    fn pod(state: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "mailer"}, "status": {"phase": "Pending",
            "containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": state}]}}))
        .unwrap()
    }

    fn told(pod: &Pod, secret: &str, source: SecretSource) -> String {
        let via = Via { env: ["app".to_owned()].into(), ..Via::default() };
        let findings = vec![NamedSecret { secret: secret.into(), via, source }];
        PodPage { findings, now: "2026-01-01T12:00:00Z".parse().unwrap(), namespace: "jobs", pod }.render()
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
            told(&waiting, "github", SecretSource::Own(behind(&conditions))),
            "pod/mailer is Pending\n\
             \x20 container app waits: CreateContainerConfigError secret \"github\" not found\n\n\
             Secret github, by env\n  from connection team-a.github, owner alice\n\
             \x20 AwaitingAuthorization: Nobody consented yet.\n\
             \x20 the owner (alice): Connect: sign in at the provider and allow access.\n\
             \x20   kubectl bowline connect github -n team-a\n"
        );
    }

    #[test]
    fn behind_a_share_the_connections_reason_is_told_where_it_may_be_read() {
        let broken = ready("False", "ConnectionNotReady", "The connection has no valid token.");
        let idle = pod(&json!({}));
        let by_share = |behind| SecretSource::Shared { share: Box::new(share(&broken)), behind };
        let hidden = told(&idle, "team-a.github", by_share(None));
        assert!(hidden.contains("from connection team-a.github, owner alice, shared by workspace marketing"));
        assert!(
            hidden.contains("the owner (alice): Fix the connection; then its Secret here follows"),
            "{hidden}"
        );
        let mut authorized = ready("False", "GrantRevoked", "Withdrawn.");
        authorized["type"] = json!("Authorized");
        let revoked = behind(&json!([ready("False", "GrantRevoked", "Withdrawn."), authorized]));
        let open = told(&idle, "team-a.github", by_share(Some(revoked)));
        assert!(open.contains("the connection: GrantRevoked: Withdrawn."), "{open}");
        assert!(open.contains("the owner (alice): Connect again."), "{open}");
        assert!(open.contains("kubectl bowline connect github -n team-a"), "{open}");
    }

    #[test]
    fn a_variable_older_than_the_token_is_named() {
        let running = |at: &str| pod(&json!({"running": {"startedAt": at}}));
        let well = || SecretSource::Own(behind(&json!([ready("True", "Connected", "")])));
        let old = told(&running("2026-01-01T11:00:00Z"), "github", well());
        assert!(old.contains("works: it holds a valid token."), "{old}");
        assert!(old.contains(
            "container app still has the token from its start, 60m ago; it was refreshed 30m ago."
        ));
        let fresh = told(&running("2026-01-01T11:40:00Z"), "github", well());
        assert!(!fresh.contains("still has"), "{fresh}");
    }

    #[test]
    fn what_bowline_does_not_publish_is_told_apart() {
        let idle = pod(&json!({}));
        for (secret, source, words) in [
            ("db", SecretSource::Foreign, "exists, and is not one of Bowline's."),
            (
                "db",
                SecretSource::Missing,
                "does not exist, and no connection, share or binding here would publish it.",
            ),
            (
                "team-a.github",
                SecretSource::Missing,
                "kubectl bowline share github -n team-a --workspace WORKSPACE",
            ),
            ("db", SecretSource::Unknown, "you may not see whether it exists."),
            (
                "x",
                SecretSource::Left { id: "team-a.github".into() },
                "was published for connection team-a.github",
            ),
        ] {
            let text = told(&idle, secret, source);
            assert!(text.contains(words), "{words}\n{text}");
        }
    }

    #[test]
    fn a_bound_secret_is_traced_through_its_binding() {
        let binding = |reason: &str| {
            serde_json::from_value(json!({"metadata": {"name": "post", "namespace": "jobs"},
                "spec": {"connection": "team-a.github"},
                "status": {"conditions": [ready("False", reason, "It is so.")], "pinned": {"uid": "u", "owner": "alice"}}}))
            .map(Box::new)
            .unwrap()
        };
        let mut authorized = ready("False", "GrantRevoked", "Revoked there.");
        authorized["type"] = json!("Authorized");
        let revoked = json!([ready("False", "GrantRevoked", "Revoked there."), authorized]);
        let source =
            |reason: &str| SecretSource::Bound { binding: binding(reason), behind: Some(behind(&revoked)) };
        let running = pod(&json!({}));
        let text = told(&running, "post", source("ConnectionNotReady"));
        for line in [
            "from binding post of connection team-a.github, owner alice",
            "the connection: GrantRevoked: Revoked there.",
            "the owner (alice): Connect again.",
            "kubectl bowline connect github -n team-a",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let text = told(&running, "post", source("ConfigInvalid"));
        assert!(text.contains("kubectl edit cb post -n jobs") && !text.contains("the connection:"), "{text}");
        let hidden = SecretSource::Bound { binding: binding("ShareWithdrawn"), behind: None };
        let text = told(&running, "post", hidden);
        assert!(text.contains("owner <none>") && text.contains("list --usable -n jobs"), "{text}");
    }

    #[test]
    fn only_a_name_of_two_parts_may_be_a_share() {
        assert_eq!(as_id("team-a.github"), Some(("team-a", "github")));
        assert_eq!(as_id("github"), None);
        assert_eq!(as_id("a.b.c"), None);
        assert_eq!(as_id(".b"), None);
    }

    #[test]
    fn a_pod_is_named_as_kubectl_names_it() {
        for (text, name) in [
            ("pod/mailer", Some("mailer")),
            ("po/mailer", Some("mailer")),
            ("mailer", Some("mailer")),
            ("deployment/mailer", None),
            ("pod/", None),
            ("pod/a/b", None),
        ] {
            assert_eq!(pod_name(text), name, "{text}");
        }
    }
}
