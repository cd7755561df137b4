//! Bindings: which there are, whether they work, and who fixes what is wrong.

use anyhow::bail;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::age::{relative, since};
use crate::next::{binding_steps, lines as step_lines};
use crate::output::ListView;
use crate::reading::Readable;
use crate::session::{UserSession, plain};
use crate::table::{Cell, lines, printable};
use bowline_api::condition::ConditionType::{Delivered, Ready};
use bowline_api::condition::Conditioned;
use bowline_api::delivery::LastDelivery;
use bowline_api::reason::Reason;
use bowline_api::{ConnectionBinding, IntegrationConnection};

/// The bindings of a connection, as far as the user may list them.
pub(crate) struct BindingsSeen {
    pub(crate) bindings: Vec<ConnectionBinding>,
    /// Whether only those of the connection's own namespace were looked at.
    pub(crate) is_partial: bool,
}

pub(crate) async fn bindings_of(
    session: &UserSession,
    connection: &IntegrationConnection,
) -> anyhow::Result<BindingsSeen> {
    let id = connection.id();
    let everywhere = ListParams::default().fields(&format!("spec.connection={id}"));
    let all: Readable<Vec<ConnectionBinding>> = session.all(&everywhere).await?;
    if let Ok(bindings) = all {
        return Ok(BindingsSeen { bindings, is_partial: false });
    }
    let here = connection.namespace().unwrap_or_default();
    let own: Readable<Vec<ConnectionBinding>> = session.within(&here).await?;
    let mut bindings = own.unwrap_or_default();
    bindings.retain(|binding| binding.spec.connection == id);
    Ok(BindingsSeen { bindings, is_partial: true })
}

impl BindingsSeen {
    /// A line each, with what to do about those that do not work; empty if there are none.
    pub(crate) fn render(&self, now: Timestamp) -> String {
        let mut text: String = self.bindings.iter().map(|binding| entry(binding, now)).collect();
        if self.is_partial {
            text += "  You may not list bindings in all namespaces: there may be more.\n";
        }
        text
    }
}

fn entry(binding: &ConnectionBinding, now: Timestamp) -> String {
    let workload = workload(binding).map(|workload| format!(" ({workload})")).unwrap_or_default();
    let place = format!("{}/{}{workload}", binding.namespace().unwrap_or_default(), binding.name_any());
    let used = used(binding, now).map(|used| printable(format!("    last used {used}")) + "\n");
    let step = indented(&step_lines(&binding_steps(binding)));
    printable(format!("  {place}: {}", state(binding))) + "\n" + &used.unwrap_or_default() + &step
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "  " + line + "\n")
}

/// Whether it works, or why not.
pub(crate) fn state(binding: &ConnectionBinding) -> String {
    match binding.condition(Ready) {
        None => "the operator has not looked at it yet".to_owned(),
        Some(ready) if ready.status == "True" => "works: its Secret holds a valid token".to_owned(),
        Some(ready) => format!("{}: {}", ready.reason, ready.message),
    }
}

/// When its workload last reported a use, and what became of it; `None` if it never did.
pub(crate) fn used(binding: &ConnectionBinding, now: Timestamp) -> Option<String> {
    let said = binding.condition(Delivered)?;
    let last = binding.last_delivery().map(|last| format!("{}, {}", relative(&last.at, now), last.summary()));
    let is_read = binding.reason_of(Delivered) != Some(Reason::DeliveryUnreadable);
    if is_read && last.is_some() {
        let failed = binding.last_delivery().is_some_and(LastDelivery::has_failed);
        return last.map(|last| if failed { format!("{last}: {}", said.reason) } else { last });
    }
    Some(format!("{}: {}", said.reason, said.message))
}

fn workload(binding: &ConnectionBinding) -> Option<String> {
    binding.spec.workload.as_ref().map(|workload| format!("{} {}", workload.kind, workload.name))
}

/// The name in `binding/NAME`; `None` for the name of a connection.
pub(crate) fn named(text: &str) -> Option<&str> {
    let (kind, name) = text.split_once('/')?;
    let is_binding = matches!(kind, "binding" | "connectionbinding" | "connectionbindings" | "cb");
    Some(name).filter(|name| is_binding && !name.is_empty() && !name.contains('/'))
}

/// What a binding is, why it is so, and what to do next.
pub(crate) async fn describe(session: &UserSession, name: &str) -> anyhow::Result<String> {
    let found = session.api::<ConnectionBinding>().get_opt(name).await.map_err(plain)?;
    let Some(binding) = found else {
        let namespace = &session.namespace;
        bail!("there is no binding {name} in namespace {namespace}; -n chooses another namespace");
    };
    Ok(page(&binding, session.clock.now()))
}

fn page(binding: &ConnectionBinding, now: Timestamp) -> String {
    let status = binding.status.clone().unwrap_or_default();
    let pinned = status.pinned.as_ref();
    let account = pinned.and_then(|pinned| pinned.account_id.clone());
    let config = &status.effective_config;
    let step = step_lines(&binding_steps(binding));
    let facts = lines([
        ("Binding", Some(format!("{}/{}", binding.namespace().unwrap_or_default(), binding.name_any()))),
        ("Connection", Some(binding.spec.connection.clone())),
        ("Owner", pinned.map(|pinned| pinned.owner.clone())),
        ("Account", account),
        ("Workload", workload(binding)),
        ("Secret", status.secret_name.clone()),
        ("Settings", (!config.is_empty()).then(|| serde_json::to_string(config).unwrap_or_default())),
        ("Bound", status.bound_at.as_ref().map(|at| relative(at, now))),
        ("Status", status.phase.as_ref().map(ToString::to_string)),
        ("Why", Some(state(binding))),
        ("Last used", used(binding, now)),
    ]);

    let next = if step.is_empty() { "  Nothing: all is as it should be.\n".to_owned() } else { step };
    let next = if binding.condition(Ready).is_some_and(|ready| ready.status != "True") || binding.is(Ready) {
        next
    } else {
        "  the platform team: See whether the operator runs.\n    kubectl get pods -A -l app.kubernetes.io/name=bowline\n"
            .to_owned()
    };
    format!("{facts}\nWhat to do next\n{next}")
}

/// `list --bindings`. The first column is shown only for several namespaces.
pub(crate) fn view(of_all_namespaces: bool) -> ListView<ConnectionBinding> {
    let usual = if of_all_namespaces { COLUMNS } else { &COLUMNS[1..] };
    ListView {
        name: |binding| format!("connectionbinding.bowline.dev/{}", binding.name_any()),
        usual,
        wide: WIDE,
    }
}

/// The columns of the definition, in its order.
const COLUMNS: &[crate::output::Column<ConnectionBinding>] = &[
    ("NAMESPACE", |it, _| Cell::some(it.namespace())),
    ("NAME", |it, _| Cell::new(it.name_any())),
    ("CONNECTION", |it, _| Cell::new(&it.spec.connection)),
    ("WORKLOAD", |it, _| Cell::some(it.spec.workload.as_ref().map(|workload| &workload.name))),
    ("READY", |it, _| Cell::some(it.condition(Ready).map(|ready| &ready.status))),
    ("STATUS", |it, _| {
        let phase = it.status.as_ref().and_then(|status| status.phase.as_ref());
        Cell::some(phase.map(ToString::to_string))
    }),
    ("REASON", |it, _| Cell::some(it.condition(Ready).map(|ready| &ready.reason))),
    ("SECRET", |it, _| Cell::some(it.status.as_ref().and_then(|status| status.secret_name.as_ref()))),
    ("AGE", |it, now| Cell::new(since(it.metadata.creation_timestamp.as_ref(), now))),
];

const WIDE: &[crate::output::Column<ConnectionBinding>] = &[("LAST USED", |it, now| {
    Cell::new(since(it.status.as_ref().and_then(|status| status.last_used_at.as_ref()), now))
})];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::CustomResourceExt;
    use serde_json::{Value, json};

    use super::*;

    fn binding(reason: &str, status: &str) -> ConnectionBinding {
        let ready = json!({"type": "Ready", "status": status, "reason": reason, "message": "It is so.",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        of(&json!({"phase": "Pending", "secretName": "post", "conditions": [ready],
            "effectiveConfig": {"channel": "#x"}, "boundAt": "2026-01-01T00:00:00Z",
            "pinned": {"uid": "u", "owner": "alice"}}))
    }

    fn of(status: &Value) -> ConnectionBinding {
        serde_json::from_value(json!({"metadata": {"name": "post", "namespace": "jobs"},
            "spec": {"connection": "team-a.mail", "workload": {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly"}},
            "status": status}))
        .unwrap()
    }

    #[test]
    fn the_columns_are_those_of_the_definition() {
        let version = ConnectionBinding::crd().spec.versions.remove(0);
        let defined = version.additional_printer_columns.unwrap();
        for (columns, priority) in [(&COLUMNS[2..], 0), (WIDE, 1)] {
            let titles: Vec<_> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
            let defined = defined.iter().filter(|column| column.priority.unwrap_or(0) == priority);
            assert_eq!(titles, defined.map(|column| column.name.to_uppercase()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_page_says_what_it_is_and_who_fixes_it() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let text = page(&binding("ConfigInvalid", "False"), now);
        for line in [
            "Binding:        jobs/post",
            "Connection:     team-a.mail",
            "Owner:          alice",
            "Workload:       CronJob nightly",
            r##"Settings:       {"channel":"#x"}"##,
            "Why:            ConfigInvalid: It is so.",
            "  whoever maintains the object: Change spec.config.",
            "    kubectl edit cb post -n jobs",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let well = page(&binding("Bound", "True"), now);
        assert!(well.contains("works") && well.contains("Nothing: all is as it should be."), "{well}");
        let unseen = page(&of(&json!({})), now);
        assert!(unseen.contains("See whether the operator runs"), "{unseen}");
    }

    #[test]
    fn the_bindings_of_a_connection_are_listed_with_what_helps() {
        let bindings = vec![binding("Bound", "True"), binding("ConnectionNotReady", "False")];
        let text = BindingsSeen { bindings, is_partial: true }.render(Timestamp::UNIX_EPOCH);
        assert_eq!(
            text,
            "  jobs/post (CronJob nightly): works: its Secret holds a valid token\n\
             \x20 jobs/post (CronJob nightly): ConnectionNotReady: It is so.\n\
             \x20   the owner (alice): Fix the connection; then its Secret here follows by itself.\n\
             \x20     kubectl bowline describe mail -n team-a\n\
             \x20 You may not list bindings in all namespaces: there may be more.\n"
        );
    }

    #[test]
    fn what_the_workload_reported_is_told_with_what_to_do_about_a_failure() {
        let reported = |code: i32, reason: &str, status: &str| {
            let condition = |type_: &str, reason: &str, status: &str| {
                json!({"type": type_, "status": status, "reason": reason, "message": "It is so.",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"})
            };
            let conditions = [condition("Ready", "Bound", "True"), condition("Delivered", reason, status)];
            of(&json!({"conditions": conditions, "lastUsedAt": "2026-01-01T00:00:00Z",
                "lastDelivery": {"at": "2026-01-01T00:00:00Z", "code": code, "item": "post-7\u{1b}"}}))
        };
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let failed = page(&reported(404, "DeliveryFailing", "False"), now);
        for line in [
            "Why:            works: its Secret holds a valid token",
            "Last used:      60m ago, code 404, item \"post-7\u{fffd}\": DeliveryFailing",
            "    kubectl get pods -n jobs",
        ] {
            assert!(failed.lines().any(|it| it == line), "{line}\n{failed}");
        }
        let well = page(&reported(200, "Delivered", "True"), now);
        assert!(well.contains("code 200") && well.contains("Nothing: all is as it should be."), "{well}");
        let unread = page(&reported(200, "DeliveryUnreadable", "Unknown"), now);
        assert!(unread.contains("Last used:      DeliveryUnreadable: It is so."), "{unread}");
        assert!(unread.contains("kubectl edit cb post -n jobs"), "{unread}");
    }

    #[test]
    fn a_binding_is_named_as_kubectl_names_it() {
        for (text, name) in [("binding/x", Some("x")), ("cb/x", Some("x")), ("x", None), ("pod/x", None)] {
            assert_eq!(named(text), name, "{text}");
        }
    }
}
