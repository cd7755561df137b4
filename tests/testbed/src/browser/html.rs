//! Tags, attributes and forms, read from pages that are known to be well formed.

/// A form, with its values on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The address it is sent to, as written on the page.
    pub action: String,
    /// Names and values: hidden fields and ticked boxes.
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// With one more field: something typed, or the button that is pressed.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The rest of each field name after this prefix, such as the scopes that are ticked.
    pub fn names_after(&self, prefix: &str) -> Vec<&str> {
        self.fields.iter().filter_map(|(name, _)| name.strip_prefix(prefix)).collect()
    }
}

/// Every form of a page.
pub fn forms(page: &str) -> Vec<Form> {
    page.split("<form").skip(1).map(|rest| read(rest.split("</form").next().unwrap_or_default())).collect()
}

fn read(form: &str) -> Form {
    let own = attributes(form);
    let inputs = form.split("<input").skip(1).map(attributes);
    let fields = inputs.filter_map(|input| {
        let is_chosen = value(&input, "type") != Some("checkbox") || value(&input, "checked").is_some();
        let name = value(&input, "name").filter(|_| is_chosen)?;
        Some((name.to_owned(), value(&input, "value").unwrap_or_default().to_owned()))
    });
    Form { action: value(&own, "action").unwrap_or_default().to_owned(), fields: fields.collect() }
}

/// An attribute of the first tag of this kind that has another given attribute.
pub fn attribute_of(page: &str, tag: &str, has: (&str, &str), attribute: &str) -> Option<String> {
    page.split(&format!("<{tag} "))
        .skip(1)
        .map(attributes)
        .find(|found| value(found, has.0) == Some(has.1))
        .and_then(|found| value(&found, attribute).map(ToOwned::to_owned))
}

/// The text of the first element of this kind, if it contains only text.
pub fn text_of(page: &str, tag: &str) -> Option<String> {
    let text = page.split(&format!("<{tag}>")).nth(1)?.split('<').next()?;
    Some(plain(text))
}

type Attributes = Vec<(String, String)>;

fn value<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The text up to the end of the tag, quoted or not.
fn attributes(tag: &str) -> Attributes {
    let mut found = Vec::new();
    let mut rest = tag.trim_start();
    while !rest.is_empty() && !rest.starts_with(['>', '/']) {
        let end = rest.find(|c: char| c == '=' || c == '>' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (text, after) = match after.strip_prefix('=') {
            None => ("", after),
            Some(after) => match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => after.split_at(after.find(['>', ' ', '\n']).unwrap_or(after.len())),
            },
        };
        found.push((name.to_owned(), plain(text)));
        rest = after.trim_start();
    }
    found
}

/// Entities that our pages write, by name or number.
fn plain(text: &str) -> String {
    let pairs =
        [("quot", "34", '"'), ("lt", "60", '<'), ("gt", "62", '>'), ("apos", "39", '\''), ("amp", "38", '&')];
    pairs.iter().fold(text.to_owned(), |text, (name, number, character)| {
        let mut buffer = [0; 4];
        let character: &str = character.encode_utf8(&mut buffer);
        text.replace(&format!("&{name};"), character).replace(&format!("&#{number};"), character)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<h1>A &amp; B</h1><a class=x id="go" href="/next?a=1&#38;b=2">on</a>
        <form method=post action="http://x/decide"><input type=hidden name=request value="r1">
        <label><input type=checkbox name="scope:read" value=on checked> read</label>
        <label><input type=checkbox name="scope:write" value=on> write</label>
        <button name=account value="alice">Allow</button></form>"#;

    #[test]
    fn a_form_has_its_hidden_fields_and_ticked_boxes() {
        let form = forms(PAGE).remove(0).with("account", "alice");
        let fields = [("request", "r1"), ("scope:read", "on"), ("account", "alice")];
        assert_eq!(form.action, "http://x/decide");
        assert_eq!(form.fields, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn attributes_are_read_quoted_or_not_and_unescaped() {
        assert_eq!(attribute_of(PAGE, "a", ("id", "go"), "href").unwrap(), "/next?a=1&b=2");
        assert_eq!(attribute_of(PAGE, "a", ("id", "go"), "class").unwrap(), "x");
        assert_eq!(attribute_of(PAGE, "a", ("id", "gone"), "href"), None);
        assert_eq!(text_of(PAGE, "h1").unwrap(), "A & B");
    }
}
