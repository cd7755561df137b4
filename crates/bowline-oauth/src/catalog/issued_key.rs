//! What keys are like that are issued for connections of a provider.

use std::time::Duration as Length;

use bowline_api::duration::Duration;
use bowline_api::issued_key::MAX_OVERLAP;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const SHORTEST_LIFETIME: Length = Length::from_hours(1);
const LONGEST_PREFIX: usize = 16;

/// What keys are like that are issued here, for the method `IssuedKey`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuedKeyRules {
    /// What each begins with: a letter, up to 14 letters and digits, and `_`.
    pub prefix: String,
    /// How long earlier keys stay valid beside a new one. At most 720h.
    pub overlap: Duration,
    /// After how long a key expires. At least 1h. Absent means that it does not.
    pub lifetime: Option<Duration>,
}

/// A rule for issued keys that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IssuedKeyFlaw {
    #[error("issuedKey.prefix: a letter, up to 14 letters and digits, and '_' at the end")]
    Prefix,
    #[error("issuedKey.overlap: at most {} h", MAX_OVERLAP.as_secs() / 3600)]
    Overlap,
    #[error("issuedKey.lifetime: at least 1 h")]
    Lifetime,
    #[error("issuedKey: the method IssuedKey needs it")]
    Absent,
}

impl IssuedKeyRules {
    pub(super) fn check(&self) -> Result<(), IssuedKeyFlaw> {
        let name = self.prefix.strip_suffix('_').unwrap_or_default();
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || self.prefix.len() > LONGEST_PREFIX {
            return Err(IssuedKeyFlaw::Prefix);
        }
        if self.overlap.get() > MAX_OVERLAP {
            return Err(IssuedKeyFlaw::Overlap);
        }
        if self.lifetime.is_some_and(|lifetime| lifetime.get() < SHORTEST_LIFETIME) {
            return Err(IssuedKeyFlaw::Lifetime);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::catalog::{entry_of, resolve};

    fn rules(spec: serde_json::Value) -> Result<IssuedKeyRules, String> {
        let spec = serde_json::from_value(spec).unwrap();
        let entry = entry_of(&spec).map_err(|error| error.to_string())?;
        let description = resolve(&entry, &spec, "zapier", &BTreeMap::new());
        description.map(|it| it.core.issued_key.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn prefix_overlap_and_lifetime_are_data_r2() {
        let zapier = rules(json!({"type": "zapier-key"})).unwrap();
        assert_eq!((zapier.prefix.as_str(), zapier.lifetime), ("wkz_", None));
        assert_eq!(zapier.overlap, "24h".parse().unwrap());
        let own = json!({"prefix": "acme_", "overlap": "0s", "lifetime": "2160h"});
        let own = rules(json!({"type": "zapier-key", "parameters": own})).unwrap();
        assert_eq!((own.prefix.as_str(), own.overlap), ("acme_", "0s".parse().unwrap()));
        assert_eq!(own.lifetime, Some("2160h".parse().unwrap()));
        let laid_over = json!({"type": "generic-issued-key", "overlay": {"issuedKey": {"overlap": "48h"}}});
        assert_eq!(rules(laid_over).unwrap().overlap, "48h".parse().unwrap());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_name() {
        for (type_, parameters, overlay, words) in [
            ("zapier-key", json!({"overlap": "721h"}), json!({}), "issuedKey.overlap"),
            ("zapier-key", json!({"lifetime": "59m"}), json!({}), "issuedKey.lifetime"),
            ("zapier-key", json!({"prefix": "no prefix"}), json!({}), "parameters.prefix"),
            ("zapier-key", json!({}), json!({"issuedKey": {"prefix": "w/_"}}), "issuedKey.prefix"),
            ("zapier-key", json!({}), json!({"issuedKey": {"overlap": "soon"}}), "issuedKey.overlap"),
            ("generic-api-key", json!({}), json!({"methods": ["IssuedKey"]}), "issuedKey"),
        ] {
            let refused = rules(json!({"type": type_, "parameters": parameters, "overlay": overlay}));
            let refused = refused.unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}
