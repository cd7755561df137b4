use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use bowline_oauth::catalog::errors::Class;

use super::*;

fn touched() -> Metrics {
    let metrics = Metrics::new().unwrap();
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
    metrics.policy_present.set(1);
    metrics
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|candidate| candidate == line)
}

#[test]
fn what_is_served_is_what_is_described() {
    let text = touched().encode().unwrap();
    let served: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    let described: BTreeSet<_> =
        family::ALL.iter().map(|family| format!("{} {}", family.name, family.help)).collect();
    assert_eq!(served, described.iter().map(String::as_str).collect());
}

#[test]
fn names_say_their_unit_and_stand_in_order() {
    assert!(family::ALL.is_sorted_by_key(|family| family.name));
    for Family { name, kind, help, labels, buckets } in family::ALL {
        assert!(name.starts_with("bowline_") && help.ends_with('.'), "{name}");
        assert_eq!(*kind == family::MetricType::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(*kind == family::MetricType::Histogram, !buckets.is_empty(), "{name}");
        assert!(*kind != family::MetricType::Histogram || name.ends_with("_seconds"), "{name}");
        assert_eq!(
            name.ends_with("_seconds"),
            help.contains("in seconds"),
            "{name}: the help names the unit"
        );
        for label in *labels {
            assert!(
                ["class", "controller", "kind", "operation", "outcome", "phase", "type", "version", "within"]
                    .contains(label),
                "{label}"
            );
        }
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
fn a_pass_that_is_dropped_counts_as_abandoned() {
    let metrics = Metrics::new().unwrap();
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
    let metrics = Metrics::new().unwrap();
    metrics.provider_call(Operation::Identity).finish(Some(Class::Transient));
    let line = r#"bowline_provider_requests_total{class="transient",operation="identity"} 1"#;
    assert!(has(&metrics.encode().unwrap(), line));
}

#[test]
fn each_phase_is_served_under_its_name_from_the_start() {
    let text = Metrics::new().unwrap().encode().unwrap();
    for phase in Phase::ALL {
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.label());
        assert!(has(&text, &format!(r#"bowline_connections{{phase="{}"}} 0"#, phase.label())));
    }
}

/// An alert on the growth of a series sees no growth in one that begins with its first event.
#[test]
fn class_28_every_outcome_of_a_refresh_is_served_at_zero_before_it_happens() {
    let metrics = Metrics::new().unwrap();
    metrics.expect_refreshes("github");
    let text = metrics.encode().unwrap();
    for outcome in RefreshOutcome::ALL {
        let line = format!(r#"bowline_refreshes_total{{outcome="{}",type="github"}} 0"#, outcome.label());
        assert!(has(&text, &line), "{line} is missing in\n{text}");
    }
}

#[test]
fn clones_count_together() {
    let metrics = Metrics::new().unwrap();
    metrics.clone().published(PublishOutcome::NameTaken);
    assert!(has(&metrics.encode().unwrap(), r#"bowline_publishes_total{outcome="name_taken"} 1"#));
}

/// The reference page, in Markdown.
fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed at `/metrics` in Prometheus' text format. Written from the source by `make docs`; do not edit.\n\
         No label holds a namespace, an object's name, a user or an account.\n\n\
         | name | kind | labels | meaning and unit |\n|---|---|---|---|\n",
    );
    for Family { name, kind, help, labels, buckets: _ } in family::ALL {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{kind:?}").to_lowercase();
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
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
