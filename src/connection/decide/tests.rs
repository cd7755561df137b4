//! What is decided, as sentences: a situation, and what the user sees and the actor is told.

mod consent;

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::attempt::secret::to_secret;
use bowline_api::attempt::{Attempt, AttemptEnding, ConnectionRef, DeviceCode, EndResult, Step};
use bowline_api::connection::{
    AttemptMethod, AttemptResult, FailureStatus, GrantStatus, LastAttempt, RulingStatus, TokenStatus,
};
use bowline_api::open::Open;
use bowline_api::reason::Reason;
use bowline_api::{IntegrationConnection, IntegrationConnectionStatus, IntegrationProviderSpec};
use bowline_oauth::catalog;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use bowline_oauth::http::Sent;
use bowline_runtime::attempts::{StoredAttempt, read};
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;

use super::{Plan, Publishing, decide};
use crate::connection::observed::{Observed, Present, Provider, RecordState};
use crate::grant::consent::{ConsentError, ConsentTask, Dismissal, being_checked, in_use};
use crate::grant::intake::IntakeError;
use crate::grant::outcome::{FinishedWork, Outcome};
use crate::grant::schedule::RefreshBounds;
use crate::grant::target::Target;
use crate::grant::target::tests::Offline;
use crate::grant::work::Task;
use crate::publishing::PublishedVersion;
use crate::sharing::Shared;
use crate::vault::record::{GrantVersion, Pause};
use crate::vault::{Binding, Credential, Grant};
use bowline_api::condition::Truth;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A situation, built up like a sentence. The token lives an hour and was obtained at second 0.
struct Situation {
    connection: IntegrationConnection,
    observed: Observed,
    now: Timestamp,
}

fn provider(entry: &str) -> Arc<Target> {
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": entry, "contact": "platform@example.com",
        "endpoints": {"token": "https://p.example/token", "userinfo": "https://p.example/me"},
    }))
    .unwrap();
    let description = catalog::resolve(catalog::get(entry).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    Arc::new(Target::new(description, spec, None, Arc::new(Offline::default())))
}

fn grant() -> Grant {
    Grant {
        credential: Credential::OAuth {
            refresh_token: Some(SecretString::from("r")),
            access_token: Some(SecretString::from("a")),
            token_type: "Bearer".to_owned(),
        },
        claims: BTreeMap::new(),
        scopes: None,
        obtained_at: at(0),
        expires_at: Some(at(3_600)),
        refresh_expires_at: None,
        refresh_end_moves: None,
        refresh_issued_at: None,
        published_extras: BTreeMap::new(),
        bound_to: Binding {
            owner: "alice".to_owned(),
            authority: "https://p.example".to_owned(),
            client_id: None,
            account: None,
        },
        source: None,
        consent: crate::vault::Consent::default(),
    }
}

/// The grant in use, refreshed so often.
fn version(revision: i64) -> GrantVersion {
    GrantVersion { id: "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap(), revision }
}

/// A connection of alice that nobody authorized yet; the provider is usable.
fn connection() -> Situation {
    let connection = serde_json::from_value(json!({
        "metadata": {"name": "c", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"provider": "p", "owner": "alice"},
    }))
    .unwrap();
    let observed = Observed {
        provider: Provider::Ready(provider("sandbox")),
        namespace_labels: BTreeMap::new(),
        record: RecordState::Missing,
        secret: None,
        written: None,
        busy: false,
        finished: None,
        rest_until: None,
        app_differs: false,
        taken: None,
        app_version: Some("s/1".into()),
        credentials: None,
        refused_source: None,
        attempts: Vec::new(),
        newest_attempt: None,
        unwritten: Vec::new(),
        poll_at: None,
        portal: None,
        shared: Shared::NotAsked,
        shares: Vec::new(),
    };
    Situation { connection, observed, now: at(60) }
}

impl Situation {
    fn authorized(mut self) -> Self {
        self.observed.record = RecordState::Present(Present {
            revision: 3,
            grant: Some(Arc::new(grant())),
            version: Some(version(3)),
            pause: None,
            has_candidate: false,
            consented_at: None,
            doubted_since: None,
            unknown_since: None,
            ending: false,
        });
        self.connection.status = Some(IntegrationConnectionStatus {
            connected_at: Some(Time(at(0))),
            observed_generation: Some(1),
            grant: Some(GrantStatus {
                id: version(3).id.to_string(),
                revision: 3,
                obtained_at: Time(at(0)),
                expires_at: None,
            }),
            token: Some(TokenStatus {
                expires_at: Some(Time(at(3_600))),
                refreshable: Some(true),
                ..TokenStatus::default()
            }),
            ..IntegrationConnectionStatus::default()
        });
        self
    }

    fn published(mut self) -> Self {
        self.observed.written = Some(PublishedVersion {
            name: "c".into(),
            uid: "s".into(),
            resource_version: Some("7".into()),
            grant: Some(version(3)),
        });
        self.observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: "7".into() });
        self.told("SecretPublished", "True", Reason::Published)
    }

    #[allow(clippy::needless_pass_by_value, reason = "a literal reads better without a borrow")]
    fn spec(mut self, change: serde_json::Value) -> Self {
        let mut spec = serde_json::to_value(&self.connection.spec).unwrap();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        self.connection.spec = serde_json::from_value(spec).unwrap();
        self
    }

    fn annotated(mut self, name: &str, value: &str) -> Self {
        self.connection.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    fn provider(mut self, provider: Provider) -> Self {
        self.observed.provider = provider;
        self
    }

    fn record(mut self, record: RecordState) -> Self {
        self.observed.record = record;
        self
    }

    fn present(mut self, change: impl FnOnce(&mut Present)) -> Self {
        if let RecordState::Present(present) = &mut self.observed.record {
            change(present);
        }
        self
    }

    fn grant(self, change: impl FnOnce(&mut Grant)) -> Self {
        self.present(|present| {
            let mut grant = Grant::clone(present.grant.as_ref().unwrap());
            change(&mut grant);
            present.grant = Some(Arc::new(grant));
        })
    }

    /// A newer revision of the grant is on record than status tells of.
    fn refreshed(self) -> Self {
        self.present(|present| {
            present.revision = 4;
            present.version = Some(version(4));
        })
    }

    /// What status remembers of the provider's decision.
    fn ruled(mut self, reason: Reason) -> Self {
        let final_ = matches!(reason, Reason::GrantRevoked | Reason::GrantExpired);
        self.connection.status.get_or_insert_default().ruling = Some(RulingStatus {
            reason: reason.into(),
            since: Time(at(0)),
            is_final: final_,
            grant: Some(version(3).id.to_string()),
            message: "as before".into(),
        });
        self
    }

    /// What status remembers of the last attempt.
    fn tried(mut self, result: AttemptResult, reason: Reason) -> Self {
        self.connection.status.get_or_insert_default().last_attempt = Some(LastAttempt {
            id: "earlier".into(),
            method: AttemptMethod::AuthorizationCode.into(),
            requested_by: Some("alice".into()),
            started_at: Time(at(0)),
            ended_at: (result != AttemptResult::Running).then_some(Time(at(1))),
            grant_in_use: None,
            result: result.into(),
            reason: (result != AttemptResult::Running).then_some(reason.into()),
            message: "as before".into(),
        });
        self
    }

    /// An attempt whose grant is on record and is being judged.
    fn trying(self) -> Self {
        let mut it = self.tried(AttemptResult::Running, Reason::AuthorizationInProgress);
        it.observed.busy = true;
        it
    }

    fn told(mut self, type_: &str, status: &str, reason: Reason) -> Self {
        self.connection.status.get_or_insert_default().conditions.push(Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.to_string(),
            message: "as before".into(),
            last_transition_time: Time(at(0)),
            observed_generation: None,
        });
        self
    }

    fn failed_before(mut self, failures: i32, refusals: i32) -> Self {
        let token = self.connection.status.as_mut().unwrap().token.as_mut().unwrap();
        token.consecutive_failures = Some(failures);
        token.consecutive_refusals = Some(refusals);
        token.next_refresh_at = Some(Time(at(0)));
        token.last_failure = Some(FailureStatus {
            at: Time(at(0)),
            reason: Reason::RefreshFailing.into(),
            message: "No.".into(),
        });
        self
    }

    fn for_reason(mut self, reason: Reason) -> Self {
        let token = self.connection.status.as_mut().unwrap().token.as_mut().unwrap();
        token.last_failure.as_mut().unwrap().reason = reason.into();
        self
    }

    fn came(mut self, outcome: Outcome) -> Self {
        self.observed.finished = Some(FinishedWork {
            id: 1,
            at: self.now,
            request: None,
            app_version: self.observed.app_version.clone(),
            authorization: None,
            announcement: None,
            outcome,
        });
        self
    }

    fn at_second(mut self, second: i64) -> Self {
        self.now = at(second);
        self
    }

    fn decided(&self) -> Plan {
        decide(&self.connection, &self.observed, self.now, RefreshBounds::default())
    }
}

fn failure(class: Class) -> Failure {
    Failure {
        class,
        code: None,
        status: Some(400),
        retry_after: None,
        sent: Sent::Refused,
        proves_revoked: false,
        summary: "The provider said no.".to_owned(),
    }
}

fn refused(class: Class) -> Outcome {
    Outcome::Failed { revision: 3, failure: failure(class) }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one table, whose rows are sentences")]
fn what_the_user_sees_is_what_the_code_decided() {
    use Truth::{False, True, Unknown};
    let empty = || connection();
    let good = || connection().authorized().published();
    let tampered = || good().record(RecordState::Tampered);
    let rows: Vec<(&str, Situation, (Truth, Reason), Publishing)> = vec![
        ("nobody consented yet", empty(), (False, Reason::AwaitingAuthorization), Publishing::Nothing),
        ("all is well", good(), (True, Reason::Authorized), Publishing::Keep),
        ("a new revision is written", good().refreshed(), (True, Reason::Authorized), Publishing::Write),
        (
            "an edited Secret is put back",
            {
                let mut s = good();
                s.observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: "8".into() });
                s
            },
            (True, Reason::Authorized),
            Publishing::Write,
        ),
        (
            "a deleted Secret is written again",
            {
                let mut s = good();
                s.observed.secret = None;
                s
            },
            (True, Reason::Authorized),
            Publishing::Write,
        ),
        (
            "a changed spec is written again",
            {
                let mut s = good();
                s.connection.metadata.generation = Some(2);
                s
            },
            (True, Reason::Authorized),
            Publishing::Write,
        ),
        (
            "no provider object: coast",
            good().provider(Provider::NotFound),
            (Unknown, Reason::ProviderNotFound),
            Publishing::Keep,
        ),
        (
            "provider not ready: coast",
            good().provider(Provider::NotReady { message: "x".into() }),
            (Unknown, Reason::ProviderNotReady),
            Publishing::Keep,
        ),
        (
            "bad parameters",
            empty().provider(Provider::ParametersInvalid { message: "x".into() }),
            (False, Reason::ParametersInvalid),
            Publishing::Nothing,
        ),
        (
            "no key opens the record: coast",
            good().record(RecordState::Unreadable),
            (Unknown, Reason::RecordUnreadable),
            Publishing::Keep,
        ),
        ("the record was changed by somebody", tampered(), (False, Reason::RecordTampered), Publishing::Keep),
        (
            "the record is gone",
            good().record(RecordState::Missing),
            (False, Reason::RecordMissing),
            Publishing::Keep,
        ),
        (
            "another owner than who consented",
            good().spec(json!({"owner": "bob"})),
            (False, Reason::ConsentOutdated),
            Publishing::Keep,
        ),
        (
            "another endpoint than consented to",
            good().grant(|g| g.bound_to.authority = "https://old.example".into()),
            (False, Reason::ConsentOutdated),
            Publishing::Keep,
        ),
        (
            "disconnected",
            good().spec(json!({"disconnect": true})),
            (False, Reason::Disconnected),
            Publishing::Withdraw,
        ),
        (
            "a method the provider lacks",
            good().spec(json!({"method": "ApiKey"})),
            (False, Reason::ProviderNotAllowed),
            Publishing::Withdraw,
        ),
        (
            "an own app that is not allowed",
            good().spec(json!({"app": {"secretName": "x"}})),
            (False, Reason::ProviderNotAllowed),
            Publishing::Withdraw,
        ),
        (
            "an unknown outcome while the token lives",
            good().present(|p| p.unknown_since = Some(at(50))),
            (Unknown, Reason::RotationOutcomeUnknown),
            Publishing::Keep,
        ),
        (
            "withdrawn at the provider",
            good().ruled(Reason::GrantRevoked),
            (False, Reason::GrantRevoked),
            Publishing::Withdraw,
        ),
        (
            "expired at the provider",
            good().ruled(Reason::GrantExpired),
            (False, Reason::GrantExpired),
            Publishing::Keep,
        ),
        (
            "a ruling on an older grant is forgotten",
            good().ruled(Reason::GrantRevoked).refreshed(),
            (True, Reason::Authorized),
            Publishing::Write,
        ),
        (
            "a candidate is being judged",
            empty().authorized().present(|p| {
                p.grant = None;
                p.has_candidate = true;
            }),
            (False, Reason::AuthorizationInProgress),
            Publishing::Nothing,
        ),
    ];
    for (name, situation, (truth, reason), publishing) in rows {
        let plan = situation.decided();
        assert_eq!((plan.authorized.truth(), plan.authorized.reason), (truth, reason), "{name}");
        assert_eq!(plan.publishing, publishing, "{name}");
    }
}

#[test]
fn the_actor_is_told_what_is_due() {
    let good = || connection().authorized().published();
    let refresh = || Some(Task::Refresh { request: None });
    let rows: Vec<(&str, Situation, Option<Task>)> = vec![
        ("not yet due", good(), None),
        ("due a fifth before the end", good().at_second(2_881), refresh()),
        ("not while suspended", good().at_second(2_881).spec(json!({"suspend": true})), None),
        ("not while disconnected", good().at_second(2_881).spec(json!({"disconnect": true})), None),
        (
            "not while the actor is at work",
            {
                let mut s = good().at_second(2_881);
                s.observed.busy = true;
                s
            },
            None,
        ),
        (
            "not to a provider that is not ready",
            good().at_second(2_881).provider(Provider::NotReady { message: "x".into() }),
            None,
        ),
        ("not with a grant bound elsewhere", good().at_second(2_881).spec(json!({"owner": "bob"})), None),
        ("not after the provider withdrew it", good().at_second(2_881).ruled(Reason::GrantRevoked), None),
        (
            "a request is served at once",
            good().annotated("bowline.dev/refresh-requested-at", "x"),
            Some(Task::Refresh { request: Some("x".into()) }),
        ),
        (
            "a request waits for the least interval",
            good().at_second(5).annotated("bowline.dev/refresh-requested-at", "x"),
            None,
        ),
        (
            "a probe waits for the token's end",
            good().at_second(2_881).present(|p| p.unknown_since = Some(at(50))),
            None,
        ),
        (
            "a probe goes out near the token's end",
            good().at_second(3_511).present(|p| p.unknown_since = Some(at(50))),
            refresh(),
        ),
        (
            "a candidate is judged",
            connection().authorized().present(|p| {
                p.grant = None;
                p.has_candidate = true;
            }),
            Some(Task::Judge),
        ),
        (
            "minted without anybody",
            connection().spec(json!({"method": "ClientCredentials"})),
            Some(Task::Mint { request: None }),
        ),
    ];
    for (name, situation, task) in rows {
        assert_eq!(situation.decided().task, task, "{name}");
    }
}

/// A code that waits to be typed, asked about from second 0 on.
fn waiting() -> StoredAttempt {
    let code = DeviceCode {
        user_code: "AB".into(),
        verification_uri: "https://p.example/device".into(),
        verification_uri_complete: None,
    };
    let step = Step::Waiting { code, next_poll: at(0), interval: 5, sealed: ByteString(Vec::new()) };
    let attempt = Attempt {
        user: "alice".into(),
        person: None,
        connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
        request: None,
        provider: "p".into(),
        started_at: at(0),
        expires_at: at(86_400),
        step,
    };
    let mut secret = to_secret("attempt-x", &attempt).unwrap();
    secret.metadata.resource_version = Some("1".into());
    read(&secret).unwrap()
}

#[test]
fn a_code_that_waits_to_be_typed_does_not_keep_the_grant_in_use_from_its_refresh() {
    let mut situation = connection().authorized().published().at_second(2_881);
    situation.observed.attempts = vec![waiting()];
    let poll = Task::Consent(ConsentTask::Poll { attempt: "attempt-x".into() });
    assert_eq!(situation.decided().task, Some(poll.clone()));
    situation.observed.poll_at = Some(at(2_886));
    situation.observed.rest_until = Outcome::Polled { until: at(2_886) }.rest_until(at(2_881));
    assert_eq!(situation.decided().task, Some(Task::Refresh { request: None }));
    assert_eq!(situation.decided().consent_at, Some(at(2_886)), "and it is looked at again for the code");
    assert_eq!(situation.at_second(2_886).decided().task, Some(poll));
}

#[test]
fn a_try_that_a_pause_ends_is_told_of_the_pause_and_not_of_the_grant_in_use() {
    let mut situation = connection().authorized().published().spec(json!({"suspend": true}));
    situation.observed.attempts = vec![waiting()];
    let told = |reason: Reason| {
        let [Dismissal { ending, .. }] = &*situation.decided().dismissals else { return false };
        ending.result == EndResult::Failed && ending.reason.is(reason) && ending.message.contains("spec.")
    };
    assert!(told(Reason::Suspended), "{:?}", situation.decided().dismissals);
}

#[test]
fn what_came_of_the_last_attempt_is_not_told_of_a_new_code() {
    let mut situation = connection().tried(AttemptResult::Failed, Reason::AuthorizationFailed);
    assert_eq!(situation.decided().authorized.reason, Reason::AuthorizationFailed);
    situation = situation.came(Outcome::Stepped);
    situation.observed.finished.as_mut().unwrap().authorization = Some("2".into());
    let plan = situation.decided();
    assert_eq!(plan.authorized.reason, Reason::AwaitingAuthorization);
    let attempt = plan.last_attempt.unwrap();
    assert_eq!((attempt.id.as_str(), attempt.is_running()), ("2", true));
    assert!(attempt.method.is(AttemptMethod::DeviceCode));
}

#[test]
fn an_announced_intake_goes_before_everything_but_an_unreadable_record() {
    let announced = |situation: Situation| situation.annotated("bowline.dev/intake", "s/u").decided().task;
    assert!(matches!(announced(connection()), Some(Task::Take(_))));
    let mut taken = connection();
    taken.observed.taken = Some("s/u".to_owned());
    assert_eq!(announced(taken), None, "the object may show an announcement for a moment after it was taken");
    let revoked = connection().authorized().ruled(Reason::GrantRevoked);
    assert!(matches!(announced(revoked), Some(Task::Take(_))), "a withdrawn grant may be replaced");
    assert!(matches!(announced(connection().record(RecordState::Tampered)), Some(Task::Take(_))));
    assert_eq!(announced(connection().record(RecordState::Unreadable)), None, "it may hold a good grant");
    assert_eq!(announced(connection().spec(json!({"suspend": true}))), None);
    assert_eq!(announced(connection().spec(json!({"app": {"secretName": "x"}}))), None, "not allowed");
}

#[test]
fn a_candidate_that_was_sent_without_an_answer_is_told_of_and_sent_again_only_where_nothing_can_die_of_it() {
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

    let again = || connection().authorized().published().present(doubted);
    let beside = again().decided();
    assert_eq!(beside.authorized.reason, Reason::Authorized);
    assert_eq!((beside.task, beside.publishing), (None, Publishing::Keep), "the old grant serves on");
    assert_eq!(again().at_second(3_600).decided().task, Some(Task::Judge), "no token is in use any more");
    let graced = again().provider(Provider::Ready(provider("sandbox-grace")));
    assert_eq!(graced.decided().task, Some(Task::Judge), "the old token still works");
}

/// A try whose exchange nobody is at work on, begun at second 10.
fn exchanging() -> bowline_runtime::attempts::StoredAttempt {
    use bowline_api::attempt::{Attempt, ConnectionRef, Step, secret::to_secret};
    use bowline_runtime::attempts;
    let attempt = Attempt {
        user: "alice".into(),
        person: None,
        connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
        request: None,
        provider: "p".into(),
        started_at: at(10),
        expires_at: at(610),
        step: Step::Exchanging,
    };
    attempts::read(&to_secret("attempt-1", &attempt).unwrap()).unwrap()
}

#[test]
fn an_exchange_that_an_earlier_process_left_behind_is_told_by_what_is_on_record() {
    let left = |mut it: Situation| {
        it.observed.attempts = vec![exchanging()];
        let plan = it.decided();
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
        })
    };
    assert_eq!(left(ours(10)), interrupted, "it came of an earlier try");
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
    assert_eq!(left(anothers), interrupted, "what waits came of an earlier try");
    assert_eq!(left(candidate), (Some(Task::Judge), vec![over(being_checked())]));
    // What this process knows, and could not write, is not guessed at.
    let mut known = connection();
    known.observed.unwritten =
        vec![over(AttemptEnding::failed(Reason::AccountMismatch, "Another account.".into()))];
    assert_eq!(left(known).1[0].ending.reason, Reason::AccountMismatch.into());
}

/// How the last attempt ended, beside the verdict on the grant in use.
fn attempted(plan: &Plan) -> (Reason, AttemptResult, Option<Reason>) {
    let attempt = plan.last_attempt.as_ref().unwrap();
    let reason = attempt.reason.as_ref().and_then(Open::known);
    (plan.authorized.reason, attempt.result.known().unwrap(), reason)
}

#[test]
fn a_lost_answer_for_what_was_imported_is_remembered_as_such() {
    let lost = Outcome::IntakeRefused { why: IntakeError::AnswerLost };
    let good = || connection().authorized().published();
    let plan = good().trying().came(lost).decided();
    let expected = (Reason::Authorized, AttemptResult::Failed, Some(Reason::IntakeOutcomeUnknown));
    assert_eq!(attempted(&plan), expected);
    let told = good().tried(AttemptResult::Failed, Reason::IntakeOutcomeUnknown).decided();
    assert_eq!(attempted(&told), expected, "a restart does not forget it");
    assert_eq!(told.last_attempt.unwrap().message, "as before");
}

#[test]
fn a_grant_that_ends_by_itself_is_told_of_two_weeks_before_unless_its_end_moves() {
    let day = 86_400;
    let ending = |in_days: i64, moves| {
        let it = connection().authorized().published().grant(|grant| {
            grant.refresh_expires_at = Some(at(60 + in_days * day));
            grant.refresh_end_moves = moves;
        });
        it.decided().authorized
    };
    let soon = ending(14, Some(false));
    assert_eq!((soon.truth(), soon.reason), (Truth::True, Reason::GrantExpiringSoon));
    for (in_days, moves) in [(15, Some(false)), (14, Some(true)), (14, None), (0, Some(false))] {
        assert_eq!(ending(in_days, moves).reason, Reason::Authorized, "{in_days} {moves:?}");
    }
}

#[test]
fn an_attempt_that_is_refused_leaves_the_grant_in_use_as_it_was_and_a_restart_remembers_it() {
    let other_account = || IntakeError::OtherAccount { id: "2".to_owned(), name: None };
    let summary = || "It said so.".to_owned();
    for (why, reason) in [
        (other_account(), Reason::AccountMismatch),
        (IntakeError::AccountUnknown, Reason::AccountMismatch),
        (IntakeError::AccountTaken, Reason::AccountAlreadyConnected),
        (IntakeError::NotRevoked { why: Box::new(other_account()), by_hand: None }, Reason::AccountMismatch),
        (ConsentError::AdminConsent { summary: summary() }.into(), Reason::AdminConsentRequired),
        (ConsentError::Policy { summary: summary() }.into(), Reason::PolicyBlocked),
        (ConsentError::MissingScopes { missing: "write".into() }.into(), Reason::MissingScopes),
        (ConsentError::ExtraScopes { extra: "email".into() }.into(), Reason::ExtraScopes),
    ] {
        let refused = Outcome::IntakeRefused { why };
        let good = || connection().authorized().published();
        let plan = good().trying().came(refused.clone()).decided();
        let beside = (Reason::Authorized, AttemptResult::Failed, Some(reason));
        assert_eq!((attempted(&plan), plan.publishing), (beside, Publishing::Keep));
        assert_eq!(plan.last_attempt.unwrap().ended_at, Some(Time(at(60))));
        assert_eq!(attempted(&good().tried(AttemptResult::Failed, reason).decided()), beside);

        let first = connection().trying().came(refused).decided();
        assert_eq!(attempted(&first), (reason, AttemptResult::Failed, Some(reason)), "nothing else to tell");
        let told = connection().tried(AttemptResult::Failed, reason).decided();
        assert_eq!((told.authorized.reason, told.authorized.message.as_str()), (reason, "as before"));
    }
}

#[test]
fn a_ruling_on_the_grant_and_an_attempt_that_failed_do_not_hide_each_other() {
    let revoked = connection().authorized().published().ruled(Reason::GrantRevoked);
    let plan = revoked.tried(AttemptResult::Failed, Reason::AdminConsentRequired).decided();
    let both = (Reason::GrantRevoked, AttemptResult::Failed, Some(Reason::AdminConsentRequired));
    assert_eq!(attempted(&plan), both);
}

#[test]
fn one_invalid_grant_is_doubted_and_the_second_is_believed() {
    let first = connection().authorized().published().at_second(2_881).came(refused(Class::Reauth)).decided();
    assert_eq!((first.authorized.truth(), first.fresh.reason), (Truth::True, Reason::RefreshFailing));
    assert_eq!(first.next_attempt, Some(at(2_881 + 60)));
    let second = connection()
        .authorized()
        .published()
        .failed_before(1, 1)
        .for_reason(Reason::GrantExpired)
        .at_second(2_941)
        .came(refused(Class::Reauth))
        .decided();
    assert_eq!((second.authorized.truth(), second.authorized.reason), (Truth::False, Reason::GrantExpired));
    assert_eq!(second.next_attempt, None);
}

#[test]
fn a_refusal_within_the_minute_is_no_second_opinion_and_a_request_waits_for_it() {
    let doubted = || {
        let mut it = connection().authorized().published().failed_before(1, 1);
        it.connection.status.as_mut().unwrap().token.as_mut().unwrap().next_refresh_at = Some(Time(at(60)));
        it.for_reason(Reason::GrantExpired)
    };
    let sooner = doubted().at_second(59).came(refused(Class::Reauth)).decided();
    assert_eq!(
        (sooner.authorized.truth(), sooner.history.refusals, sooner.history.failures),
        (Truth::True, 1, 2)
    );
    assert_eq!(sooner.next_attempt, Some(at(60)), "the first one's minute runs on");
    let asked =
        |second| doubted().at_second(second).annotated("bowline.dev/refresh-requested-at", "x").decided();
    let (waiting, served) = (asked(20), asked(60));
    assert_eq!((waiting.task, waiting.request_at, waiting.unanswerable), (None, Some(at(60)), None));
    assert_eq!(served.task, Some(Task::Refresh { request: Some("x".into()) }));
    let believed = doubted().at_second(60).came(refused(Class::Reauth)).decided();
    assert_eq!(believed.authorized.reason, Reason::GrantExpired);
}

#[test]
fn a_new_app_secret_ends_the_pause_after_ten_refusals() {
    let stopped = |app_version: Option<&str>| {
        let mut it = connection().authorized().published().failed_before(10, 10).at_second(3_100);
        it.observed.app_version = app_version.map(Into::into);
        let pause = Pause { not_before: at(80_000), app_version: Some("s/1".into()) };
        it.present(|present| present.pause = Some(pause))
    };
    assert_eq!(stopped(Some("s/1")).decided().next_attempt, Some(at(80_000)));
    assert_eq!(stopped(None).decided().next_attempt, Some(at(80_000)), "not seen now is not replaced");
    let replaced = stopped(Some("s/2"));
    assert_eq!(replaced.decided().task, Some(Task::Refresh { request: None }));
    let refused_again = replaced.came(refused(Class::Bug)).decided();
    assert_eq!(refused_again.next_attempt, Some(at(3_100 + 86_400)), "and it is refused with that one too");
    let pause = refused_again.history.pause().unwrap();
    assert_eq!((pause.not_before, pause.app_version.as_deref()), (at(3_100 + 86_400), Some("s/2")));
}

#[test]
fn a_status_that_is_lost_does_not_end_a_pause() {
    let mut lost = connection().authorized().published().at_second(3_100);
    lost.connection.status = None;
    let pause = Pause { not_before: at(80_000), app_version: Some("s/1".into()) };
    let lost = lost.present(|present| present.pause = Some(pause));
    assert_eq!(lost.decided().next_attempt, Some(at(80_000)));
}

#[test]
fn outages_never_count_as_refusals_and_a_live_token_stays_fresh() {
    let plan = connection()
        .authorized()
        .published()
        .failed_before(50, 0)
        .at_second(3_000)
        .came(refused(Class::Transient))
        .decided();
    assert_eq!((plan.history.failures, plan.history.refusals), (51, 0));
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::True, Reason::RefreshFailing));
}

#[test]
fn ten_refusals_stop_it_for_a_day() {
    let plan = connection()
        .authorized()
        .published()
        .failed_before(9, 9)
        .at_second(3_000)
        .came(refused(Class::Bug))
        .decided();
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::False, Reason::RefreshRefused));
    assert_eq!(plan.next_attempt, Some(at(3_000 + 86_400)));
}

#[test]
fn an_unknown_outcome_is_never_called_revoked() {
    let unknown =
        connection().authorized().published().present(|present| present.unknown_since = Some(at(50)));
    let lost = unknown
        .at_second(3_511)
        .came(Outcome::Lost { revision: 3, failure: failure(Class::Reauth) })
        .decided();
    assert_eq!((lost.authorized.truth(), lost.authorized.reason), (Truth::False, Reason::RefreshTokenLost));
    assert_eq!(lost.publishing, Publishing::Keep, "what is published stays until it ends");
    assert_eq!(lost.next_attempt, None);
}

#[test]
fn a_new_grant_forgets_earlier_failures() {
    let came = Outcome::Committed { new_grant: false };
    let plan = connection().authorized().published().failed_before(3, 2).came(came).decided();
    assert_eq!((plan.history.failures, plan.history.refusals), (0, 0));
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::True, Reason::Fresh));
}

#[test]
fn an_ended_token_says_whether_it_can_be_had_again() {
    let ended = || connection().authorized().published().at_second(3_600);
    assert_eq!(ended().decided().fresh.reason, Reason::TokenExpired);
    let alone = ended().grant(|grant| {
        grant.credential = Credential::OAuth {
            refresh_token: None,
            access_token: Some("a".into()),
            token_type: "Bearer".into(),
        };
    });
    assert_eq!(alone.decided().fresh.reason, Reason::NotRefreshable);
    let endless = ended().grant(|grant| grant.expires_at = None);
    assert_eq!(endless.decided().fresh.reason, Reason::NeverExpires);
}

#[test]
fn a_request_that_cannot_be_served_is_answered_all_the_same() {
    let asked = |situation: Situation| situation.annotated("bowline.dev/refresh-requested-at", "x").decided();
    assert_eq!(asked(connection()).unanswerable.as_deref(), Some("x"));
    assert_eq!(
        asked(connection().authorized().published().spec(json!({"suspend": true}))).unanswerable.as_deref(),
        Some("x")
    );
    assert_eq!(
        asked(connection().authorized().published().at_second(5)).unanswerable,
        None,
        "it is served later"
    );
}

#[test]
fn a_request_that_waits_is_looked_at_when_it_is_due() {
    let asked = |second| {
        connection()
            .authorized()
            .published()
            .at_second(second)
            .annotated("bowline.dev/refresh-requested-at", "x")
            .decided()
    };
    let waiting = asked(5);
    assert_eq!((waiting.task, waiting.request_at), (None, Some(at(10))));
    assert_eq!(asked(10).request_at, None, "it is served");
}

#[test]
fn what_could_not_be_published_is_tried_again() {
    let mut situation = connection().authorized().published();
    situation.connection.status.as_mut().unwrap().conditions.clear();
    let failed = situation.told("SecretPublished", "False", Reason::TemplateFailed);
    assert_eq!(failed.decided().publishing, Publishing::Write);
}

#[test]
fn only_a_refusal_of_the_grant_seconds_a_refusal_of_the_grant() {
    let plan = connection()
        .authorized()
        .published()
        .failed_before(12, 3)
        .at_second(2_881)
        .came(refused(Class::Reauth))
        .decided();
    assert_eq!((plan.authorized.truth(), plan.history.refusals), (Truth::True, 1));
    assert_eq!(plan.next_attempt, Some(at(2_881 + 60)), "outages before it do not put the second try off");
}

#[test]
fn a_refused_registration_is_never_tried_only_daily() {
    let good = connection().authorized().published().failed_before(40, 0).at_second(3_000);
    assert_eq!(good.came(refused(Class::Config)).decided().next_attempt, Some(at(3_000 + 3_600)));
}

#[test]
fn a_grant_that_was_withdrawn_stays_so_while_its_provider_is_away() {
    let away = connection()
        .authorized()
        .failed_before(2, 2)
        .ruled(Reason::GrantRevoked)
        .told("Authorized", "Unknown", Reason::ProviderNotFound)
        .told("SecretPublished", "False", Reason::Withdrawn);
    let back = away.decided();
    assert_eq!((back.authorized.reason, back.publishing), (Reason::GrantRevoked, Publishing::Withdraw));
    let away = away.provider(Provider::NotFound).decided();
    assert_eq!((away.authorized.reason, away.publishing), (Reason::ProviderNotFound, Publishing::Withdraw));
}

#[test]
fn nothing_new_is_published_under_terms_that_nobody_consented_to() {
    let bobs = || connection().authorized().published().spec(json!({"owner": "bob"}));
    assert_eq!(bobs().refreshed().decided().publishing, Publishing::Withhold);
    assert_eq!(bobs().spec(json!({"secret": {"name": "d"}})).decided().publishing, Publishing::Withhold);
    let mut edited = bobs();
    edited.observed.secret = Some(ObjectVersion { uid: "s".into(), resource_version: "8".into() });
    assert_eq!(edited.decided().publishing, Publishing::Withhold);
}

#[test]
fn a_failed_first_minting_waits_before_it_is_tried_again() {
    let minting = || connection().spec(json!({"method": "ClientCredentials"}));
    let failed = minting().came(Outcome::Failed { revision: 0, failure: failure(Class::Config) }).decided();
    assert_eq!((failed.task, failed.next_attempt), (None, Some(at(60 + 60))));
    let ending = minting().authorized().present(|present| present.ending = true);
    assert_eq!(ending.decided().task, None, "it would go with what is being revoked");
}

#[test]
fn while_the_actor_rests_the_plan_is_the_same_at_each_look() {
    let resting = |second| {
        let mut s = connection().authorized().published().present(|p| p.unknown_since = Some(at(50)));
        s.observed.rest_until = Some(at(3_700));
        s.at_second(second).decided().next_attempt
    };
    assert_eq!((resting(3_640), resting(3_650)), (Some(at(3_700)), Some(at(3_700))));
}

#[test]
fn a_request_waits_for_what_passes_and_is_answered_by_what_somebody_must_mend() {
    let asked = |outcome| {
        let mut s = connection().authorized().published().came(outcome);
        s.observed.finished.as_mut().unwrap().request = Some("x".into());
        s.decided().history.handled_refresh
    };
    for passing in [Outcome::Held { until: at(90) }, Outcome::Foreign { until: at(90) }, Outcome::Stale] {
        assert_eq!(asked(passing), None);
    }
    let missing = Outcome::SecretMissing { message: "There is no Secret app.".into() };
    for answer in [refused(Class::Transient), missing, Outcome::ConsentOutdated] {
        assert_eq!(asked(answer).as_deref(), Some("x"));
    }
}

#[test]
fn an_own_app_that_differs_is_looked_at_again_and_what_is_published_stays() {
    let mut situation = connection().authorized().published().at_second(2_881);
    situation.observed.app_differs = true;
    let plan = situation.decided();
    assert_eq!((plan.authorized.truth(), plan.authorized.reason), (Truth::False, Reason::ConsentOutdated));
    assert_eq!(plan.task, Some(Task::Refresh { request: None }), "the actor reads the app before it sends");
    assert_eq!(plan.publishing, Publishing::Keep);
}

#[test]
fn no_more_of_a_request_is_echoed_than_tells_it_apart() {
    let long = "x".repeat(10_000);
    let plan = connection().annotated("bowline.dev/refresh-requested-at", &long).decided();
    assert_eq!(plan.unanswerable.map(|request| request.len()), Some(64));
}

#[test]
fn what_somebody_owns_who_may_not_is_withdrawn() {
    let robot = "system:serviceaccount:team-a:billing";
    let rows = [
        (json!({"owner": "system:admin"}), true),
        (json!({"owner": ""}), true),
        (json!({"owner": robot}), true),
        (json!({"owner": robot, "method": "AuthorizationCode"}), true),
        (json!({"owner": robot, "method": "ClientCredentials"}), false),
        (json!({"owner": robot, "credentials": {"secretName": "key"}}), false),
    ];
    for (spec, refused) in rows {
        let plan = connection().authorized().published().spec(spec.clone()).decided();
        assert_eq!(plan.authorized.reason == Reason::OwnerUnverified, refused, "{spec}");
        assert_eq!(plan.publishing == Publishing::Withdraw, refused, "{spec}");
    }
}
