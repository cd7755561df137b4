//! Checks of the token in use between refreshes.

use std::sync::Arc;

use bowline_api::condition::Truth;
use bowline_api::reason::Reason;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use secrecy::SecretString;
use serde_json::json;

use super::situation::{Situation, at, failure, good, refused, version};
use crate::connection::decide::ConnectionPlan;
use crate::grant::incident::Incident;
use crate::grant::probe::ProbeView;
use crate::grant::work::Task;
use crate::secret_plan::SecretPlan;
use crate::vault::Credential;

/// The sandbox's interval, in seconds.
const EVERY: i64 = 900;

impl Situation {
    /// The token was checked last at this second, and refused so often in a row.
    fn checked(self, second: i64, refusals: u32) -> Self {
        self.checked_with(second, refusals, failure(Class::Reauth))
    }

    fn checked_with(self, second: i64, refusals: u32, failure: Failure) -> Self {
        let mut view = ProbeView::seen(version(3), at(second));
        (view.is_first, view.accepted, view.refusals) = (false, refusals == 0, refusals);
        view.refusal = (refusals > 0).then(|| Arc::new(failure));
        self.seen(|seen| seen.probe = Some(view))
    }

    /// The grant has no refresh token, and its token never expires.
    fn unrefreshable(self) -> Self {
        self.grant(|grant| {
            grant.expires_at = None;
            grant.credential = Credential::OAuth {
                refresh_token: None,
                access_token: Some(SecretString::from("a")),
                token_type: "Bearer".to_owned(),
            };
        })
    }
}

fn shown(plan: &ConnectionPlan) -> (Reason, Reason, SecretPlan) {
    (plan.authorized.reason, plan.fresh.reason, plan.secret)
}

#[test]
fn a_live_token_is_checked_as_often_as_the_entry_says() {
    let due = good().checked(60, 0).at_second(60 + EVERY).decided();
    assert_eq!((due.task, due.probe_at), (Some(Task::Probe), Some(at(60 + EVERY))));
    let early = good().checked(60, 0).at_second(59 + EVERY).decided();
    assert_eq!((early.task, early.probe_at), (None, Some(at(60 + EVERY))));
    let unasked = good().decided();
    assert_eq!((unasked.task, unasked.probe_at), (None, None), "the entry has no probe");
    let first = good().seen(|seen| seen.probe = Some(ProbeView::seen(version(3), at(60))));
    let first = first.decided().probe_at.unwrap();
    assert!(first >= at(60 + EVERY / 2) && first <= at(60 + EVERY), "{first}");
    let held = good().checked(60, 0).seen(|seen| seen.probe.as_mut().unwrap().held_until = Some(at(90)));
    assert_eq!(held.decided().probe_at, Some(at(90)));
}

#[test]
fn a_token_is_not_checked_where_that_says_nothing_or_disturbs() {
    let due = || good().checked(60, 0).at_second(60 + EVERY);
    let incident = Incident { since: at(0), next_probe: at(60) };
    let rows = vec![
        ("suspended", due().spec(json!({"suspend": true}))),
        ("disconnected", due().spec(json!({"disconnect": true}))),
        ("another owner", due().spec(json!({"owner": "bob"}))),
        ("an unknown outcome", due().present(|present| present.unknown_since = Some(at(50)))),
        ("a rejected registration", due().seen(|seen| seen.next_probe = Some(at(9_999)))),
        ("refused grants", due().seen(|seen| seen.incident = Some(incident))),
        ("an expired token", due().grant(|grant| grant.expires_at = Some(at(900)))),
        ("a failing refresh", due().failed_before(1, 0, Reason::RefreshFailing)),
        ("a verdict", due().failed_before(2, 2, Reason::GrantExpired).ruled(Reason::GrantExpired)),
    ];
    for (name, situation) in rows {
        assert_ne!(situation.decided().task, Some(Task::Probe), "{name}");
    }
    assert_eq!(due().busy().decided().task, None);
    let refresh_first = good().checked(60, 0).at_second(3_000).decided().task;
    assert_eq!(refresh_first, Some(Task::Refresh { request: None }));
}

#[test]
fn one_refusal_says_nothing_a_second_one_asks_for_a_refresh_whose_answer_decides() {
    let once = good().checked(900, 1).at_second(901).decided();
    assert_eq!(shown(&once), (Reason::Authorized, Reason::Fresh, SecretPlan::Keep));
    assert_eq!((once.task, once.probe_at), (None, Some(at(960))), "a second look after a minute");
    let twice = || good().checked(960, 2).at_second(961);
    let plan = twice().decided();
    assert_eq!(shown(&plan), (Reason::Authorized, Reason::TokenRefused, SecretPlan::Keep));
    assert_eq!((plan.task, plan.probe_at), (Some(Task::Refresh { request: None }), None));
    assert!(plan.fresh.message.contains("The provider said no."), "{}", plan.fresh.message);
    // The first `invalid_grant` is doubted as always, and the probe does not hasten the second.
    let doubted = twice().came(refused(Class::Reauth)).decided();
    assert_eq!((doubted.authorized.truth(), doubted.next_attempt), (Truth::True, Some(at(961 + 60))));
    let over =
        twice().failed_before(1, 1, Reason::GrantExpired).at_second(1_021).came(refused(Class::Reauth));
    assert_eq!(over.decided().authorized.reason, Reason::GrantExpired);
    let unreachable = twice().came(refused(Class::Transient)).decided();
    assert_eq!(unreachable.next_attempt, Some(at(961 + 10)), "it backs off");
}

#[test]
fn a_grant_that_cannot_be_refreshed_ends_with_the_third_refusal_and_comes_back_with_a_success() {
    let lone = || good().unrefreshable();
    let second = lone().checked(960, 2).at_second(961).decided();
    assert_eq!(shown(&second), (Reason::Authorized, Reason::TokenRefused, SecretPlan::Keep));
    assert_eq!(second.probe_at, Some(at(960 + 300)));
    let third = lone().checked(1_260, 3).at_second(1_261).decided();
    assert_eq!(shown(&third), (Reason::GrantExpired, Reason::TokenRefused, SecretPlan::Keep));
    assert_eq!(third.probe_at, Some(at(1_260 + 86_400)), "it is looked at again, rarely");
    assert!(third.history.ruling.as_ref().unwrap().is_final);
    let word = Failure { proves_revoked: true, ..failure(Class::Reauth) };
    let withdrawn = lone().checked_with(1_260, 3, word).at_second(1_261).decided();
    assert_eq!((withdrawn.authorized.reason, withdrawn.secret), (Reason::GrantRevoked, SecretPlan::Withdraw));

    let restarted = lone().ruled(Reason::GrantExpired);
    let restarted = restarted.seen(|seen| seen.probe = Some(ProbeView::seen(version(3), at(2_000))));
    let plan = restarted.at_second(2_001).decided();
    assert_eq!(shown(&plan), (Reason::GrantExpired, Reason::TokenRefused, SecretPlan::Keep));
    assert_eq!(plan.history.ruling.as_ref().unwrap().since, Time(at(0)), "the verdict stands as it was");
    let works = lone().ruled(Reason::GrantExpired).checked(90_000, 0).at_second(90_001).decided();
    assert_eq!(shown(&works), (Reason::Authorized, Reason::NeverExpires, SecretPlan::Keep));
}

#[test]
fn a_refresh_request_for_what_cannot_be_refreshed_is_a_look_at_it() {
    let asked = |second| good().unrefreshable().checked(60, 0).requested("x").at_second(second).decided();
    let plan = asked(70);
    assert_eq!((plan.task, plan.unanswerable.as_deref()), (Some(Task::Probe), Some("x")));
    assert_eq!(asked(69).task, None, "it was looked at a moment ago");
    let known = good().checked(60, 0).requested("x").at_second(70).decided();
    assert_eq!(known.task, Some(Task::Refresh { request: Some("x".into()) }));
}

#[test]
fn a_provider_that_refuses_several_tokens_at_once_condemns_none() {
    let incident = |since| Incident { since: at(since), next_probe: at(60) };
    let taken_back = |since| {
        let it = good().unrefreshable().ruled(Reason::GrantRevoked).checked(60, 0);
        let it = it.seen(|seen| {
            seen.token_incident = Some(incident(since));
            seen.probe.as_mut().unwrap().accepted = false;
        });
        it.decided().authorized.reason
    };
    assert_eq!(taken_back(0), Reason::Authorized);
    assert_eq!(taken_back(1), Reason::GrantRevoked, "this was decided before");
}
