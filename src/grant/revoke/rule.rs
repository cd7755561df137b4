//! Whether a grant may be revoked: one rule for those that end, were refused, or were replaced. Pure.

use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;

use crate::vault::{Grant, Loaded, SiblingKey, Store};

/// Who wants a grant revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its owner, by disconnecting or deleting.
    ByOwner,
    /// Nobody: it is of no use any more. Then only a grant is revoked that was consented to through us. One that was imported may
    /// be another connection's only one, and whoever imported it still has it.
    ByNobody {
        /// Whether it was consented to through us.
        consented: bool,
    },
}

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

/// Whether a grant may be revoked.
pub(super) fn may_be_revoked(asked: Asked, reach: Reach) -> bool {
    match asked {
        Asked::ByNobody { consented: false } => false,
        Asked::ByNobody { consented: true } => matches!(reach, Reach::TokenAlone | Reach::OnlyOne),
        // In doubt what the owner asked for is done.
        Asked::ByOwner => reach != Reach::Shared,
    }
}

/// Whether a revocation ends one token and nothing else.
pub(super) fn ends_token_alone(description: &Description) -> bool {
    description.revoke.scope == RevokeScope::Token && description.grant.chain == Chain::Connection
}

/// What a revocation of `grant` would affect besides it: what the connection `uid` uses, unless that is being ended, and what others
/// use.
pub(super) fn reach(store: &Store, uid: &str, description: &Description, grant: &Grant) -> Reach {
    if ends_token_alone(description) {
        return Reach::TokenAlone;
    }
    let Some(key) = SiblingKey::of(&grant.bound_to) else { return Reach::Unknown };
    let own = store.get(uid);
    let keeps = |own: &Loaded| own.record.ending().is_none() && own.record.sibling_key() == Some(&key);
    let is_shared = matches!(&own, Ok(Some(own)) if keeps(own)) || store.has_siblings(&key, uid);
    match own {
        _ if is_shared => Reach::Shared,
        Ok(_) if !store.has_unreadable() => Reach::OnlyOne,
        Ok(_) | Err(_) => Reach::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_revoked_where_its_owner_wants_it_or_nobody_else_can_need_it() {
        use Reach::{OnlyOne, Shared, TokenAlone, Unknown};
        let (imported, consented) =
            (Asked::ByNobody { consented: false }, Asked::ByNobody { consented: true });
        let rows = [
            ("ended by its owner", Asked::ByOwner, [true, true, false, true]),
            ("imported: whoever imported it still has it", imported, [false; 4]),
            ("consented to through us, and of no use", consented, [true, true, false, false]),
        ];
        for (name, asked, expected) in rows {
            let revoked = [TokenAlone, OnlyOne, Shared, Unknown].map(|reach| may_be_revoked(asked, reach));
            assert_eq!(revoked, expected, "{name}");
        }
    }
}
