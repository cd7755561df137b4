//! `ConnectionBinding`: a workflow's choice of a connection, with a Secret of its own.
#![allow(clippy::duplicated_attributes, reason = "columns of one type repeat `type_`")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_with::skip_serializing_none;

use super::ConsumerConfig;
use super::condition::{ConditionType, Conditioned};
use super::connection::PublishedSecret;
use super::delivery::LastDelivery;
use super::open::Open;

/// A workflow's choice of a connection: one of its own namespace, or one that is shared with it.
///
/// It publishes a Secret of its own, with the connection's present token and its own settings.
#[skip_serializing_none]
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "ConnectionBinding",
    namespaced,
    status = "ConnectionBindingStatus",
    shortname = "cb",
    category = "bowline",
    derive = "PartialEq",
    doc = "A workflow's choice of a connection. A Secret beside it holds a fresh access token and the workflow's settings.",
    selectable = ".spec.connection",
    printcolumn(name = "Connection", type_ = "string", json_path = ".spec.connection"),
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workload.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName"),
    printcolumn(
        name = "Last used",
        type_ = "date",
        json_path = ".status.lastUsedAt",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionBindingSpec {
    /// Id of the connection, `<namespace>.<name>`: one of this namespace, or one that is shared with it. Required. Naming it needs
    /// the verb `use` on that connection, or on its share in this namespace.
    #[schemars(
        length(min = 3, max = 127),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?[.][a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub connection: String,

    /// The workload that uses it, for people and lists. Nothing is looked up. Absent means that it is not known.
    pub workload: Option<BoundWorkload>,

    /// Settings of the workload, up to 64 and up to 16 KiB as JSON: a repository, a channel, a database. They override the
    /// connection's, one by one (RFC 7396: `null` removes one), and are published as `config.json`. They are not secret. Where the
    /// provider's entry names settings, there are no others. Absent means the connection's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub config: ConsumerConfig,

    /// The Secret that is published in this namespace. Absent means a Secret with the binding's name and the keys of format Raw.
    pub secret: Option<PublishedSecret>,

    /// The connection that is accepted instead of the one in `status.pinned`: after it was created again under the same id, given
    /// to another owner, or connected with another account. It counts only while it is exactly what is there; the condition
    /// says what to write. Absent means that only the pinned one is used.
    pub accept: Option<PinnedConnection>,
}

/// What uses a connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BoundWorkload {
    /// Its API group and version, such as `batch/v1`. Required.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Its kind, such as `CronJob`. Required.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name. Required.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which connection of an id, whose, and with which account.
#[skip_serializing_none]
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PinnedConnection {
    /// UID of the connection. Required.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Its owner. Required.
    #[schemars(length(min = 1, max = 253))]
    pub owner: String,
    /// The provider's id of its account. Absent means that the provider names none.
    #[schemars(length(min = 1, max = 253))]
    pub account_id: Option<String>,
}

impl PinnedConnection {
    /// Whether `now` is the same connection of the same owner with the same account. An account that is not known is no other.
    pub fn is_still(&self, now: &Self) -> bool {
        let same_account = match (&self.account_id, &now.account_id) {
            (Some(pinned), Some(now)) => pinned == now,
            _ => true,
        };
        (&self.uid, &self.owner) == (&now.uid, &now.owner) && same_account
    }
}

/// What is published for the workload.
#[skip_serializing_none]
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionBindingStatus {
    /// The one word for people.
    pub phase: Option<Open<BindingPhase>>,
    /// The connection's provider.
    pub provider: Option<String>,
    /// The settings that are published.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(extend("additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub effective_config: ConsumerConfig,
    /// Name of the Secret to mount. Absent while there is none.
    pub secret_name: Option<String>,
    /// The id that was bound; `pinned` and `boundAt` are about it.
    pub connection: Option<String>,
    /// The connection that was bound under that id. Another one is published only once the binding accepts it.
    pub pinned: Option<PinnedConnection>,
    /// Since when that one is bound.
    pub bound_at: Option<Time>,
    /// When its workload last reported that it used the token, to the minute. Absent while it never did.
    pub last_used_at: Option<Time>,
    /// What the workload reported then. A change shows at once, and the next one a minute later.
    pub last_delivery: Option<LastDelivery>,
    /// The generation that this status is about.
    pub observed_generation: Option<i64>,
    /// Ready; Delivered where the workload reports its deliveries; and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The one word for people.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(transform = crate::schema::undescribed)]
pub enum BindingPhase {
    /// Nothing usable is published, and that may change without its author.
    Pending,
    /// Its Secret holds a valid token.
    Bound,
    /// Nothing changes until a person acts.
    Error,
}

impl ConnectionBinding {
    /// The name of its Secret.
    pub fn secret_name(&self) -> String {
        let chosen = self.spec.secret.as_ref().and_then(|secret| secret.name.clone());
        chosen.unwrap_or_else(|| self.name_any())
    }

    /// Whether pods that mount its Secret learn of each change at once.
    pub fn nudges(&self) -> bool {
        self.spec.secret.as_ref().and_then(|secret| secret.nudge).unwrap_or_default()
    }

    /// The connection whose token its Secret holds now, and its id. Whose binding that is makes no difference.
    pub fn depends_on(&self) -> Option<(&str, &PinnedConnection)> {
        let holds_token = self.is(ConditionType::Ready) && self.metadata.deletion_timestamp.is_none();
        let pinned = self.pinned().filter(|_| holds_token)?;
        Some((&self.spec.connection, pinned))
    }

    /// What its workload reported last.
    pub fn last_delivery(&self) -> Option<&LastDelivery> {
        self.status.as_ref()?.last_delivery.as_ref()
    }

    /// The connection that was bound, if it was bound under the id that the spec names.
    pub fn pinned(&self) -> Option<&PinnedConnection> {
        let status = self.status.as_ref()?;
        status.pinned.as_ref().filter(|_| status.connection.as_ref() == Some(&self.spec.connection))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_known_difference_makes_another_connection() {
        let pinned = |uid: &str, owner: &str, account: Option<&str>| PinnedConnection {
            uid: uid.to_owned(),
            owner: owner.to_owned(),
            account_id: account.map(ToOwned::to_owned),
        };
        let first = pinned("1", "alice", Some("a"));
        for (now, still) in [
            (pinned("1", "alice", Some("a")), true),
            (pinned("1", "alice", None), true),
            (pinned("2", "alice", Some("a")), false),
            (pinned("1", "bob", Some("a")), false),
            (pinned("1", "alice", Some("b")), false),
        ] {
            assert_eq!(first.is_still(&now), still, "{now:?}");
        }
        assert!(pinned("1", "alice", None).is_still(&first));
    }

    #[test]
    fn a_pin_counts_for_the_id_it_was_made_for() {
        let mut binding: ConnectionBinding = serde_json::from_value(json!({
            "metadata": {"name": "b"}, "spec": {"connection": "team-a.mail"},
            "status": {"connection": "team-a.mail", "pinned": {"uid": "1", "owner": "alice"}},
        }))
        .unwrap();
        assert_eq!(binding.pinned().unwrap().uid, "1");
        assert_eq!(binding.secret_name(), "b");
        binding.spec.connection = "team-a.chat".to_owned();
        assert_eq!(binding.pinned(), None);
    }

    #[test]
    fn a_binding_depends_on_the_connection_whose_token_its_secret_holds() {
        let binding = |ready: &str, change: fn(&mut ConnectionBinding)| {
            let condition = json!({"type": "Ready", "status": ready, "reason": "Bound", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let mut binding: ConnectionBinding = serde_json::from_value(json!({
                "metadata": {"name": "b"}, "spec": {"connection": "team-a.mail"},
                "status": {"connection": "team-a.mail", "pinned": {"uid": "1", "owner": "alice"},
                    "conditions": [condition]},
            }))
            .unwrap();
            change(&mut binding);
            binding.depends_on().map(|(id, pinned)| (id.to_owned(), pinned.uid.clone()))
        };
        assert_eq!(binding("True", |_| {}), Some(("team-a.mail".to_owned(), "1".to_owned())));
        assert_eq!(binding("False", |_| {}), None, "it waits, so nothing of it ends");
        assert_eq!(binding("True", |it| it.spec.connection = "team-a.chat".to_owned()), None);
        assert_eq!(binding("True", |it| it.status = None), None);
        let leave =
            |it: &mut ConnectionBinding| it.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(binding("True", leave), None, "it is going itself");
    }
}
