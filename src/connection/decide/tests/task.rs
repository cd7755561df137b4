//! What the actor is told to do.

use bowline_api::condition::Truth;
use bowline_api::opaque::Digest;
use bowline_api::reason::Reason;
use serde_json::json;

use super::situation::{Situation, at, attempt, connection, good, target, version, waiting};
use crate::connection::observed::{Present, RecordState};
use crate::grant::consent::ConsentTask;
use crate::grant::outcome::Outcome;
use crate::grant::work::Task;
use crate::secret_plan::SecretPlan;
use crate::vault::record::{IssuedKey, IssuedKeys};
use crate::world::{ProviderUse, UnusableProvider};

#[track_caller]
fn are_told(rows: Vec<(&str, Situation, Option<Task>)>) {
    for (name, situation, task) in rows {
        assert_eq!(situation.decided().task, task, "{name}");
    }
}

/// What is connected keeps being refreshed.
#[test]
fn no_new_grant_is_taken_in_while_ownership_is_not_enforced() {
    let unguarded =
        |situation: Situation| situation.seen(|seen| seen.missing_policies = ["a-policy".into()].into());
    let announced = || unguarded(connection().annotated("bowline.dev/intake", "a/b"));
    let candidate = || connection().authorized().present(|present| present.has_candidate = true);
    are_told(vec![
        ("an intake", announced(), None),
        ("a candidate", unguarded(candidate()), None),
        ("a device code", unguarded(connection().annotated("bowline.dev/authorize-requested-at", "1")), None),
        ("a due refresh", unguarded(good().at_second(2_881)), REFRESH),
    ]);
    let plan = announced().decided();
    assert_eq!(plan.authorized.reason, Reason::PolicyMissing);
    assert!(plan.authorized.message.contains("a-policy"), "{}", plan.authorized.message);
    let minted = unguarded(connection().provider(Ok(target("generic-oauth2-client-credentials"))));
    assert_eq!((minted.decided().task, minted.decided().next_attempt), (None, None));
    assert_eq!(unguarded(good()).decided().authorized.reason, Reason::Authorized);
}

const REFRESH: Option<Task> = Some(Task::Refresh { request: None });

#[test]
fn a_refresh_is_due_a_fifth_before_the_token_expires_where_nothing_speaks_against_it() {
    let due = || good().at_second(2_881);
    let not_ready = Err(UnusableProvider::NotReady("x".into()));
    are_told(vec![
        ("not yet due", good(), None),
        ("due", due(), REFRESH),
        ("not while suspended", due().spec(json!({"suspend": true})), None),
        ("not while disconnected", due().spec(json!({"disconnect": true})), None),
        ("not while the actor is at work", due().busy(), None),
        ("not to a provider that is not ready", due().provider(not_ready), None),
        ("not with a grant bound elsewhere", due().spec(json!({"owner": "bob"})), None),
        ("not after the provider withdrew it", due().ruled(Reason::GrantRevoked), None),
    ]);
}

#[test]
fn requests_probes_candidates_and_minting_are_tasks_too() {
    let requested = Some(Task::Refresh { request: Some("x".into()) });
    let unknown = |second| good().at_second(second).present(|it| it.unknown_since = Some(at(50)));
    let candidate = connection().authorized().present(|present| {
        present.grant = None;
        present.has_candidate = true;
    });
    let minting = connection().spec(json!({"method": "ClientCredentials"}));
    are_told(vec![
        ("a request is served at once", good().requested("x"), requested),
        ("a request waits for the least interval", good().at_second(5).requested("x"), None),
        ("a probe waits for the token's expiry", unknown(2_881), None),
        ("a probe goes out near the token's expiry", unknown(3_511), REFRESH),
        ("a candidate is judged", candidate, Some(Task::Judge)),
        ("minted without anybody", minting, Some(Task::Mint { request: None })),
    ]);
}

#[test]
fn class_19_a_request_does_not_send_a_token_that_may_be_spent_before_its_time() {
    let doubted =
        |second| good().at_second(second).present(|it| it.unknown_since = Some(at(50))).requested("x");
    let early = doubted(100).decided();
    assert_eq!(
        (early.task, early.request_at),
        (None, early.next_attempt),
        "it waits for the planned request"
    );
    assert!(early.next_attempt.is_some_and(|at_| at_ > at(3_000)), "{:?}", early.next_attempt);
    assert_eq!(early.unanswerable, None, "and is not answered before");
    assert_eq!(early.authorized.reason, Reason::RotationOutcomeUnknown);
    assert!(early.authorized.message.contains("waits"), "{}", early.authorized.message);
    assert_eq!(doubted(3_511).decided().task, Some(Task::Refresh { request: Some("x".into()) }));
    let graced = doubted(100).provider(Ok(target("sandbox-grace"))).at_second(52);
    assert!(graced.decided().task.is_some(), "the old token still works");
}

#[test]
fn a_code_that_waits_to_be_typed_does_not_keep_the_grant_in_use_from_its_refresh() {
    let mut situation = good().at_second(2_881);
    situation.observed.attempts = vec![attempt("attempt-x", 2_800, waiting(0))];
    let poll = Task::Consent(ConsentTask::Poll { attempt: "attempt-x".into() });
    assert_eq!(situation.decided().task, Some(poll.clone()));
    situation.observed.actor.poll_at = Some(at(2_886));
    situation.observed.actor.rest_until = Outcome::Polled { until: at(2_886) }.rest_until(at(2_881));
    assert_eq!(situation.decided().task, Some(Task::Refresh { request: None }));
    assert_eq!(situation.decided().consent_at, Some(at(2_886)), "and it is looked at again for the code");
    assert_eq!(situation.at_second(2_886).decided().task, Some(poll));
}

#[test]
fn class_25_a_consent_waits_neither_for_a_refresh_that_waits_nor_for_its_rest() {
    let mut situation = good().at_second(2_881);
    situation.observed.attempts = vec![attempt("attempt-x", 2_800, waiting(0))];
    let poll = Some(Task::Consent(ConsentTask::Poll { attempt: "attempt-x".into() }));
    situation.observed.actor.rest_until = Some(at(6_000));
    assert_eq!(situation.decided().task, poll, "the provider asked refreshes to wait");
    (situation.observed.actor.busy, situation.observed.actor.gives_way) = (true, true);
    assert_eq!(situation.decided().task, poll, "a refresh waits for its turn");
    situation.observed.actor.gives_way = false;
    assert_eq!(situation.decided().task, None, "another step is being taken");
}

#[test]
fn an_announced_intake_goes_before_everything_but_an_unreadable_record() {
    let announced = |situation: Situation| situation.annotated("bowline.dev/intake", "s/u").decided().task;
    assert!(matches!(announced(connection()), Some(Task::Take(_))));
    let mut taken = connection();
    taken.observed.actor.taken = Some("s/u".to_owned());
    assert_eq!(announced(taken), None, "the object may show an announcement for a moment after it was taken");
    let revoked = connection().authorized().ruled(Reason::GrantRevoked);
    assert!(matches!(announced(revoked), Some(Task::Take(_))), "a withdrawn grant may be replaced");
    assert!(matches!(announced(connection().record(RecordState::Tampered)), Some(Task::Take(_))));
    assert_eq!(announced(connection().record(RecordState::Unreadable)), None, "it may hold a good grant");
    assert_eq!(announced(connection().spec(json!({"suspend": true}))), None);
    assert_eq!(
        announced(connection().seen(|observed| observed.usage = ProviderUse::Refused("No.".into()))),
        None,
        "not allowed"
    );
}

#[test]
fn a_candidate_that_was_sent_without_an_answer_is_sent_again_only_where_nothing_can_die_of_it() {
    let doubted = |present: &mut Present| {
        present.has_candidate = true;
        present.doubted_since = Some(at(50));
    };
    let first = connection().authorized().present(|present| {
        present.grant = None;
        doubted(present);
    });
    let first = first.decided();
    assert_eq!(
        (first.authorized.truth(), first.authorized.reason),
        (Truth::False, Reason::IntakeOutcomeUnknown)
    );
    assert_eq!(first.task, Some(Task::Judge));

    let again = || good().present(doubted);
    let beside = again().decided();
    assert_eq!(beside.authorized.reason, Reason::Authorized);
    assert_eq!((beside.task, beside.secret), (None, SecretPlan::Keep), "the old grant serves on");
    assert_eq!(again().at_second(3_600).decided().task, Some(Task::Judge), "no token is in use any more");
    let graced = again().provider(Ok(target("sandbox-grace")));
    assert_eq!(graced.decided().task, Some(Task::Judge), "the old token still works");
}

/// alice's connection with two keys, of which the older one expires at second 100.
fn with_keys() -> Situation {
    let key = |id: &str, expires_at| IssuedKey {
        id: id.to_owned(),
        sha256: Digest::of(id),
        created_at: at(0),
        created_by: "alice".to_owned(),
        expires_at,
    };
    let first = IssuedKeys::default().with(key("old", Some(at(100))), at(0)).unwrap();
    let both = first.with(key("new", None), at(500)).unwrap();
    holding(both)
}

/// A connection whose grant is these keys.
pub(super) fn holding(keys: IssuedKeys) -> Situation {
    let zapier = target("zapier-key");
    let addresses = zapier.addresses().clone();
    good().provider(Ok(zapier)).grant(|grant| {
        grant.bound_to.addresses = addresses;
        *grant = grant.clone().with_issued_keys(keys);
    })
}

#[test]
fn an_expired_key_is_taken_out_whatever_else_is_the_matter() {
    let keys = || with_keys().at_second(100);
    let expire = Some(Task::ExpireKeys);
    are_told(vec![
        ("still valid", with_keys().at_second(99), None),
        ("expired", keys(), expire.clone()),
        ("while suspended", keys().spec(json!({"suspend": true})), expire.clone()),
        ("of a former owner", keys().spec(json!({"owner": "bob"})), expire),
        ("not while the actor is at work", keys().busy(), None),
    ]);
}

#[test]
fn without_a_valid_key_the_owner_creates_one_and_the_empty_list_is_published() {
    let none = holding(IssuedKeys::default()).present(|present| present.version = Some(version(10)));
    let plan = none.decided();
    assert_eq!(plan.fresh.reason, Reason::NoValidKey);
    assert_eq!((plan.authorized.reason, plan.secret), (Reason::KeysIssued, SecretPlan::Write));
    assert_eq!(with_keys().decided().fresh.reason, Reason::NeverExpires);
}
