//! What an answer means, in the words of the catalogue.

use std::fmt;

use crate::catalog::errors::Class;

/// What an answer means.
#[derive(PartialEq)]
pub(super) struct Meaning {
    /// A class, or that a revocation found nothing.
    pub(super) what: String,
    pub(super) revoked: bool,
    pub(super) waits: Option<u64>,
}

impl Meaning {
    pub(super) fn of(what: String) -> Self {
        Self { what, revoked: false, waits: None }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, revoked, waits } = self;
        f.write_str(what)?;
        if *revoked {
            f.write_str(", revoked")?;
        }
        waits.map_or(Ok(()), |seconds| write!(f, ", for {seconds} s"))
    }
}

/// A class in the words of the catalogue.
pub(super) fn named(class: Class) -> String {
    serde_json::to_value(class).unwrap().as_str().unwrap().to_owned()
}
