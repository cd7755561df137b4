//! What is told, as a `CloudEvent`. Pure.

use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::metrics::{Label, NotificationType};

/// Something about a connection that somebody should know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notification {
    /// The same for the same news: receivers that see it twice drop the second.
    pub(crate) id: String,
    pub(crate) type_: NotificationType,
    pub(crate) at: Timestamp,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// The name of its provider object.
    pub(crate) provider: String,
    /// Why somebody is needed.
    pub(crate) reason: Option<Reason>,
    /// The reminder, in days, and when the grant ends.
    pub(crate) ends: Option<(i32, Timestamp)>,
    /// The connection's page in the portal.
    pub(crate) page: Option<String>,
}

/// A `CloudEvent` (version 1.0), in its JSON format.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    type_: String,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    data: NotificationData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NotificationData<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Who can change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixer: Option<&'static str>,
    /// A sentence without names.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

impl Notification {
    /// The event, from this `source`.
    pub(crate) fn body(&self, source: &str) -> Vec<u8> {
        let row = self.reason.map(Reason::row);
        let event = CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source,
            type_: format!("dev.bowline.connection.{}", self.type_.label()),
            subject: format!("{}/{}", self.namespace, self.name),
            time: self.at.to_string(),
            datacontenttype: "application/json",
            data: NotificationData {
                namespace: &self.namespace,
                name: &self.name,
                uid: &self.uid,
                provider: &self.provider,
                reason: self.reason.map(Reason::as_str),
                fixer: row.map(|row| row.fixer.label()),
                message: self.reason.map(|reason| reason.message(&MessageFacts::default())),
                ends_at: self.ends.map(|(_, at)| at.to_string()),
                days: self.ends.map(|(days, _)| days),
                url: self.page.as_deref(),
            },
        };
        // Strings, numbers and times always serialize.
        serde_json::to_vec(&event).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::notify) fn notification(
        type_: NotificationType,
        reason: Option<Reason>,
        at: Timestamp,
    ) -> Notification {
        Notification {
            id: "u.1".to_owned(),
            type_,
            at,
            namespace: "team-a".to_owned(),
            name: "mail".to_owned(),
            uid: "u".to_owned(),
            provider: "github".to_owned(),
            reason,
            ends: None,
            page: None,
        }
    }

    #[test]
    fn an_event_has_what_the_format_requires_and_says_which_connection() {
        let at = "2026-05-03T14:20:00Z".parse().unwrap();
        let ends = Some((7, "2026-05-10T14:20:00Z".parse().unwrap()));
        let page = Some("https://bowline.example.com/connections/team-a/mail".to_owned());
        let told = Notification {
            ends,
            page,
            ..notification(NotificationType::ExpiresSoon, Some(Reason::GrantExpiringSoon), at)
        };
        let event: Value = serde_json::from_slice(&told.body("urn:uuid:c")).unwrap();
        assert_eq!(
            event,
            json!({
                "specversion": "1.0", "id": "u.1", "source": "urn:uuid:c", "type": "dev.bowline.connection.expires-soon",
                "subject": "team-a/mail", "time": "2026-05-03T14:20:00Z", "datacontenttype": "application/json",
                "data": {
                    "namespace": "team-a", "name": "mail", "uid": "u", "provider": "github",
                    "reason": "GrantExpiringSoon", "fixer": "the owner",
                    "message": Reason::GrantExpiringSoon.message(&MessageFacts::default()),
                    "endsAt": "2026-05-10T14:20:00Z", "days": 7,
                    "url": "https://bowline.example.com/connections/team-a/mail",
                },
            })
        );
    }
}
