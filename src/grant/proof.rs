//! Proving a candidate's refresh token by using it once, with the care that a grant in use gets: marked before it is sent,
//! and the answer kept before anything in it is judged.

use std::time::Duration;

use bowline_oauth::answer::TokenAnswer;
use bowline_oauth::app::App;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::actor::Grants;
use super::commit::Unsettled;
use super::intake::IntakeError;
use super::judge::{Judged, refused, refused_or_later};
use super::outcome::Outcome;
use super::refresh::{Opening, opening, renewed};
use super::schedule::later;
use super::work::Job;
use crate::vault::record::Candidate;
use crate::vault::{AttemptId, Credential, Grant, Loaded, Record};

/// Whether a candidate that was sent without an answer may be sent again.
///
/// Where the provider leaves the old token alive for a while, in that time. Else only where no token is in use: a second use
/// of a spent token may trip the provider's theft detection, and what that ends may be more than this one grant.
pub fn may_be_tried_again(
    sent_at: Timestamp,
    grace: Option<Duration>,
    in_use: Option<&Grant>,
    now: Timestamp,
) -> bool {
    let graced = grace.is_some_and(|window| later(sent_at, window) > now);
    let living = in_use.is_some_and(|grant| grant.expires_at.is_none_or(|ends| ends > now));
    graced || !living
}

/// The mark under which a candidate is sent. No attempt where the old token surely stays valid.
#[derive(Clone, Copy)]
struct Mark {
    attempt: Option<AttemptId>,
    /// Whether an earlier request under it may have had an effect.
    was_unknown: bool,
}

impl Grants {
    /// Uses the candidate's refresh token once. The candidate is then what the provider gave for it, and so it stands on record;
    /// returned is what the answer says of the account, and whether it can be presented.
    pub(super) async fn prove(
        &self,
        job: &Job,
        app: &App,
        candidate: &mut Candidate,
        token: &SecretString,
    ) -> Result<TokenAnswer, Judged> {
        let Ok(_permit) = self.admitted(job).await else {
            return Err(Judged::Later("The provider asked everybody to wait.".to_owned()));
        };
        let mark = self.mark_candidate(job, candidate).await?;
        let asked_at = self.clock.now();
        let answer = match self.ask(job, app, token).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.unproved(job, mark, self.heard(job, failure, None)).await),
        };
        self.accepted(job);
        let grant = renewed(&candidate.grant, answer.clone(), asked_at);
        *candidate = self.keep_proof(job, candidate, &grant).await.ok_or_else(|| {
            refused("the refresh token was used, and its answer could not be put on record.")
        })?;
        Ok(answer)
    }

    /// Puts the mark on the candidate, where one is needed. One that stands already is gone on under, if that is safe.
    async fn mark_candidate(&self, job: &Job, candidate: &Candidate) -> Result<Mark, Judged> {
        let stale = || Judged::Later("The record changed meanwhile.".to_owned());
        let Ok(Some(Loaded { record, version })) = self.store.get(&job.place.uid) else {
            return Err(stale());
        };
        let now = self.clock.now();
        let standing = record.candidate_intent();
        let watched = standing.map_or(now, |intent| self.watched_since(&record, intent));
        let in_use = record.open_grant(&self.sealer).ok().flatten();
        let again = |sent_at| may_be_tried_again(sent_at, job.target.grace(), in_use.as_ref(), now);
        if standing.is_some_and(|intent| !again(intent.at)) {
            return Err(Judged::InDoubt);
        }
        let fresh = || AttemptId::generate().map_err(|_| stale());
        let marked = Record::clone(&record);
        let holder = &self.holder;
        let (next, attempt, was_unknown) =
            match opening(standing, job.target.needs_intent(), holder, watched, self.intent_ttl, now) {
                Opening::Respect { until } => return Err(Judged::Instead(Outcome::Foreign { until })),
                Opening::Unmarked => return Ok(Mark { attempt: None, was_unknown: false }),
                Opening::Resume(attempt) => return Ok(Mark { attempt: Some(attempt), was_unknown: true }),
                Opening::Mark => {
                    let attempt = fresh()?;
                    (marked.with_candidate_intent(attempt, holder, now), attempt, false)
                }
                Opening::TakeOver(left) => {
                    let attempt = fresh()?;
                    (marked.taking_over_candidate(left, attempt, holder, now), attempt, true)
                }
            };
        let next = next.map_err(|_| stale())?;
        let written = self.write_mark(version, next, attempt).await.ok_or_else(stale)?;
        // What is sent is the token that was opened: it must be the one that is marked.
        if !candidate.stands_on(&written.record) {
            return Err(stale());
        }
        Ok(Mark { attempt: Some(attempt), was_unknown })
    }

    /// The provider gave nothing for it. As for a grant in use, only an attempt that certainly had no effect loses its mark.
    async fn unproved(&self, job: &Job, mark: Mark, failure: Failure) -> Judged {
        let Some(attempt) = mark.attempt else { return refused_or_later(&failure) };
        let uid = &job.place.uid;
        if failure.sent == Sent::MaybeSent {
            self.note(uid, |record| record.candidate_unknown(attempt)).await;
            return Judged::InDoubt;
        }
        match refused_or_later(&failure) {
            // An earlier request under this mark may have worked, and its answer held the only token that does.
            Judged::Refused(_) if mark.was_unknown => Judged::Refused(IntakeError::AnswerLost),
            _ if mark.was_unknown => Judged::InDoubt,
            refused @ Judged::Refused(_) => refused,
            verdict => {
                self.note(uid, |record| record.without_candidate_intent(attempt)).await;
                verdict
            }
        }
    }

    /// Keeps an answer that may be the only copy of a token: tried until it is written or the candidate it answers is no
    /// longer there. A disconnect in between does not stop it: what is on record then is what gets revoked.
    async fn keep_proof(&self, job: &Job, spent: &Candidate, answer: &Grant) -> Option<Candidate> {
        let change = |record: Record| {
            // A write whose outcome was not known may have happened.
            if record.candidate_intent().is_none() && self.holds(&record, answer) {
                return Ok(record);
            }
            record.candidate_answered(&self.sealer, spent, answer)
        };
        loop {
            match self.settle(&job.place.uid, change).await {
                Ok(loaded) => return loaded?.record.open_candidate(&self.sealer).ok().flatten(),
                Err(Unsettled::Transition(_) | Unsettled::Unreadable(_)) => return None,
                Err(Unsettled::Unreachable) => {
                    tracing::warn!("an answer of the provider is not on record yet; trying again");
                }
            }
        }
    }

    /// Whether this answer stands as candidate.
    pub(super) fn holds(&self, record: &Record, answer: &Grant) -> bool {
        let standing = record.open_candidate(&self.sealer).ok().flatten();
        standing.is_some_and(|standing| is_same(&standing.grant, answer))
    }
}

/// Whether two are the same answer of the provider.
pub(super) fn is_same(one: &Grant, other: &Grant) -> bool {
    let access = |grant: &Grant| match &grant.credential {
        Credential::OAuth { access_token: Some(token), .. } => token.expose_secret().to_owned(),
        _ => String::new(),
    };
    (one.obtained_at, one.expires_at) == (other.obtained_at, other.expires_at) && access(one) == access(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::Binding;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn in_use(expires_at: Option<Timestamp>) -> Grant {
        let bound_to =
            Binding { owner: "alice".into(), authority: "x".into(), client_id: None, account: None };
        Grant {
            credential: Credential::ApiKey { api_key: "k".into() },
            claims: std::collections::BTreeMap::new(),
            scopes: None,
            obtained_at: at(0),
            expires_at,
            refresh_expires_at: None,
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: std::collections::BTreeMap::new(),
            bound_to,
            source: None,
            consent: crate::vault::Consent::default(),
        }
    }

    #[test]
    fn a_candidate_without_an_answer_is_sent_again_only_where_nothing_in_use_can_die_of_it() {
        let minute = Some(Duration::from_mins(1));
        let (living, ended, endless) = (in_use(Some(at(100))), in_use(Some(at(10))), in_use(None));
        let rows = [
            ("a first grant: nothing is in use", None, None, true),
            ("a token in use lives", None, Some(&living), false),
            ("the token in use never ends", None, Some(&endless), false),
            ("the token in use has ended", None, Some(&ended), true),
            ("the provider leaves the old token alive for a minute", minute, Some(&living), true),
        ];
        for (name, grace, in_use, expected) in rows {
            assert_eq!(may_be_tried_again(at(0), grace, in_use, at(30)), expected, "{name}");
        }
        assert!(!may_be_tried_again(at(0), minute, Some(&living), at(60)), "the minute is over");
    }
}
