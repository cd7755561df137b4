//! Whether the settings of a consumer can be published. Pure.

use bowline_api::ConsumerConfig;
use bowline_oauth::catalog::Description;
use serde_json::json;

/// The maximum length of the settings as JSON, in bytes.
const CONFIG_BYTES: usize = 16 * 1024;

/// Why these settings cannot be published, as a sentence: they are too large, or are none that this provider's consumers have.
pub(crate) fn config_fault(config: &ConsumerConfig, description: &Description) -> Option<String> {
    let bytes = json!(config).to_string().len();
    if bytes > CONFIG_BYTES {
        return Some(format!("As JSON it has {bytes} bytes; at most {CONFIG_BYTES} are published."));
    }
    let flaws: Vec<_> = description.config_flaws(config).iter().map(ToString::to_string).collect();
    (!flaws.is_empty()).then(|| format!("{}.", flaws.join("; ").trim_end_matches('.')))
}
