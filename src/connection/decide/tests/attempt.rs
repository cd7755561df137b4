//! The last attempt to connect, beside the grant in use.

use bowline_api::attempt::{AttemptEnding, EndResult, Step};
use bowline_api::connection::{AttemptMethod, AttemptResult};
use bowline_api::open::Open;
use bowline_api::reason::Reason;
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::situation::{Situation, at, attempt, connection, good, waiting};
use crate::connection::decide::ConnectionPlan;
use crate::grant::consent::{Concluded, ConsentError, ConsentTask, Dismissal, being_checked, in_use};
use crate::grant::intake::IntakeError;
use crate::grant::outcome::Outcome;
use crate::grant::work::Task;
use crate::secret_plan::SecretPlan;

#[test]
fn an_attempt_that_a_pause_ends_names_the_pause_and_not_the_grant_in_use() {
    let mut situation = good().spec(json!({"suspend": true}));
    situation.observed.attempts = vec![attempt("attempt-x", 0, waiting(0))];
    let told = |reason: Reason| {
        let [Dismissal { ending, .. }] = &*situation.decided().dismissals else { return false };
        ending.result == EndResult::Failed && ending.reason.is(reason) && ending.message.contains("spec.")
    };
    assert!(told(Reason::Suspended), "{:?}", situation.decided().dismissals);
}

#[test]
fn what_came_of_the_last_attempt_is_not_said_of_a_new_code() {
    let mut situation = connection().tried(AttemptResult::Failed, Reason::AuthorizationFailed);
    assert_eq!(situation.decided().authorized.reason, Reason::AuthorizationFailed);
    situation = situation.came(Outcome::Stepped);
    situation.observed.actor.finished.as_mut().unwrap().authorization = Some("2".into());
    let plan = situation.decided();
    assert_eq!(plan.authorized.reason, Reason::AwaitingAuthorization);
    let attempt = plan.last_attempt.unwrap();
    assert_eq!((attempt.id.as_str(), attempt.is_running()), ("2", true));
    assert!(attempt.method.is(AttemptMethod::DeviceCode));
}

/// An attempt whose exchange no process works on, begun at second 10.
fn exchanging() -> StoredAttempt {
    attempt("attempt-1", 10, Step::Exchanging)
}

#[test]
fn an_exchange_that_an_earlier_process_left_behind_is_told_by_what_is_on_record() {
    let left = |it: Situation| {
        let plan = it.seen(|observed| observed.attempts = vec![exchanging()]).decided();
        (plan.task, plan.dismissals)
    };
    let interrupted =
        (Some(Task::Consent(ConsentTask::Interrupted { attempt: "attempt-1".into() })), Vec::new());
    assert_eq!(left(connection()), interrupted, "nothing came of it");
    assert_eq!(left(connection().authorized()), interrupted, "the grant in use is older");
    let ours = |second| {
        connection().authorized().grant(|grant| {
            grant.obtained_at = at(second);
            grant.consent.grant_type = crate::vault::GrantType::AuthorizationCode;
            grant.consent.given_at = Some(at(second));
        })
    };
    assert_eq!(left(ours(10)), interrupted, "it came of an earlier attempt");
    let over = |ending| Dismissal::of(&exchanging(), ending);
    let dismissed = |ending| (None, vec![over(ending)]);
    assert_eq!(left(ours(20)), dismissed(in_use()));
    let candidate = connection().authorized().present(|present| {
        present.grant = None;
        present.has_candidate = true;
        present.consented_at = Some(at(20));
    });
    let anothers = connection().authorized().present(|present| {
        present.has_candidate = true;
        present.consented_at = Some(at(10));
    });
    assert_eq!(left(anothers), interrupted, "what waits came of an earlier attempt");
    assert_eq!(left(candidate), (Some(Task::Judge), vec![over(being_checked())]));
    // What this process knows, but could not write, is not guessed.
    let mut known = connection();
    let dismissal = over(AttemptEnding::failed(Reason::AccountMismatch, "Another account.".into()));
    known.observed.actor.concluded = vec![Concluded { dismissal, written: false }];
    assert_eq!(left(known).1[0].ending.reason, Reason::AccountMismatch.into());
}

/// How the last attempt ended, beside the verdict on the grant in use.
fn attempted(plan: &ConnectionPlan) -> (Reason, AttemptResult, Option<Reason>) {
    let attempt = plan.last_attempt.as_ref().unwrap();
    let reason = attempt.reason.as_ref().and_then(Open::known);
    (plan.authorized.reason, attempt.result.known().unwrap(), reason)
}

#[test]
fn a_lost_answer_for_what_was_imported_is_remembered_as_such() {
    let lost = Outcome::IntakeRefused { why: IntakeError::AnswerLost };
    let plan = good().trying().came(lost).decided();
    let expected = (Reason::Authorized, AttemptResult::Failed, Some(Reason::IntakeOutcomeUnknown));
    assert_eq!(attempted(&plan), expected);
    let told = good().tried(AttemptResult::Failed, Reason::IntakeOutcomeUnknown).decided();
    assert_eq!(attempted(&told), expected, "a restart does not forget it");
    assert_eq!(told.last_attempt.unwrap().message, "as before");
}

#[test]
fn an_attempt_that_is_refused_leaves_the_grant_in_use_as_it_was_and_a_restart_remembers_it() {
    let other_account = || IntakeError::OtherAccount { id: "2".to_owned(), name: None };
    let summary = || "It said so.".to_owned();
    for (why, reason) in [
        (other_account(), Reason::AccountMismatch),
        (IntakeError::AccountUnknown, Reason::AccountMismatch),
        (IntakeError::AccountTaken, Reason::AccountAlreadyConnected),
        (ConsentError::AdminConsent { summary: summary() }.into(), Reason::AdminConsentRequired),
        (ConsentError::Policy { summary: summary() }.into(), Reason::PolicyBlocked),
        (ConsentError::MissingScopes { missing: "write".into() }.into(), Reason::MissingScopes),
        (ConsentError::ExtraScopes { extra: "email".into() }.into(), Reason::ExtraScopes),
    ] {
        let refused = Outcome::IntakeRefused { why };
        let plan = good().trying().came(refused.clone()).decided();
        let beside = (Reason::Authorized, AttemptResult::Failed, Some(reason));
        assert_eq!((attempted(&plan), plan.secret), (beside, SecretPlan::Keep));
        assert_eq!(plan.last_attempt.unwrap().ended_at, Some(Time(at(60))));
        assert_eq!(attempted(&good().tried(AttemptResult::Failed, reason).decided()), beside);

        let first = connection().trying().came(refused).decided();
        assert_eq!(attempted(&first), (reason, AttemptResult::Failed, Some(reason)), "nothing else is known");
        let told = connection().tried(AttemptResult::Failed, reason).decided();
        assert_eq!((told.authorized.reason, told.authorized.message.as_str()), (reason, "as before"));
    }
}

/// A key that was replaced twice in a row: what became of the first says nothing of the second.
#[test]
fn what_came_of_one_version_of_the_credentials_secret_is_not_said_of_the_next() {
    let source = |version: &str| Some(("s".to_owned(), version.to_owned()));
    let told = |read: &str, seen: &str, outcome: Outcome| {
        let spec = json!({"method": "ApiKey", "credentials": {"secretName": "key"}});
        let mut it = good().spec(spec).came(outcome).seen(|observed| observed.credentials = source(seen));
        it.observed.actor.finished.as_mut().unwrap().source = source(read);
        it.observed.actor.refused_source = source(read);
        let attempt = it.decided().last_attempt.unwrap();
        (attempt.id, attempt.result.known().unwrap())
    };
    let refused = || Outcome::IntakeRefused { why: IntakeError::AccountUnknown };
    assert_eq!(told("2", "2", refused()), ("s/2".to_owned(), AttemptResult::Failed));
    let accepted = told("2", "3", Outcome::Committed { accepted: true });
    assert_eq!(accepted, ("s/2".to_owned(), AttemptResult::Succeeded), "then the other one is read");
    assert_eq!(told("3", "2", refused()), ("s/3".to_owned(), AttemptResult::Failed));
}

/// A grant that was imported and could not be judged at once.
#[test]
fn what_came_of_an_import_is_not_said_of_the_next_and_starts_no_attempt_of_its_own() {
    let judged = |announced: &str| {
        let announced = connection().annotated("bowline.dev/intake", announced);
        let mut it = announced.came(Outcome::IntakeRefused { why: IntakeError::AccountUnknown });
        it.observed.actor.finished.as_mut().unwrap().source = Some(("u-1".to_owned(), "7".to_owned()));
        let attempt = it.decided().last_attempt.unwrap();
        (attempt.id, attempt.result.known().unwrap())
    };
    assert_eq!(judged("one/u-1"), ("one/u-1".to_owned(), AttemptResult::Failed));
    assert_eq!(judged("two/u-2"), ("two/u-2".to_owned(), AttemptResult::Running));
}

#[test]
fn an_attempt_that_came_when_none_could_be_taken_in_does_not_stand_in_the_way_of_the_next() {
    for reason in [Reason::ProviderNotAllowed, Reason::Disconnected, Reason::ProviderNotReady] {
        let plan = connection().tried(AttemptResult::Failed, reason).decided();
        assert_eq!(plan.authorized.reason, Reason::AwaitingAuthorization, "{reason}");
        assert!(plan.last_attempt.is_some_and(|attempt| attempt.reason.is_some()), "it is still told");
    }
}

#[test]
fn a_ruling_on_the_grant_and_an_attempt_that_failed_do_not_hide_each_other() {
    let revoked = good().ruled(Reason::GrantRevoked);
    let plan = revoked.tried(AttemptResult::Failed, Reason::AdminConsentRequired).decided();
    let both = (Reason::GrantRevoked, AttemptResult::Failed, Some(Reason::AdminConsentRequired));
    assert_eq!(attempted(&plan), both);
}
