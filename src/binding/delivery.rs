//! What a binding's workload reports of its deliveries. Pure.

use std::time::Duration;

use bowline_api::ConnectionBinding;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::delivery::{DeliveryMark, DeliveryMarkError, LastDelivery};
use bowline_api::names::ANNOTATION_DELIVERY;
use bowline_api::reason::{MessageFacts, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::kube_ext::coalesce::{Coalesced, coalesced};

/// However often a workload writes a mark, status tells it once a minute.
const PAUSE: Duration = Duration::from_mins(1);

/// What status says of deliveries.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DeliveryReport {
    pub(super) last: Option<LastDelivery>,
    /// Reason and message of Delivered.
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What is told next; `last_told` is when this process changed it last.
pub(super) fn delivery(
    binding: &ConnectionBinding,
    last_told: Option<Timestamp>,
    now: Timestamp,
) -> Coalesced<DeliveryReport> {
    coalesced(told(binding).as_ref(), there(binding, now), last_told, PAUSE, now)
}

/// What status tells now.
pub(super) fn told(binding: &ConnectionBinding) -> Option<DeliveryReport> {
    Some(DeliveryReport {
        last: binding.last_delivery().cloned(),
        reason: binding.reason_of(ConditionType::Delivered)?,
        message: binding.condition(ConditionType::Delivered)?.message.clone(),
    })
}

/// What the mark says. Without one, what was told before stays.
fn there(binding: &ConnectionBinding, now: Timestamp) -> Option<DeliveryReport> {
    let last = binding.last_delivery();
    match binding.annotations().get(ANNOTATION_DELIVERY).map(|mark| mark.parse::<DeliveryMark>()) {
        None => last.cloned().map(|last| read(binding, last)),
        Some(Ok(mark)) => Some(read(binding, mark.after(last, now))),
        Some(Err(error)) => Some(unreadable(binding, last.cloned(), error)),
    }
}

fn read(binding: &ConnectionBinding, last: LastDelivery) -> DeliveryReport {
    let reason = if last.has_failed() { Reason::DeliveryFailing } else { Reason::Delivered };
    let summary = last.summary();
    let message = reason.message(&MessageFacts { list: Some(&summary), ..here(binding) });
    DeliveryReport { last: Some(last), reason, message }
}

fn unreadable(
    binding: &ConnectionBinding,
    last: Option<LastDelivery>,
    error: DeliveryMarkError,
) -> DeliveryReport {
    let reason = Reason::DeliveryUnreadable;
    let detail = format!("What is wrong: {error}");
    let message = reason.message(&MessageFacts { detail: detail.into(), ..here(binding) });
    DeliveryReport { last, reason, message }
}

fn here(binding: &ConnectionBinding) -> MessageFacts<'_> {
    MessageFacts { here: binding.metadata.namespace.as_deref(), ..MessageFacts::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::*;
    use crate::binding::fixtures::binding;

    const NOON: &str = "2026-01-01T12:00:20Z";

    fn marked(mark: Option<&str>, status: &Value) -> ConnectionBinding {
        binding(json!({"metadata": {"annotations": mark.map(|mark| json!({"bowline.dev/delivery": mark}))},
            "status": status}))
    }

    fn now() -> Timestamp {
        NOON.parse().unwrap()
    }

    #[test]
    fn a_failure_points_to_the_item_until_the_next_success() {
        let report = |mark: Option<&str>| there(&marked(mark, &json!({})), now());
        assert_eq!(report(None), None, "nothing is said of a workload that reports nothing");
        let failed = report(Some(r#"{"code":404,"item":"post-7"}"#)).unwrap();
        assert_eq!(failed.reason, Reason::DeliveryFailing);
        assert!(failed.message.contains(r#"code 404, item "post-7""#), "{}", failed.message);
        assert!(failed.message.contains("Whoever maintains this object"), "{}", failed.message);
        let last = json!({"lastDelivery": {"at": "2026-01-01T11:00:00Z", "code": 404, "item": "post-7"}});
        let next = there(&marked(Some(r#"{"code":201,"item":"post-7"}"#), &last), now()).unwrap();
        assert_eq!(
            (next.reason, next.last.unwrap().at),
            (Reason::Delivered, Time("2026-01-01T12:00:00Z".parse().unwrap()))
        );
        let kept = there(&marked(None, &last), now()).unwrap();
        assert_eq!(kept.reason, Reason::DeliveryFailing, "a mark that is taken away takes nothing back");
    }

    #[test]
    fn a_mark_that_cannot_be_read_changes_nothing_that_is_known_and_is_not_quoted() {
        let last = json!({"lastDelivery": {"at": "2026-01-01T11:00:00Z", "code": 200}});
        let report = there(&marked(Some("; rm -rf ~"), &last), now()).unwrap();
        assert_eq!(report.reason, Reason::DeliveryUnreadable);
        assert_eq!(report.last.unwrap().code, 200);
        assert!(!report.message.contains("rm -rf"), "{}", report.message);
    }
}
