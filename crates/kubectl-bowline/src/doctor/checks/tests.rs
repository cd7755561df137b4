use bowline_api::IntegrationProvider;
use bowline_api::definitions as ours;
use serde_json::{Value, json};

use super::*;
use crate::doctor::cluster::unknown_fields;

fn connection(uid: &str, phase: &str, reason: &str) -> IntegrationConnection {
    serde_json::from_value(
        json!({"metadata": {"name": "c", "uid": uid}, "spec": {"provider": "p", "owner": "alice"},
        "status": {"phase": phase, "conditions": [condition_of("False", reason, "")]}}),
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

fn whole() -> Installation {
    let kinds =
        ours().into_iter().map(|it| Definition { name: it.name_any(), unknown_fields: Some(Vec::new()) });
    let policies: BTreeSet<_> = POLICIES.iter().map(|name| (*name).to_owned()).collect();
    Installation {
        definitions: Seen::Yes(kinds.collect()),
        policies: Seen::Yes(policies.clone()),
        bound: Seen::Yes(policies),
        operator: Seen::Yes(Some((1, 1))),
        keyring: Seen::Yes(true),
        records: Seen::Yes(vec!["u1".into()]),
        providers: Seen::Yes(vec![provider(&json!([condition_of("True", "Ready", "")]))]),
        connections: Seen::Yes(vec![connection("u1", "Active", "Connected")]),
        all: true,
        portal: Some("https://bowline.example.com/".parse().unwrap()),
        ahead: Some(1),
    }
}

/// What is not ok, as lines.
fn complaints(seen: &Installation) -> Vec<String> {
    let told = judge(seen, "bowline-system").into_iter().filter(|finding| finding.mark != Mark::Ok);
    told.map(|it| format!("{:?} {}: {}; {}", it.mark, it.subject, it.text, it.todo.unwrap_or_default()))
        .collect()
}

#[test]
fn a_whole_installation_has_nothing_to_complain_about() {
    assert_eq!(complaints(&whole()), Vec::<String>::new());
    assert_eq!(judge(&whole(), "bowline-system").len(), 9, "one line for each thing looked at");
}

#[test]
// long: one table, a row for each thing that can be wrong.
fn each_thing_that_is_wrong_has_its_line() {
    let without = |name: &str| -> Seen<BTreeSet<String>> {
        Seen::Yes(POLICIES.iter().filter(|it| **it != name).map(|it| (*it).to_owned()).collect())
    };
    let gone = || Seen::Yes(vec![Definition { name: "workspaces.bowline.dev".into(), unknown_fields: None }]);
    let old = || {
        let unknown_fields = Some(vec!["spec.account".to_owned()]);
        Seen::Yes(vec![Definition { name: "integrationconnections.bowline.dev".into(), unknown_fields }])
    };
    let rows: Vec<(Installation, &str)> = vec![
        (
            Installation { definitions: gone(), ..whole() },
            "Fail kinds: not installed: workspaces.bowline.dev; an administrator applies",
        ),
        (
            Installation { definitions: old(), ..whole() },
            "Warn kinds: older than this plug-in, they lack spec.account",
        ),
        (
            Installation { policies: without("bowline-owner-stays"), ..whole() },
            "Fail policies: missing: bowline-owner-stays",
        ),
        (
            Installation { bound: without("bowline-owner-stays"), ..whole() },
            "Fail policies: there, but not enforced",
        ),
        (
            Installation { operator: Seen::Yes(None), ..whole() },
            "Fail operator: no Deployment bowline in bowline-system",
        ),
        (Installation { operator: Seen::Yes(Some((0, 0))), ..whole() }, "Fail operator: scaled to nothing"),
        (
            Installation { operator: Seen::Yes(Some((0, 1))), ..whole() },
            "Fail operator: 0 of 1 ready; kubectl logs",
        ),
        (
            Installation { keyring: Seen::Yes(false), ..whole() },
            "Fail keyring: Secret bowline-keyring is missing while there are 1 records",
        ),
        (
            Installation { keyring: Seen::MayNot, ..whole() },
            "Warn keyring: you may not see Secrets in bowline-system",
        ),
        (
            Installation { records: Seen::Yes(vec!["u1".into(), "gone".into()]), ..whole() },
            "Warn records: 1 of 2 without a connection",
        ),
        (Installation { portal: None, ..whole() }, "Warn portal: no status names one"),
        (
            Installation { ahead: Some(-90), ..whole() },
            "Warn clocks: this machine is 90s behind the API server",
        ),
        (
            Installation {
                providers: Seen::Yes(vec![provider(&json!([condition_of(
                    "False",
                    "AppSecretNotFound",
                    "No Secret."
                )]))]),
                ..whole()
            },
            "Fail providers: github is not ready: AppSecretNotFound: No Secret; kubectl describe iprov github",
        ),
        (
            Installation { providers: Seen::Yes(vec![provider(&json!([]))]), ..whole() },
            "Fail providers: github is not ready: Unknown",
        ),
        (
            Installation { providers: Seen::Yes(Vec::new()), ..whole() },
            "Warn providers: none, so nothing can be connected",
        ),
        (
            Installation {
                connections: Seen::Yes(vec![
                    connection("u1", "Revoked", "GrantRevoked"),
                    connection("u2", "Pending", "AwaitingAuthorization"),
                ]),
                ..whole()
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
fn who_may_see_little_is_told_so_and_nothing_fails() {
    let seen = Installation {
        definitions: Seen::MayNot,
        policies: Seen::MayNot,
        bound: Seen::MayNot,
        operator: Seen::MayNot,
        keyring: Seen::MayNot,
        records: Seen::MayNot,
        providers: Seen::MayNot,
        all: false,
        ..whole()
    };
    let told = complaints(&seen);
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with("Warn") && line.contains("you may not see")), "{told:?}");
}

#[test]
fn every_policy_that_is_shipped_is_asked_for() {
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
fn a_cluster_that_lacks_a_field_or_the_version_is_older() {
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
