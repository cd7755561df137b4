//! What became of grants that ended, and whether the one in use has.

use bowline_api::connection::RevocationStatus;
use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::input::Input;
use super::probe;
use crate::connection::observed::RecordState;
use crate::vault::Credential;
use crate::vault::record::RevocationResult;

/// What became of the grant that ended last; `None` while that is not known.
pub(super) fn revocation(input: &Input) -> Option<RevocationStatus> {
    let before = input.connection.status.as_ref().and_then(|status| status.revocation.clone());
    let Some(shown) = input.observed.shown_ending() else {
        // What is known is about an earlier grant, if one is about to end.
        let is_over =
            matches!(input.observed.record, RecordState::Missing) && !input.connection.was_connected();
        return before.filter(|_| is_over || !input.connection.is_disconnected());
    };
    let RevocationResult { reason, detail } = shown.result.clone()?;
    let since =
        before.filter(|before| before.reason.is(reason)).map_or(Time(input.now), |before| before.since);
    let message = reason.message(&MessageFacts { detail: detail.into(), ..input.facts() });
    Some(RevocationStatus { reason: reason.into(), since, message })
}

/// Whether nothing of the grant in use works any more. What would be ended with it need not be kept for it.
pub(super) fn is_dead(input: &Input) -> bool {
    let Some(grant) = input.observed.record.grant() else { return false };
    let is_over = |at: Option<Timestamp>| at.is_some_and(|at| at <= input.now);
    let is_ruled = |reason| input.history.ruling.as_ref().is_some_and(|ruling| ruling.reason.is(reason));
    let cannot_be_renewed = is_ruled(Reason::GrantExpired)
        || is_ruled(Reason::RefreshTokenLost)
        || is_over(grant.refresh_expires_at)
        || !input.observed.is_refreshable(&input.connection.spec, grant);
    let token_is_over = is_over(grant.expires_at) || probe::is_refused(input);
    matches!(grant.credential, Credential::OAuth { .. })
        && (is_ruled(Reason::GrantRevoked) || cannot_be_renewed && token_is_over)
}
