//! Whether a grant may be revoked: one rule for grants that end, were refused, or were replaced. Pure.

use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;

use crate::vault::{Grant, SiblingKey, Store};

/// What a revocation would affect besides the one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing: the provider revokes that one token.
    TokenAlone,
    /// All grants of the account through this client; and there is no other.
    OnlyOne,
    /// All grants of the account through this client; and another is in use.
    Shared,
    /// All grants of the account through this client; and nobody can tell whether there is another.
    Unknown,
}

/// Whether a grant that its owner disconnects or deletes may be revoked. If in doubt, we do what the owner requested.
pub(super) fn may_be_ended(reach: Reach) -> bool {
    reach != Reach::Shared
}

/// Whether a grant may be revoked that is of no use any more. One that was imported, and not consented to through us, may be
/// another connection's only one, and whoever imported it still has it.
pub(super) fn may_be_discarded(consented: bool, reach: Reach) -> bool {
    consented && matches!(reach, Reach::TokenAlone | Reach::OnlyOne)
}

/// Whether a revocation ends one token and nothing else.
pub(in crate::grant) fn ends_token_alone(description: &Description) -> bool {
    description.revoke.scope == RevokeScope::Token && description.grant.chain == Chain::Connection
}

/// What a revocation of `grant`, which is not in use, would affect besides it. The grant that its own connection has in use by
/// now counts like anybody else's; what is being ended does not count.
pub(super) fn reach(store: &Store, description: &Description, grant: &Grant) -> Reach {
    if ends_token_alone(description) {
        return Reach::TokenAlone;
    }
    match SiblingKey::of(&grant.bound_to) {
        Some(key) if store.has_siblings(&key, None) => Reach::Shared,
        Some(_) if !store.has_unreadable() => Reach::OnlyOne,
        Some(_) | None => Reach::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_revoked_where_its_owner_wants_it_or_nobody_else_can_need_it() {
        use Reach::{OnlyOne, Shared, TokenAlone, Unknown};
        let all = [TokenAlone, OnlyOne, Shared, Unknown];
        assert_eq!(all.map(may_be_ended), [true, true, false, true]);
        let discarded = |consented| all.map(|reach| may_be_discarded(consented, reach));
        assert_eq!(discarded(false), [false; 4], "imported: whoever imported it still has it");
        assert_eq!(discarded(true), [true, true, false, false], "consented to through us");
    }
}
