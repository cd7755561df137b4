//! What became of grants that ended, and whether the one in use has.

use bowline_api::connection::RevocationStatus;
use bowline_api::names::ANNOTATION_REVOKE_NOW;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_runtime::clock::later;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

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

/// When the grant of a disconnected connection is revoked, while that can still be undone. The owner may have it revoked at
/// once, by naming this very grant.
pub(super) fn revokes_at(input: &Input) -> Option<Timestamp> {
    let present = input.observed.record.present()?;
    let named = input.connection.annotations().get(ANNOTATION_REVOKE_NOW);
    if named.is_some_and(|named| present.version.is_some_and(|version| version.id.to_string() == *named)) {
        return None;
    }
    let at = later(disconnected_since(input)?, input.observed.disconnect_pause);
    (at > input.now).then_some(at)
}

/// Since when it is disconnected: as is on record, or from now on.
pub(super) fn disconnected_since(input: &Input) -> Option<Timestamp> {
    let present = input.observed.record.present().filter(|_| input.connection.is_disconnected())?;
    Some(present.disconnected_at.unwrap_or(input.now))
}

/// Who owned the connection when it was connected, if that is somebody else than now. What is on record decides; if that cannot
/// be read, or is gone, what status says.
pub(super) fn former_owner<'a>(input: &Input<'a>) -> Option<&'a str> {
    let on_record = input.observed.record.owner();
    let told = || input.connection.status.as_ref()?.connected_by.as_deref();
    on_record.or_else(told).filter(|former| *former != input.connection.spec.owner)
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
