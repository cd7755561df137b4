//! Grants of no use that were consented to through us: one that another replaced, one that was refused, one that has no place
//! here. Imported ones are left alone: whoever imported one still has it, and it may be another connection's only one.

use std::time::Duration;

use bowline_oauth::app::App;
use secrecy::{ExposeSecret, SecretString};

use super::request::revoke;
use super::rule::{Reach, reach};
use crate::grant::Engine;
use crate::grant::refusal::IntakeError;
use crate::grant::slot::{access_token, refresh_token};
use crate::grant::work::Job;
use crate::vault::{Credential, Grant, Record, Slot};

/// Erases the refused candidate, and has it revoked.
pub(crate) async fn discard(engine: &Engine, job: &Job, candidate: &Grant, why: IntakeError) -> IntakeError {
    if is_spare(engine, job, candidate) {
        let (uid, terms) = (&job.place.uid, job.end_terms());
        engine.records.retire(uid, Slot::Candidate, Some(candidate), Duration::ZERO, terms).await;
    }
    engine.records.note(&job.place.uid, "the refusal of a candidate", Record::candidate_refused).await;
    why
}

/// Has the candidate revoked that `next` is about to overwrite: it was never judged.
pub(crate) async fn make_way(engine: &Engine, job: &Job, next: &Grant) {
    let standing = engine.records.open(&job.place.uid, Slot::Candidate);
    let standing = standing.filter(|standing| is_spare(engine, job, &standing.grant));
    if standing.is_some_and(|standing| !share_a_token(&standing.grant, next)) {
        let (uid, terms) = (&job.place.uid, job.end_terms());
        engine.records.retire(uid, Slot::Candidate, None, Duration::ZERO, terms).await;
    }
}

/// Has the grant in use revoked that `next` is about to replace, after pods had time to get the new token.
pub(crate) async fn replace(engine: &Engine, job: &Job, next: &Grant) {
    let old = engine.records.open(&job.place.uid, Slot::InUse);
    // An imported one may be of the very grant that it replaces.
    if is_ours(next) && old.is_some_and(|old| is_ours(&old.grant) && !share_a_token(&old.grant, next)) {
        let (uid, after) = (&job.place.uid, engine.revoke_former_after);
        engine.records.retire(uid, Slot::InUse, None, after, job.end_terms()).await;
    }
}

/// Revokes a grant that has no place here, if that affects no other grant. Its account must be known for that.
pub(crate) async fn give_back(engine: &Engine, job: &Job, app: &App, grant: &Grant) {
    let reach = reach(&engine.records, job.target.description(), grant);
    let is_free = matches!(reach, Reach::TokenAlone | Reach::OnlyOne);
    let why = if is_free && is_spare(engine, job, grant) {
        match revoke(engine, job, Some(app), grant).await {
            Ok(_) => return,
            Err(why) => why,
        }
    } else {
        "that could end another's".to_owned()
    };
    tracing::warn!(why, "a grant that has no place here is not revoked");
}

/// Whether it came through us, and the grant in use works by other tokens: a repair returns the same one, whatever account
/// it is said to be of.
fn is_spare(engine: &Engine, job: &Job, grant: &Grant) -> bool {
    let in_use = engine.records.in_use(&job.place.uid);
    is_ours(grant) && !in_use.is_some_and(|in_use| share_a_token(&in_use, grant))
}

fn is_ours(grant: &Grant) -> bool {
    grant.consent.is_ours() && matches!(grant.credential, Credential::OAuth { .. })
}

/// Some servers issue the same token again: revoking the one would end the other.
fn share_a_token(one: &Grant, other: &Grant) -> bool {
    let same = |one: Option<&SecretString>, other: Option<&SecretString>| {
        one.zip(other).is_some_and(|(one, other)| one.expose_secret() == other.expose_secret())
    };
    same(refresh_token(one), refresh_token(other)) || same(access_token(one), access_token(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::fixtures::oauth_grant;

    #[test]
    fn a_token_that_is_issued_again_is_not_revoked() {
        let with = |refresh: &str, access: &str| Grant {
            credential: Credential::OAuth {
                refresh_token: Some(refresh.into()),
                access_token: Some(access.into()),
                token_type: "Bearer".to_owned(),
            },
            ..oauth_grant("sandbox", refresh)
        };
        assert!(share_a_token(&with("r1", "a1"), &with("r1", "a2")));
        assert!(share_a_token(&with("r1", "a1"), &with("r2", "a1")));
        assert!(!share_a_token(&with("r1", "a1"), &with("r2", "a2")));
    }
}
