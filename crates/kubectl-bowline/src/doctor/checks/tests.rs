use serde_json::{Value, json};

use super::*;
use crate::doctor::cluster::unknown_fields;
use crate::reading::Forbidden;
use bowline_api::IntegrationProvider;
use bowline_api::definitions as ours;

fn connection(uid: &str, reason: &str) -> IntegrationConnection {
    let ready = if reason == "Connected" { "True" } else { "False" };
    let connected_at = (reason != "AwaitingAuthorization").then_some("2026-01-01T00:00:00Z");
    serde_json::from_value(
        json!({"metadata": {"name": "c", "uid": uid}, "spec": {"provider": "p", "owner": "alice"},
        "status": {"connectedAt": connected_at, "conditions": [condition_of(ready, reason, "")]}}),
    )
    .unwrap()
}

fn condition_of(status: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn provider(conditions: &Value) -> IntegrationProvider {
    serde_json::from_value(json!({"metadata": {"name": "github"}, "spec": {"type": "github"},
        "status": {"conditions": conditions}}))
    .unwrap()
}

fn complete() -> Installation {
    let kinds =
        ours().into_iter().map(|it| Definition { name: it.name_any(), unknown_fields: Some(Vec::new()) });
    let policies: BTreeSet<_> = POLICIES.iter().map(|name| (*name).to_owned()).collect();
    Installation {
        definitions: Ok(kinds.collect()),
        policies: Ok(policies.clone()),
        bound: Ok(policies),
        operator: Ok(Some((1, 1))),
        keyring: Ok(true),
        records: Ok(vec!["u1".into()]),
        providers: Ok(vec![provider(&json!([condition_of("True", "Ready", "")]))]),
        connections: Ok(vec![connection("u1", "Connected")]),
        all: true,
        portal: Some("https://bowline.example.com/".parse().unwrap()),
        ahead: Some(1),
    }
}

/// The results that are not ok, as lines.
fn complaints(seen: &Installation) -> Vec<String> {
    let results = judge(seen, "bowline-system").into_iter();
    let complaints = results.filter(|(_, result)| result.mark != CheckMark::Ok);
    complaints
        .map(|(subject, CheckResult { mark, text, todo })| {
            format!("{mark:?} {subject}: {text}; {}", todo.unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_complete_installation_has_no_complaints() {
    assert_eq!(complaints(&complete()), Vec::<String>::new());
    assert_eq!(judge(&complete(), "bowline-system").len(), 9, "one line for each check");
}

#[test]
// long: one table, a row for each thing that can be wrong.
fn each_thing_that_is_wrong_has_its_line() {
    let without = |name: &str| -> Readable<BTreeSet<String>> {
        Ok(POLICIES.iter().filter(|it| **it != name).map(|it| (*it).to_owned()).collect())
    };
    let gone = || Ok(vec![Definition { name: "workspaces.bowline.dev".into(), unknown_fields: None }]);
    let old = || {
        let unknown_fields = Some(vec!["spec.account".to_owned()]);
        Ok(vec![Definition { name: "integrationconnections.bowline.dev".into(), unknown_fields }])
    };
    let rows: Vec<(Installation, &str)> = vec![
        (
            Installation { definitions: gone(), ..complete() },
            "Fail kinds: not installed: workspaces.bowline.dev; an administrator applies",
        ),
        (
            Installation { definitions: old(), ..complete() },
            "Warn kinds: older than this plug-in, without spec.account",
        ),
        (
            Installation { policies: without("bowline-owner-stays"), ..complete() },
            "Fail policies: missing: bowline-owner-stays",
        ),
        (
            Installation { bound: without("bowline-owner-stays"), ..complete() },
            "Fail policies: there, but not enforced",
        ),
        (
            Installation { operator: Ok(None), ..complete() },
            "Fail operator: no Deployment bowline in bowline-system",
        ),
        (Installation { operator: Ok(Some((0, 0))), ..complete() }, "Fail operator: scaled to nothing"),
        (
            Installation { operator: Ok(Some((0, 1))), ..complete() },
            "Fail operator: 0 of 1 ready; kubectl logs",
        ),
        (
            Installation { keyring: Ok(false), ..complete() },
            "Fail keyring: Secret bowline-keyring is missing while there are 1 records",
        ),
        (
            Installation { keyring: Err(Forbidden::default()), ..complete() },
            "Warn keyring: you may not see Secrets in bowline-system",
        ),
        (
            Installation { records: Ok(vec!["u1".into(), "gone".into()]), ..complete() },
            "Warn records: 1 of 2 without a connection",
        ),
        (Installation { portal: None, ..complete() }, "Warn portal: no status names one"),
        (
            Installation { ahead: Some(-90), ..complete() },
            "Warn clocks: this machine is 90s behind the API server",
        ),
        (
            Installation {
                providers: Ok(vec![provider(&json!([condition_of(
                    "False",
                    "AppSecretNotFound",
                    "No Secret."
                )]))]),
                ..complete()
            },
            "Fail providers: github is not ready: AppSecretNotFound: No Secret; kubectl describe iprov github",
        ),
        (
            Installation { providers: Ok(vec![provider(&json!([]))]), ..complete() },
            "Fail providers: github is not ready: Unknown",
        ),
        (
            Installation { providers: Ok(Vec::new()), ..complete() },
            "Warn providers: none, so nothing can be connected",
        ),
        (
            Installation {
                connections: Ok(vec![
                    connection("u1", "GrantRevoked"),
                    connection("u2", "AwaitingAuthorization"),
                ]),
                ..complete()
            },
            "Warn connections: broken: 1 GrantRevoked; kubectl bowline list -A",
        ),
    ];
    for (seen, line) in rows {
        let told = complaints(&seen);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(line), "{line}\n{}", told[0]);
    }
}

#[test]
fn what_may_not_be_seen_is_said_and_nothing_fails() {
    let seen = Installation {
        definitions: Err(Forbidden::default()),
        policies: Err(Forbidden::default()),
        bound: Err(Forbidden::default()),
        operator: Err(Forbidden::default()),
        keyring: Err(Forbidden::default()),
        records: Err(Forbidden::default()),
        providers: Err(Forbidden::default()),
        all: false,
        ..complete()
    };
    let told = complaints(&seen);
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with("Warn") && line.contains("you may not see")), "{told:?}");
}

#[test]
fn every_policy_that_is_shipped_is_checked() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/admission");
    let mut shipped = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in text.split("\n---\n").filter(|it| it.contains("\nkind: ValidatingAdmissionPolicy\n"))
        {
            let name = document.lines().find_map(|line| line.strip_prefix("  name: ")).unwrap();
            shipped.insert(name.to_owned());
        }
    }
    let asked: BTreeSet<_> = POLICIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(asked, shipped);
}

#[test]
fn a_cluster_without_a_field_or_the_version_is_older() {
    let wanted = ours().remove(0);
    assert_eq!(unknown_fields(&wanted, &wanted), Vec::<String>::new());
    let mut old = wanted.clone();
    let schema = old.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
    let spec = schema.properties.as_mut().unwrap().get_mut("spec").unwrap();
    spec.properties.as_mut().unwrap().remove("account");
    assert_eq!(unknown_fields(&wanted, &old), ["spec.account"]);
    old.spec.versions[0].served = false;
    assert_eq!(unknown_fields(&wanted, &old), ["version v1alpha1"]);
}
