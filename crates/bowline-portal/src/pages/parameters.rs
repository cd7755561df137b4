//! Parameters that a provider leaves to connections, for example a tenant, as fields made from the catalogue's schema.

use std::collections::BTreeMap;

use bowline_api::{IntegrationConnection, IntegrationProvider};
use bowline_oauth::catalog::{
    self,
    parameter::{Parameter, ParameterKind, SetBy},
};

use crate::visit::Fields;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParameterField {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) description: String,
    /// Empty for a text field.
    pub(crate) choices: Vec<String>,
    pub(crate) default: Option<String>,
    pub(crate) example: Option<String>,
    pub(crate) required: bool,
    /// The value, and what is wrong with it.
    pub(crate) value: String,
    pub(crate) wrong: Option<String>,
}

/// The parameters that this provider leaves to connections.
fn open(provider: &IntegrationProvider) -> BTreeMap<String, Parameter> {
    let entry = catalog::entry_of(&provider.spec).ok();
    let mut open = entry.map(|entry| entry.parameters.clone()).unwrap_or_default();
    open.retain(|name, parameter| {
        parameter.settable_by == SetBy::Connection && !provider.spec.parameters.contains_key(name)
    });
    open
}

/// The fields with their values; after the form was `sent`, also with what is wrong with each value.
pub(crate) fn fields(
    provider: &IntegrationProvider,
    typed: &BTreeMap<String, String>,
    sent: bool,
) -> Vec<ParameterField> {
    let one = |(name, parameter): (&String, &Parameter)| ParameterField {
        wrong: sent.then(|| flaw(parameter, typed.get(name))).flatten(),
        ..field(name, parameter, typed.get(name))
    };
    open(provider).iter().map(one).collect()
}

fn field(name: &str, parameter: &Parameter, typed: Option<&String>) -> ParameterField {
    let is_choice = parameter.kind == ParameterKind::Choice;
    ParameterField {
        name: name.to_owned(),
        label: label(name),
        description: parameter.description.clone(),
        choices: if is_choice { parameter.choices.clone() } else { Vec::new() },
        default: parameter.default.clone(),
        example: parameter.example.clone(),
        required: is_needed(parameter),
        value: typed.cloned().unwrap_or_default(),
        wrong: None,
    }
}

fn is_needed(parameter: &Parameter) -> bool {
    parameter.required && parameter.default.is_none()
}

/// The values in a form that are not empty.
pub(crate) fn typed(provider: &IntegrationProvider, form: &Fields) -> BTreeMap<String, String> {
    let one = |name: String| {
        let value = form.filled(&format!("parameter.{name}")).map(str::to_owned);
        value.map(|value| (name, value))
    };
    open(provider).into_keys().filter_map(one).collect()
}

fn flaw(parameter: &Parameter, value: Option<&String>) -> Option<String> {
    let Some(value) = value else {
        return is_needed(parameter).then(|| "This field is required.".to_owned());
    };
    parameter.check(value).err().map(|rule| capitalized(&rule.to_string()) + ".")
}

/// The parameters of an existing connection, which cannot be changed.
pub(crate) fn settled(
    provider: Option<&IntegrationProvider>,
    connection: &IntegrationConnection,
) -> Vec<ParameterField> {
    let set = &connection.spec.parameters;
    let mut shown = provider.map(|provider| fields(provider, set, false)).unwrap_or_default();
    let others = set.iter().filter(|(name, _)| !shown.iter().any(|field| field.name == **name));
    let field = |(name, value): (&String, &String)| ParameterField {
        name: name.clone(),
        label: label(name),
        description: "This provider does not let connections set this value.".to_owned(),
        value: value.clone(),
        ..ParameterField::default()
    };
    let others: Vec<ParameterField> = others.map(field).collect();
    shown.extend(others);
    shown
}

/// `shop_name` becomes `Shop name`.
fn label(name: &str) -> String {
    capitalized(&name.replace(['_', '-'], " "))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn microsoft(parameters: &serde_json::Value) -> IntegrationProvider {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationProvider", "metadata": {"name": "entra"},
            "spec": {"type": "microsoft", "parameters": parameters},
        }))
        .unwrap()
    }

    fn values(tenant: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("tenant".to_owned(), tenant.to_owned())])
    }

    #[test]
    fn only_what_the_provider_leaves_open_is_asked_for() {
        let open = fields(&microsoft(&json!({})), &values("contoso.com"), false);
        assert_eq!(
            (open.len(), open[0].label.as_str(), open[0].value.as_str()),
            (1, "Tenant", "contoso.com")
        );
        assert_eq!(open[0].default.as_deref(), Some("common"));
        assert!(fields(&microsoft(&json!({"tenant": "contoso.com"})), &BTreeMap::new(), true).is_empty());
    }

    #[test]
    fn a_wrong_value_is_told_in_the_schemas_own_words() {
        let wrong = |values: &BTreeMap<String, String>, sent| {
            fields(&microsoft(&json!({})), values, sent)[0].wrong.clone()
        };
        assert_eq!(wrong(&values("contoso.com"), true), None);
        assert_eq!(wrong(&BTreeMap::new(), true), None, "there is a default");
        assert_eq!(wrong(&values("a/b"), false), None, "nothing was sent yet");
        let wrong = wrong(&values("a/b"), true).unwrap();
        assert!(wrong.starts_with("It must be one path segment: letters, digits"), "{wrong}");
        assert!(!wrong.contains("a/b") && wrong.ends_with('.'), "{wrong}");
    }

    #[test]
    fn a_choice_is_one_of_the_choices_and_what_is_needed_must_be_there() {
        let parameter: Parameter = serde_json::from_value(json!({
            "description": "Where.", "kind": "Choice", "choices": ["eu", "us"], "required": true,
            "settableBy": "Connection",
        }))
        .unwrap();
        assert_eq!(field("region", &parameter, None).choices, ["eu", "us"]);
        let flaw = |value: Option<&str>| flaw(&parameter, value.map(ToOwned::to_owned).as_ref());
        assert_eq!(flaw(Some("eu")), None);
        assert_eq!(flaw(Some("mars")).unwrap(), "It must be one of the values that the catalogue names.");
        assert_eq!(flaw(None).unwrap(), "This field is required.");
    }
}
