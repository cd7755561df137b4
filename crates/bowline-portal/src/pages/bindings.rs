//! Who uses a connection: its bindings, as far as the reader may list them, and what to copy to add one.

use bowline_api::ConnectionBinding;
use bowline_api::binding::BindingPhase;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::names::connection_id;
use bowline_api::open::Open;
use bowline_api::reason::{Fixer, Reason, Remedy};
use kube::ResourceExt;

use crate::error::PageError;
use crate::subject::Subject;
use crate::view::foreign;
use crate::view::status::{Chip, chip};
use crate::view::words::{Moment, Reader};
use crate::visit::bindings_readable;

/// More than a person reads. `kubectl get cb` has them all.
const SHOWN: usize = 100;

/// Bindings of a connection.
pub(crate) struct BindingList {
    pub(crate) rows: Vec<BindingRow>,
    /// How many the reader may see beyond these.
    pub(crate) more: usize,
    /// Whether there are some in namespaces whose bindings the reader may not list. Not how many.
    pub(crate) are_hidden: bool,
}

pub(crate) struct BindingRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) workload: Option<String>,
    pub(crate) chip: Chip,
    /// Why it is not bound, in the operator's words; empty if it is.
    pub(crate) why: String,
    pub(crate) fixer: Option<String>,
    /// When its workload last reported a use, and what became of it.
    pub(crate) used: Option<(Moment, String)>,
    /// What is wrong with what it reports, in the operator's words.
    pub(crate) failing: Option<String>,
    /// Whether it holds the token.
    pub(crate) is_bound: bool,
}

/// The bindings of the connection.
pub(super) async fn of(subject: &Subject) -> Result<BindingList, PageError> {
    let visit = &subject.visit;
    let mut all = visit.app.cluster.bindings_of(&connection_id(&subject.namespace, &subject.name));
    let readable = bindings_readable(&visit.app, &visit.session, &subject.connection).await?;
    let count = all.len();
    all.retain(|binding| binding.namespace().is_some_and(|namespace| readable.contains(&namespace)));
    let are_hidden = all.len() < count;
    all.sort_by_key(|binding| (binding.namespace(), binding.name_any()));
    let owner = &subject.connection.spec.owner;
    Ok(BindingList {
        rows: all.iter().take(SHOWN).map(|binding| row(binding, owner, visit.reader())).collect(),
        more: all.len().saturating_sub(SHOWN),
        are_hidden,
    })
}

fn row(binding: &ConnectionBinding, owner: &str, reader: Reader<'_>) -> BindingRow {
    let ready = binding.condition(ConditionType::Ready).filter(|ready| ready.status != "True");
    let failing = binding.condition(ConditionType::Delivered).filter(|told| told.status != "True");
    let workload = binding.spec.workload.as_ref();
    BindingRow {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
        workload: workload.map(|workload| foreign(&format!("{} {}", workload.kind, workload.name))),
        chip: chip_of(binding),
        why: ready.map(|ready| reader.sentence(&ready.message, owner)).unwrap_or_default(),
        used: binding
            .last_delivery()
            .map(|last| (Moment::new(last.at.0, reader.now), foreign(&last.summary()))),
        failing: failing.map(|told| reader.sentence(&told.message, owner)),
        is_bound: binding.depends_on().is_some(),
        fixer: ready.and_then(|ready| Reason::parse(&ready.reason)).and_then(|it| fixer(it, owner, reader)),
    }
}

fn chip_of(binding: &ConnectionBinding) -> Chip {
    match binding.status.as_ref().and_then(|status| status.phase.as_ref()) {
        None => chip("wait", "○", "Just made"),
        Some(Open::Known(BindingPhase::Bound)) => chip("good", "✓", "Bound"),
        Some(Open::Known(BindingPhase::Pending)) => chip("wait", "○", "Waiting"),
        Some(Open::Known(BindingPhase::Error)) => chip("bad", "!", "Needs attention"),
        Some(Open::Other(text)) => chip("wait", "○", foreign(text)),
    }
}

/// Who can fix it, in words; `None` where nobody has to.
fn fixer(reason: Reason, owner: &str, reader: Reader<'_>) -> Option<String> {
    let row = reason.row();
    (row.remedy != Remedy::None).then(|| match row.fixer {
        Fixer::Nobody => "nobody: it continues by itself".to_owned(),
        Fixer::Owner => reader.name(owner),
        Fixer::Author => "whoever maintains the binding".to_owned(),
        Fixer::WorkspaceKeeper | Fixer::PlatformTeam | Fixer::ProviderAdministrator => {
            row.fixer.label().to_owned()
        }
    })
}

/// How a workload in `namespace` uses the connection with this id: a line for a shell, and two for the manifest of a pod. Ids and
/// namespaces are names of Kubernetes, so they need no quotes in either.
pub(super) fn three_lines(id: &str, namespace: &str) -> String {
    format!(
        "echo '{{apiVersion: bowline.dev/v1alpha1, kind: ConnectionBinding, metadata: {{name: my-workflow}}, spec: {{connection: {id}}}}}' | kubectl apply -n {namespace} -f -\n\
         volumes: [{{name: connection, secret: {{secretName: my-workflow}}}}]\n\
         volumeMounts: [{{name: connection, mountPath: /connection, readOnly: true}}]\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::{Volume, VolumeMount};
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn binding(status: &Value) -> ConnectionBinding {
        serde_json::from_value(json!({"metadata": {"name": "post", "namespace": "jobs"},
            "spec": {"connection": "team-a.mail", "workload": {"apiVersion": "batch/v1", "kind": "CronJob",
                "name": "a\nb"}}, "status": status}))
        .unwrap()
    }

    fn read(status: &Value) -> BindingRow {
        row(&binding(status), "alice", Reader { user: "alice", now: Timestamp::UNIX_EPOCH })
    }

    fn not_ready(reason: Reason) -> Value {
        let ready = json!({"type": "Ready", "status": "False", "reason": reason.as_str(),
            "message": "It is so. The owner must act.", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        json!({"phase": "Error", "conditions": [ready]})
    }

    #[test]
    fn a_row_says_what_is_wrong_and_who_fixes_it() {
        let well = read(&json!({"phase": "Bound", "conditions": []}));
        assert_eq!((well.chip.word.as_str(), well.why.as_str(), well.fixer), ("Bound", "", None));
        assert_eq!(well.workload.as_deref(), Some("CronJob a b"));
        for (reason, expected) in [
            (Reason::ConnectionNotReady, "you"),
            (Reason::ConfigInvalid, "whoever maintains the binding"),
            (Reason::QuotaExceeded, "the platform team"),
            (Reason::NotYet, "nobody: it continues by itself"),
        ] {
            let row = read(&not_ready(reason));
            assert_eq!(row.fixer.as_deref(), Some(expected), "{reason}");
            assert_eq!(row.why, "It is so. You must act.");
        }
        let later = read(&json!({"phase": "Hibernating\u{202e}", "conditions": []}));
        assert_eq!(later.chip.word, "Hibernating\u{fffd}");
        assert_eq!(read(&json!({})).chip.word, "Just made");
    }

    #[test]
    fn a_row_says_what_the_workload_reported_last() {
        let told = |code: i32, status: &str, reason: &str| {
            let delivered = json!({"type": "Delivered", "status": status, "reason": reason,
                "message": "The workload reports a failed delivery.", "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let last = json!({"at": "1970-01-01T00:00:00Z", "code": code, "item": "<b>\u{202e}"});
            read(&json!({"phase": "Bound", "conditions": [delivered], "lastDelivery": last}))
        };
        let (failed, well) = (told(404, "False", "DeliveryFailing"), told(200, "True", "Delivered"));
        let (when, what) = failed.used.unwrap();
        assert_eq!((when.words.as_str(), what.as_str()), ("just now", "code 404, item \"<b>\u{fffd}\""));
        assert_eq!(failed.failing.as_deref(), Some("The workload reports a failed delivery."));
        assert_eq!((failed.chip.word.as_str(), well.failing), ("Bound", None), "the binding itself is well");
        assert!(read(&json!({})).used.is_none());
    }

    #[test]
    fn the_three_lines_are_what_the_api_server_takes() {
        let lines = three_lines("team-a.mail", "jobs");
        let [apply, volumes, mounts]: [&str; 3] = lines.lines().collect::<Vec<_>>().try_into().unwrap();
        let object = apply.strip_prefix("echo '").unwrap();
        let (object, command) = object.split_once("' | ").unwrap();
        assert_eq!(command, "kubectl apply -n jobs -f -");
        let binding: ConnectionBinding = serde_yaml::from_str(object).unwrap();
        assert_eq!(binding.spec.connection, "team-a.mail");
        let yaml: Value = serde_yaml::from_str(volumes).unwrap();
        let volumes: Vec<Volume> = serde_json::from_value(yaml["volumes"].clone()).unwrap();
        assert_eq!(volumes[0].secret.as_ref().unwrap().secret_name, Some(binding.secret_name()));
        let yaml: Value = serde_yaml::from_str(mounts).unwrap();
        let mounts: Vec<VolumeMount> = serde_json::from_value(yaml["volumeMounts"].clone()).unwrap();
        assert_eq!(mounts[0].name, volumes[0].name);
    }
}
