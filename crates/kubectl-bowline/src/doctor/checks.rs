//! What to think of what was seen: pure.

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::IntegrationConnection;
use bowline_api::connection::Phase;
use kube::ResourceExt;

use super::super::list::condition;
use super::super::rights::Seen;
use super::cluster::{Definition, Installation};
use super::{Finding, Mark};

/// The admission policies that belong to every installation: without them anybody could name alice as owner.
const POLICIES: &[&str] = &[
    "bowline-intake-is-sealed",
    "bowline-operator-finalizers",
    "bowline-operator-records",
    "bowline-operator-secret-labels",
    "bowline-operator-shares",
    "bowline-operator-status",
    "bowline-owner-is-the-caller",
    "bowline-owner-stays",
    "bowline-portal-secrets",
    "bowline-sharing-needs-share",
    "bowline-spec-is-the-owners",
];

/// Seconds that clocks may differ: dates in answers have whole seconds, and take their time to come.
const SKEW: i64 = 5;

const APPLY: &str = "an administrator applies deploy/ again: kubectl apply -k deploy/";

/// One finding or more for each thing looked at, in the order in which trouble spreads.
pub(super) fn judge(seen: &Installation, namespace: &str) -> Vec<Finding> {
    let mut findings = vec![definitions(&seen.definitions), policies(seen), operator(seen, namespace)];
    findings.extend([keyring(seen, namespace), records(seen, namespace), portal(seen)]);
    findings.extend(providers(seen));
    findings.extend([connections(seen), clock(seen.ahead)]);
    findings
}

fn finding(mark: Mark, subject: &'static str, text: impl Into<String>, todo: Option<&str>) -> Finding {
    Finding { mark, subject, text: text.into(), todo: todo.map(ToOwned::to_owned) }
}

fn hidden(subject: &'static str, what: &str) -> Finding {
    finding(
        Mark::Warn,
        subject,
        format!("you may not see {what}"),
        Some("ask an administrator to run doctor"),
    )
}

fn definitions(seen: &Seen<Vec<Definition>>) -> Finding {
    const SUBJECT: &str = "kinds";
    let Seen::Yes(all) = seen else { return hidden(SUBJECT, "CustomResourceDefinitions") };
    let absent: Vec<_> =
        all.iter().filter(|it| it.unknown_fields.is_none()).map(|it| it.name.as_str()).collect();
    if !absent.is_empty() {
        let text = format!("not installed: {}", absent.join(", "));
        return finding(Mark::Fail, SUBJECT, text, Some(APPLY));
    }
    let unknown: Vec<_> = all.iter().flat_map(|it| it.unknown_fields.iter().flatten()).cloned().collect();
    if unknown.is_empty() {
        return finding(Mark::Ok, SUBJECT, format!("{} kinds, as this plug-in knows them", all.len()), None);
    }
    let text = format!("older than this plug-in, they lack {}", unknown.join(", "));
    finding(Mark::Warn, SUBJECT, text, Some(APPLY))
}

fn policies(seen: &Installation) -> Finding {
    const SUBJECT: &str = "policies";
    let (Seen::Yes(there), Seen::Yes(bound)) = (&seen.policies, &seen.bound) else {
        return hidden(SUBJECT, "admission policies and their bindings");
    };
    let lacking = |from: &BTreeSet<String>| -> Vec<&str> {
        POLICIES.iter().copied().filter(|policy| !from.contains(*policy)).collect()
    };
    let (absent, unbound) = (lacking(there), lacking(bound));
    if !absent.is_empty() {
        return finding(Mark::Fail, SUBJECT, format!("missing: {}", absent.join(", ")), Some(APPLY));
    }
    if !unbound.is_empty() {
        let text = format!("there, but not enforced (no binding that denies): {}", unbound.join(", "));
        return finding(Mark::Fail, SUBJECT, text, Some(APPLY));
    }
    finding(Mark::Ok, SUBJECT, format!("{} in force", POLICIES.len()), None)
}

fn operator(seen: &Installation, namespace: &str) -> Finding {
    const SUBJECT: &str = "operator";
    let log = format!("kubectl logs deployment/bowline -n {namespace}");
    match &seen.operator {
        Seen::MayNot => hidden(SUBJECT, &format!("Deployments in {namespace}")),
        Seen::Yes(None) => finding(
            Mark::Fail,
            SUBJECT,
            format!("no Deployment bowline in {namespace}"),
            Some("install it there, or name its namespace with --operator-namespace"),
        ),
        Seen::Yes(Some((_, 0))) => {
            let up = format!("kubectl scale deployment/bowline --replicas 1 -n {namespace}");
            finding(Mark::Fail, SUBJECT, "scaled to nothing: no token is refreshed", Some(&up))
        }
        Seen::Yes(Some((ready, wanted))) if ready < wanted => {
            finding(Mark::Fail, SUBJECT, format!("{ready} of {wanted} ready"), Some(&log))
        }
        Seen::Yes(Some((ready, _))) => finding(Mark::Ok, SUBJECT, format!("{ready} ready"), None),
    }
}

fn keyring(seen: &Installation, namespace: &str) -> Finding {
    const SUBJECT: &str = "keyring";
    match (&seen.keyring, &seen.records) {
        (Seen::MayNot, _) => hidden(SUBJECT, &format!("Secrets in {namespace}")),
        (Seen::Yes(true), _) => finding(Mark::Ok, SUBJECT, "there", None),
        (Seen::Yes(false), Seen::Yes(records)) if !records.is_empty() => finding(
            Mark::Fail,
            SUBJECT,
            format!("Secret bowline-keyring is missing while there are {} records", records.len()),
            Some("put it back from a backup, unless the operator runs with --keyring-dir"),
        ),
        (Seen::Yes(false), _) => finding(
            Mark::Warn,
            SUBJECT,
            "not made yet",
            Some("the operator makes it when it starts, unless it runs with --keyring-dir"),
        ),
    }
}

fn records(seen: &Installation, namespace: &str) -> Finding {
    const SUBJECT: &str = "records";
    let Seen::Yes(records) = &seen.records else {
        return hidden(SUBJECT, &format!("Secrets in {namespace}"));
    };
    let (Seen::Yes(connections), true) = (&seen.connections, seen.all) else {
        return hidden(SUBJECT, "the connections of all namespaces");
    };
    let known: BTreeSet<_> = connections.iter().filter_map(ResourceExt::uid).collect();
    let left = records.iter().filter(|uid| !known.contains(*uid)).count();
    if left == 0 {
        return finding(Mark::Ok, SUBJECT, format!("{}, each with its connection", records.len()), None);
    }
    finding(
        Mark::Warn,
        SUBJECT,
        format!("{left} of {} without a connection", records.len()),
        Some(
            "those that end are gone within seven days, others after --record-retention; the operator's log names them",
        ),
    )
}

fn portal(seen: &Installation) -> Finding {
    const SUBJECT: &str = "portal";
    match &seen.portal {
        Some(portal) => finding(Mark::Ok, SUBJECT, portal.as_str(), None),
        None => finding(
            Mark::Warn,
            SUBJECT,
            "no status names one, so nobody can consent in a browser",
            Some("an administrator runs bowline portal, and the operator with --portal-url"),
        ),
    }
}

fn providers(seen: &Installation) -> Vec<Finding> {
    const SUBJECT: &str = "providers";
    let Seen::Yes(all) = &seen.providers else { return vec![hidden(SUBJECT, "providers")] };
    let broken: Vec<_> = all
        .iter()
        .filter_map(|provider| {
            let conditions = provider.status.iter().flat_map(|status| &status.conditions);
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
            let (reason, message) = match ready {
                Some(ready) if ready.status == "True" => return None,
                Some(ready) => (ready.reason.as_str(), ready.message.as_str()),
                None => ("Unknown", "the operator has not looked at it."),
            };
            let name = provider.name_any();
            let text = format!("{name} is not ready: {reason}: {}", message.trim_end_matches('.'));
            Some(finding(Mark::Fail, SUBJECT, text, Some(&format!("kubectl describe iprov {name}"))))
        })
        .collect();
    match (all.len(), broken.is_empty()) {
        (0, _) => {
            let todo = "an administrator makes an IntegrationProvider";
            vec![finding(Mark::Warn, SUBJECT, "none, so nothing can be connected", Some(todo))]
        }
        (all, true) => vec![finding(Mark::Ok, SUBJECT, format!("{all} ready"), None)],
        (_, false) => broken,
    }
}

fn connections(seen: &Installation) -> Finding {
    const SUBJECT: &str = "connections";
    let Seen::Yes(all) = &seen.connections else { return hidden(SUBJECT, "connections") };
    let whose = if seen.all { "" } else { " in your namespace" };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for connection in all.iter().filter(|connection| is_broken(connection)) {
        let reason = condition(connection, "Ready").map_or("Unknown", |ready| ready.reason.as_str());
        *reasons.entry(reason).or_default() += 1;
    }
    if reasons.is_empty() {
        return finding(Mark::Ok, SUBJECT, format!("{}{whose}, none broken", all.len()), None);
    }
    let told: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let text = format!("broken{whose}: {}", told.join(", "));
    let todo = if seen.all { "kubectl bowline list -A" } else { "kubectl bowline list" };
    finding(Mark::Warn, SUBJECT, text, Some(todo))
}

/// Waiting for its owner is normal; so is resting.
fn is_broken(connection: &IntegrationConnection) -> bool {
    let phase = connection.status.as_ref().and_then(|status| status.phase);
    matches!(phase, Some(Phase::Error | Phase::Expired | Phase::Revoked))
}

fn clock(ahead: Option<i64>) -> Finding {
    const SUBJECT: &str = "clocks";
    match ahead {
        None => finding(Mark::Warn, SUBJECT, "the API server does not tell its time", None),
        Some(ahead) if ahead.abs() <= SKEW => {
            finding(Mark::Ok, SUBJECT, "this machine and the API server agree", None)
        }
        Some(ahead) => {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let text = format!("this machine is {}s {way} the API server", ahead.abs());
            finding(Mark::Warn, SUBJECT, text, Some("set it by NTP: the ages shown here are off by as much"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
