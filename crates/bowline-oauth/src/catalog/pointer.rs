//! Where a provider's JSON has a value: a JSON pointer (RFC 6901), such as `/error/code` or `/items/0/.tag`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where in a JSON document a value is. The empty text, which is the default, is the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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

    /// The first name in it, as it is written. `None`: it leads to the whole document.
    pub(crate) fn first_name(&self) -> Option<&str> {
        self.0.split('/').nth(1)
    }

    /// The names on the way, unescaped.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.0.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"))
    }

    /// The name below the first one, unescaped.
    pub(crate) fn second_name(&self) -> Option<String> {
        self.names().nth(1)
    }

    /// What is left behind the first name.
    pub(crate) fn behind_first_name(&self) -> Self {
        let rest = self.0.get(1..).and_then(|text| text.find('/').map(|at| &text[at..]));
        Self(rest.unwrap_or_default().to_owned())
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

    /// The items of the list there, where the name `*` leads to every item of a list on the way.
    pub(crate) fn items<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        let step = |found: Vec<&'a Value>, name: String| match name.as_str() {
            "*" => found.into_iter().filter_map(Value::as_array).flatten().collect(),
            name => found.into_iter().filter_map(|value| value.get(name)).collect(),
        };
        let lists = self.names().fold(vec![document], step);
        lists.into_iter().filter_map(Value::as_array).flatten().collect()
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

/// One pointer or several, of which the first that leads to a value counts: `/mail | /userPrincipalName`. The empty text,
/// which is the default, leads nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^((/([^/~|]|~[01])*)+( \\| (/([^/~|]|~[01])*)+)*)?$"))]
pub(crate) struct Pointers(Vec<Pointer>);

/// Stands between pointers.
const OR: &str = " | ";

impl Pointers {
    /// The first text that one of the pointers leads to, as [`Pointer::text`] reads it.
    pub(crate) fn text(&self, document: &Value) -> Option<String> {
        self.0.iter().find_map(|pointer| pointer.text(document))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<String> for Pointers {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let pointers = text.split(OR).map(|pointer| match pointer {
            // The whole document is no value.
            "" => Err(PointerError),
            pointer if pointer.contains('|') => Err(PointerError),
            pointer => pointer.to_owned().try_into(),
        });
        pointers.collect::<Result<_, _>>().map(Self)
    }
}

impl From<Pointers> for String {
    fn from(pointers: Pointers) -> Self {
        let texts: Vec<String> = pointers.0.into_iter().map(|pointer| pointer.0).collect();
        texts.join(OR)
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
        let pointers = Pointers::try_from("/mail | /userPrincipalName".to_owned()).unwrap();
        let document = json!({"mail": null, "userPrincipalName": "o@example.com"});
        assert_eq!(pointers.text(&document).as_deref(), Some("o@example.com"));
        assert_eq!(Pointers::default().text(&document), None);
        assert_eq!(json!(pointers), "/mail | /userPrincipalName");
    }

    #[test]
    fn several_pointers_are_refused_by_schema_and_reader_alike() {
        let schema = schemars::schema_for!(Pointers).to_value();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let rows =
            ["", "/a", "/a | /b/0", "/", "a", "/a |/b", "/a | ", " | /a", "/a | b", "/a|/b", "/a | /~2"];
        for (number, text) in rows.into_iter().enumerate() {
            assert_eq!(Pointers::try_from(text.to_owned()).is_ok(), number < 4, "{text}");
            assert_eq!(validator.is_valid(&json!(text)), number < 4, "{text}");
        }
    }

    #[test]
    fn a_pointer_is_taken_apart_at_its_first_name() {
        let parts = |text: &str| {
            let pointer = pointer(text);
            (pointer.first_name().map(str::to_owned), pointer.behind_first_name().0)
        };
        assert_eq!(parts("/callback/realmId"), (Some("callback".to_owned()), "/realmId".to_owned()));
        assert_eq!(parts("/answer/a/0"), (Some("answer".to_owned()), "/a/0".to_owned()));
        assert_eq!(parts("/answer"), (Some("answer".to_owned()), String::new()));
        assert_eq!(parts(""), (None, String::new()));
        let second = |text: &str| pointer(text).second_name();
        assert_eq!(second("/callback/realm~1Id~0").as_deref(), Some("realm/Id~"));
        assert_eq!(second("/callback"), None);
    }
}
