//! Which labels and annotations of the user a published Secret may have. Pure.

use std::collections::BTreeMap;

use bowline_api::connection::TemplateMetadata;
use bowline_api::names::{GROUP, LABEL_MANAGED_BY};

const LABEL: &str = "label";
const ANNOTATION: &str = "annotation";

/// The prefixes that the administrator allows (`--published-label-prefix`, `--published-annotation-prefix`). None by default.
///
/// Labels select and annotations instruct: a network policy, a backup or another operator may act on a Secret because of one
/// (Reflector copies it into other namespaces, Reloader restarts workloads). So the administrator must allow them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedMetadata {
    labels: Vec<String>,
    annotations: Vec<String>,
}

/// Why a label or annotation is refused. `kind` is the word for it: label or annotation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MetadataError {
    #[error(
        "the {kind} {name} is not allowed on published Secrets; an administrator allows prefixes with --published-{kind}-prefix"
    )]
    NotAllowed { kind: &'static str, name: String },
    #[error("the {kind} {name} is set by the operator; remove it from spec.secret.template.metadata")]
    Reserved { kind: &'static str, name: String },
    #[error("the {kind} {name} is not valid in Kubernetes; correct spec.secret.template.metadata")]
    Invalid { kind: &'static str, name: String },
}

impl AllowedMetadata {
    /// Prefixes as given, such as `team.example.com/`. Empty ones, which would allow everything, are dropped.
    pub(crate) fn new(mut labels: Vec<String>, mut annotations: Vec<String>) -> Self {
        labels.retain(|prefix| !prefix.is_empty());
        annotations.retain(|prefix| !prefix.is_empty());
        Self { labels, annotations }
    }

    pub(crate) fn check(&self, wanted: &TemplateMetadata) -> Result<(), MetadataError> {
        let TemplateMetadata { labels, annotations } = wanted;
        check(LABEL, labels, &self.labels, |value| value.is_empty() || is_name(value))?;
        // The value of an annotation is not restricted.
        check(ANNOTATION, annotations, &self.annotations, |_| true)
    }
}

fn check(
    kind: &'static str,
    wanted: &BTreeMap<String, String>,
    prefixes: &[String],
    is_value: fn(&str) -> bool,
) -> Result<(), MetadataError> {
    for (name, value) in wanted {
        let domain = name.split_once('/').map(|(domain, _)| domain);
        if name == LABEL_MANAGED_BY
            || domain.is_some_and(|domain| domain == GROUP || domain.ends_with(&format!(".{GROUP}")))
        {
            return Err(MetadataError::Reserved { kind, name: name.clone() });
        }
        if !is_qualified_name(name) || !is_value(value) {
            return Err(MetadataError::Invalid { kind, name: name.clone() });
        }
        if !prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            return Err(MetadataError::NotAllowed { kind, name: name.clone() });
        }
    }
    Ok(())
}

fn is_qualified_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_name(name),
        None => is_name(name),
    }
}

fn is_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    name.len() <= 63 && bounded(name, inner, |c| c.is_ascii_alphanumeric())
}

fn is_subdomain(domain: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    domain.len() <= 253 && domain.split('.').all(|label| bounded(label, |c| edge(c) || c == b'-', edge))
}

fn bounded(text: &str, inner: impl Fn(u8) -> bool, edge: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|c| inner(*c))
        && bytes.first().is_some_and(|c| edge(*c))
        && bytes.last().is_some_and(|c| edge(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, name: &str, value: &str) -> TemplateMetadata {
        let one = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        match kind {
            LABEL => TemplateMetadata { labels: one, ..TemplateMetadata::default() },
            _ => TemplateMetadata { annotations: one, ..TemplateMetadata::default() },
        }
    }

    fn verdict(allowed: &AllowedMetadata, kind: &str, name: &str, value: &str) -> &'static str {
        match allowed.check(&one(kind, name, value)) {
            Ok(()) => "ok",
            Err(MetadataError::NotAllowed { .. }) => "not allowed",
            Err(MetadataError::Reserved { .. }) => "reserved",
            Err(MetadataError::Invalid { .. }) => "invalid",
        }
    }

    #[test]
    fn names_are_allowed_under_the_administrators_prefixes_only() {
        let prefixes = ["team.example.com/", "bowline.dev/", "app"].map(ToOwned::to_owned).to_vec();
        let none = AllowedMetadata::new(vec![String::new()], vec![String::new()]);
        let some = AllowedMetadata::new(prefixes.clone(), prefixes);
        let rows = [
            ("allowed prefix", &some, "team.example.com/x", "ok"),
            ("nothing is allowed by default", &none, "team.example.com/x", "not allowed"),
            ("another prefix", &some, "other/x", "not allowed"),
            ("ours, even where a prefix allows it", &some, "bowline.dev/connection-uid", "reserved"),
            ("under ours", &some, "attempts.bowline.dev/x", "reserved"),
            ("managed-by, even where a prefix allows it", &some, "app.kubernetes.io/managed-by", "reserved"),
            ("a name with two slashes", &some, "team.example.com/x/y", "invalid"),
            ("no name", &some, "team.example.com/", "invalid"),
        ];
        for kind in [LABEL, ANNOTATION] {
            for (row, allowed, name, expected) in rows {
                assert_eq!(verdict(allowed, kind, name, "y"), expected, "{kind}: {row}");
            }
        }
    }

    #[test]
    fn a_label_has_a_short_value_and_an_annotation_any() {
        let allowed = AllowedMetadata::new(vec!["app".to_owned()], vec!["app".to_owned()]);
        for (value, label) in [("", "ok"), ("a", "ok"), ("a b", "invalid"), (&*"x".repeat(64), "invalid")] {
            assert_eq!(verdict(&allowed, LABEL, "app", value), label, "{value:?}");
            assert_eq!(verdict(&allowed, ANNOTATION, "app", value), "ok", "{value:?}");
        }
    }

    #[test]
    fn each_list_of_prefixes_counts_for_its_own_kind() {
        let labels = AllowedMetadata::new(vec!["app".to_owned()], vec![]);
        assert_eq!(verdict(&labels, ANNOTATION, "app", "x"), "not allowed");
        let annotations = AllowedMetadata::new(vec![], vec!["reloader.stakater.com/".to_owned()]);
        assert_eq!(verdict(&annotations, ANNOTATION, "reloader.stakater.com/match", "true"), "ok");
        assert_eq!(verdict(&annotations, LABEL, "reloader.stakater.com/match", "true"), "not allowed");
        let error = AllowedMetadata::default().check(&one(
            ANNOTATION,
            "reflector.v1.k8s.emberstack.com/reflection-allowed",
            "true",
        ));
        assert!(error.is_err_and(|error| error.to_string().contains("--published-annotation-prefix")));
    }
}
