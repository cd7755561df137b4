//! Which news of a connection goes to the receiver of notifications. Pure: read from the status before and after, so each is told
//! once, also across a restart.

use bowline_api::IntegrationConnection;
use bowline_api::IntegrationConnectionStatus as Status;
use bowline_api::attempt;
use bowline_api::condition::{ConditionType, Conditioned, Truth};
use bowline_api::reason::{Fixer, Reason, Remedy};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use url::Url;

use super::news::EventNote;
use crate::metrics::NotificationType;
use crate::notify::Notification;

/// What to tell, given the status before (in `connection`) and after, and the news that were made of them.
pub(super) fn notifications(
    connection: &IntegrationConnection,
    new: &Status,
    news: &[EventNote],
    portal: Option<&Url>,
    now: Timestamp,
) -> Vec<Notification> {
    let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
    let uid = connection.uid().unwrap_or_default();
    let one = |type_, reason: Option<Reason>, of: String| Notification {
        id: format!("{uid}.{of}"),
        type_,
        at: now,
        namespace: namespace.clone(),
        name: name.clone(),
        uid: uid.clone(),
        provider: connection.spec.provider.clone(),
        reason,
        ends: None,
        page: portal.map(|portal| attempt::connection_page(portal, &namespace, &name)),
    };
    let is_news = |reason: Reason| news.iter().any(|(told, _)| *told == reason);
    let needed = needs_somebody(new)
        .filter(|reason| connection.status.as_ref().and_then(needs_somebody) != Some(*reason))
        .map(|reason| one(NotificationType::NeedsYou, Some(reason), format!("{reason}.{}", now.as_second())));
    let reminder = new.grant.as_ref().and_then(|grant| Some((grant, grant.reminder.as_ref()?)));
    let ends = reminder.filter(|_| is_news(Reason::GrantExpiringSoon)).map(|(grant, reminder)| {
        let of = format!("{}.{}d", grant.id, reminder.days);
        let told = one(NotificationType::ExpiresSoon, Some(Reason::GrantExpiringSoon), of);
        Notification { ends: Some((reminder.days, reminder.ends_at.0)), ..told }
    });
    let recovered = is_news(Reason::Recovered)
        .then(|| one(NotificationType::Recovered, None, format!("Recovered.{}", now.as_second())));
    [needed, ends, recovered].into_iter().flatten().collect()
}

/// Why a person has to act, if one has to: on what keeps the connection from being ready, or on what the grant waits for. That a
/// grant ends soon is told by itself.
fn needs_somebody(status: &Status) -> Option<Reason> {
    let not_ready = status.conditions.reason_of(ConditionType::Ready);
    let not_ready = not_ready.filter(|reason| reason.row().status != Truth::True);
    let waits = status.conditions.reason_of(ConditionType::Authorized);
    let waits = waits.filter(|reason| *reason != Reason::GrantExpiringSoon);
    not_ready.into_iter().chain(waits).find(|reason| {
        let row = reason.row();
        row.fixer != Fixer::Nobody && row.remedy != Remedy::Wait
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(ready: Reason, authorized: Reason, reminder: Option<i32>) -> Value {
        let condition = |type_: &str, reason: Reason| {
            json!({"type": type_, "status": reason.row().status.as_str(), "reason": reason.as_str(), "message": "",
                "lastTransitionTime": "2026-05-01T00:00:00Z"})
        };
        json!({
            "conditions": [condition("Ready", ready), condition("Authorized", authorized)],
            "grant": {"id": "g", "revision": 1, "obtainedAt": "2026-05-01T00:00:00Z",
                "reminder": reminder.map(|days| json!({"endsAt": "2026-05-08T00:00:00Z", "days": days}))},
        })
    }

    fn told(old: Option<&Value>, new: &Value, news: &[Reason]) -> Vec<(String, Option<Reason>)> {
        let object = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "mail", "namespace": "team-a", "uid": "u"},
            "spec": {"provider": "github", "owner": "alice@example.com"}, "status": old});
        let connection: IntegrationConnection = serde_json::from_value(object).unwrap();
        let news: Vec<EventNote> =
            news.iter().map(|reason| (*reason, "alice@example.com".to_owned())).collect();
        let new = serde_json::from_value(new.clone()).unwrap();
        let portal = "https://bowline.example.com".parse().unwrap();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let all = notifications(&connection, &new, &news, Some(&portal), at);
        for one in &all {
            let body = String::from_utf8(one.body("urn:uuid:c")).unwrap();
            assert!(!body.contains('@') && body.contains("/connections/team-a/mail"), "{body}");
        }
        all.into_iter().map(|one| (one.id, one.reason)).collect()
    }

    #[test]
    fn somebody_is_told_once_that_they_are_needed_and_again_for_another_reason() {
        use Reason::{
            Authorized, AwaitingAuthorization, Connected, GrantExpired, ScopeApprovalNeeded, TokenExpired,
        };
        let well = &status(Connected, Authorized, None);
        let dead = &status(GrantExpired, GrantExpired, None);
        let needed = |reason: Reason| vec![(format!("u.{reason}.1800000000"), Some(reason))];
        assert_eq!(told(Some(well), dead, &[]), needed(GrantExpired));
        assert_eq!(told(Some(dead), dead, &[]), []);
        let waits = &status(AwaitingAuthorization, AwaitingAuthorization, None);
        assert_eq!(told(None, waits, &[]), needed(AwaitingAuthorization));
        assert_eq!(told(Some(waits), dead, &[]), needed(GrantExpired));
        let asks = &status(Connected, ScopeApprovalNeeded, None);
        assert_eq!(told(Some(well), asks, &[]), needed(ScopeApprovalNeeded), "ready all the same");
        let away = &status(TokenExpired, Authorized, None);
        assert_eq!(told(Some(well), away, &[]), [], "an outage passes by itself");
        assert_eq!(told(Some(dead), well, &[]), []);
    }

    #[test]
    fn reminders_and_recoveries_are_told_with_the_events() {
        use Reason::{Authorized, Connected, GrantExpired, GrantExpiringSoon, Recovered};
        let ending = |days| status(Connected, GrantExpiringSoon, Some(days));
        let soon = |days: i32| vec![(format!("u.g.{days}d"), Some(GrantExpiringSoon))];
        assert_eq!(told(Some(&ending(30)), &ending(7), &[GrantExpiringSoon]), soon(7));
        assert_eq!(told(Some(&ending(7)), &ending(7), &[]), []);
        let well = status(Connected, Authorized, None);
        let back = told(Some(&status(GrantExpired, GrantExpired, None)), &well, &[Recovered]);
        assert_eq!(back, [("u.Recovered.1800000000".to_owned(), None)]);
    }
}
