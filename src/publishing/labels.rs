//! Which labels of the user a published Secret may have. Pure.

use std::collections::BTreeMap;

use bowline_api::names::{GROUP, LABEL_MANAGED_BY};

/// The label prefixes that the administrator allows (`--published-label-prefix`). None by default.
///
/// Labels select: a network policy, a backup or another operator may act on a Secret because of one. So they are the
/// administrator's to allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelPrefixes(Vec<String>);

/// Why a label is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    /// No allowed prefix fits.
    #[error(
        "the label {name} is not allowed on published Secrets; an administrator allows prefixes with --published-label-prefix"
    )]
    NotAllowed {
        /// The label.
        name: String,
    },
    /// The label is the operator's own.
    #[error("the label {name} is set by the operator; remove it from spec.secret.labels")]
    Reserved {
        /// The label.
        name: String,
    },
    /// Kubernetes would refuse it.
    #[error("the label {name} or its value is not a valid Kubernetes label; correct spec.secret.labels")]
    Invalid {
        /// The label.
        name: String,
    },
}

impl LabelPrefixes {
    /// Prefixes as given, such as `team.example.com/`. Empty ones, which would allow everything, are dropped.
    pub fn new(prefixes: impl IntoIterator<Item = String>) -> Self {
        Self(prefixes.into_iter().filter(|prefix| !prefix.is_empty()).collect())
    }

    /// Checks the user's labels; the first one that is not allowed is named.
    pub fn check(&self, labels: &BTreeMap<String, String>) -> Result<(), LabelError> {
        labels.iter().try_for_each(|(name, value)| self.check_one(name, value))
    }

    fn check_one(&self, name: &str, value: &str) -> Result<(), LabelError> {
        let name_of = || name.to_owned();
        let domain = name.split_once('/').map(|(domain, _)| domain);
        if name == LABEL_MANAGED_BY
            || domain.is_some_and(|domain| domain == GROUP || domain.ends_with(&format!(".{GROUP}")))
        {
            return Err(LabelError::Reserved { name: name_of() });
        }
        if !is_label_name(name) || !is_label_value(value) {
            return Err(LabelError::Invalid { name: name_of() });
        }
        if !self.0.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            return Err(LabelError::NotAllowed { name: name_of() });
        }
        Ok(())
    }
}

fn is_label_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_name(name),
        None => is_name(name),
    }
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
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

    #[test]
    fn labels_are_allowed_under_the_administrators_prefixes_only() {
        let none = LabelPrefixes::new([String::new()]);
        let some =
            LabelPrefixes::new(["team.example.com/".to_owned(), "bowline.dev/".to_owned(), "app".to_owned()]);
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let rows = [
            ("allowed prefix", &some, "team.example.com/x", "y", "ok"),
            ("nothing is allowed by default", &none, "team.example.com/x", "y", "not allowed"),
            ("another prefix", &some, "other/x", "y", "not allowed"),
            ("ours, even where a prefix allows it", &some, "bowline.dev/connection-uid", "y", "reserved"),
            (
                "managed-by, even where a prefix allows it",
                &some,
                "app.kubernetes.io/managed-by",
                "bowline",
                "reserved",
            ),
            ("a name with two slashes", &some, "team.example.com/x/y", "y", "invalid"),
            ("no name", &some, "team.example.com/", "y", "invalid"),
            ("a value with a space", &some, "app", "a b", "invalid"),
            ("a value of 64 characters", &some, "app", &"x".repeat(64), "invalid"),
            ("an empty value", &some, "app", "", "ok"),
        ];
        for (row, prefixes, name, value, expected) in rows {
            let got = match prefixes.check(&one(name, value)) {
                Ok(()) => "ok",
                Err(LabelError::NotAllowed { .. }) => "not allowed",
                Err(LabelError::Reserved { .. }) => "reserved",
                Err(LabelError::Invalid { .. }) => "invalid",
            };
            assert_eq!(got, expected, "{row}");
        }
    }
}
