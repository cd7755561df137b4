//! Grants that end by themselves: who is told, and what keeps them.

use bowline_api::IntegrationProviderSpec;
use bowline_api::opaque::Digest;
use bowline_api::reason::Reason;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::situation::{Situation, at, good, target_of};
use super::task::holding;
use crate::connection::decide::lifespan::Lifespan;
use crate::vault::Credential;
use crate::vault::record::{IssuedKey, IssuedKeys};

const DAY: i64 = 86_400;

/// At the sandbox, whose entry says this of grants instead.
fn granting(grant: &Value) -> Situation {
    let overlay = json!({"grant": grant});
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": "sandbox", "overlay": overlay,
        "endpoints": {"token": "https://p.example/token", "userinfo": "https://p.example/me"},
    }))
    .unwrap();
    good().provider(Ok(target_of(&spec)))
}

/// The reminder at this second: how many days ahead, and of which end.
fn reminder(situation: Situation, second: i64) -> Option<(i32, Timestamp)> {
    let reminder = situation.at_second(second).decided().lifespan.reminder;
    reminder.map(|reminder| (reminder.days, reminder.ends_at))
}

#[test]
fn a_grant_that_ends_whatever_happens_is_announced_thirty_seven_and_one_day_ahead() {
    let told = || {
        granting(&json!({"refreshLifetime": null})).grant(|grant| {
            grant.refresh_issued_at = Some(at(0));
            grant.refresh_expires_at = Some(at(90 * DAY));
            grant.refresh_end_moves = Some(false);
            (grant.obtained_at, grant.expires_at) = (at(59 * DAY), Some(at(90 * DAY)));
        })
    };
    let consent = || {
        granting(&json!({"refreshLifetime": null, "consentLifetime": "2160h"})).grant(|grant| {
            grant.consent.given_at = Some(at(0));
            (grant.obtained_at, grant.expires_at) = (at(59 * DAY), Some(at(90 * DAY)));
        })
    };
    for situation in [told, consent] as [fn() -> Situation; 2] {
        for (day, days) in
            [(59, None), (60, Some(30)), (83, Some(7)), (88, Some(7)), (89, Some(1)), (90, None)]
        {
            let expected = days.map(|days| (days, at(90 * DAY)));
            assert_eq!(reminder(situation(), day * DAY), expected, "day {day}");
        }
        let plan = situation().at_second(60 * DAY).decided();
        assert_eq!(plan.authorized.reason, Reason::GrantExpiringSoon);
        let Lifespan { changes_at, ends_at, .. } = plan.lifespan;
        assert_eq!((changes_at, ends_at), (Some(at(83 * DAY)), Some(at(90 * DAY))));
        let over = situation().ruled(Reason::GrantExpired);
        assert_eq!(reminder(over, 60 * DAY), None, "it is over already");
    }
}

#[test]
fn an_end_that_every_refresh_moves_is_no_news_while_it_is_refreshed_or_before_it_is_known_to_stay() {
    for moves in [Some(true), None] {
        let moving = granting(&json!({"refreshLifetime": null})).grant(|grant| {
            grant.refresh_expires_at = Some(at(10 * DAY));
            grant.refresh_end_moves = moves;
        });
        assert_eq!(reminder(moving, DAY), None, "{moves:?}");
    }
}

#[test]
fn a_token_without_a_refresh_token_is_announced_before_it_ends_unless_it_lives_for_hours() {
    let ending = |lives: i64| {
        good().grant(|grant| {
            grant.expires_at = Some(at(lives));
            grant.credential = Credential::ApiKey { api_key: SecretString::from("k") };
        })
    };
    assert_eq!(reminder(ending(90 * DAY), 61 * DAY), Some((30, at(90 * DAY))));
    assert_eq!(reminder(ending(6 * DAY), 0), Some((7, at(6 * DAY))), "imported late in its life");
    assert_eq!(reminder(ending(3_600), 3_500), None);
}

#[test]
fn a_key_is_over_when_it_expires_and_a_token_says_nothing_about_its_grant() {
    let reason = |is_key: bool, second: i64| {
        let ending = good().grant(|grant| {
            grant.expires_at = Some(at(90 * DAY));
            if is_key {
                grant.credential = Credential::ApiKey { api_key: SecretString::from("k") };
            }
        });
        let plan = ending.at_second(second).decided();
        (plan.authorized.reason, plan.authorized.message)
    };
    assert_eq!(reason(true, 89 * DAY).0, Reason::GrantExpiringSoon);
    let (over, message) = reason(true, 90 * DAY);
    assert_eq!(over, Reason::GrantExpired);
    assert!(message.contains(&at(90 * DAY).to_string()), "{message}");
    assert_eq!(reason(false, 90 * DAY).0, Reason::Authorized);
}

#[test]
fn issued_keys_are_announced_before_the_last_of_them_expires() {
    let lasting = |lives: i64| {
        let key = IssuedKey {
            id: "Aaaaaaaa".to_owned(),
            sha256: Digest::of("a"),
            created_at: at(0),
            created_by: "alice".to_owned(),
            expires_at: Some(at(lives)),
        };
        holding(IssuedKeys::default().with(key, at(0)).unwrap())
    };
    let reason = |day: i64| lasting(90 * DAY).at_second(day * DAY).decided().authorized.reason;
    assert_eq!((reason(59), reason(60)), (Reason::KeysIssued, Reason::GrantExpiringSoon));
    assert_eq!(reminder(lasting(20 * DAY), 0), None, "it was created a moment ago");
    assert_eq!(reminder(lasting(3_600), 3_500), None, "it lives for hours");
}

#[test]
fn a_grant_that_ends_unused_is_refreshed_before_also_where_nobody_needs_a_new_token() {
    let idle = |limit: &str| {
        let it = granting(&json!({"refreshLifetime": null, "idleLifetime": limit}));
        it.grant(|grant| grant.expires_at = None)
    };
    assert_eq!(idle("4320h").decided().next_attempt, Some(at(150 * DAY)));
    let sooner = idle("30m").grant(|grant| grant.expires_at = Some(at(7_200))).decided();
    assert_eq!(sooner.next_attempt, Some(at(1_200)), "its token would live on, and nothing could renew it");
    let replaced = granting(&json!({"refreshLifetime": "1h"})).grant(|grant| {
        grant.expires_at = None;
        grant.refresh_issued_at = Some(at(0));
    });
    assert_eq!(replaced.decided().next_attempt, Some(at(2_400)));
    let none = granting(&json!({"refreshLifetime": null})).grant(|grant| grant.expires_at = None);
    assert_eq!(none.decided().next_attempt, None);
}

#[test]
fn the_owner_hears_of_an_idle_limit_only_where_nothing_keeps_the_grant() {
    let idle = || granting(&json!({"refreshLifetime": null, "idleLifetime": "4320h"}));
    let end = at(180 * DAY);
    assert_eq!(reminder(idle(), 150 * DAY + 60), None, "the refresh is due");
    assert_eq!(reminder(idle(), 152 * DAY), Some((30, end)), "the refresh should have come long ago");
    let suspended = || idle().spec(json!({"suspend": true}));
    assert_eq!(reminder(suspended(), 149 * DAY), None);
    assert_eq!(reminder(suspended(), 150 * DAY), Some((30, end)));
    let plan = suspended().at_second(173 * DAY).decided();
    assert_eq!((plan.authorized.reason, plan.task), (Reason::GrantExpiringSoon, None), "nothing is sent");
    assert!(plan.authorized.message.contains("remove spec.suspend"), "{}", plan.authorized.message);
}

/// A bank's consent ends when the provider said, whether it is refreshed or not; nobody need ask it then.
#[test]
fn a_consent_whose_end_the_provider_told_is_announced_and_then_over() {
    let told = |refreshes: bool| {
        granting(&json!({"refreshLifetime": null, "consentLifetime": "8760h"})).grant(|grant| {
            grant.consent.given_at = Some(at(0));
            grant.consent.ends_at = Some(at(90 * DAY));
            (grant.obtained_at, grant.expires_at) = (at(59 * DAY), Some(at(400 * DAY)));
            if !refreshes && let Credential::OAuth { refresh_token, .. } = &mut grant.credential {
                *refresh_token = None;
                grant.expires_at = None;
            }
        })
    };
    for refreshes in [true, false] {
        assert_eq!(reminder(told(refreshes), 59 * DAY), None);
        assert_eq!(reminder(told(refreshes), 60 * DAY), Some((30, at(90 * DAY))));
        let plan = told(refreshes).at_second(89 * DAY).decided();
        assert_eq!(plan.authorized.reason, Reason::GrantExpiringSoon);
        assert_eq!(plan.lifespan.ends_at, Some(at(90 * DAY)));
        let over = told(refreshes).at_second(91 * DAY).decided();
        assert_eq!((over.authorized.reason, over.task), (Reason::GrantExpired, None), "{refreshes}");
        assert!(over.authorized.message.contains("ended at"), "{}", over.authorized.message);
    }
}
