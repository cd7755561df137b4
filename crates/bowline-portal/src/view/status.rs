//! The state of a connection: a chip, never told by colour alone, and one line that says what happens next.

use bowline_api::IntegrationConnection;
use bowline_api::connection::{IntegrationConnectionStatus, Phase};
use bowline_api::reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::foreign;
use super::time::{clock, is_near};
use super::words::Reader;

/// An icon, a word, and a tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chip {
    /// Class of the chip: `good`, `wait`, `bad` or `off`.
    pub(crate) tone: &'static str,
    /// One letter of a symbol, hidden from screen readers.
    pub(crate) icon: &'static str,
    /// The word.
    pub(crate) word: String,
}

/// What a reader is afraid to lose by connecting again.
const KEEPS: &str = "Reconnecting keeps the name, settings and everything that uses it.";

const UNSEEN: &str = "The operator has not looked at it yet.";

pub(crate) fn chip(tone: &'static str, icon: &'static str, word: impl Into<String>) -> Chip {
    Chip { tone, icon, word: word.into() }
}

/// Which of a connection's buttons is the one to press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing to do.
    Nothing,
    /// Nothing to do: it goes on by itself.
    Wait,
    /// Allow access for the first time.
    Connect,
    /// Allow access again.
    Reconnect,
    /// Agree to the account that came by device flow.
    Confirm,
    /// Take the disconnection back.
    ConnectAgain,
    /// Take the pause back.
    Resume,
}

/// The state of a connection in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The chip.
    pub(crate) chip: Chip,
    /// The line below.
    pub(crate) line: String,
    /// What the operator says of it, in small print; empty where the line says it all.
    pub(crate) detail: String,
    /// What to press.
    pub(crate) next: Next,
}

impl Standing {
    /// Whether it changes soon by itself.
    pub(crate) fn is_passing(&self) -> bool {
        self.next == Next::Wait
    }
}

/// The condition of a type.
pub(crate) fn condition<'a>(status: &'a IntegrationConnectionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Why a connection is not ready, by its stable constant; empty while nothing is known.
pub(crate) fn ready_reason(connection: &IntegrationConnection) -> &str {
    let ready = connection.status.as_ref().and_then(|status| condition(status, "Ready"));
    ready.map_or("", |ready| ready.reason.as_str())
}

/// The state of `connection` to `provider` (a name for people), as `reader` reads it.
pub(crate) fn standing(connection: &IntegrationConnection, provider: &str, reader: Reader<'_>) -> Standing {
    let empty = IntegrationConnectionStatus::default();
    let status = connection.status.as_ref().unwrap_or(&empty);
    if connection.metadata.deletion_timestamp.is_some() {
        let line = "It is withdrawn everywhere and then gone.".to_owned();
        let chip = chip("off", "–", "Being deleted");
        return Standing { chip, line, detail: String::new(), next: Next::Nothing };
    }
    let owner = &connection.spec.owner;
    let ready = condition(status, "Ready").map(|ready| reader.sentence(&ready.message, owner));
    let message = ready.unwrap_or_default();
    let reason = ready_reason(connection);
    let ours = || line_of(connection, provider, reader).unwrap_or_else(|| message.clone());
    let (chip, line, next) = match status.phase {
        None => (chip("wait", "○", "Just made"), UNSEEN.to_owned(), Next::Wait),
        Some(Phase::Active) => (chip("good", "✓", "Connected"), fresh(status, reader.now), Next::Nothing),
        Some(Phase::Pending) => pending(reason, ours()),
        Some(Phase::Expired) => {
            let line = format!("The access ended{}. {KEEPS}", on(ended(status), reader.now));
            (chip("bad", "!", "Expired"), line, Next::Reconnect)
        }
        Some(Phase::Revoked) => {
            let line = format!("Access was withdrawn there{}. {KEEPS}", on(since(status), reader.now));
            (chip("bad", "!", format!("Revoked at {provider}")), line, Next::Reconnect)
        }
        Some(Phase::Error) => error(reason, ours()),
        Some(Phase::Suspended) => {
            let line = format!("Nothing is sent to {provider}. What is published stays until it expires.");
            (chip("off", "‖", "Paused"), line, Next::Resume)
        }
        Some(Phase::Disconnected) => {
            let line = "Its name and settings are kept.".to_owned();
            (chip("off", "–", "Disconnected"), line, Next::ConnectAgain)
        }
    };
    let told = message != line && has_small_print(status.phase, reason);
    Standing { chip, line, detail: if told { message } else { String::new() }, next }
}

/// Whether the operator's sentence says more than ours.
fn has_small_print(phase: Option<Phase>, reason: &str) -> bool {
    matches!(phase, Some(Phase::Expired | Phase::Revoked | Phase::Error))
        && ![reason::AWAITING_CONFIRMATION, reason::EXTRA_SCOPES].contains(&reason)
        || reason == reason::ADMIN_CONSENT_REQUIRED
}

/// When the access ended: the token's end if that is what ended it, else when it was noticed.
fn ended(status: &IntegrationConnectionStatus) -> Option<Timestamp> {
    let token = status.token.as_ref().and_then(|token| token.expires_at.as_ref()).map(|time| time.0);
    let (noticed, token) = (since(status)?, token);
    Some(token.filter(|token| *token < noticed).unwrap_or(noticed))
}

/// Since when it is as it is.
fn since(status: &IntegrationConnectionStatus) -> Option<Timestamp> {
    condition(status, "Ready").map(|ready| ready.last_transition_time.0)
}

fn on(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map(|time| format!(" {}", day_or_clock(time, now))).unwrap_or_default()
}

fn day_or_clock(time: Timestamp, now: Timestamp) -> String {
    let word = if is_near(time, now) { "at" } else { "on" };
    format!("{word} {}", clock(time, now))
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

fn pending(reason: &str, line: String) -> (Chip, String, Next) {
    match reason {
        reason::AUTHORIZATION_IN_PROGRESS => (chip("wait", "…", "Connecting"), line, Next::Wait),
        reason::AWAITING_CONFIRMATION => (chip("wait", "?", "Check the account"), line, Next::Confirm),
        reason::AUTHORIZATION_FAILED => (chip("bad", "!", "Not connected"), line, Next::Connect),
        _ if is_not_fixed_by_connecting(reason) => (chip("wait", "○", "Not connected"), line, Next::Nothing),
        _ => (chip("wait", "○", "Not connected"), line, Next::Connect),
    }
}

fn error(reason: &str, line: String) -> (Chip, String, Next) {
    match reason {
        reason::AWAITING_CONFIRMATION => (chip("wait", "?", "Check the account"), line, Next::Confirm),
        _ if is_not_fixed_by_connecting(reason) => (chip("bad", "!", "Needs attention"), line, Next::Nothing),
        _ => (chip("bad", "!", "Needs attention"), line, Next::Reconnect),
    }
}

fn is_not_fixed_by_connecting(reason: &str) -> bool {
    matches!(
        reason,
        reason::AUTHORIZATION_IN_PROGRESS
            | reason::ADMIN_CONSENT_REQUIRED
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
            | reason::RECORD_UNREADABLE
    )
}

/// What the portal says in words of its own; `None` where the operator's are the best there are.
fn line_of(connection: &IntegrationConnection, provider: &str, reader: Reader<'_>) -> Option<String> {
    let status = connection.status.as_ref();
    let owner = reader.name(&connection.spec.owner);
    Some(match ready_reason(connection) {
        reason::AWAITING_AUTHORIZATION | "" => format!("Waiting for {owner} to allow access."),
        reason::AWAITING_CONFIRMATION => {
            let account = status.and_then(|status| status.account.as_ref());
            let account = account.map(|account| account.name.as_ref().unwrap_or(&account.id));
            let account = account.map(|name| format!(" as {}", foreign(name))).unwrap_or_default();
            let says =
                if owner == "you" { "you say that this is your account" } else { "its owner agrees to it" };
            format!("Somebody allowed access{account} with the code. Nothing is published before {says}.")
        }
        reason::EXTRA_SCOPES => {
            let agrees = if owner == "you" { "you agree" } else { "its owner agrees" };
            format!("{provider} gave more than was asked for. Nothing is published before {agrees} to it.")
        }
        reason::ADMIN_CONSENT_REQUIRED => {
            format!(
                "An administrator of your organization at {provider} must approve this app first. Then connect again."
            )
        }
        reason::GRANT_EXPIRED | reason::GRANT_REVOKED => {
            let token = status.and_then(|status| status.token.as_ref()?.expires_at.as_ref());
            let until = token.map(|time| time.0).filter(|end| *end > reader.now);
            let until =
                until.map(|end| format!(" What is published works until {}.", clock(end, reader.now)));
            format!("{provider} does not renew this access any more.{} {KEEPS}", until.unwrap_or_default())
        }
        _ => return None,
    })
}

/// Who can fix what keeps a connection from being ready; `None` while there is nothing to fix. `contact` is the provider's;
/// whoever may connect again can fix what reconnecting fixes.
pub(crate) fn who_fixes(
    connection: &IntegrationConnection,
    reader: Reader<'_>,
    may_connect: bool,
    contact: Option<&str>,
) -> Option<String> {
    let owner = reader.name(&connection.spec.owner);
    let was_connected = connection.status.as_ref().is_some_and(|status| status.connected_at.is_some());
    Some(match ready_reason(connection) {
        ""
        | reason::CONNECTED
        | reason::AWAITING_AUTHORIZATION
        | reason::AWAITING_CONFIRMATION
        | reason::AUTHORIZATION_IN_PROGRESS
        | reason::SUSPENDED
        | reason::DISCONNECTED => return None,
        reason::PROVIDER_NOT_READY | reason::PROVIDER_NOT_ALLOWED if contact.is_some() => {
            contact.map(|contact| reader.name(contact)).unwrap_or_default()
        }
        reason::PROVIDER_NOT_READY
        | reason::PROVIDER_NOT_ALLOWED
        | reason::PROVIDER_NOT_FOUND
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
        reason::GRANT_EXPIRED | reason::GRANT_REVOKED | reason::TOKEN_EXPIRED | reason::STEP_UP_REQUIRED
            if may_connect && was_connected && owner != "you" =>
        {
            format!("you, or {owner}")
        }
        _ => owner,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
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

    fn reader(user: &str) -> Reader<'_> {
        Reader { user, now: now() }
    }

    #[test]
    fn each_phase_has_its_chip_and_its_next_step() {
        for (phase, reason, word, next) in [
            ("Active", "Connected", "Connected", Next::Nothing),
            ("Pending", "AwaitingAuthorization", "Not connected", Next::Connect),
            ("Pending", "AuthorizationInProgress", "Connecting", Next::Wait),
            ("Pending", "ProviderNotFound", "Not connected", Next::Nothing),
            ("Pending", "AdminConsentRequired", "Not connected", Next::Nothing),
            ("Pending", "AuthorizationFailed", "Not connected", Next::Connect),
            ("Error", "AwaitingConfirmation", "Check the account", Next::Confirm),
            ("Expired", "TokenExpired", "Expired", Next::Reconnect),
            ("Revoked", "GrantRevoked", "Revoked at GitHub", Next::Reconnect),
            ("Error", "MissingScopes", "Needs attention", Next::Reconnect),
            ("Error", "NameTaken", "Needs attention", Next::Nothing),
            ("Suspended", "Suspended", "Paused", Next::Resume),
            ("Disconnected", "Disconnected", "Disconnected", Next::ConnectAgain),
        ] {
            let standing = standing(&with(phase, reason), "GitHub", reader("alice"));
            assert_eq!((standing.chip.word.as_str(), standing.next), (word, next), "{phase} {reason}");
            assert!(!standing.chip.icon.is_empty() && !standing.line.is_empty(), "{phase} {reason}");
        }
    }

    #[test]
    fn a_fresh_connection_says_until_when() {
        let status = json!({"phase": "Active",
            "token": {"expiresAt": "2026-05-03T14:20:00Z", "nextRefreshAt": "2026-05-03T14:05:00Z"}});
        let line = standing(&connection(&status), "GitHub", reader("alice")).line;
        assert_eq!(line, "Fresh until 14:20 UTC. Next refresh about 14:05 UTC.");
        let line = standing(&connection(&json!({"phase": "Active"})), "GitHub", reader("alice")).line;
        assert_eq!(line, "Works; the provider names no end.");
    }

    #[test]
    fn who_fixes_it_is_named() {
        let fixer = |reason, user| who_fixes(&with("Error", reason), reader(user), false, None);
        assert_eq!(fixer("MissingScopes", "alice").as_deref(), Some("you"));
        assert_eq!(fixer("MissingScopes", "bob").as_deref(), Some("alice"));
        assert_eq!(fixer("ProviderNotReady", "alice").as_deref(), Some("your platform team"));
        assert_eq!(fixer("Connected", "alice"), None);
        let of_provider =
            |user| who_fixes(&with("Error", "ProviderNotReady"), reader(user), false, Some("pat"));
        assert_eq!(of_provider("alice").as_deref(), Some("pat"));
        assert_eq!(of_provider("pat").as_deref(), Some("you"));
    }

    #[test]
    fn whoever_may_connect_again_can_mend_what_that_fixer() {
        let mut ended = with("Expired", "GrantExpired");
        let fixer =
            |ended: &IntegrationConnection, user, may| who_fixes(ended, reader(user), may, None).unwrap();
        assert_eq!(fixer(&ended, "bob", true), "alice", "the first consent is the owner's alone");
        ended.status.as_mut().unwrap().connected_at = Some(Time(now()));
        assert_eq!(fixer(&ended, "bob", true), "you, or alice");
        assert_eq!(fixer(&ended, "bob", false), "alice");
        assert_eq!(fixer(&ended, "alice", true), "you");
    }

    #[test]
    fn the_page_speaks_to_its_reader() {
        let line = |phase, reason, user| standing(&with(phase, reason), "GitHub", reader(user)).line;
        let waiting = |user| line("Pending", "AwaitingAuthorization", user);
        assert_eq!(waiting("alice"), "Waiting for you to allow access.");
        assert_eq!(waiting("bob"), "Waiting for alice to allow access.");
        let ended = line("Expired", "GrantExpired", "alice");
        assert!(ended.starts_with("The access ended at 14:20 UTC. Reconnecting keeps the name"), "{ended}");
        let withdrawn = line("Revoked", "GrantRevoked", "alice");
        assert!(withdrawn.starts_with("Access was withdrawn there at 14:20 UTC."), "{withdrawn}");
        assert_eq!(line("Error", "MissingScopes", "alice"), "M.");
    }

    #[test]
    fn an_account_that_came_by_a_code_is_the_owners_to_agree_to() {
        let mut held = with("Error", "AwaitingConfirmation");
        held.status.as_mut().unwrap().account =
            Some(serde_json::from_value(json!({"id": "7", "name": "Alice at work"})).unwrap());
        let line = |user| standing(&held, "GitHub", reader(user)).line;
        assert!(line("alice").starts_with("Somebody allowed access as Alice at work with the code."));
        assert!(line("alice").ends_with("before you say that this is your account."), "{}", line("alice"));
        assert!(line("bob").ends_with("before its owner agrees to it."), "{}", line("bob"));
    }

    #[test]
    fn what_the_operator_says_of_an_end_is_small_print() {
        let detail = |phase, reason| standing(&with(phase, reason), "GitHub", reader("alice")).detail;
        assert_eq!(detail("Expired", "GrantExpired"), "M.");
        assert_eq!(detail("Error", "MissingScopes"), "", "it is the line");
        assert_eq!(detail("Pending", "AwaitingAuthorization"), "");
        assert_eq!(detail("Pending", "AdminConsentRequired"), "M.");
    }
}
