//! Data with placeholders: `{name}` in a string.
//!
//! A string that is nothing but a placeholder becomes the value, whatever its type. A member whose placeholder has no value
//! is left out, so an answer without a refresh token needs no second template.

use serde_json::{Map, Value};

/// The data with all placeholders filled; `None` if it is a string whose placeholder has no value.
pub(super) fn fill(template: &Value, values: &Map<String, Value>) -> Option<Value> {
    match template {
        Value::String(text) => fill_text(text, values),
        Value::Array(items) => Some(items.iter().filter_map(|item| fill(item, values)).collect()),
        Value::Object(members) => {
            let members = members.iter().filter_map(|(name, item)| Some((name.clone(), fill(item, values)?)));
            Some(Value::Object(members.collect()))
        }
        other => Some(other.clone()),
    }
}

fn fill_text(text: &str, values: &Map<String, Value>) -> Option<Value> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, name, after)) = placeholder(rest) {
        let value = values.get(name)?;
        if before.is_empty() && after.is_empty() && parts.is_empty() {
            return Some(value.clone());
        }
        parts.extend([before.to_owned(), as_text(value)]);
        rest = after;
    }
    parts.push(rest.to_owned());
    Some(Value::String(parts.concat()))
}

/// The text before the first placeholder, its name, and the text after it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some((before, name, after))
}

/// A value inside a text or a form.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The values of placeholders if `given` fits `pattern`, segment by segment: `/a/{b}/c` fits `/a/x/c`.
pub(super) fn bindings(pattern: &str, given: &str) -> Option<Map<String, Value>> {
    let mut bound = Map::new();
    let (mut ours, mut theirs) = (pattern.split('/'), given.split('/'));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return Some(bound),
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (Some(ours), Some(theirs)) if !theirs.is_empty() => {
                let ("", name, "") = placeholder(ours)? else { return None };
                bound.insert(name.to_owned(), theirs.into());
            }
            _ => return None,
        }
    }
}

/// The values of placeholders if `given` fits `pattern`, where each reaches to the text behind it: `a {b}, c` fits `a x, c`.
pub(super) fn captured(pattern: &str, given: &str) -> Option<Map<String, Value>> {
    let Some((before, name, after)) = placeholder(pattern) else {
        return (pattern == given).then(Map::new);
    };
    let behind = placeholder(after).map_or(after, |(behind, ..)| behind);
    let rest = given.strip_prefix(before)?;
    let end = if behind.is_empty() { rest.len() } else { rest.find(behind)? };
    let mut found = captured(after, &rest[end..])?;
    found.insert(name.to_owned(), rest[..end].into());
    (end > 0).then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::captured;

    #[test]
    fn a_header_is_read_as_its_pattern_says() {
        let pattern = "OAuth key=\"{key}\", token=\"{token}\"";
        let found = captured(pattern, "OAuth key=\"k\", token=\"t\"").unwrap();
        assert_eq!((found["key"].as_str(), found["token"].as_str()), (Some("k"), Some("t")));
        for other in ["Bearer t", "OAuth key=\"\", token=\"t\"", "OAuth key=\"k\", token=\"t", ""] {
            assert_eq!(captured(pattern, other), None, "{other}");
        }
        assert_eq!(captured("{token}", "lin_1").unwrap()["token"], "lin_1");
    }
}
