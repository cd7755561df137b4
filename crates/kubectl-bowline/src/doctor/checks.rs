//! Evaluates what was read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::cluster::{Definition, Installation};
use super::{CheckMark, CheckResult};
use crate::reading::Readable;
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType::Ready, Conditioned};

/// The admission policies that every installation needs: without them anybody could name alice as owner.
const POLICIES: &[&str] = &[
    "bowline-acting-user-is-audited",
    "bowline-binding-needs-use",
    "bowline-config-is-small",
    "bowline-connection-namespaces",
    "bowline-deletion-is-the-owners",
    "bowline-dependents-hold-deletion",
    "bowline-exchange-is-the-accounts",
    "bowline-intake-is-sealed",
    "bowline-metadata-is-small",
    "bowline-named-secrets-are-readable",
    "bowline-operator-annotates-pods",
    "bowline-operator-exchanges-tokens",
    "bowline-operator-finalizers",
    "bowline-operator-records",
    "bowline-operator-roles",
    "bowline-operator-secret-labels",
    "bowline-operator-shares",
    "bowline-operator-status",
    "bowline-operator-writes-no-spec",
    "bowline-owner-is-the-caller",
    "bowline-owner-stays",
    "bowline-portal-secrets",
    "bowline-sharing-needs-share",
    "bowline-spec-is-the-owners",
    "bowline-terms-by-is-the-caller",
    "bowline-workspace-keeps-an-admin",
    "bowline-workspace-limits",
    "bowline-workspace-namespaces",
];

/// Seconds that clocks may differ: dates in responses have whole seconds, and a response takes a moment to arrive.
const SKEW: i64 = 5;

const APPLY: &str = "an administrator applies deploy/ again: kubectl apply -k deploy/";

/// What was checked and the results, in the order in which problems cause each other.
pub(super) fn judge(seen: &Installation, namespace: &str) -> Vec<(&'static str, CheckResult)> {
    let mut results = vec![
        ("kinds", definitions(&seen.definitions)),
        ("policies", policies(seen)),
        ("operator", operator(&seen.operator, namespace)),
        ("keyring", keyring(seen, namespace)),
        ("records", records(seen, namespace)),
        ("portal", portal(seen)),
    ];
    results.extend(providers(seen).into_iter().map(|result| ("providers", result)));
    results.extend([("connections", connections(seen)), ("clocks", clock(seen.ahead))]);
    results
}

fn ok(text: impl Into<String>) -> CheckResult {
    CheckResult { mark: CheckMark::Ok, text: text.into(), todo: None }
}

fn warn(text: impl Into<String>, todo: impl Into<String>) -> CheckResult {
    CheckResult { mark: CheckMark::Warn, text: text.into(), todo: Some(todo.into()) }
}

fn fail(text: impl Into<String>, todo: impl Into<String>) -> CheckResult {
    CheckResult { mark: CheckMark::Fail, text: text.into(), todo: Some(todo.into()) }
}

fn hidden(what: &str) -> CheckResult {
    warn(format!("you may not see {what}"), "ask an administrator to run doctor")
}

fn definitions(seen: &Readable<Vec<Definition>>) -> CheckResult {
    let Ok(all) = seen else { return hidden("CustomResourceDefinitions") };
    let absent = joined(all.iter().filter(|it| it.unknown_fields.is_none()).map(|it| &*it.name));
    let unknown = joined(all.iter().flat_map(|it| it.unknown_fields.iter().flatten()).map(String::as_str));
    if !absent.is_empty() {
        fail(format!("not installed: {absent}"), APPLY)
    } else if !unknown.is_empty() {
        warn(format!("older than this plug-in, without {unknown}"), APPLY)
    } else {
        ok(format!("{} kinds, as this plug-in knows them", all.len()))
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn policies(seen: &Installation) -> CheckResult {
    let (Ok(there), Ok(bound)) = (&seen.policies, &seen.bound) else {
        return hidden("admission policies and their bindings");
    };
    let missing =
        |from: &BTreeSet<String>| joined(POLICIES.iter().copied().filter(|policy| !from.contains(*policy)));
    let (absent, unbound) = (missing(there), missing(bound));
    if !absent.is_empty() {
        fail(format!("missing: {absent}"), APPLY)
    } else if !unbound.is_empty() {
        fail(format!("there, but not enforced (no binding that denies): {unbound}"), APPLY)
    } else {
        ok(format!("{} in force", POLICIES.len()))
    }
}

fn operator(replicas: &Readable<Option<(i32, i32)>>, namespace: &str) -> CheckResult {
    match replicas {
        Err(_) => hidden(&format!("Deployments in {namespace}")),
        Ok(None) => fail(
            format!("no Deployment bowline in {namespace}"),
            "install it there, or name its namespace with --operator-namespace",
        ),
        Ok(Some((_, 0))) => fail(
            "scaled to nothing: no token is refreshed",
            format!("kubectl scale deployment/bowline --replicas 2 -n {namespace}"),
        ),
        Ok(Some((ready, wanted))) if ready < wanted => fail(
            format!("{ready} of {wanted} ready"),
            format!("kubectl logs deployment/bowline -n {namespace}"),
        ),
        Ok(Some((ready, _))) => ok(format!("{ready} ready")),
    }
}

fn keyring(seen: &Installation, namespace: &str) -> CheckResult {
    match (&seen.keyring, &seen.records) {
        (Err(_), _) => hidden(&format!("Secrets in {namespace}")),
        (Ok(true), _) => ok("there"),
        (Ok(false), Ok(records)) if !records.is_empty() => fail(
            format!("Secret bowline-keyring is missing while there are {} records", records.len()),
            "put it back from a backup, unless the operator runs with --keyring-dir",
        ),
        (Ok(false), _) => {
            warn("not there yet", "the operator creates it when it starts, unless it runs with --keyring-dir")
        }
    }
}

fn records(seen: &Installation, namespace: &str) -> CheckResult {
    let Ok(records) = &seen.records else { return hidden(&format!("Secrets in {namespace}")) };
    let (Ok(connections), true) = (&seen.connections, seen.all) else {
        return hidden("the connections of all namespaces");
    };
    let known: BTreeSet<_> = connections.iter().filter_map(ResourceExt::uid).collect();
    match records.iter().filter(|uid| !known.contains(*uid)).count() {
        0 => ok(format!("{}, each with its connection", records.len())),
        left => warn(
            format!("{left} of {} without a connection", records.len()),
            "those being revoked are erased within seven days, others after --record-retention; the operator's log names them",
        ),
    }
}

fn portal(seen: &Installation) -> CheckResult {
    match &seen.portal {
        Some(portal) => ok(portal.as_str()),
        None => warn(
            "no status names one, so nobody can consent in a browser",
            "an administrator runs bowline portal, and the operator with --portal-url",
        ),
    }
}

fn providers(seen: &Installation) -> Vec<CheckResult> {
    let Ok(all) = &seen.providers else { return vec![hidden("providers")] };
    if all.is_empty() {
        let todo = "an administrator creates an IntegrationProvider";
        return vec![warn("none, so nothing can be connected", todo)];
    }
    let broken = all.iter().filter(|provider| !provider.is(Ready)).map(|provider| {
        let ready = provider.condition(Ready);
        let (reason, message) = ready.map_or(("Unknown", "the operator has not looked at it"), |ready| {
            (ready.reason.as_str(), ready.message.trim_end_matches('.'))
        });
        let name = provider.name_any();
        fail(format!("{name} is not ready: {reason}: {message}"), format!("kubectl describe iprov {name}"))
    });
    let broken: Vec<_> = broken.collect();
    if broken.is_empty() { vec![ok(format!("{} ready", all.len()))] } else { broken }
}

fn connections(seen: &Installation) -> CheckResult {
    let Ok(all) = &seen.connections else { return hidden("connections") };
    let (whose, list) = if seen.all {
        ("", "kubectl bowline list -A")
    } else {
        (" in your namespace", "kubectl bowline list")
    };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    // Waiting for the owner is normal, and so is being suspended.
    let is_broken = |it: &&IntegrationConnection| it.was_connected() && !it.is_ready() && !it.is_paused();
    for connection in all.iter().filter(is_broken) {
        *reasons.entry(connection.reason()).or_default() += 1;
    }
    if reasons.is_empty() {
        return ok(format!("{}{whose}, none broken", all.len()));
    }
    let counts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    warn(format!("broken{whose}: {}", counts.join(", ")), list)
}

fn clock(ahead: Option<i64>) -> CheckResult {
    match ahead {
        None => warn("the API server does not tell its time", "check the clock of this machine yourself"),
        Some(ahead) if ahead.abs() <= SKEW => ok("this machine and the API server agree"),
        Some(ahead) => {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            warn(
                format!("this machine is {}s {way} the API server", ahead.abs()),
                "set it by NTP: the ages shown here are off by as much",
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
