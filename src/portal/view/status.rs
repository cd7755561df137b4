//! The state of a connection: a chip, never told by colour alone, and one line that says what happens next.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::time::clock;
use crate::api::IntegrationConnection;
use crate::api::connection::{IntegrationConnectionStatus, Phase};
use crate::api::reason;

/// An icon, a word, and a tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Class of the chip: `good`, `wait`, `bad` or `off`.
    pub tone: &'static str,
    /// One letter of a symbol, hidden from screen readers.
    pub icon: &'static str,
    /// The word.
    pub word: String,
}

fn chip(tone: &'static str, icon: &'static str, word: impl Into<String>) -> Chip {
    Chip { tone, icon, word: word.into() }
}

/// Which of a connection's buttons is the one to press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do.
    Nothing,
    /// Allow access for the first time.
    Connect,
    /// Allow access again.
    Reconnect,
    /// Agree to the account that came by device flow.
    Confirm,
    /// Take the disconnection back.
    ConnectAgain,
}

/// The state of a connection in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The chip.
    pub chip: Chip,
    /// The line below.
    pub line: String,
    /// What to press.
    pub next: Next,
}

impl Standing {
    /// Whether it changes soon by itself.
    pub fn is_passing(&self) -> bool {
        self.chip.tone == "wait" && self.next == Next::Nothing
    }
}

/// The condition of a type.
pub fn condition<'a>(status: &'a IntegrationConnectionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Why a connection is not ready, by its stable constant; empty while nothing is known.
pub fn ready_reason(connection: &IntegrationConnection) -> &str {
    let ready = connection.status.as_ref().and_then(|status| condition(status, "Ready"));
    ready.map_or("", |ready| ready.reason.as_str())
}

/// The state of `connection` to `provider` (a name for people), seen at `now`.
pub fn standing(connection: &IntegrationConnection, provider: &str, now: Timestamp) -> Standing {
    let empty = IntegrationConnectionStatus::default();
    let status = connection.status.as_ref().unwrap_or(&empty);
    if connection.metadata.deletion_timestamp.is_some() {
        let line = "It is withdrawn everywhere and then gone.".to_owned();
        return Standing { chip: chip("off", "–", "Being deleted"), line, next: Next::Nothing };
    }
    let message = condition(status, "Ready").map(|ready| ready.message.clone()).unwrap_or_default();
    let (chip, line, next) = match status.phase {
        None => (
            chip("wait", "○", "Just made"),
            "The operator has not looked at it yet.".to_owned(),
            Next::Nothing,
        ),
        Some(Phase::Active) => (chip("good", "✓", "Connected"), fresh(status, now), Next::Nothing),
        Some(Phase::Pending) => pending(ready_reason(connection), message),
        Some(Phase::Expired) => {
            let line =
                format!("{message} Reconnecting keeps the name, settings and everything that uses it.");
            (chip("bad", "!", "Expired"), line, Next::Reconnect)
        }
        Some(Phase::Revoked) => {
            (chip("bad", "!", format!("Revoked at {provider}")), message, Next::Reconnect)
        }
        Some(Phase::Error) => error(ready_reason(connection), message),
        Some(Phase::Suspended) => {
            let line = "Paused: nothing is sent to the provider. What is published stays until it expires.";
            (chip("off", "‖", "Paused"), line.to_owned(), Next::Nothing)
        }
        Some(Phase::Disconnected) => {
            let line = "Disconnected. Its name and settings are kept.".to_owned();
            (chip("off", "–", "Disconnected"), line, Next::ConnectAgain)
        }
    };
    Standing { chip, line, next }
}

fn fresh(status: &IntegrationConnectionStatus, now: Timestamp) -> String {
    let token = status.token.clone().unwrap_or_default();
    let until = token.expires_at.map(|time| format!("Fresh until {}.", clock(time.0, now)));
    let next = token.next_refresh_at.map(|time| format!(" Next refresh about {}.", clock(time.0, now)));
    match (until, next) {
        (Some(until), next) => until + &next.unwrap_or_default(),
        (None, _) => "Works; the provider names no end.".to_owned(),
    }
}

fn pending(reason: &str, message: String) -> (Chip, String, Next) {
    match reason {
        reason::AUTHORIZATION_IN_PROGRESS => (chip("wait", "…", "Connecting"), message, Next::Nothing),
        reason::AWAITING_CONFIRMATION => (chip("wait", "?", "Check the account"), message, Next::Confirm),
        reason::AUTHORIZATION_FAILED => (chip("bad", "!", "Not connected"), message, Next::Connect),
        reason::AWAITING_AUTHORIZATION | "" => {
            let line = "Waiting for its owner to allow access.".to_owned();
            (chip("wait", "○", "Not connected"), line, Next::Connect)
        }
        _ => (chip("wait", "○", "Not connected"), message, Next::Connect),
    }
}

fn error(reason: &str, message: String) -> (Chip, String, Next) {
    let next = match reason {
        reason::AWAITING_CONFIRMATION => Next::Confirm,
        reason::AUTHORIZATION_IN_PROGRESS
        | reason::PROVIDER_NOT_FOUND
        | reason::PROVIDER_NOT_READY
        | reason::PROVIDER_NOT_ALLOWED
        | reason::OWNER_UNVERIFIED
        | reason::PARAMETERS_INVALID
        | reason::CREDENTIALS_NOT_FOUND
        | reason::NAME_TAKEN
        | reason::QUOTA_EXCEEDED
        | reason::FORBIDDEN
        | reason::TEMPLATE_FAILED
        | reason::FORMAT_FAILED
        | reason::RECORD_UNREADABLE => Next::Nothing,
        _ => Next::Reconnect,
    };
    let word = if reason == reason::AWAITING_CONFIRMATION { "Check the account" } else { "Needs attention" };
    (chip("bad", "!", word), message, next)
}

/// Who can mend what keeps a connection from being ready; `None` while there is nothing to mend.
pub fn who_mends(connection: &IntegrationConnection, user: &str) -> Option<String> {
    let owner = &connection.spec.owner;
    let of_owner = if owner == user { "you".to_owned() } else { owner.clone() };
    Some(match ready_reason(connection) {
        ""
        | reason::CONNECTED
        | reason::AUTHORIZATION_IN_PROGRESS
        | reason::SUSPENDED
        | reason::DISCONNECTED => {
            return None;
        }
        reason::PROVIDER_NOT_FOUND
        | reason::PROVIDER_NOT_READY
        | reason::PROVIDER_NOT_ALLOWED
        | reason::RECORD_UNREADABLE
        | reason::RECORD_TAMPERED
        | reason::QUOTA_EXCEEDED
        | reason::FORBIDDEN => "your platform team".to_owned(),
        reason::ADMIN_CONSENT_REQUIRED | reason::POLICY_BLOCKED => {
            "an administrator of your organization at the provider".to_owned()
        }
        reason::REFRESH_FAILING | reason::ROTATION_OUTCOME_UNKNOWN => {
            "nobody now: it is tried again".to_owned()
        }
        _ => of_owner,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(status: &serde_json::Value) -> IntegrationConnection {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "c", "namespace": "n"},
            "spec": {"provider": "github", "owner": "alice"},
            "status": status,
        }))
        .unwrap()
    }

    fn with(phase: &str, reason: &str) -> IntegrationConnection {
        let ready = json!({"type": "Ready", "status": "False", "reason": reason, "message": "M.",
            "lastTransitionTime": "2026-05-03T14:20:00Z"});
        connection(&json!({"phase": phase, "conditions": [ready]}))
    }

    fn now() -> Timestamp {
        "2026-05-03T14:00:00Z".parse().unwrap()
    }

    #[test]
    fn each_phase_has_its_chip_and_its_next_step() {
        for (phase, reason, word, next) in [
            ("Active", "Connected", "Connected", Next::Nothing),
            ("Pending", "AwaitingAuthorization", "Not connected", Next::Connect),
            ("Pending", "AuthorizationInProgress", "Connecting", Next::Nothing),
            ("Pending", "AuthorizationFailed", "Not connected", Next::Connect),
            ("Error", "AwaitingConfirmation", "Check the account", Next::Confirm),
            ("Expired", "TokenExpired", "Expired", Next::Reconnect),
            ("Revoked", "GrantRevoked", "Revoked at GitHub", Next::Reconnect),
            ("Error", "MissingScopes", "Needs attention", Next::Reconnect),
            ("Error", "NameTaken", "Needs attention", Next::Nothing),
            ("Suspended", "Suspended", "Paused", Next::Nothing),
            ("Disconnected", "Disconnected", "Disconnected", Next::ConnectAgain),
        ] {
            let standing = standing(&with(phase, reason), "GitHub", now());
            assert_eq!((standing.chip.word.as_str(), standing.next), (word, next), "{phase} {reason}");
            assert!(!standing.chip.icon.is_empty() && !standing.line.is_empty(), "{phase} {reason}");
        }
    }

    #[test]
    fn a_fresh_connection_says_until_when() {
        let status = json!({"phase": "Active",
            "token": {"expiresAt": "2026-05-03T14:20:00Z", "nextRefreshAt": "2026-05-03T14:05:00Z"}});
        let line = standing(&connection(&status), "GitHub", now()).line;
        assert_eq!(line, "Fresh until 14:20 UTC. Next refresh about 14:05 UTC.");
        let line = standing(&connection(&json!({"phase": "Active"})), "GitHub", now()).line;
        assert_eq!(line, "Works; the provider names no end.");
    }

    #[test]
    fn who_mends_it_is_named() {
        let mends = |reason, user| who_mends(&with("Error", reason), user);
        assert_eq!(mends("MissingScopes", "alice").as_deref(), Some("you"));
        assert_eq!(mends("MissingScopes", "bob").as_deref(), Some("alice"));
        assert_eq!(mends("ProviderNotReady", "alice").as_deref(), Some("your platform team"));
        assert_eq!(mends("Connected", "alice"), None);
    }
}
