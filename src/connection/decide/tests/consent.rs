//! Attempts to connect, as sentences: what has arrived, and the step that follows.

use std::collections::BTreeMap;

use bowline_api::attempt::{AuthorizationResponse, Step};
use bowline_api::condition::Truth;
use bowline_api::opaque::Digest;
use bowline_api::reason::Reason;
use k8s_openapi::ByteString;
use secrecy::SecretString;
use serde_json::json;

use super::situation::{Situation, at, attempt, connection, waiting};
use crate::grant::consent::{ConsentError, ConsentTask, Dismissal};
use crate::grant::outcome::Outcome;
use crate::grant::work::Task;
use crate::vault::{Consent, GrantType};
use crate::world::UnusableProvider;

impl Situation {
    /// With an attempt of this name, begun at this second.
    fn attempting(mut self, name: &str, second: i64, step: Step) -> Self {
        self.observed.attempts.push(attempt(name, second, step.clone()));
        self.observed.attempts.sort_by_key(|kept| std::cmp::Reverse(kept.attempt.started_at));
        if self.observed.attempts[0].name == name {
            self.observed.newest_attempt = Some(attempt(name, second, step));
        }
        self
    }

    fn step(&self) -> Option<ConsentTask> {
        match self.decided().task {
            Some(Task::Consent(task)) => Some(task),
            _ => None,
        }
    }

    /// The grant in use was obtained by device flow.
    fn by_device(self) -> Self {
        self.grant(|grant| {
            grant.consent = Consent { grant_type: GrantType::DeviceCode, ..Consent::default() }
        })
    }
}

fn sealed() -> ByteString {
    ByteString(vec![1])
}

fn asked() -> Step {
    Step::Asked { session: Digest::of("s"), state: SecretString::from("state") }
}

fn returned() -> Step {
    let answer = AuthorizationResponse::Code {
        code: SecretString::from("code"),
        issuer: None,
        parameters: BTreeMap::new(),
    };
    Step::Returned { answer, sealed: sealed() }
}

#[test]
fn each_step_of_an_attempt_is_followed_by_the_operators() {
    let name = || "attempt-a".to_owned();
    let begun = connection().attempting("attempt-a", 50, asked());
    assert_eq!(begun.step(), Some(ConsentTask::Begin { attempt: name() }));
    let back = connection().attempting("attempt-a", 50, returned());
    assert_eq!(back.step(), Some(ConsentTask::Exchange { attempt: name() }));
    let away =
        connection().attempting("attempt-a", 50, Step::Sent { session: Digest::of("s"), sealed: sealed() });
    assert_eq!(away.step(), None, "the browser is at the provider");
    let plan = away.decided();
    assert_eq!(plan.authorized.reason, Reason::AuthorizationInProgress);
    assert_eq!(plan.consent_at, Some(at(650)), "looked at again when the attempt expires");
}

#[test]
fn where_no_grant_may_be_taken_in_the_page_is_told_why() {
    let disconnected = connection().spec(json!({"disconnect": true}));
    let suspended = connection().spec(json!({"suspend": true}));
    let gone = connection().provider(Err(UnusableProvider::NotFound));
    let broken =
        connection().provider(Err(UnusableProvider::NotReady("Its metadata is not read yet.".into())));
    let rows = vec![
        (disconnected, Some(Reason::Disconnected)),
        (suspended, Some(Reason::Suspended)),
        (gone, Some(Reason::ProviderNotFound)),
        // It may reappear in a moment, and the attempt expires by itself.
        (broken, None),
    ];
    for (situation, expected) in rows {
        let plan = situation.attempting("attempt-a", 50, returned()).decided();
        let told = plan.dismissals.first().map(|dismissal| dismissal.ending.reason.known().unwrap());
        assert_eq!((plan.task, told), (None, expected));
    }
    let busy = connection().provider(Err(UnusableProvider::NotFound)).busy();
    let busy = busy.attempting("attempt-a", 50, returned());
    assert_eq!(busy.decided().dismissals, [], "somebody is at work on it");
}

#[test]
fn a_device_code_is_asked_about_at_its_pace_and_only_the_newest() {
    assert_eq!(connection().attempting("attempt-a", 50, waiting(61)).step(), None, "too soon");
    let due = connection().attempting("attempt-a", 50, waiting(60));
    assert_eq!(due.step(), Some(ConsentTask::Poll { attempt: "attempt-a".into() }));
    let two = connection().attempting("attempt-a", 50, waiting(60)).attempting("attempt-b", 55, waiting(99));
    let [Dismissal { attempt, .. }] = &*two.decided().dismissals else { panic!("two codes wait") };
    assert_eq!(attempt, "attempt-a");
    let due = connection().attempting("attempt-a", 50, waiting(60)).attempting("attempt-b", 55, waiting(60));
    assert_eq!(due.step(), Some(ConsentTask::Poll { attempt: "attempt-b".into() }));
    assert_eq!(due.decided().dismissals.len(), 1, "the old code is not left behind");
}

#[test]
fn a_device_code_is_asked_for_once() {
    let asking = connection().annotated("bowline.dev/authorize-requested-at", "x");
    assert_eq!(asking.step(), Some(ConsentTask::AskDevice { request: "x".into() }));
    let blocked = asking.spec(json!({"disconnect": true})).decided();
    assert_eq!((blocked.task, blocked.unaskable.as_deref()), (None, Some("x")), "answered all the same");
}

#[test]
fn a_grant_that_proves_nobody_waits_for_its_owner() {
    let held = connection().authorized().by_device();
    let plan = held.decided();
    assert_eq!(
        (plan.authorized.truth(), plan.authorized.reason),
        (Truth::False, Reason::AwaitingConfirmation)
    );
    let agreed = |account: &str| {
        connection().authorized().by_device().annotated("bowline.dev/accept-account", account).step()
    };
    assert_eq!(agreed("unnamed"), Some(ConsentTask::Confirm { account: "unnamed".into() }));
    assert_eq!(agreed("somebody"), None);
}

#[test]
fn why_an_attempt_failed_is_said_while_the_watch_still_shows_nothing_of_it() {
    let why = ConsentError::Denied.into();
    let plan = connection().trying().came(Outcome::IntakeRefused { why }).decided();
    assert_eq!(plan.authorized.reason, Reason::AuthorizationFailed);
}
