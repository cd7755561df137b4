use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use bowline_runtime::metrics::{MetricType, PROCESS_FAMILIES};
use k8s_openapi::jiff::Timestamp;

use super::monitoring_tests::Alert;
use super::*;

fn touched() -> Metrics {
    let metrics = Metrics::new(2).unwrap();
    metrics.pass("share").finish(PassOutcome::Settled);
    metrics.refresh_ended("github", RefreshOutcome::Refreshed);
    metrics.refresh_begun_late_by(Duration::from_millis(1500));
    metrics.provider_call(Operation::Refresh).finish(None);
    drop(metrics.provider_call(Operation::Revoke));
    metrics.provider_clock_ahead("github", -2);
    metrics.published(PublishOutcome::Written);
    metrics.set_connections(Phase::Active, 7);
    metrics.set_grants_ending(EndsWithin::Week, 5);
    metrics.set_certificates_ending(EndsWithin::Month, 1);
    metrics.records.set(8);
    metrics.endings.set(2);
    metrics.withdrawal_debts.set(4);
    metrics.shares.set(3);
    metrics.bindings.set(6);
    metrics.leader.set(1);
    metrics.set_unreadable("Workspace", 1);
    metrics.keyring_key_age.set(90.0);
    metrics.store_ready.set(1);
    metrics.set_policy_present(true);
    metrics.set_samples(|| ["c", "b", "a"].map(sample).into());
    metrics
}

fn sample(name: &str) -> ConnectionSample {
    ConnectionSample {
        namespace: "team-a".to_owned(),
        name: name.to_owned(),
        provider: "github".to_owned(),
        phase: "Active".to_owned(),
        ready: true,
        token_expires_at: Timestamp::from_second(1_800_000_000).ok(),
        grant_ends_at: None,
    }
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|candidate| candidate == line)
}

#[test]
fn what_is_served_is_what_is_described() {
    let metrics = touched();
    metrics.set_samples(|| vec![ConnectionSample { grant_ends_at: Some(Timestamp::MAX), ..sample("a") }]);
    let text = metrics.encode().unwrap();
    let served: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    let families = family::ALL.iter().chain(PROCESS_FAMILIES);
    let described: BTreeSet<_> = families.map(|family| format!("{} {}", family.name, family.help)).collect();
    assert_eq!(served, described.iter().map(String::as_str).collect());
}

/// Labels from closed sets, and those of single connections.
const LABELS: &[&str] = &[
    "action",
    "class",
    "controller",
    "kind",
    "limit",
    "method",
    "operation",
    "outcome",
    "phase",
    "result",
    "route",
    "status",
    "type",
    "version",
    "within",
];
const OBJECT_LABELS: &[&str] = &["namespace", "name", "provider", "phase"];

#[test]
fn names_say_their_unit_and_stand_in_order() {
    for families in [family::ALL, bowline_portal::METRICS] {
        assert!(families.is_sorted_by_key(|family| family.name));
    }
    for Family { name, kind, help, labels, buckets } in family::ALL.iter().chain(bowline_portal::METRICS) {
        assert!(name.starts_with("bowline_") && help.ends_with('.'), "{name}");
        assert_eq!(*kind == MetricType::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(*kind == MetricType::Histogram, !buckets.is_empty(), "{name}");
        assert!(*kind != MetricType::Histogram || name.ends_with("_seconds"), "{name}");
        assert_eq!(
            name.ends_with("_seconds"),
            help.contains("in seconds"),
            "{name}: the help names the unit"
        );
        let allowed = if name.starts_with("bowline_connection_") { OBJECT_LABELS } else { LABELS };
        assert!(labels.iter().all(|label| allowed.contains(label)), "{name}: {labels:?}");
    }
}

#[test]
fn numbers_arrive_under_their_labels() {
    let text = touched().encode().unwrap();
    for line in [
        r#"bowline_reconciles_total{controller="share",outcome="settled"} 1"#,
        r#"bowline_refreshes_total{outcome="refreshed",type="github"} 1"#,
        r#"bowline_refresh_lateness_seconds_bucket{le="1"} 0"#,
        r#"bowline_refresh_lateness_seconds_bucket{le="2"} 1"#,
        r#"bowline_provider_requests_total{class="success",operation="refresh"} 1"#,
        r#"bowline_provider_requests_total{class="abandoned",operation="revoke"} 1"#,
        r#"bowline_provider_request_duration_seconds_count{operation="revoke"} 1"#,
        r#"bowline_publishes_total{outcome="written"} 1"#,
        r#"bowline_connections{phase="Active"} 7"#,
        r#"bowline_grants_ending{within="7d"} 5"#,
        r#"bowline_grants_ending{within="1d"} 0"#,
        r#"bowline_client_certificates_ending{within="30d"} 1"#,
        "bowline_records 8",
        "bowline_endings 2",
        "bowline_withdrawal_debts 4",
        "bowline_shares 3",
        "bowline_leader 1",
        "bowline_keyring_key_age_seconds 90",
        "bowline_store_ready 1",
        "bowline_policy_present 1",
        r#"bowline_unreadable_objects{kind="Workspace"} 1"#,
    ] {
        assert!(has(&text, line), "{line} is missing in\n{text}");
    }
}

#[test]
fn single_connections_have_series_up_to_a_number_and_the_rest_is_counted() {
    let metrics = touched();
    let text = metrics.encode().unwrap();
    for line in [
        r#"bowline_connection_info{name="a",namespace="team-a",phase="Active",provider="github"} 1"#,
        r#"bowline_connection_ready{name="b",namespace="team-a"} 1"#,
        r#"bowline_connection_token_expiry_timestamp_seconds{name="b",namespace="team-a"} 1800000000"#,
        "bowline_connection_series_omitted 1",
    ] {
        assert!(has(&text, line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(r#"name="c""#) && !text.contains("bowline_connection_grant_end"), "{text}");
    metrics.set_samples(|| vec![sample("c")]);
    let text = metrics.encode().unwrap();
    assert!(has(&text, "bowline_connection_series_omitted 0") && text.contains(r#"name="c""#));
    assert!(!text.contains(r#"name="a""#), "who is gone is served no more: {text}");
    let without = Metrics::new(0).unwrap();
    without.set_samples(|| unreachable!("nobody wants them"));
    assert!(!without.encode().unwrap().contains("bowline_connection_"));
}

/// A process that has not looked yet must not say that a policy is missing.
#[test]
fn the_policies_have_no_series_before_they_were_looked_at() {
    let metrics = Metrics::new(0).unwrap();
    assert!(!metrics.encode().unwrap().contains("bowline_policy_present"));
    metrics.set_policy_present(false);
    assert!(has(&metrics.encode().unwrap(), "bowline_policy_present 0"));
}

#[test]
fn a_pass_that_is_dropped_counts_as_abandoned() {
    let metrics = Metrics::new(0).unwrap();
    metrics.expect_passes("connection");
    drop(metrics.pass("connection"));
    metrics.pass("connection").finish(PassOutcome::Stalled);
    let text = metrics.encode().unwrap();
    for line in [
        r#"bowline_reconciles_total{controller="connection",outcome="abandoned"} 1"#,
        r#"bowline_reconciles_total{controller="connection",outcome="stalled"} 1"#,
        r#"bowline_reconciles_total{controller="connection",outcome="settled"} 0"#,
        r#"bowline_reconcile_duration_seconds_count{controller="connection"} 2"#,
    ] {
        assert!(has(&text, line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_failure_counts_under_its_class() {
    let metrics = Metrics::new(0).unwrap();
    metrics.provider_call(Operation::Identity).finish(Some(Class::Transient));
    let line = r#"bowline_provider_requests_total{class="transient",operation="identity"} 1"#;
    assert!(has(&metrics.encode().unwrap(), line));
}

#[test]
fn each_phase_is_served_under_its_name_from_the_start() {
    let text = Metrics::new(0).unwrap().encode().unwrap();
    for phase in Phase::ALL {
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.label());
        assert!(has(&text, &format!(r#"bowline_connections{{phase="{}"}} 0"#, phase.label())));
    }
}

/// An alert on the growth of a series sees no growth in one that begins with its first event: so each counter and each histogram
/// is served at zero before anything happens, with every value that its labels may have.
#[test]
fn class_28_everything_that_is_counted_is_served_at_zero_before_it_happens() {
    let metrics = Metrics::new(0).unwrap();
    metrics.expect_refreshes("github");
    metrics.expect_passes("share");
    let before = series(&metrics.encode().unwrap());
    let counted = family::ALL.iter().filter(|family| family.kind != MetricType::Gauge);
    for Family { name, .. } in counted {
        assert!(before.iter().any(|series| series.starts_with(name)), "{name} is not there");
    }
    for outcome in RefreshOutcome::ALL {
        metrics.refresh_ended("github", *outcome);
    }
    for outcome in PublishOutcome::ALL {
        metrics.published(*outcome);
    }
    for operation in Operation::ALL {
        drop(metrics.provider_call(*operation));
        for class in Class::ALL.iter().map(|class| Some(*class)).chain([None]) {
            metrics.provider_call(*operation).finish(class);
        }
    }
    for (type_, outcome) in NotificationType::ALL.iter().zip(NotificationOutcome::ALL) {
        metrics.notified(*type_, *outcome);
    }
    for outcome in PassOutcome::ALL {
        metrics.pass("share").finish(*outcome);
    }
    drop(metrics.pass("share"));
    metrics.panicked("share");
    metrics.panicked(GRANT_WORK);
    metrics.refresh_begun_late_by(Duration::from_secs(1));
    assert_eq!(series(&metrics.encode().unwrap()), before, "an event makes a series");
}

/// All series by name and labels, but those of the process.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| line.starts_with("bowline_"));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn clones_count_together() {
    let metrics = Metrics::new(0).unwrap();
    metrics.clone().published(PublishOutcome::NameTaken);
    assert!(has(&metrics.encode().unwrap(), r#"bowline_publishes_total{outcome="name_taken"} 1"#));
}

/// The reference page, in Markdown.
fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nIn Prometheus' text format: the operator serves them at `/metrics` beside its probes, the portal at `/metrics` of \
         `--metrics-listen`. Written from the source by `make docs`; do not edit.\n\
         No label holds a user or an account. A namespace or an object's name is only in the series of `--per-connection-metrics`.\n\
         Everything that is counted is served at zero before it happens first.\n",
    );
    let alerts = Alert::all();
    let parts = [
        ("Operator", family::ALL),
        ("Portal", bowline_portal::METRICS),
        ("Both processes", PROCESS_FAMILIES),
    ];
    for (title, families) in parts {
        let header = "| name | kind | labels | meaning and unit | alerts |\n|---|---|---|---|---|";
        write!(page, "\n## {title}\n\n{header}\n").unwrap();
        for family in families {
            let Family { name, kind, help, labels, buckets: _ } = family;
            let alerts: Vec<_> = alerts.iter().filter(|alert| alert.uses(family)).map(Alert::link).collect();
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{kind:?}").to_lowercase();
            let (labels, alerts) = (labels.join(", "), alerts.join(", "));
            writeln!(page, "| `{name}` | {kind} | {labels} | {help} | {alerts} |").unwrap();
        }
    }
    page
}

/// `make docs` writes the page; here it must already be as it would be written.
#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), reference(), "run `make docs`");
}
