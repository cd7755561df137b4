//! `docs/conditions.md`, from the table.

use std::fmt::Write;

use crate::condition_type::ConditionType;
use crate::connection::Phase;
use crate::reason::{EventType, Fixer, MessageFacts, Reason, ReasonPlace, Row, capitalized};

const INTRODUCTION: &str = "# Conditions and reasons

<!-- Generated from the table of reasons; do not edit. `make docs` writes it. -->

Every reason, what it means, and who can change it. `kubectl bowline describe NAME` says the same for one connection, with a command.
Words in capitals, and `[...]`, stand for what the message of an object names.

Read health from conditions and reasons, never from `phase`. A reason that you do not know comes from a newer version: treat it as \"other\" and
show its message. `stalled` marks reasons with which the condition `Stalled` is True: nothing changes until the named person acts.
";

const SECTIONS: &[(ReasonPlace, &str, &str)] = &[
    (
        ReasonPlace::Connection(ConditionType::Ready),
        "IntegrationConnection: Ready",
        "Ready is True if the token works and is published. Otherwise it has the reason of the first of `Authorized`, `TokenFresh` and `SecretPublished` that is not True. `Authorized` may be Unknown while the published token is valid: then Ready stays True.",
    ),
    (
        ReasonPlace::Connection(ConditionType::Authorized),
        "IntegrationConnection: Authorized",
        "The grant in use, or why there is none. How the last attempt to connect ended stands in `status.lastAttempt`; what the provider decided about the grant stands in `status.ruling`.",
    ),
    (
        ReasonPlace::Connection(ConditionType::TokenFresh),
        "IntegrationConnection: TokenFresh",
        "The access token.",
    ),
    (
        ReasonPlace::Connection(ConditionType::SecretPublished),
        "IntegrationConnection: SecretPublished",
        "The Secret in the connection's namespace.",
    ),
    (
        ReasonPlace::Connection(ConditionType::Shared),
        "IntegrationConnection: Shared",
        "Absent unless sharing is requested. It never changes Ready.",
    ),
    (
        ReasonPlace::Connection(ConditionType::Members),
        "IntegrationConnection: Members",
        "The rights of the members. Absent where there are none. It never changes Ready.",
    ),
    (ReasonPlace::Provider, "IntegrationProvider: Ready", "Whether connections can use it."),
    (ReasonPlace::Workspace, "Workspace: Ready", "Whether all its namespaces can be shared into."),
    (ReasonPlace::Share, "ConnectionShare: Ready", "The Secret in the share's namespace."),
    (
        ReasonPlace::Binding,
        "ConnectionBinding: Ready",
        "The binding's own Secret. Whoever maintains the binding is told what to do, also where somebody else has to do it.",
    ),
    (
        ReasonPlace::Delivery,
        "ConnectionBinding: Delivered",
        "What the workload reported last. Absent until it reports something. It never changes Ready.",
    ),
    (
        ReasonPlace::Event,
        "Events only",
        "Each reason marked with an Event below or above is also an Event on its object.",
    ),
];

/// The page.
fn conditions_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (place, title, text) in SECTIONS {
        let _ = write!(
            page,
            "\n## {title}\n\n{text}\n\n| reason | status | what happened | who acts | what helps | stalled | Event |\n|---|---|---|---|---|---|---|\n"
        );
        for reason in Reason::ALL.iter().filter(|reason| reason.row().places.contains(place)) {
            let _ = writeln!(page, "{}", line(*reason));
        }
    }
    page + &phases()
}

fn line(reason: Reason) -> String {
    let row = reason.row();
    let Row { status, fixer, stalled, event, sentence, .. } = *row;
    let facts = placeholders();
    let helps = match facts.what_to_do(Fixer::Nobody, row) {
        text if text.is_empty() => "-".to_owned(),
        text => text.trim_start_matches("To continue, ").to_owned(),
    };
    let event = event.map_or("-", |event| match event {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    });
    format!(
        "| `{reason}` | {} | {} | {} | {helps} | {} | {event} |",
        status.as_str(),
        capitalized(&facts.fill(sentence)),
        fixer.label(),
        if stalled { "yes" } else { "-" },
    )
}

/// The placeholder for what a message names.
fn placeholders() -> MessageFacts<'static> {
    MessageFacts {
        provider: Some("PROVIDER"),
        workspace: Some("WORKSPACE"),
        secret: Some("SECRET"),
        account: Some("ACCOUNT"),
        namespace: Some("NAMESPACE"),
        list: Some("[...]"),
        at: Some("TIME"),
        ..MessageFacts::default()
    }
}

fn phases() -> String {
    let mut text =
        "\n## Phase\n\nThe one word for people in `kubectl get ic`.\n\n| phase | when |\n|---|---|\n"
            .to_owned();
    for phase in Phase::ALL {
        let _ = writeln!(text, "| {phase:?} | {} |", meaning(*phase));
    }
    text
}

const fn meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Never authorized: waiting for the owner, or for something it needs",
        Phase::Active => "Ready",
        Phase::Expired => "No valid token now, and the grant is not known to be dead",
        Phase::Error => "Not ready, and a person must act",
        Phase::Revoked => "Revoked at the provider",
        Phase::Suspended => "Suspended by its spec",
        Phase::Disconnected => "Disconnected by its spec",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_on_the_page() {
        let page = conditions_page();
        for reason in Reason::ALL {
            assert!(page.contains(&format!("| `{reason}` | ")), "{reason}");
        }
    }

    /// `make docs` writes the page.
    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conditions.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, conditions_page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == conditions_page(), "docs/conditions.md is not what the table says: run make docs");
    }
}
