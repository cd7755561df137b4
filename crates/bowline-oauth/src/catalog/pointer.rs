//! Where a provider's JSON has a value: a JSON pointer (RFC 6901), such as `/error/code` or `/items/0/.tag`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where in a JSON document a value is. The empty text, which is the default, is the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^(/([^/~]|~[01])*)*$"))]
pub(crate) struct Pointer(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer is written /name or /items/0/name")]
pub(crate) struct PointerError;

impl Pointer {
    /// The value there. A `null` counts as absent.
    pub(crate) fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0).filter(|value| !value.is_null())
    }

    /// The value there as text: a string that is not empty, a number or a boolean.
    pub(crate) fn text(&self, document: &Value) -> Option<String> {
        match self.get(document)? {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }
}

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        let mut escapes = text.split('~').skip(1);
        let is_sound =
            (text.is_empty() || text.starts_with('/')) && escapes.all(|rest| rest.starts_with(['0', '1']));
        if is_sound { Ok(Self(text)) } else { Err(PointerError) }
    }
}

/// One pointer or several, of which the first that leads to a value counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Pointers {
    One(Pointer),
    Many(Vec<Pointer>),
}

impl Default for Pointers {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Pointers {
    fn as_slice(&self) -> &[Pointer] {
        match self {
            Self::One(pointer) => std::slice::from_ref(pointer),
            Self::Many(pointers) => pointers,
        }
    }

    /// The first text that one of the pointers leads to, as [`Pointer::text`] reads it.
    pub(crate) fn text(&self, document: &Value) -> Option<String> {
        self.as_slice().iter().find_map(|pointer| pointer.text(document))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_pointer_leads_to_its_value() {
        let document = json!({
            "a": {"b": "c", "n": 7, "x/y": "slash"}, "list": [{".tag": "expired"}], "flag": true, "empty": "", "no": null,
        });
        let rows = [
            ("/a/b", Some("c")),
            ("/a/n", Some("7")),
            ("/a/x~1y", Some("slash")),
            ("/list/0/.tag", Some("expired")),
            ("/list/1/.tag", None),
            ("/flag", Some("true")),
            ("/empty", None),
            ("/no", None),
            ("/a", None),
            ("/a/b/c", None),
        ];
        for (text, expected) in rows {
            assert_eq!(pointer(text).text(&document).as_deref(), expected, "{text}");
        }
        assert_eq!(pointer("").get(&document), Some(&document));
    }

    #[test]
    fn what_is_no_pointer_is_refused_by_schema_and_reader_alike() {
        let schema = schemars::schema_for!(Pointer).to_value();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let rows =
            ["", "/", "/a", "/a/0", "/a~0b", "/a~1b", "a", "a/b", "$", "$.a", "~", "/~", "/a~2", "/a~"];
        for (number, text) in rows.into_iter().enumerate() {
            assert_eq!(Pointer::try_from(text.to_owned()).is_ok(), number < 6, "{text}");
            assert_eq!(validator.is_valid(&json!(text)), number < 6, "{text}");
        }
    }

    #[test]
    fn the_first_pointer_with_a_value_counts() {
        let pointers = Pointers::Many(vec![pointer("/mail"), pointer("/userPrincipalName")]);
        let document = json!({"mail": null, "userPrincipalName": "o@example.com"});
        assert_eq!(pointers.text(&document).as_deref(), Some("o@example.com"));
        assert_eq!(Pointers::default().text(&document), None);
    }
}
