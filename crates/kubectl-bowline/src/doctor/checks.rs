//! What was seen, judged. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::cluster::{Definition, Installation};
use super::{CheckResult, Mark};
use crate::reading::Seen;
use bowline_api::IntegrationConnection;
use bowline_api::condition::ConditionType::Ready;
use bowline_api::condition::Conditioned;

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

/// One result or more for each check, in the order in which trouble spreads.
pub(super) fn judge(seen: &Installation, namespace: &str) -> Vec<CheckResult> {
    let mut findings = vec![definitions(&seen.definitions), policies(seen), operator(seen, namespace)];
    findings.extend([keyring(seen, namespace), records(seen, namespace), portal(seen)]);
    findings.extend(providers(seen));
    findings.extend([connections(seen), clock(seen.ahead)]);
    findings
}

fn ok(subject: &'static str, text: impl Into<String>) -> CheckResult {
    CheckResult::new(Mark::Ok, subject, text)
}

fn warn(subject: &'static str, text: impl Into<String>) -> CheckResult {
    CheckResult::new(Mark::Warn, subject, text)
}

fn fail(subject: &'static str, text: impl Into<String>) -> CheckResult {
    CheckResult::new(Mark::Fail, subject, text)
}

fn hidden(subject: &'static str, what: &str) -> CheckResult {
    warn(subject, format!("you may not see {what}")).todo("ask an administrator to run doctor")
}

fn definitions(seen: &Seen<Vec<Definition>>) -> CheckResult {
    const KINDS: &str = "kinds";
    let Seen::Yes(all) = seen else { return hidden(KINDS, "CustomResourceDefinitions") };
    let absent = all.iter().filter(|it| it.unknown_fields.is_none()).map(|it| it.name.as_str());
    let absent = absent.collect::<Vec<_>>().join(", ");
    let unknown = all.iter().flat_map(|it| it.unknown_fields.iter().flatten()).map(String::as_str);
    let unknown = unknown.collect::<Vec<_>>().join(", ");
    match (absent.is_empty(), unknown.is_empty()) {
        (false, _) => fail(KINDS, format!("not installed: {absent}")).todo(APPLY),
        (_, false) => warn(KINDS, format!("older than this plug-in, without {unknown}")).todo(APPLY),
        _ => ok(KINDS, format!("{} kinds, as this plug-in knows them", all.len())),
    }
}

fn policies(seen: &Installation) -> CheckResult {
    const SUBJECT: &str = "policies";
    let (Seen::Yes(there), Seen::Yes(bound)) = (&seen.policies, &seen.bound) else {
        return hidden(SUBJECT, "admission policies and their bindings");
    };
    let missing = |from: &BTreeSet<String>| -> String {
        let missing = POLICIES.iter().copied().filter(|policy| !from.contains(*policy));
        missing.collect::<Vec<_>>().join(", ")
    };
    let (absent, unbound) = (missing(there), missing(bound));
    if !absent.is_empty() {
        fail(SUBJECT, format!("missing: {absent}")).todo(APPLY)
    } else if !unbound.is_empty() {
        fail(SUBJECT, format!("there, but not enforced (no binding that denies): {unbound}")).todo(APPLY)
    } else {
        ok(SUBJECT, format!("{} in force", POLICIES.len()))
    }
}

fn operator(seen: &Installation, namespace: &str) -> CheckResult {
    const SUBJECT: &str = "operator";
    match &seen.operator {
        Seen::MayNot => hidden(SUBJECT, &format!("Deployments in {namespace}")),
        Seen::Yes(None) => fail(SUBJECT, format!("no Deployment bowline in {namespace}"))
            .todo("install it there, or name its namespace with --operator-namespace"),
        Seen::Yes(Some((_, 0))) => fail(SUBJECT, "scaled to nothing: no token is refreshed")
            .todo(format!("kubectl scale deployment/bowline --replicas 1 -n {namespace}")),
        Seen::Yes(Some((ready, wanted))) if ready < wanted => {
            fail(SUBJECT, format!("{ready} of {wanted} ready"))
                .todo(format!("kubectl logs deployment/bowline -n {namespace}"))
        }
        Seen::Yes(Some((ready, _))) => ok(SUBJECT, format!("{ready} ready")),
    }
}

fn keyring(seen: &Installation, namespace: &str) -> CheckResult {
    const SUBJECT: &str = "keyring";
    match (&seen.keyring, &seen.records) {
        (Seen::MayNot, _) => hidden(SUBJECT, &format!("Secrets in {namespace}")),
        (Seen::Yes(true), _) => ok(SUBJECT, "there"),
        (Seen::Yes(false), Seen::Yes(records)) if !records.is_empty() => fail(
            SUBJECT,
            format!("Secret bowline-keyring is missing while there are {} records", records.len()),
        )
        .todo("put it back from a backup, unless the operator runs with --keyring-dir"),
        (Seen::Yes(false), _) => warn(SUBJECT, "not there yet")
            .todo("the operator creates it when it starts, unless it runs with --keyring-dir"),
    }
}

fn records(seen: &Installation, namespace: &str) -> CheckResult {
    const SUBJECT: &str = "records";
    let Seen::Yes(records) = &seen.records else {
        return hidden(SUBJECT, &format!("Secrets in {namespace}"));
    };
    let (Seen::Yes(connections), true) = (&seen.connections, seen.all) else {
        return hidden(SUBJECT, "the connections of all namespaces");
    };
    let known: BTreeSet<_> = connections.iter().filter_map(ResourceExt::uid).collect();
    match records.iter().filter(|uid| !known.contains(*uid)).count() {
        0 => ok(SUBJECT, format!("{}, each with its connection", records.len())),
        left => warn(SUBJECT, format!("{left} of {} without a connection", records.len())).todo(
            "those being revoked are erased within seven days, others after --record-retention; the operator's log names them",
        ),
    }
}

fn portal(seen: &Installation) -> CheckResult {
    const SUBJECT: &str = "portal";
    match &seen.portal {
        Some(portal) => ok(SUBJECT, portal.as_str()),
        None => warn(SUBJECT, "no status names one, so nobody can consent in a browser")
            .todo("an administrator runs bowline portal, and the operator with --portal-url"),
    }
}

fn providers(seen: &Installation) -> Vec<CheckResult> {
    const SUBJECT: &str = "providers";
    let Seen::Yes(all) = &seen.providers else { return vec![hidden(SUBJECT, "providers")] };
    let broken = all.iter().filter(|provider| !provider.is(Ready)).map(|provider| {
        let ready = provider.condition(Ready);
        let (reason, message) = ready.map_or(("Unknown", "the operator has not looked at it"), |ready| {
            (ready.reason.as_str(), ready.message.trim_end_matches('.'))
        });
        let name = provider.name_any();
        fail(SUBJECT, format!("{name} is not ready: {reason}: {message}"))
            .todo(format!("kubectl describe iprov {name}"))
    });
    let broken: Vec<_> = broken.collect();
    match (all.len(), broken.is_empty()) {
        (0, _) => vec![
            warn(SUBJECT, "none, so nothing can be connected")
                .todo("an administrator creates an IntegrationProvider"),
        ],
        (all, true) => vec![ok(SUBJECT, format!("{all} ready"))],
        (_, false) => broken,
    }
}

fn connections(seen: &Installation) -> CheckResult {
    const SUBJECT: &str = "connections";
    let Seen::Yes(all) = &seen.connections else { return hidden(SUBJECT, "connections") };
    let whose = if seen.all { "" } else { " in your namespace" };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for connection in all.iter().filter(|connection| is_broken(connection)) {
        *reasons.entry(connection.reason()).or_default() += 1;
    }
    if reasons.is_empty() {
        return ok(SUBJECT, format!("{}{whose}, none broken", all.len()));
    }
    let counts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    warn(SUBJECT, format!("broken{whose}: {}", counts.join(", "))).todo(if seen.all {
        "kubectl bowline list -A"
    } else {
        "kubectl bowline list"
    })
}

/// Waiting for its owner is normal, and so is being suspended.
fn is_broken(connection: &IntegrationConnection) -> bool {
    connection.was_connected() && !connection.is_ready() && !connection.is_paused()
}

fn clock(ahead: Option<i64>) -> CheckResult {
    const SUBJECT: &str = "clocks";
    match ahead {
        None => warn(SUBJECT, "the API server does not tell its time"),
        Some(ahead) if ahead.abs() <= SKEW => ok(SUBJECT, "this machine and the API server agree"),
        Some(ahead) => {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            warn(SUBJECT, format!("this machine is {}s {way} the API server", ahead.abs()))
                .todo("set it by NTP: the ages shown here are off by as much")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
