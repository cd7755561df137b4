//! Whether a grant may be revoked: one rule for grants that end, were refused, or were replaced. Pure.

use std::sync::Arc;

use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;

use crate::grant::Records;
use crate::vault::{Binding, Grant, Record, SiblingKey, Slot};

/// What a revocation would affect besides the one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing: the provider revokes that one token.
    TokenAlone,
    /// All grants of the account through this client; and there is no other.
    OnlyOne,
    /// All grants of the account through this client, or of the whole app; and this connection lives on another.
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
pub(super) fn reach(records: &Records, description: &Description, grant: &Grant) -> Reach {
    if ends_token_alone(description) {
        return Reach::TokenAlone;
    }
    let store = &records.store;
    let other = if description.revoke.scope == RevokeScope::Install {
        store.iter().find(|other| other.is_alive() && is_of_one_app(records, other, grant))
    } else {
        let Some(key) = SiblingKey::of(&grant.bound_to) else { return Reach::Unknown };
        store.siblings(&key).into_iter().next()
    };
    match other {
        Some(other) => Reach::Shared(other),
        None if store.has_unreadable() => Reach::Unknown,
        None => Reach::OnlyOne,
    }
}

/// Whether the other connection's grant came through the same client of the same server, whoever consented.
fn is_of_one_app(records: &Records, other: &Record, grant: &Grant) -> bool {
    let app = |bound_to: &Binding| (bound_to.authority.clone(), bound_to.client_id.clone());
    let other = records.opened(other, Slot::InUse);
    other.is_some_and(|other| app(&other.grant.bound_to) == app(&grant.bound_to))
}
