//! A share of something, in percent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A share, written like `90%`: 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[1-9][0-9]?%$"))]
pub struct Percentage(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is written 1% to 99%")]
pub struct PercentageError;

impl Percentage {
    /// That share of a duration.
    pub fn of(self, whole: std::time::Duration) -> std::time::Duration {
        whole * u32::from(self.0) / 100
    }
}

impl TryFrom<String> for Percentage {
    type Error = PercentageError;

    fn try_from(text: String) -> Result<Self, PercentageError> {
        let digits = text.strip_suffix('%').filter(|digits| !digits.starts_with(['0', '+']));
        let share = digits.and_then(|digits| digits.parse().ok()).filter(|share| (1..=99).contains(share));
        share.map(Self).ok_or(PercentageError)
    }
}

impl From<Percentage> for String {
    fn from(Percentage(share): Percentage) -> Self {
        format!("{share}%")
    }
}
