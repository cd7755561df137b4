//! Values of enums that a later version may extend: readers keep what they do not know, and show it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value of `E`, or the text of one that this version does not know.
///
/// In a schema it is a string. A field of a spec, whose values the API server checks, says so with
/// `#[schemars(with = "Option<E>")]`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
#[schemars(from = "String", into = "String", inline, bound = "", transform = crate::schema::undescribed)]
pub enum Open<E> {
    Known(E),
    /// A value of a later version.
    Other(String),
}

impl<E: Copy> Open<E> {
    /// The value, if this version knows it.
    pub fn known(&self) -> Option<E> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }

    /// Whether it is this value.
    pub fn is(&self, value: E) -> bool
    where
        E: PartialEq,
    {
        self.known() == Some(value)
    }
}

impl<E> From<E> for Open<E> {
    fn from(value: E) -> Self {
        Self::Known(value)
    }
}

impl<E: fmt::Debug> fmt::Display for Open<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Our enums are serialized under their names.
            Self::Known(value) => write!(f, "{value:?}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connection::Phase;

    #[test]
    fn a_value_of_a_later_version_survives_and_is_shown() {
        let phase: Open<Phase> = serde_json::from_value(json!("Hibernating")).unwrap();
        assert_eq!((phase.known(), phase.to_string()), (None, "Hibernating".to_owned()));
        assert_eq!(serde_json::to_value(&phase).unwrap(), json!("Hibernating"));
        let phase: Open<Phase> = serde_json::from_value(json!("Active")).unwrap();
        assert!(phase.is(Phase::Active));
        assert_eq!(phase.to_string(), "Active");
    }
}
