//! What happens to a grant whose refreshes succeed, fail or are refused.

use bowline_api::condition::Truth;
use bowline_api::connection::RulingStatus;
use bowline_api::reason::Reason;
use bowline_oauth::catalog::errors::Class;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::situation::{at, connection, failure, good, refused, version};
use crate::grant::incident::Incident;
use crate::grant::outcome::Outcome;
use crate::grant::work::Task;
use crate::secret_plan::SecretPlan;
use crate::vault::Credential;
use crate::vault::record::Pause;

#[test]
fn one_invalid_grant_is_doubted_and_the_second_is_believed() {
    let first = good().at_second(2_881).came(refused(Class::Reauth)).decided();
    assert_eq!((first.authorized.truth(), first.fresh.reason), (Truth::True, Reason::RefreshFailing));
    assert_eq!(first.next_attempt, Some(at(2_881 + 60)));
    let second = good()
        .failed_before(1, 1, Reason::GrantExpired)
        .at_second(2_941)
        .came(refused(Class::Reauth))
        .decided();
    assert_eq!((second.authorized.truth(), second.authorized.reason), (Truth::False, Reason::GrantExpired));
    assert_eq!(second.next_attempt, Some(at(2_941 + 86_400)), "it is looked at again, rarely");
}

#[test]
fn class_24_a_final_verdict_is_looked_at_again_daily_then_weekly_and_on_request() {
    let day = 86_400;
    let condemned = |failed_at: i64, reason| {
        let it = good().ruled(reason).failed_before(2, 2, reason);
        it.token(|token| {
            token.last_failure.as_mut().unwrap().at = Time(at(failed_at));
            token.next_refresh_at = None;
        })
    };
    for reason in [Reason::GrantRevoked, Reason::GrantExpired] {
        for (failed_at, next) in [(0, day), (6 * day, 7 * day), (7 * day, 14 * day)] {
            let plan = condemned(failed_at, reason).at_second(failed_at + 60).decided();
            assert_eq!((plan.task, plan.next_attempt), (None, Some(at(next))), "{reason} {failed_at}");
        }
        let due = condemned(0, reason).at_second(day).decided();
        assert_eq!(due.task, Some(Task::Refresh { request: None }));
        let asked = condemned(0, reason).at_second(60).requested("x").decided();
        assert_eq!(asked.task, Some(Task::Refresh { request: Some("x".into()) }));
    }
    let lost = good().status(|status| {
        status.ruling = Some(RulingStatus {
            reason: Reason::RefreshTokenLost.into(),
            since: Time(at(0)),
            is_final: true,
            grant: None,
            message: String::new(),
        });
    });
    assert_eq!(lost.at_second(day).decided().next_attempt, None, "a token that was spent is not sent again");
}

#[test]
fn class_24_only_a_success_lifts_a_final_verdict() {
    for class in [Class::Transient, Class::Config, Class::Bug, Class::Reauth, Class::Policy] {
        let again = good().ruled(Reason::GrantRevoked).failed_before(2, 2, Reason::GrantRevoked);
        let plan = again.at_second(86_400).came(refused(class)).decided();
        assert_eq!(plan.authorized.reason, Reason::GrantRevoked, "{class:?}");
        assert_eq!(plan.secret, SecretPlan::Withdraw, "{class:?}");
        assert_eq!(plan.next_attempt, Some(at(2 * 86_400)), "{class:?}");
    }
    let again = good().ruled(Reason::GrantRevoked).failed_before(2, 2, Reason::GrantRevoked);
    let plan = again.refreshed().came(Outcome::Committed { accepted: false }).decided();
    assert_eq!((plan.authorized.reason, plan.secret), (Reason::Authorized, SecretPlan::Write));
}

#[test]
fn a_secret_that_another_description_wrote_is_written_again() {
    let plan = |described| {
        let it = good().seen(|seen| seen.written.as_mut().unwrap().described = described);
        it.decided().secret
    };
    assert_eq!([plan(None), plan(Some(1))], [SecretPlan::Keep, SecretPlan::Write]);
}

#[test]
fn class_24_what_was_decided_in_an_incident_is_taken_back() {
    let incident = |since| {
        let it = good().ruled(Reason::GrantRevoked).failed_before(2, 2, Reason::GrantRevoked);
        it.seen(|seen| seen.incident = Some(Incident { since: at(since), next_probe: at(90) }))
    };
    let taken_back = incident(0).at_second(70).decided();
    assert_eq!(taken_back.authorized.reason, Reason::GrantsRefused);
    assert_eq!(taken_back.secret, SecretPlan::Keep);
    assert!(taken_back.history.ruling.is_none());
    assert_eq!(taken_back.task, Some(Task::Refresh { request: None }), "the gate says whose turn it is");
    let before = incident(1).at_second(70).decided();
    assert_eq!(before.authorized.reason, Reason::GrantRevoked, "this was decided before");
}

#[test]
fn class_12_an_answer_that_could_be_kept_in_part_counts_as_a_refusal_of_the_same_grant() {
    let too_long = || Outcome::Oversized { used: Some(version(4)), failure: failure(Class::Bug) };
    let plan = good().failed_before(3, 3, Reason::RefreshFailing).refreshed().came(too_long()).decided();
    assert_eq!((plan.history.failures, plan.history.refusals), (4, 4));
    assert_eq!((plan.fresh.reason, plan.secret), (Reason::RefreshFailing, SecretPlan::Write));
    assert!(plan.fresh.message.contains("The provider said no."), "{}", plan.fresh.message);
}

#[test]
fn class_12_a_token_that_cannot_be_kept_fresh_says_why_it_is_refreshed_rarely() {
    let short = || good().grant(|grant| grant.expires_at = Some(at(1)));
    let plan = short().at_second(60).decided();
    assert_eq!((plan.fresh.reason, plan.next_attempt), (Reason::TokenExpired, Some(at(200))));
    assert!(plan.fresh.message.contains("live for 1 s"), "{}", plan.fresh.message);
    assert_eq!(short().at_second(60).requested("x").decided().request_at, Some(at(200)));
}

#[test]
fn a_refusal_within_the_minute_is_no_second_opinion_and_a_request_waits_for_it() {
    let doubted = || {
        let failed = good().failed_before(1, 1, Reason::GrantExpired);
        failed.token(|token| token.next_refresh_at = Some(Time(at(60))))
    };
    let sooner = doubted().at_second(59).came(refused(Class::Reauth)).decided();
    assert_eq!(
        (sooner.authorized.truth(), sooner.history.refusals, sooner.history.failures),
        (Truth::True, 1, 2)
    );
    assert_eq!(sooner.next_attempt, Some(at(60)), "the first one's minute runs on");
    let asked = |second| doubted().at_second(second).requested("x").decided();
    let (waiting, served) = (asked(20), asked(60));
    assert_eq!((waiting.task, waiting.request_at, waiting.unanswerable), (None, Some(at(60)), None));
    assert_eq!(served.task, Some(Task::Refresh { request: Some("x".into()) }));
    let believed = doubted().at_second(60).came(refused(Class::Reauth)).decided();
    assert_eq!(believed.authorized.reason, Reason::GrantExpired);
}

#[test]
fn a_new_app_secret_ends_the_pause_after_ten_refusals() {
    let stopped = |app_version: Option<&str>| {
        let mut it = good().failed_before(10, 10, Reason::RefreshFailing).at_second(3_100);
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

/// Nothing is on record then, so only status remembers with which secret the provider refused.
#[test]
fn a_new_app_secret_mints_the_first_token_at_once() {
    for class in [Class::Bug, Class::Config, Class::Policy] {
        let minting = || connection().spec(json!({"method": "ClientCredentials"}));
        let failure = failure(class);
        let refused = minting().came(Outcome::Failed { used: None, failure }).decided();
        let last = refused.history.last_failure.clone().unwrap();
        assert_eq!(last.app_version.as_deref(), Some("s/1"), "{class:?}");
        let mints = |app_version: Option<&str>| {
            let mut later = minting().at_second(1).token(|token| {
                token.last_failure = Some(last.clone());
                token.next_refresh_at = refused.next_attempt.map(Time);
            });
            later.observed.app_version = app_version.map(Into::into);
            later.status(|status| status.ruling.clone_from(&refused.history.ruling)).decided().task.is_some()
        };
        let found = [Some("s/1"), None, Some("s/2")].map(mints);
        assert_eq!(found, [false, false, true], "{class:?}");
    }
}

#[test]
fn a_status_that_is_lost_does_not_end_a_pause() {
    let mut lost = good().at_second(3_100);
    lost.connection.status = None;
    let pause = Pause { not_before: at(80_000), app_version: Some("s/1".into()) };
    let lost = lost.present(|present| present.pause = Some(pause));
    assert_eq!(lost.decided().next_attempt, Some(at(80_000)));
}

#[test]
fn outages_never_count_as_refusals_and_a_live_token_stays_fresh() {
    let plan = good()
        .failed_before(50, 0, Reason::RefreshFailing)
        .at_second(3_000)
        .came(refused(Class::Transient))
        .decided();
    assert_eq!((plan.history.failures, plan.history.refusals), (51, 0));
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::True, Reason::RefreshFailing));
}

#[test]
fn ten_refusals_stop_it_for_a_day() {
    let plan = good()
        .failed_before(9, 9, Reason::RefreshFailing)
        .at_second(3_000)
        .came(refused(Class::Bug))
        .decided();
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::False, Reason::RefreshRefused));
    assert_eq!(plan.next_attempt, Some(at(3_000 + 86_400)));
}

#[test]
fn an_unknown_outcome_is_never_called_revoked() {
    let unknown = good().present(|present| present.unknown_since = Some(at(50)));
    let lost = unknown
        .at_second(3_511)
        .came(Outcome::Lost { used: Some(version(3)), failure: failure(Class::Reauth) })
        .decided();
    assert_eq!((lost.authorized.truth(), lost.authorized.reason), (Truth::False, Reason::RefreshTokenLost));
    assert_eq!(lost.secret, SecretPlan::Keep, "what is published stays until it expires");
    assert_eq!(lost.next_attempt, None);
}

#[test]
fn a_refresh_forgets_earlier_failures() {
    let came = Outcome::Committed { accepted: false };
    let plan = good().failed_before(3, 2, Reason::RefreshFailing).came(came).decided();
    assert_eq!((plan.history.failures, plan.history.refusals), (0, 0));
    assert_eq!((plan.fresh.truth(), plan.fresh.reason), (Truth::True, Reason::Fresh));
}

#[test]
fn an_ended_token_says_whether_it_can_be_had_again() {
    let ended = || good().at_second(3_600);
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
fn only_a_refusal_of_the_grant_seconds_a_refusal_of_the_grant() {
    let plan = good()
        .failed_before(12, 3, Reason::RefreshFailing)
        .at_second(2_881)
        .came(refused(Class::Reauth))
        .decided();
    assert_eq!((plan.authorized.truth(), plan.history.refusals), (Truth::True, 1));
    assert_eq!(
        plan.next_attempt,
        Some(at(2_881 + 60)),
        "outages before it do not put the second request off"
    );
}

#[test]
fn a_refused_registration_is_never_tried_only_daily() {
    let good = good().failed_before(40, 0, Reason::RefreshFailing).at_second(3_000);
    assert_eq!(good.came(refused(Class::Config)).decided().next_attempt, Some(at(3_000 + 3_600)));
}

#[test]
fn a_failed_first_minting_waits_before_it_is_tried_again() {
    let minting = || connection().spec(json!({"method": "ClientCredentials"}));
    let failed = minting().came(Outcome::Failed { used: None, failure: failure(Class::Config) }).decided();
    assert_eq!((failed.task, failed.next_attempt), (None, Some(at(60 + 60))));
}

#[test]
fn while_the_actor_rests_the_plan_is_the_same_at_each_look() {
    let resting = |second| {
        let mut s = good().present(|p| p.unknown_since = Some(at(50)));
        s.observed.actor.rest_until = Some(at(3_700));
        s.at_second(second).decided().next_attempt
    };
    assert_eq!((resting(3_640), resting(3_650)), (Some(at(3_700)), Some(at(3_700))));
}

#[test]
fn an_own_app_that_differs_is_looked_at_again_and_what_is_published_stays() {
    let mut situation = good().at_second(2_881);
    situation.observed.actor.app_differs = true;
    let plan = situation.decided();
    assert_eq!((plan.authorized.truth(), plan.authorized.reason), (Truth::False, Reason::ConsentOutdated));
    assert_eq!(plan.task, Some(Task::Refresh { request: None }), "the actor reads the app before it sends");
    assert_eq!(plan.secret, SecretPlan::Keep);
}
