//! Terms, as sentences: what goes on record, and what is said about what waits.

use bowline_api::reason::Reason;
use bowline_api::terms::ConnectionTerms;
use serde_json::{Value, json};

use super::situation::{Situation, good};
use crate::grant::consent::ConsentTask;
use crate::grant::work::Task;
use crate::sharing::terms::{AgreedTerms, Sealing, TermsInForce};

/// With these terms in force, of which the record says `from`.
fn under(situation: Situation, agreed: &Value, proposed: &Value, from: Option<&Value>) -> Situation {
    let terms = |value: &Value| serde_json::from_value::<ConnectionTerms>(value.clone()).unwrap();
    let to_seal = from.map(|from| Sealing { from: Some(terms(from)) });
    let in_force = AgreedTerms { agreed: terms(agreed), proposed: terms(proposed), to_seal };
    situation.seen(|seen| seen.terms = TermsInForce::Agreed(Box::new(in_force)))
}

#[test]
fn what_is_in_force_goes_on_record() {
    let (before, now) =
        (json!({"workspace": "w", "shared": true, "namespaces": ["x"]}), json!({"workspace": "w"}));
    let plan = under(good(), &now, &now, Some(&before)).decided();
    let Some(Task::Consent(ConsentTask::Agree { from, to })) = plan.task else { panic!("{:?}", plan.task) };
    assert!(from.unwrap().shared && !to.shared);
    assert!(under(good(), &now, &now, Some(&before)).busy().decided().task.is_none());
    assert!(under(good(), &now, &now, None).decided().task.is_none());
}

#[test]
fn what_waits_is_told_and_nothing_stops_working() {
    let agreed = json!({"scopes": ["a"]});
    let more = json!({"workspace": "w", "shared": true, "namespaces": ["x", "y"], "scopes": ["a"]});
    let plan = under(good(), &agreed, &more, None).decided();
    let told = plan.shared.unwrap();
    assert_eq!(told.reason, Reason::OwnerApprovalNeeded);
    assert!(told.message.contains("workspace w with the namespaces x, y"), "{}", told.message);
    assert_eq!(plan.authorized.reason, Reason::Authorized);

    let plan = under(good(), &agreed, &json!({"scopes": ["a", "b"]}), None).decided();
    assert_eq!(plan.authorized.reason, Reason::ScopeApprovalNeeded);
    assert!(
        plan.authorized.is_true() && plan.authorized.message.contains(": b."),
        "{}",
        plan.authorized.message
    );
    assert!(plan.shared.is_none(), "nothing about sharing waits");
    let plan = under(good(), &agreed, &json!({"workspace": "w", "scopes": ["a"]}), None).decided();
    assert!(plan.shared.is_none(), "with a workspace alone the token goes nowhere");
}
