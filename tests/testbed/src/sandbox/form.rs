//! Form bodies and query strings, read as strictly as the standards allow.

use super::answer::Refusal;

/// Parameters in which no name occurs twice; those without a value count as absent (RFC 6749 §3.2).
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded` text. Broken percent signs, bytes that are not UTF-8 and repeated names
    /// are refused rather than guessed at.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let value = decode(halves.next().unwrap_or_default());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(Refusal::of("invalid_request", "the form encoding is broken"));
            };
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::of("invalid_request", "a parameter occurs twice"));
            }
            pairs.push((name, value));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Ok(Self(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// This form with its client, and the parameters that only a sandbox has (`auto_consent`, `auto_deny`, `auto_scope`)
    /// from `other`.
    pub fn over(mut self, other: &Self) -> Self {
        let own = |name: &str| name == "client_id" || name.starts_with("auto_");
        self.0.retain(|(name, _)| !own(name));
        self.0.extend(other.0.iter().filter(|(name, _)| own(name)).cloned());
        self
    }

    pub fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::of("invalid_request", "a required parameter is missing"))
    }

    /// The rest of each name that starts with `prefix`.
    pub fn names_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |(name, _)| name.strip_prefix(prefix))
    }
}

/// Undoes form encoding; nothing for a broken percent sign or bytes that are not UTF-8.
pub(super) fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? * 16 + hex(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let form = Form::parse(b"a=x+y%2B%C3%A9&b=&c").ok().unwrap();
        assert_eq!(form.get("a"), Some("x y+é"));
        assert_eq!((form.get("b"), form.get("c")), (None, None));
    }

    #[test]
    fn repeated_names_and_broken_encoding_are_refused() {
        for text in ["a=1&a=2", "a=1&%61=2", "a=&a=1", "a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Form::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
