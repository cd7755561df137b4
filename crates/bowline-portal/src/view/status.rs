//! The state of a connection: a chip, not only by its colour, and one line that says what happens next.

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{LastAttempt, Phase};
use bowline_api::open::Open;
use bowline_api::reason::{Fixer, Remedy};
use k8s_openapi::jiff::Timestamp;

use super::foreign;
use super::words::{Reader, clock, is_near};

/// An icon, a word, and a tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chip {
    /// Class of the chip: `good`, `wait`, `bad` or `off`.
    pub(crate) tone: &'static str,
    /// A symbol, hidden from screen readers.
    pub(crate) icon: &'static str,
    pub(crate) word: String,
}

/// What a reader is afraid to lose by connecting again.
const KEEPS: &str = "Reconnecting keeps the name, settings and everything that uses it.";

const UNSEEN: &str = "The operator has not looked at it yet.";

pub(crate) fn chip(tone: &'static str, icon: &'static str, word: impl Into<String>) -> Chip {
    Chip { tone, icon, word: word.into() }
}

/// The state of a connection in words.
pub(crate) struct Standing {
    pub(crate) chip: Chip,
    pub(crate) line: String,
    /// What the operator says about it, in small print; empty if the line says everything.
    pub(crate) detail: String,
    /// What helps; the page has a button for it if it can.
    pub(crate) remedy: Remedy,
}

impl Standing {
    /// Whether it changes soon by itself.
    pub(crate) fn is_passing(&self) -> bool {
        self.remedy == Remedy::Wait
    }

    /// Whether somebody should allow access, for the first time or again.
    pub(crate) fn wants_access(&self) -> bool {
        use Remedy::{Adopt, AdoptSpent, AgreeToScopes, Connect, CreateKey, Import, Reconnect};
        matches!(self.remedy, Connect | Import | Reconnect | AgreeToScopes | CreateKey | Adopt | AdoptSpent)
    }
}

/// The state of `connection` to `provider` (a name for people), as `reader` reads it.
pub(crate) fn standing(connection: &IntegrationConnection, provider: &str, reader: Reader<'_>) -> Standing {
    if connection.metadata.deletion_timestamp.is_some() {
        let line = "It is withdrawn everywhere and then gone.".to_owned();
        let chip = chip("off", "–", "Being deleted");
        return Standing { chip, line, detail: String::new(), remedy: Remedy::None };
    }
    let ready = connection.condition(ConditionType::Ready);
    let message =
        ready.map(|ready| reader.sentence(&ready.message, &connection.spec.owner)).unwrap_or_default();
    let phase = connection.status.as_ref().and_then(|status| status.phase.as_ref());
    let (chip, line) = match phase {
        None => (chip("wait", "○", "Just made"), UNSEEN.to_owned()),
        Some(Open::Other(text)) => (chip("wait", "○", foreign(text)), message.clone()),
        Some(Open::Known(phase)) => {
            let line = line_of(connection, *phase, provider, reader).unwrap_or_else(|| message.clone());
            (chip_of(connection, *phase, provider), line)
        }
    };
    let told = message != line && has_small_print(connection);
    let detail = match connection.revocation() {
        Some(revocation) if connection.phase() == Some(Phase::Disconnected) => {
            reader.sentence(&revocation.message, &connection.spec.owner)
        }
        _ if told => message,
        _ => String::new(),
    };
    let remedy = if phase.is_none() { Remedy::Wait } else { connection.remedy() };
    Standing { chip, line, detail, remedy }
}

fn chip_of(connection: &IntegrationConnection, phase: Phase, provider: &str) -> Chip {
    let failed = connection.last_attempt().is_some_and(LastAttempt::failed);
    match (phase, connection.remedy()) {
        (Phase::Active, _) => chip("good", "✓", "Connected"),
        (Phase::Pending | Phase::Error, Remedy::ConfirmAccount) => chip("wait", "?", "Check the account"),
        (Phase::Pending, Remedy::Wait) => chip("wait", "…", "Connecting"),
        (Phase::Pending, _) if failed => chip("bad", "!", "Not connected"),
        (Phase::Pending, _) => chip("wait", "○", "Not connected"),
        (Phase::Expired, _) => chip("bad", "!", "Expired"),
        (Phase::Revoked, _) => chip("bad", "!", format!("Revoked at {provider}")),
        (Phase::Error, _) => chip("bad", "!", "Needs attention"),
        (Phase::Suspended, _) => chip("off", "‖", "Paused"),
        (Phase::Disconnected, _) => chip("off", "–", "Disconnected"),
    }
}

/// The portal's own line; `None` if the operator's sentence is better.
fn line_of(
    connection: &IntegrationConnection,
    phase: Phase,
    provider: &str,
    reader: Reader<'_>,
) -> Option<String> {
    Some(match phase {
        Phase::Active => fresh(connection, reader.now),
        Phase::Pending | Phase::Error => return line_by_remedy(connection, provider, reader),
        Phase::Expired if connection.remedy() == Remedy::CreateKey => {
            "No key is valid. Create one, and give it to whoever used the last.".to_owned()
        }
        Phase::Expired => format!("The access expired{}. {KEEPS}", on(ended(connection), reader.now)),
        Phase::Revoked => format!("Access was revoked there{}. {KEEPS}", on(since(connection), reader.now)),
        Phase::Suspended => {
            let ends = ending(connection, reader.now);
            format!("Nothing is sent to {provider}. What is published stays until it expires.{ends}")
        }
        Phase::Disconnected => "Its name and settings are kept.".to_owned(),
    })
}

/// Whether the operator's sentence says more than ours.
fn has_small_print(connection: &IntegrationConnection) -> bool {
    let remedy = connection.remedy();
    let ours_says_all = matches!(remedy, Remedy::ConfirmAccount | Remedy::AgreeToScopes);
    remedy == Remedy::ApproveApp
        || matches!(connection.phase(), Some(Phase::Expired | Phase::Error | Phase::Revoked))
            && !ours_says_all
}

/// When the access expired: the token's time if that is what ended it, else when it was noticed.
fn ended(connection: &IntegrationConnection) -> Option<Timestamp> {
    let noticed = since(connection)?;
    Some(connection.token_expires_at().filter(|token| *token < noticed).unwrap_or(noticed))
}

/// Since when it has been in this state.
fn since(connection: &IntegrationConnection) -> Option<Timestamp> {
    connection.condition(ConditionType::Ready).map(|ready| ready.last_transition_time.0)
}

fn on(time: Option<Timestamp>, now: Timestamp) -> String {
    let Some(time) = time else { return String::new() };
    format!(" {} {}", if is_near(time, now) { "at" } else { "on" }, clock(time, now))
}

fn fresh(connection: &IntegrationConnection, now: Timestamp) -> String {
    match connection.issued_keys() {
        [] => {}
        [_] => return "One key is valid.".to_owned(),
        keys => return format!("{} keys are valid.", keys.len()),
    }
    let token = connection.token().cloned().unwrap_or_default();
    let until = token.expires_at.map(|time| format!("Fresh until {}.", clock(time.0, now)));
    let next = token.next_refresh_at.map(|time| format!(" Next refresh about {}.", clock(time.0, now)));
    let fresh = match (until, next) {
        (Some(until), next) => until + &next.unwrap_or_default(),
        (None, _) => "Works; the provider names no time at which it expires.".to_owned(),
    };
    fresh + &ending(connection, now)
}

/// When access ends by itself, if its owner was reminded of that.
fn ending(connection: &IntegrationConnection, now: Timestamp) -> String {
    let reminder = connection.grant().and_then(|grant| grant.reminder.as_ref());
    let ends = reminder.map(|reminder| on(Some(reminder.ends_at.0), now));
    let instead =
        if connection.is_paused() { "it is resumed before" } else { "somebody connects again before" };
    ends.map(|on| format!(" Access ends{on} unless {instead}.")).unwrap_or_default()
}

fn line_by_remedy(connection: &IntegrationConnection, provider: &str, reader: Reader<'_>) -> Option<String> {
    let owner = reader.name(&connection.spec.owner);
    let is_final = connection.status.as_ref()?.ruling.as_ref().is_some_and(|ruling| ruling.is_final);
    Some(match connection.remedy() {
        Remedy::Connect if !connection.last_attempt().is_some_and(LastAttempt::failed) => {
            format!("Waiting for {owner} to allow access.")
        }
        Remedy::Adopt | Remedy::AdoptSpent => {
            "Its record was restored, and waits to be adopted (kubectl bowline adopt).".to_owned()
        }
        Remedy::ConfirmAccount => {
            let account = connection.account().map(|account| format!(" as {}", foreign(account.word())));
            let says =
                if owner == "you" { "you say that this is your account" } else { "its owner agrees to it" };
            let account = account.unwrap_or_default();
            format!("Somebody allowed access{account} with the code. Nothing is published before {says}.")
        }
        Remedy::AgreeToScopes => {
            let agrees = if owner == "you" { "you agree" } else { "its owner agrees" };
            format!("{provider} granted more than was requested. Nothing is published before {agrees} to it.")
        }
        Remedy::ApproveApp => {
            format!(
                "An administrator of your organization at {provider} must approve this app first. Then connect again."
            )
        }
        Remedy::Reconnect if is_final => {
            let until = connection.token_expires_at().filter(|at| *at > reader.now);
            let until = until.map(|at| format!(" What is published works until {}.", clock(at, reader.now)));
            format!("{provider} no longer renews this access.{} {KEEPS}", until.unwrap_or_default())
        }
        _ => return None,
    })
}

/// Who can fix what keeps a connection from being ready; `None` while there is nothing to fix, or the line says it. `contact` is
/// the provider's; whoever may connect again can fix what reconnecting fixes.
pub(crate) fn who_fixes(
    connection: &IntegrationConnection,
    reader: Reader<'_>,
    may_connect: bool,
    contact: Option<&str>,
) -> Option<String> {
    let owner = reader.name(&connection.spec.owner);
    let remedy = connection.remedy();
    let failed = connection.last_attempt().is_some_and(LastAttempt::failed);
    if matches!(remedy, Remedy::None | Remedy::ConfirmAccount | Remedy::Resume | Remedy::Enable)
        || remedy == Remedy::Connect && !failed
    {
        return None;
    }
    Some(match connection.fixer() {
        Fixer::Nobody if connection.phase() == Some(Phase::Pending) => return None,
        Fixer::Nobody => "nobody: it continues by itself".to_owned(),
        Fixer::Owner
            if remedy == Remedy::Reconnect && may_connect && connection.was_connected() && owner != "you" =>
        {
            format!("you, or {owner}")
        }
        Fixer::Owner | Fixer::Author => owner,
        Fixer::PlatformTeam => {
            contact.map_or_else(|| "your platform team".to_owned(), |contact| reader.name(contact))
        }
        Fixer::WorkspaceKeeper => "whoever maintains the workspace".to_owned(),
        Fixer::ProviderAdministrator => "an administrator of your organization at the provider".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bowline_api::condition::Truth;
    use bowline_api::reason::{Reason, ReasonPlace};
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
        for (phase, reason, word, remedy) in [
            ("Active", "Connected", "Connected", Remedy::None),
            ("Pending", "AwaitingAuthorization", "Not connected", Remedy::Connect),
            ("Pending", "AuthorizationInProgress", "Connecting", Remedy::Wait),
            ("Pending", "ProviderNotFound", "Not connected", Remedy::CreateProvider),
            ("Pending", "AdminConsentRequired", "Not connected", Remedy::ApproveApp),
            ("Pending", "AuthorizationFailed", "Not connected", Remedy::Connect),
            ("Error", "AwaitingConfirmation", "Check the account", Remedy::ConfirmAccount),
            ("Expired", "TokenExpired", "Expired", Remedy::Wait),
            ("Expired", "NotRefreshable", "Expired", Remedy::Reconnect),
            ("Revoked", "GrantRevoked", "Revoked at GitHub", Remedy::Reconnect),
            ("Error", "MissingScopes", "Needs attention", Remedy::Reconnect),
            ("Error", "NameTaken", "Needs attention", Remedy::FreeName),
            ("Error", "OfALaterVersion", "Needs attention", Remedy::None),
            ("Hibernating", "Sleeping", "Hibernating", Remedy::None),
            ("Suspended", "Suspended", "Paused", Remedy::Resume),
            ("Disconnected", "Disconnected", "Disconnected", Remedy::Enable),
        ] {
            let standing = standing(&with(phase, reason), "GitHub", reader("alice"));
            assert_eq!((standing.chip.word.as_str(), standing.remedy), (word, remedy), "{phase} {reason}");
            assert!(!standing.chip.icon.is_empty() && !standing.line.is_empty(), "{phase} {reason}");
        }
    }

    #[test]
    fn a_disconnected_connection_says_what_became_of_its_grant() {
        let revocation =
            json!({"reason": "RevocationWaits", "since": "2026-05-03T14:00:00Z", "message": "Not yet."});
        let mut status = json!({"phase": "Disconnected", "revocation": revocation});
        assert_eq!(standing(&connection(&status), "GitHub", reader("alice")).detail, "Not yet.");
        status["phase"] = "Active".into();
        assert_eq!(standing(&connection(&status), "GitHub", reader("alice")).detail, "");
    }

    #[test]
    fn a_fresh_connection_says_until_when() {
        let status = json!({"phase": "Active",
            "token": {"expiresAt": "2026-05-03T14:20:00Z", "nextRefreshAt": "2026-05-03T14:05:00Z"}});
        let line = standing(&connection(&status), "GitHub", reader("alice")).line;
        assert_eq!(line, "Fresh until 14:20 UTC. Next refresh about 14:05 UTC.");
        let line = standing(&connection(&json!({"phase": "Active"})), "GitHub", reader("alice")).line;
        assert_eq!(line, "Works; the provider names no time at which it expires.");
    }

    #[test]
    fn whoever_was_reminded_of_an_end_reads_it_here_too() {
        let grant = json!({"id": "1", "revision": 1, "obtainedAt": "2026-05-03T14:00:00Z",
            "reminder": {"endsAt": "2026-05-03T15:00:00Z", "days": 1}});
        let line = |status| standing(&connection(&status), "GitHub", reader("alice")).line;
        assert_eq!(
            line(json!({"phase": "Active", "grant": grant})),
            "Works; the provider names no time at which it expires. Access ends at 15:00 UTC unless somebody connects again before."
        );
        let mut paused = connection(&json!({"phase": "Suspended", "grant": grant}));
        paused.spec.suspend = Some(true);
        let line = standing(&paused, "GitHub", reader("alice")).line;
        assert!(line.ends_with("Access ends at 15:00 UTC unless it is resumed before."), "{line}");
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
    fn whoever_may_connect_again_can_fix_what_that_fixes() {
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
        assert!(ended.starts_with("The access expired at 14:20 UTC. Reconnecting keeps the name"), "{ended}");
        let withdrawn = line("Revoked", "GrantRevoked", "alice");
        assert!(withdrawn.starts_with("Access was revoked there at 14:20 UTC."), "{withdrawn}");
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

    #[test]
    fn every_reason_has_a_line_a_button_that_fits_and_somebody_who_acts() {
        for reason in Reason::ALL.iter().filter(|reason| {
            use ConditionType::{Authorized, SecretPublished, TokenFresh};
            [Authorized, TokenFresh, SecretPublished]
                .iter()
                .any(|it| reason.row().places.contains(&ReasonPlace::Connection(*it)))
        }) {
            let row = reason.row();
            for phase in ["Pending", "Error"] {
                let mut it = with(phase, reason.as_str());
                let ready = &mut it.status.as_mut().unwrap().conditions[0];
                ready.message = reason.message(&bowline_api::reason::MessageFacts::default());
                let told = standing(&it, "GitHub", reader("alice"));
                assert!(told.line.len() > 10 && !told.line.contains(['{', '}']), "{reason}: {}", told.line);
                let fixes = who_fixes(&it, reader("alice"), true, None);
                let acts = told.wants_access() || told.remedy == Remedy::ConfirmAccount;
                if row.status != Truth::True && acts {
                    assert_eq!(row.fixer, Fixer::Owner, "{reason}: a button for somebody else");
                    assert!(fixes.is_none_or(|who| who == "you"), "{reason}");
                }
                assert!(told.remedy != Remedy::Wait || row.fixer == Fixer::Nobody, "{reason}");
            }
        }
    }
}
