//! The input of the checks.

use std::borrow::Cow;

use bowline_api::IntegrationConnection;
use bowline_api::connection::LastAttempt;
use bowline_api::names::ANNOTATION_REFRESH_REQUESTED;
use bowline_api::reason::{Effect, MessageFacts, Reason};
use k8s_openapi::jiff::Timestamp;

use super::history::History;
use super::verdict::ConditionVerdict;
use crate::connection::observed::{ObservedConnection, RecordState};
use crate::grant::schedule::Policy;

/// How many characters distinguish a request from the one before.
const LONGEST_REQUEST: usize = 64;

pub(crate) struct Input<'a> {
    pub(crate) connection: &'a IntegrationConnection,
    pub(crate) observed: &'a ObservedConnection,
    pub(crate) history: &'a History,
    pub(crate) policy: &'a Policy,
    /// Spreads refreshes of different connections.
    pub(crate) jitter: f64,
    pub(crate) attempt: Option<LastAttempt>,
    pub(crate) now: Timestamp,
}

impl<'a> Input<'a> {
    /// What messages can name.
    pub(crate) fn facts(&self) -> MessageFacts<'a> {
        let contact = self.observed.target().and_then(|target| target.contact());
        MessageFacts { contact, ..self.connection.facts() }
    }

    /// A verdict in the words of the table of reasons, with a detail.
    pub(crate) fn verdict<'d>(&self, reason: Reason, detail: impl Into<Cow<'d, str>>) -> ConditionVerdict
    where
        'a: 'd,
    {
        ConditionVerdict::of(reason, &MessageFacts { detail: detail.into(), ..self.facts() })
    }

    /// Whether the grant in use is never used again.
    pub(super) fn is_ruled_out_for_good(&self) -> bool {
        let ruling = self.history.ruling.as_ref();
        ruling.is_some_and(|ruling| ruling.is_final) && self.history.condemned_since().is_none()
    }

    /// Whether no grant may be accepted now, for the reason that `authorized` or the suspension gives.
    pub(super) fn is_blocked(&self, authorized: &ConditionVerdict) -> bool {
        let blocked = match authorized.effect {
            Effect::End => true,
            // A grant that the provider ruled out may be replaced; a connection that is not allowed has no claim to one.
            Effect::Withdraw => {
                !self.history.ruling.as_ref().is_some_and(|ruling| ruling.reason.is(authorized.reason))
            }
            Effect::Serve | Effect::Coast | Effect::Withhold => false,
        };
        let usable = self.observed.provider.is_ok() && self.observed.next_probe.is_none();
        // An unreadable record may contain a good grant: it is never overwritten.
        let unreadable = matches!(self.observed.record, RecordState::Unreadable);
        let unprotected = !self.observed.missing_policies.is_empty();
        let unknown = self.observed.usage_is_unknown() || self.observed.reached_limit.is_some();
        let held = unprotected || unknown || self.connection.spec.suspend.unwrap_or_default();
        blocked || !usable || unreadable || held
    }

    /// Why no new grant is taken in, if it is because ownership is not enforced now.
    pub(super) fn unprotected(&self) -> Option<ConditionVerdict> {
        let missing = self.observed.missing_policies.join(", ");
        let facts = MessageFacts { list: Some(&missing), ..self.facts() };
        (!missing.is_empty()).then(|| ConditionVerdict::of(Reason::PolicyMissing, &facts))
    }

    /// The refresh request on the object that is not handled yet.
    pub(super) fn pending_refresh(&self) -> Option<String> {
        self.pending(ANNOTATION_REFRESH_REQUESTED, self.history.handled_refresh.as_ref())
    }

    /// The request in this annotation, unless it was the last one handled. Status repeats it, so it is cut to the length
    /// that a time and a name need.
    pub(super) fn pending(&self, annotation: &str, handled: Option<&String>) -> Option<String> {
        let annotations = self.connection.metadata.annotations.as_ref()?;
        let request: String = annotations.get(annotation)?.chars().take(LONGEST_REQUEST).collect();
        (handled != Some(&request)).then_some(request)
    }
}
