//! The part of minijinja that templates may use. Pure.
//!
//! Nothing here can bind a value to a name but `for NAME in scopes`, and nothing multiplies: so a value grows at most
//! with the length of the template. Where this reads a template differently from minijinja, it must be the stricter of
//! the two: braces are not allowed in expressions, and parentheses must close before an expression ends.

/// The longest expression or statement, in bytes with its closing mark: what stands in it is held in memory at once, and
/// each `~` copies what stands before it.
const LONGEST: usize = 512;

/// Words that may begin a statement, besides `for`.
const STATEMENTS: [&str; 5] = ["if", "elif", "else", "endif", "endfor"];

/// Whether a template keeps to the allowed part; else the line, from 1, where it does not.
pub(super) fn check(template: &str) -> Result<(), usize> {
    let mut rest = template;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let opening = &rest[start..start + 2];
        let body = &rest[start + 2..];
        let end = match opening {
            "{{" => expression(body, "}}"),
            "{%" => statement(body),
            _ => body.find("#}").map(|end| end + 2),
        };
        let line = || template[..template.len() - body.len()].matches('\n').count() + 1;
        rest = &body[end.ok_or_else(line)?..];
    }
    Ok(())
}

/// Length of a statement with its end, if it is allowed.
fn statement(body: &str) -> Option<usize> {
    let end = expression(body, "%}")?;
    let inner = body[..end - 2].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
    let mut words = inner.split_whitespace();
    let allowed = match words.next()? {
        "for" => {
            is_name(words.next()?)
                && words.next()? == "in"
                && words.next()? == "scopes"
                && words.next().is_none()
        }
        word => STATEMENTS.contains(&word),
    };
    allowed.then_some(end)
}

/// Length of an expression with its closing mark, if every character of it is allowed.
fn expression(body: &str, closing: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        if at > LONGEST {
            return None;
        }
        if body.get(at..).is_some_and(|rest| rest.starts_with(closing)) {
            return (depth == 0).then_some(at + closing.len());
        }
        match *bytes.get(at)? {
            quote @ (b'"' | b'\'') => at += string(&bytes[at..], quote)?,
            b'(' | b'[' => (at, depth) = (at + 1, depth + 1),
            b')' | b']' => (at, depth) = (at + 1, depth.checked_sub(1)?),
            c if c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || b"_.,|~=!<>-+".contains(&c) => {
                at += 1;
            }
            _ => return None,
        }
    }
}

/// Length of a string literal with its quotes; read as minijinja's lexer does.
fn string(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            c if c == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
