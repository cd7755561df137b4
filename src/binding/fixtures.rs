//! Objects for unit tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bowline_api::{ConnectionBinding, IntegrationConnection};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::decide::ObservedBinding;
use crate::grant::fixtures::target;
use crate::kube_ext::coalesce::Coalesced;
use crate::secret_plan::GrantInUse;
use crate::vault::record::GrantVersion;
use crate::world::Availability;

/// RFC 7396, without removals.
pub(super) fn merge(target: &mut Value, change: Value) {
    match change {
        Value::Object(fields) if target.is_object() => {
            fields.into_iter().for_each(|(key, value)| merge(&mut target[key], value));
        }
        change => *target = change,
    }
}

pub(super) fn version(revision: i64) -> GrantVersion {
    let id = "0123456789abcdef0123456789abcdef".to_owned().try_into().unwrap();
    GrantVersion { id, revision, ordinal: 1 }
}

/// A binding in namespace `x` of the connection `team-a.mail`, with this change.
pub(super) fn binding(change: Value) -> ConnectionBinding {
    let mut object = json!({"metadata": {"name": "post", "namespace": "x", "uid": "b", "generation": 2},
        "spec": {"connection": "team-a.mail"}});
    merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

/// A connection of alice's whose fifth token is published, with this change.
pub(super) fn connection(change: Value) -> IntegrationConnection {
    let condition = |type_: &str, reason: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": Timestamp::UNIX_EPOCH})
    };
    let mut object = json!({
        "metadata": {"name": "mail", "namespace": "team-a", "uid": "u", "generation": 2},
        "spec": {"provider": "github", "owner": "alice"},
        "status": {
            "observedGeneration": 2,
            "grant": {"id": version(5).id, "revision": 5, "obtainedAt": Timestamp::UNIX_EPOCH},
            "conditions": [condition("Authorized", "Authorized"), condition("SecretPublished", "Published")],
        },
    });
    merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

/// What is seen where nothing is published yet; the grant is alice's, of account 1.
pub(super) fn observed(availability: Availability) -> ObservedBinding {
    let grant = serde_json::from_value(json!({
        "credential": {"apiKey": {"apiKey": "k"}},
        "obtainedAt": Timestamp::UNIX_EPOCH,
        "boundTo": {"owner": "alice", "authority": "https://provider.example", "account": {"id": "1"}},
    }));
    let is_there = matches!(availability, Availability::Available(_));
    let grant = GrantInUse { grant: Arc::new(grant.unwrap()), version: version(5) };
    ObservedBinding {
        uid: "b".into(),
        namespace: "x".into(),
        name: "post".into(),
        availability,
        grant: is_there.then_some(grant),
        secret: None,
        written: None,
        target: is_there.then(|| target("github")),
        delivery: Coalesced { told: None, rest_at: None },
        takes_anothers_name: false,
    }
}
