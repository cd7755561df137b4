//! Which changes of a status are worth an Event. Pure: one table over conditions.

use bowline_api::connection::IntegrationConnectionStatus;
use bowline_api::reason;

use crate::grant::outcome::{Finished, Outcome};
use crate::kube_ext::conditions;

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// A constant of `api::reason`.
    pub reason: &'static str,
    /// The condition's words.
    pub note: String,
}

/// Condition, its new reason, the Event's reason, whether it is a warning. A row speaks when the condition's reason changes to it.
const TURNS: &[(&str, &str, &str, bool)] = &[
    ("Authorized", reason::AUTHORIZED, reason::AUTHORIZED, false),
    ("Authorized", reason::DISCONNECTED, reason::DISCONNECTED, false),
    ("Authorized", reason::GRANT_REVOKED, reason::GRANT_REVOKED, true),
    ("Authorized", reason::GRANT_EXPIRED, reason::GRANT_EXPIRED, true),
    ("Authorized", reason::EXTRA_SCOPES, reason::EXTRA_SCOPES, true),
    ("Authorized", reason::AWAITING_CONFIRMATION, reason::AWAITING_CONFIRMATION, true),
    ("Authorized", reason::GRANT_EXPIRING_SOON, reason::GRANT_EXPIRING_SOON, true),
    ("Authorized", reason::MISSING_SCOPES, reason::MISSING_SCOPES, true),
    ("Authorized", reason::ROTATION_OUTCOME_UNKNOWN, reason::ROTATION_OUTCOME_UNKNOWN, true),
    ("Authorized", reason::INTAKE_DELAYED, reason::INTAKE_DELAYED, true),
    ("Authorized", reason::INTAKE_OUTCOME_UNKNOWN, reason::INTAKE_OUTCOME_UNKNOWN, true),
    ("Authorized", reason::RECORD_MISSING, reason::RECORD_MISSING, true),
    ("Authorized", reason::RECORD_TAMPERED, reason::RECORD_TAMPERED, true),
    ("Authorized", reason::RECORD_UNREADABLE, reason::RECORD_UNREADABLE, true),
    ("Authorized", reason::CONSENT_OUTDATED, reason::CONSENT_OUTDATED, true),
    ("Authorized", reason::PROVIDER_NOT_ALLOWED, reason::PROVIDER_NOT_ALLOWED, true),
    ("Authorized", reason::POLICY_BLOCKED, reason::POLICY_BLOCKED, true),
    ("Authorized", reason::ADMIN_CONSENT_REQUIRED, reason::ADMIN_CONSENT_REQUIRED, true),
    ("Authorized", reason::STEP_UP_REQUIRED, reason::STEP_UP_REQUIRED, true),
    ("TokenFresh", reason::REFRESH_FAILING, reason::REFRESH_FAILING, true),
    ("TokenFresh", reason::REFRESH_REFUSED, reason::REFRESH_REFUSED, true),
    ("TokenFresh", reason::TOKEN_EXPIRED, reason::TOKEN_EXPIRED, true),
    ("SecretPublished", reason::NAME_TAKEN, reason::NAME_TAKEN, true),
    ("SecretPublished", reason::QUOTA_EXCEEDED, reason::QUOTA_EXCEEDED, true),
    ("SecretPublished", reason::FORBIDDEN, reason::FORBIDDEN, true),
    ("SecretPublished", reason::TEMPLATE_FAILED, reason::TEMPLATE_FAILED, true),
    ("SecretPublished", reason::FORMAT_FAILED, reason::FORMAT_FAILED, true),
    ("SecretPublished", reason::PUBLISHED, reason::PUBLISHED, false),
    ("Shared", reason::SHARED, reason::SHARED, false),
    ("Shared", reason::NOT_SHARED, reason::UNSHARED, false),
    ("Shared", reason::WORKSPACE_NOT_FOUND, reason::UNSHARED, false),
    ("Shared", reason::OWNER_NOT_MEMBER, reason::OWNER_REMOVED, true),
];

/// What to tell, given the status before and after.
pub fn news(
    old: Option<&IntegrationConnectionStatus>,
    new: &IntegrationConnectionStatus,
    finished: Option<&Finished>,
) -> Vec<News> {
    let before = |type_: &str| old.and_then(|old| conditions::get(&old.conditions, type_));
    let mut all: Vec<News> = TURNS
        .iter()
        .filter_map(|(type_, turned_to, reason, warning)| {
            let now = conditions::get(&new.conditions, type_).filter(|now| now.reason == *turned_to)?;
            let last = before(type_).map(|last| last.reason.as_str());
            // Who was never shared is not unshared.
            let was_shared = before("Shared").is_some_and(|last| {
                [reason::SHARED, reason::PARTIALLY_PUBLISHED].contains(&last.reason.as_str())
            });
            let telling = last != Some(now.reason.as_str())
                && (*type_ != "Shared" || now.status == "True" || was_shared);
            telling.then(|| News { warning: *warning, reason, note: now.message.clone() })
        })
        .collect();
    all.extend(answered(finished));
    all.extend(recovered(old, new));
    all
}

/// A request was served, or what was brought was refused.
fn answered(finished: Option<&Finished>) -> Option<News> {
    let finished = finished?;
    match &finished.outcome {
        Outcome::IntakeRefused { why } => {
            Some(News { warning: true, reason: why.reason(), note: why.to_string() })
        }
        Outcome::Committed { .. } if finished.request.is_some() => {
            Some(News { warning: false, reason: reason::REFRESHED, note: "Refreshed on request.".to_owned() })
        }
        _ => None,
    }
}

/// A connection that was not ready is ready again.
fn recovered(old: Option<&IntegrationConnectionStatus>, new: &IntegrationConnectionStatus) -> Option<News> {
    let old = old.filter(|old| old.connected_at.is_some())?;
    let ready = |status: &IntegrationConnectionStatus| conditions::is_true(&status.conditions, "Ready");
    (!ready(old) && ready(new)).then(|| News {
        warning: false,
        reason: reason::RECOVERED,
        note: "Works again.".to_owned(),
    })
}
