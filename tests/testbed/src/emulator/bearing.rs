//! How a token or key is sent to an API.

use serde::Deserialize;

use super::asked::Asked;
use super::data::Values;
use super::template::captured;

/// Where a request has it, and beside what.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Bearing {
    pub header: String,
    /// What the header holds: `{token}`, and in braces further values of the app that belong to it.
    pub form: String,
    /// The parameter of the query that has it instead.
    pub query: Option<String>,
}

impl Default for Bearing {
    /// RFC 6750 §2.1.
    fn default() -> Self {
        Self { header: "authorization".to_owned(), form: "Bearer {token}".to_owned(), query: None }
    }
}

impl Bearing {
    /// What a request has there: `token`, and the values beside it. `None` if it is not sent like this.
    pub fn read(&self, asked: &Asked) -> Option<Values> {
        if let Some(name) = &self.query {
            let (_, token) = asked.url.query_pairs().find(|(given, _)| given == name)?;
            return Some(Values::from_iter([("token".to_owned(), token.into())]));
        }
        captured(&self.form, asked.headers.get(&self.header)?.to_str().ok()?)
    }
}
