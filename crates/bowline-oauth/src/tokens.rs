//! What a grant consists of, for requests about it.

use secrecy::SecretString;

/// The tokens of a grant, and whose they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokens<'a> {
    pub refresh: Option<&'a SecretString>,
    pub access: Option<&'a SecretString>,
    /// The id of the account, for providers that are told that instead.
    pub account: Option<&'a str>,
}
