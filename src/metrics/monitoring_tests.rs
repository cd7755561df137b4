//! Alerts, dashboard, runbooks and the reference page fit each other and what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bowline_runtime::metrics::{Family, MetricType, PROCESS_FAMILIES};
use serde::Deserialize;
use serde_json::Value;

use super::*;

const RULES: &str = include_str!("../../deploy/components/monitoring/prometheus-rule.yaml");
const DASHBOARD: &str = include_str!("../../deploy/components/monitoring/dashboard.json");
const ALERT_TESTS: &str = include_str!("../../tests/testbed/monitoring/alerts.yaml");
const RUNBOOK: &str = "https://github.com/bowline-dev/bowline/blob/main/docs/runbooks/";
const SECTIONS: [&str; 5] = ["What it means", "Who is affected", "How to look", "What to do", "Who"];

#[derive(Deserialize)]
struct PrometheusRule {
    spec: RuleGroups,
}

#[derive(Deserialize)]
struct RuleGroups {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
struct RuleGroup {
    rules: Vec<Alert>,
}

#[derive(Deserialize)]
pub(super) struct Alert {
    #[serde(rename = "alert")]
    name: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Alert {
    /// All that are shipped.
    pub(super) fn all() -> Vec<Self> {
        let rule: PrometheusRule = serde_yaml::from_str(RULES).unwrap();
        rule.spec.groups.into_iter().flat_map(|group| group.rules).collect()
    }

    /// Whether it looks at a metric.
    pub(super) fn uses(&self, family: &Family) -> bool {
        metrics_in(&self.expr).iter().any(|name| is_of(name, family))
    }

    pub(super) fn link(&self) -> String {
        format!("[{0}](runbooks/{0}.md)", self.name)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn families() -> impl Iterator<Item = &'static Family> {
    family::ALL.iter().chain(bowline_portal::METRICS).chain(PROCESS_FAMILIES)
}

/// Names of metrics in an expression.
fn metrics_in(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("bowline_") || word.starts_with("process_")).collect()
}

/// Whether this is a series of the family.
fn is_of(name: &str, family: &Family) -> bool {
    let part = name.strip_prefix(family.name);
    match family.kind {
        MetricType::Histogram => part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part)),
        MetricType::Counter | MetricType::Gauge => part == Some(""),
    }
}

/// All expressions of the dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().filter(|_| name == "expr") {
                    Some(expression) => found.push(expression.to_owned()),
                    None => expressions(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn alerts_and_dashboard_name_metrics_that_are_served() {
    let mut named = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut named);
    assert!(named.len() >= 30, "only {} expressions are in the dashboard", named.len());
    named.extend(Alert::all().into_iter().map(|alert| alert.expr));
    for expression in &named {
        let metrics = metrics_in(expression);
        assert!(!metrics.is_empty(), "{expression}");
        for name in metrics {
            assert!(families().any(|family| is_of(name, family)), "{name} of {expression}");
        }
    }
    let shown = |family: &&Family| {
        named.iter().any(|expression| metrics_in(expression).iter().any(|name| is_of(name, family)))
    };
    let unseen: Vec<_> = families()
        .filter(|family| family.name.starts_with("bowline_") && !shown(family))
        .map(|it| it.name)
        .collect();
    // Who has series of single connections has a dashboard of their own for them. How far a rotation is, is asked by who rotates.
    let known = [
        "bowline_connection_info",
        "bowline_connection_series_omitted",
        "bowline_connection_token_expiry_timestamp_seconds",
        "bowline_keyring_keys_under_former_kms_keys",
        "bowline_records_under_former_keys",
        "bowline_portal_build_info",
    ];
    assert_eq!(unseen, known, "neither shown nor alerted on");
}

/// The label matchers of `metric{label="value",other=~"one|two"}`, without those that exclude.
fn matchers<'a>(expression: &'a str, metric: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let Some((_, rest)) = expression.split_once(&format!("{metric}{{")) else { return Vec::new() };
    let inside = rest.split_once('}').unwrap().0;
    let pair = |matcher: &'a str| {
        let (label, value) = matcher.split_once('=')?;
        (!label.ends_with('!')).then(|| (label, value.trim_matches(['~', '"']).split('|').collect()))
    };
    inside.split(',').filter_map(pair).collect()
}

/// `increase` and `rate` see no growth in a series that begins with its first event.
#[test]
fn class_28_what_an_alert_counts_is_served_at_zero_before_it_happens() {
    let metrics = Metrics::new(0).unwrap();
    metrics.expect_passes("share");
    metrics.expect_refreshes("github");
    let text = metrics.encode().unwrap();
    let mut counted = 0;
    for alert in Alert::all() {
        let counters =
            family::ALL.iter().filter(|family| family.kind != MetricType::Gauge && alert.uses(family));
        for family in counters {
            counted += 1;
            let series: Vec<_> = text.lines().filter(|line| line.starts_with(family.name)).collect();
            assert!(!series.is_empty(), "{}: {}", alert.name, family.name);
            for (label, values) in matchers(&alert.expr, family.name) {
                for value in values {
                    let wanted = format!("{label}=\"{value}\"");
                    let is_there = series.iter().any(|line| line.contains(&wanted) && line.ends_with(" 0"));
                    assert!(is_there, "{}: no series with {wanted}", alert.name);
                }
            }
        }
    }
    assert!(counted >= 7, "{counted}");
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let mut expected = BTreeSet::new();
    for Alert { name: alert, labels, annotations, .. } in Alert::all() {
        let page = std::fs::read_to_string(root().join(format!("docs/runbooks/{alert}.md")));
        let page = page.unwrap_or_else(|_| panic!("{alert} has no page in docs/runbooks"));
        assert_eq!(page.lines().next(), Some(&*format!("# {alert}")));
        let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{alert}");
        assert_eq!(annotations.get("runbook_url"), Some(&format!("{RUNBOOK}{alert}.md")));
        assert!(annotations.contains_key("summary") && annotations.contains_key("description"), "{alert}");
        let severity = labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning" | "info")), "{alert}");
        assert!(expected.insert(format!("{alert}.md")), "{alert} stands twice");
    }
    let files = std::fs::read_dir(root().join("docs/runbooks")).unwrap();
    let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, expected);
}

/// The tests themselves are run by promtool: `tests/testbed/tests/monitoring.rs`.
#[test]
fn every_alert_is_tested_firing_and_silent() {
    let tests: Value = serde_yaml::from_str(ALERT_TESTS).unwrap();
    let checks: Vec<_> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["promql_expr_test"].as_array().unwrap())
        .map(|check| (check["expr"].as_str().unwrap(), check["exp_samples"].as_array().unwrap().is_empty()))
        .collect();
    for Alert { name: alert, .. } in Alert::all() {
        let of = format!("alertname=\"{alert}\"");
        for silent in [true, false] {
            assert!(
                checks.iter().any(|(expr, empty)| expr.contains(&of) && *empty == silent),
                "{alert}, silent: {silent}"
            );
        }
    }
}
