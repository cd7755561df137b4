//! Whether a grant may be revoked: one rule for grants that end, were refused, or were replaced. Pure.

use std::sync::Arc;

use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;

use crate::vault::{Grant, Record, SiblingKey, Store};

/// What a revocation would affect besides the one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing: the provider revokes that one token.
    TokenAlone,
    /// All grants of the account through this client; and there is no other.
    OnlyOne,
    /// All grants of the account through this client; and this connection lives on another.
    Shared(Arc<Record>),
    /// All grants of the account through this client; and nobody can tell whether there is another.
    Unknown,
}

/// Whether a revocation ends one token and nothing else.
pub(in crate::grant) fn ends_token_alone(description: &Description) -> bool {
    description.revoke.scope == RevokeScope::Token && description.grant.chain == Chain::Connection
}

/// What a revocation of `grant`, which is not in use, would affect besides it. The grant that its own connection has in use by
/// now counts like anybody else's; one of which nothing works any more does not count, nor what is being ended.
///
/// A grant that its owner disconnects or deletes is revoked unless it is shared: if in doubt, we do what the owner requested.
pub(super) fn reach(store: &Store, description: &Description, grant: &Grant) -> Reach {
    if ends_token_alone(description) {
        return Reach::TokenAlone;
    }
    match SiblingKey::of(&grant.bound_to) {
        Some(key) => match store.siblings(&key).into_iter().next() {
            Some(other) => Reach::Shared(other),
            None if store.has_unreadable() => Reach::Unknown,
            None => Reach::OnlyOne,
        },
        None => Reach::Unknown,
    }
}
