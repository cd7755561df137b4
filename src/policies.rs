//! Whether the shipped admission policies are in force: each is there and bound, denies, and does what it did when it was
//! shipped.
//!
//! Ownership is enforced by them alone. What is changed while one is missing looks like any other change afterwards, so no new
//! grant is taken in meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_runtime::follow::Cache;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ParamKind, ParamRef, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicySpec, Variable,
};
use kube::runtime::reflector::ObjectRef;
use serde::Deserialize;
use serde_json::Value;

macro_rules! shipped {
    ($($file:literal),+ $(,)?) => {
        /// Name and text of each file with a policy and its binding.
        const FILES: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../deploy/admission/", $file)))),+];
    };
}

shipped![
    "acting-user-is-audited.yaml",
    "binding-needs-use.yaml",
    "config-is-small.yaml",
    "connection-namespaces.yaml",
    "deletion-is-the-owners.yaml",
    "dependents-hold-deletion.yaml",
    "exchange-is-the-accounts.yaml",
    "intake-is-sealed.yaml",
    "metadata-is-small.yaml",
    "named-secrets-are-readable.yaml",
    "operator-annotates-pods.yaml",
    "operator-exchanges-tokens.yaml",
    "operator-finalizers.yaml",
    "operator-records.yaml",
    "operator-roles.yaml",
    "operator-secret-labels.yaml",
    "operator-shares.yaml",
    "operator-status.yaml",
    "operator-writes-no-spec.yaml",
    "owner-is-the-caller.yaml",
    "owner-stays.yaml",
    "portal-secrets.yaml",
    "sharing-needs-share.yaml",
    "spec-is-the-owners.yaml",
    "terms-by-is-the-caller.yaml",
    "workspace-keeps-an-admin.yaml",
    "workspace-limits.yaml",
    "workspace-namespaces.yaml",
];

/// A shipped policy could not be parsed: a fault of this build, which a test would show.
#[derive(Debug, thiserror::Error)]
#[error("the shipped policies cannot be read")]
pub struct ShippedPolicyError(#[from] serde_yaml::Error);

/// A policy as it is shipped, with its binding.
struct ShippedPolicy {
    name: String,
    policy: PolicyRules,
    binding: BindingRules,
}

/// What a policy does, without its words: messages may be translated.
#[derive(Debug, Default, PartialEq)]
struct PolicyRules {
    fails_closed: bool,
    parameters: Option<ParamKind>,
    matches: MatchResources,
    conditions: Vec<MatchCondition>,
    variables: Vec<Variable>,
    validations: Vec<String>,
}

#[derive(Debug, Default, PartialEq)]
struct BindingRules {
    policy: String,
    denies: bool,
    parameters: Option<ParamRef>,
    matches: MatchResources,
}

pub(crate) struct Policies {
    shipped: Vec<ShippedPolicy>,
    installed: Cache<ValidatingAdmissionPolicy>,
    bindings: Cache<ValidatingAdmissionPolicyBinding>,
    /// The names of those that are not in force; `None` until they were looked at.
    missing: Mutex<Option<Arc<[String]>>>,
}

impl Policies {
    /// `namespaces`: the operator's own and that of attempts, by which the policies know it.
    pub(crate) fn new(
        namespaces: [&str; 2],
        installed: Cache<ValidatingAdmissionPolicy>,
        bindings: Cache<ValidatingAdmissionPolicyBinding>,
    ) -> Result<Self, ShippedPolicyError> {
        Ok(Self { shipped: shipped(namespaces)?, installed, bindings, missing: Mutex::default() })
    }

    /// The names of those that are not in force. What was not seen is not in force.
    pub(crate) fn missing(&self) -> Arc<[String]> {
        let missing = self.lock().clone();
        missing.unwrap_or_else(|| self.shipped.iter().map(|shipped| shipped.name.clone()).collect())
    }

    pub(crate) fn was_looked_at(&self) -> bool {
        self.lock().is_some()
    }

    /// Looks at them again; returns those that are not in force, if that differs from the last look.
    pub(crate) fn look(&self) -> Option<Arc<[String]>> {
        let missing: Arc<[String]> = self
            .shipped
            .iter()
            .filter(|shipped| !self.is_in_force(shipped))
            .map(|shipped| shipped.name.clone())
            .collect();
        let before = self.lock().replace(Arc::clone(&missing));
        (before.as_ref() != Some(&missing)).then_some(missing)
    }

    /// Returns once both kinds were listed.
    pub(crate) async fn wait_listed(&self) {
        self.installed.wait_listed().await;
        self.bindings.wait_listed().await;
    }

    fn is_in_force(&self, shipped: &ShippedPolicy) -> bool {
        let policy = self.installed.get(&ObjectRef::new(&shipped.name));
        let binding = self.bindings.get(&ObjectRef::new(&shipped.name));
        policy.is_some_and(|policy| PolicyRules::of(&policy) == shipped.policy)
            && binding.is_some_and(|binding| BindingRules::of(&binding) == shipped.binding)
    }

    // A panic elsewhere cannot leave it half changed, so a poisoned lock is as good as a healthy one.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<[String]>>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shipped([own, attempts]: [&str; 2]) -> Result<Vec<ShippedPolicy>, ShippedPolicyError> {
    let mut all = Vec::new();
    for (_, text) in FILES {
        let text = text.replace("bowline-system", own).replace("bowline-attempts", attempts);
        let mut shipped = ShippedPolicy {
            name: String::new(),
            policy: PolicyRules::default(),
            binding: BindingRules::default(),
        };
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document)?;
            if object["kind"] == "ValidatingAdmissionPolicy" {
                let policy: ValidatingAdmissionPolicy = parsed(object)?;
                shipped.policy = PolicyRules::of(&policy);
                shipped.name = policy.metadata.name.unwrap_or_default();
            } else {
                shipped.binding = BindingRules::of(&parsed(object)?);
            }
        }
        all.push(shipped);
    }
    Ok(all)
}

fn parsed<T: serde::de::DeserializeOwned>(object: Value) -> Result<T, serde_yaml::Error> {
    serde_json::from_value(object).map_err(serde::de::Error::custom)
}

impl PolicyRules {
    fn of(policy: &ValidatingAdmissionPolicy) -> Self {
        let ValidatingAdmissionPolicySpec {
            // It only adds to the audit log.
            audit_annotations: _,
            failure_policy,
            match_conditions,
            match_constraints,
            param_kind,
            validations,
            variables,
        } = policy.spec.clone().unwrap_or_default();
        Self {
            fails_closed: failure_policy.is_none_or(|policy| policy == "Fail"),
            parameters: param_kind,
            matches: with_defaults(match_constraints),
            conditions: match_conditions.unwrap_or_default(),
            variables: variables.unwrap_or_default(),
            validations: validations.into_iter().flatten().map(|validation| validation.expression).collect(),
        }
    }
}

impl BindingRules {
    fn of(binding: &ValidatingAdmissionPolicyBinding) -> Self {
        let spec = binding.spec.clone().unwrap_or_default();
        Self {
            policy: spec.policy_name.unwrap_or_default(),
            denies: spec.validation_actions.iter().flatten().any(|action| action == "Deny"),
            parameters: spec.param_ref,
            matches: with_defaults(spec.match_resources),
        }
    }
}

/// What the API server fills in.
fn with_defaults(matches: Option<MatchResources>) -> MatchResources {
    let matches = matches.unwrap_or_default();
    let rules = |rules: Option<Vec<NamedRuleWithOperations>>| {
        let mut rules = rules.unwrap_or_default();
        for rule in &mut rules {
            rule.scope.get_or_insert_with(|| "*".to_owned());
        }
        Some(rules)
    };
    MatchResources {
        exclude_resource_rules: rules(matches.exclude_resource_rules),
        resource_rules: rules(matches.resource_rules),
        match_policy: Some(matches.match_policy.unwrap_or_else(|| "Equivalent".to_owned())),
        namespace_selector: Some(matches.namespace_selector.unwrap_or_default()),
        object_selector: Some(matches.object_selector.unwrap_or_default()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bowline_runtime::follow::Parsed;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    /// As `kubectl apply -k deploy/` leaves them in a cluster, after `edit` of each object.
    fn installed(edit: impl Fn(&mut Value)) -> Policies {
        let (policies, bindings) = (Cache::default(), Cache::default());
        let mut version = 0;
        for (_, text) in FILES {
            for document in serde_yaml::Deserializer::from_str(text) {
                let mut object = Value::deserialize(document).unwrap();
                edit(&mut object);
                version += 1;
                object["metadata"]["uid"] = json!(format!("u{version}"));
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                if object["kind"] == "ValidatingAdmissionPolicy" {
                    policies.take(Event::Apply(Parsed(Ok(serde_json::from_value(object).unwrap()))));
                } else if object["kind"] == "ValidatingAdmissionPolicyBinding" {
                    bindings.take(Event::Apply(Parsed(Ok(serde_json::from_value(object).unwrap()))));
                }
            }
        }
        Policies::new(["bowline-system", "bowline-attempts"], policies, bindings).unwrap()
    }

    type Edit<'a> = &'a dyn Fn(&mut Value);

    fn missing_after(name: &str, edit: impl Fn(&mut Value)) -> Vec<String> {
        let policies = installed(|object| {
            if object["metadata"]["name"] == name {
                edit(object);
            }
        });
        policies.look().unwrap().to_vec()
    }

    /// The list is that of the folder and of its kustomization, so none can be forgotten here.
    #[test]
    fn every_shipped_file_is_looked_at() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/admission");
        let names = std::fs::read_dir(&folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<_> = names.filter(|name| name != "kustomization.yaml").collect();
        let known: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(known, there);
        let kustomization = std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
        for name in &known {
            assert!(kustomization.contains(&format!("- {name}")), "{name} is not installed");
        }
        for shipped in shipped(["bowline-system", "bowline-attempts"]).unwrap() {
            assert!(shipped.name.starts_with("bowline-") && shipped.binding.policy == shipped.name);
            assert!(shipped.policy.fails_closed && shipped.binding.denies, "{}", shipped.name);
        }
    }

    #[test]
    fn what_is_installed_as_shipped_is_in_force_and_told_once() {
        let policies = installed(|_| {});
        assert_eq!(policies.missing().len(), FILES.len(), "nothing was looked at yet");
        assert_eq!(policies.look().as_deref(), Some(&[][..]));
        assert_eq!(policies.look(), None);
        assert!(policies.missing().is_empty());
    }

    #[test]
    fn each_way_to_make_a_policy_harmless_is_noticed() {
        let own = "bowline-owner-stays";
        let is = |kind: &str, object: &Value| object["kind"] == kind;
        let (policy, binding) = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding");
        let edits: &[(&str, &str, Edit)] = &[
            ("the policy is gone", policy, &|it| it["kind"] = json!("Gone")),
            ("the binding is gone", binding, &|it| it["kind"] = json!("Gone")),
            ("it only warns", binding, &|it| it["spec"]["validationActions"] = json!(["Warn", "Audit"])),
            ("it binds another", binding, &|it| it["spec"]["policyName"] = json!("other")),
            ("it is bound to few", binding, &|it| {
                it["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"x": "y"}}});
            }),
            ("it fails open", policy, &|it| it["spec"]["failurePolicy"] = json!("Ignore")),
            ("it matches less", policy, &|it| {
                it["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE"]);
            }),
            ("it excludes some", policy, &|it| {
                let rules = it["spec"]["matchConstraints"]["resourceRules"].clone();
                it["spec"]["matchConstraints"]["excludeResourceRules"] = rules;
            }),
            ("it is skipped", policy, &|it| {
                it["spec"]["matchConditions"] = json!([{"name": "never", "expression": "false"}]);
            }),
            ("it allows all", policy, &|it| it["spec"]["validations"][0]["expression"] = json!("true")),
        ];
        for (sentence, kind, edit) in edits {
            let missing = missing_after(own, |object| {
                if is(kind, object) {
                    edit(object);
                }
            });
            assert_eq!(missing, [own], "{sentence}");
        }
        let narrowed = missing_after("bowline-workspace-limits", |object| {
            if is(binding, object) {
                object["spec"]["paramRef"]["selector"] = json!({"matchLabels": {"x": "y"}});
            }
        });
        assert_eq!(narrowed, ["bowline-workspace-limits"], "it asks few workspaces");
        let spoken = missing_after(own, |object| {
            if is(policy, object) {
                object["spec"]["validations"][0]["message"] = json!("nein");
                object["spec"]["matchConstraints"]["matchPolicy"] = json!("Equivalent");
            }
        });
        assert!(spoken.is_empty(), "words and defaults are no difference");
    }
}
