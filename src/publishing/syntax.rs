//! The part of minijinja that templates may use. Pure.
//!
//! Only `for NAME in scopes` can bind a value to a name, and nothing multiplies: so a value grows at most with the length of
//! the template. It is read by minijinja's own lexer, so both agree on where an expression ends.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// The maximum length of an expression or statement, in bytes: all of it is in memory at once, and each `~` copies what is
/// before it.
const LONGEST: u32 = 512;

/// Whether a template uses only the allowed part; otherwise the line, from 1, where it does not.
pub(super) fn check(template: &str) -> Result<(), usize> {
    // The tag that is being read: where it begins, and its content.
    let mut tag = None;
    for token in tokenize(template, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| error.line().unwrap_or(1))?;
        match token {
            Token::TemplateData(_) => {}
            Token::VariableStart | Token::BlockStart => tag = Some((span, Vec::new())),
            Token::VariableEnd | Token::BlockEnd => {
                let Some((start, tokens)) = tag.take() else { continue };
                let is_statement = matches!(token, Token::BlockEnd);
                let is_short = span.start_offset.saturating_sub(start.end_offset) <= LONGEST;
                if !is_short
                    || is_statement && !is_allowed_statement(&tokens)
                    || !tokens.iter().all(is_allowed)
                {
                    return Err(start.start_line.into());
                }
            }
            token => {
                if let Some((_, tokens)) = &mut tag {
                    tokens.push(token);
                }
            }
        }
    }
    tag.map_or(Ok(()), |(start, _)| Err(start.start_line.into()))
}

fn is_allowed_statement(statement: &[Token<'_>]) -> bool {
    use Token::Ident;
    matches!(
        statement,
        [Ident("for"), Ident(_), Ident("in"), Ident("scopes")]
            | [Ident("if" | "elif" | "else" | "endif" | "endfor"), ..]
    )
}

fn is_allowed(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Ident(_)
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::Plus
            | Token::Minus
            | Token::Dot
            | Token::Comma
            | Token::Tilde
            | Token::Assign
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte
            | Token::BracketOpen
            | Token::BracketClose
            | Token::ParenOpen
            | Token::ParenClose
    )
}
