//! What becomes of a refused candidate at the provider, besides being erased here.

use bowline_oauth::app::App;
use bowline_oauth::catalog::calls::RevokeScope;
use bowline_oauth::catalog::protocol::Chain;

use super::actor::Grants;
use super::intake::IntakeError;
use super::work::Job;
use crate::vault::record::{Candidate, Origin};
use crate::vault::{Grant, Record, SiblingKey};

/// What is done with a refused candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is revoked at the provider, then erased.
    Revoked,
    /// It is erased, and lives on at the provider.
    Erased,
}

/// What a revocation at this provider would hit.
#[derive(Clone, Copy, Debug)]
struct Reach {
    scope: RevokeScope,
    chain: Chain,
    /// Whether somebody else lives on a grant of the same account through the same client, or nobody can tell.
    shared: bool,
}

/// A grant that somebody brought may be another connection's only one, and who brought it still has it: it is not ours to
/// revoke. One that was consented to through us is nobody else's, and would live on unknown to all; unless the provider would
/// take another's along with it.
fn fate(origin: Origin, reach: Reach) -> Fate {
    let alone = reach.scope == RevokeScope::Token && reach.chain == Chain::Connection;
    let ours = origin == Origin::Consented && (alone || !reach.shared);
    if ours { Fate::Revoked } else { Fate::Erased }
}

impl Grants {
    /// Revokes the refused candidate where that is ours to do, and erases it. What could not be revoked is told with `why`.
    pub(super) async fn discard(
        &self,
        job: &Job,
        app: Option<&App>,
        candidate: Candidate,
        why: IntakeError,
    ) -> IntakeError {
        let why = match fate(candidate.origin(), self.reach(job, &candidate.grant)) {
            Fate::Erased => why,
            Fate::Revoked => match self.withdraw(job, app, &candidate.grant).await {
                Ok(()) => why,
                Err(error) => {
                    tracing::warn!(error, "a refused grant could not be revoked at the provider");
                    IntakeError::NotRevoked {
                        why: Box::new(why),
                        by_hand: job.target.description().revoke.by_hand.clone(),
                    }
                }
            },
        };
        if let Err(error) = self.settle(&job.place.uid, Record::candidate_refused).await {
            tracing::warn!(error = %bowline_runtime::telemetry::chain(&error), "a refused candidate could not be erased now");
        }
        why
    }

    /// Revokes a grant that was given to us and has no place here, where that takes nobody else's along. Nobody looked yet
    /// whose it is: without that, nobody could tell.
    pub(super) async fn give_back(&self, job: &Job, app: &App, grant: &Grant) {
        let mut grant = grant.clone();
        if grant.bound_to.account.is_none() {
            grant.bound_to.account = self.whose(job, &grant).await.ok().flatten();
        }
        if fate(Origin::Consented, self.reach(job, &grant)) == Fate::Erased {
            tracing::warn!("a grant that has no place here is not revoked: that could end another's");
        } else if let Err(why) = self.withdraw(job, Some(app), &grant).await {
            tracing::warn!(why, "a grant that has no place here could not be revoked");
        }
    }

    fn reach(&self, job: &Job, grant: &Grant) -> Reach {
        let description = job.target.description();
        Reach {
            scope: description.revoke.scope,
            chain: description.grant.chain,
            shared: self.shares_its_account(job, grant),
        }
    }

    /// Whether this connection or another lives on a grant of this one's account. Where nobody can tell, they do.
    fn shares_its_account(&self, job: &Job, grant: &Grant) -> bool {
        let Some(key) = SiblingKey::of(&grant.bound_to) else { return true };
        let own = match self.store.get(&job.place.uid) {
            Ok(own) => {
                own.is_some_and(|own| own.record.ending().is_none() && own.record.sibling_key() == Some(&key))
            }
            Err(_) => true,
        };
        own || !self.store.siblings(&key, &job.place.uid).is_empty() || !self.store.unreadable().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_consented_to_through_us_is_revoked_and_takes_nobody_elses_along() {
        use Chain::{Account, Connection};
        use Fate::{Erased, Revoked};
        use Origin::{Brought, Consented};
        use RevokeScope::{Grant, Token};
        let rows = [
            ("brought: who brought it still has it", Brought, Token, Connection, false, Erased),
            ("consented, and a revocation hits one token", Consented, Token, Connection, true, Revoked),
            ("consented, and nobody shares the grant there", Consented, Grant, Connection, false, Revoked),
            ("consented, and another lives on the grant there", Consented, Grant, Connection, true, Erased),
            (
                "consented, and another lives on the account's only chain",
                Consented,
                Token,
                Account,
                true,
                Erased,
            ),
        ];
        for (name, origin, scope, chain, shared, expected) in rows {
            assert_eq!(fate(origin, Reach { scope, chain, shared }), expected, "{name}");
        }
    }
}
