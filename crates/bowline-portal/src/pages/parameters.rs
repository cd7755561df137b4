//! What a provider leaves to each connection, a tenant for example: a field for each, from the catalogue's schema.

use std::collections::BTreeMap;

use bowline_api::{IntegrationConnection, IntegrationProvider};
use bowline_oauth::catalog::{
    self,
    parameter::{Parameter, ParameterKind, SettableBy},
};

use super::super::form::Fields;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// One field of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the parameter.
    pub name: String,
    /// The same for people.
    pub label: String,
    /// What it means.
    pub description: String,
    /// What to choose from; empty where it is typed.
    pub choices: Vec<String>,
    /// What counts where nothing is given.
    pub default: Option<String>,
    /// A value that works.
    pub example: Option<String>,
    /// Whether it must be given.
    pub required: bool,
    /// What was typed, or is set.
    pub value: String,
    /// What is wrong with that.
    pub wrong: Option<String>,
}

/// What this provider leaves to connections.
fn open(provider: &IntegrationProvider) -> impl Iterator<Item = (&'static String, &'static Parameter)> {
    let entry = catalog::get(&provider.spec.type_);
    entry.into_iter().flat_map(|entry| &entry.parameters).filter(|(name, parameter)| {
        parameter.settable_by == SettableBy::Connection && !provider.spec.parameters.contains_key(*name)
    })
}

/// The fields for what this provider leaves to connections, with what was typed.
pub fn fields(provider: &IntegrationProvider, typed: &Values) -> Vec<Field> {
    open(provider).map(|(name, parameter)| field(name, parameter, typed.get(name))).collect()
}

fn field(name: &str, parameter: &Parameter, typed: Option<&String>) -> Field {
    let value = typed.cloned().unwrap_or_default();
    Field {
        name: name.to_owned(),
        label: label(name),
        description: parameter.description.clone(),
        choices: if parameter.kind == ParameterKind::Choice { parameter.choices.clone() } else { Vec::new() },
        default: parameter.default.clone(),
        example: parameter.example.clone(),
        required: is_needed(parameter),
        wrong: None,
        value,
    }
}

fn is_needed(parameter: &Parameter) -> bool {
    parameter.required && parameter.default.is_none()
}

/// What a form says of them; what was left empty is left out.
pub fn typed(provider: &IntegrationProvider, form: &Fields) -> Values {
    let one = |(name, _): (&String, &Parameter)| {
        form.filled(&format!("parameter.{name}")).map(|value| (name.clone(), value.to_owned()))
    };
    open(provider).filter_map(one).collect()
}

/// The fields, each with what is wrong about its value in the schema's own words. `None` if nothing is.
pub fn flawed(provider: &IntegrationProvider, typed: &Values) -> Option<Vec<Field>> {
    let judged: Vec<Field> = open(provider)
        .map(|(name, parameter)| Field {
            wrong: flaw(parameter, typed.get(name)),
            ..field(name, parameter, typed.get(name))
        })
        .collect();
    judged.iter().any(|field| field.wrong.is_some()).then_some(judged)
}

fn flaw(parameter: &Parameter, value: Option<&String>) -> Option<String> {
    let Some(value) = value else {
        return is_needed(parameter).then(|| "This one is needed.".to_owned());
    };
    parameter.check(value).err().map(|rule| sentence(&rule.to_string()))
}

/// What a connection has set, and what it could have set: for looking only, since it is decided once.
pub fn settled(provider: Option<&IntegrationProvider>, connection: &IntegrationConnection) -> Vec<Field> {
    let set = &connection.spec.parameters;
    let mut shown = provider.map(|provider| fields(provider, set)).unwrap_or_default();
    let of_others: Vec<_> = set
        .iter()
        .filter(|(name, _)| !shown.iter().any(|field| field.name == **name))
        .map(|(name, value)| foreign(name, value))
        .collect();
    shown.extend(of_others);
    shown
}

/// One that the provider does not leave to connections, or does not have at all.
fn foreign(name: &str, value: &str) -> Field {
    Field {
        name: name.to_owned(),
        label: label(name),
        description: "This provider leaves no such value to connections.".to_owned(),
        choices: Vec::new(),
        default: None,
        example: None,
        required: false,
        value: value.to_owned(),
        wrong: None,
    }
}

/// `shop_name` for people: `Shop name`.
fn label(name: &str) -> String {
    capitalized(&name.replace(['_', '-'], " "))
}

fn sentence(text: &str) -> String {
    capitalized(text) + "."
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

    fn values(tenant: &str) -> Values {
        Values::from([("tenant".to_owned(), tenant.to_owned())])
    }

    #[test]
    fn only_what_the_provider_leaves_open_is_asked_for() {
        let open = fields(&microsoft(&json!({})), &values("contoso.com"));
        assert_eq!(
            (open.len(), open[0].label.as_str(), open[0].value.as_str()),
            (1, "Tenant", "contoso.com")
        );
        assert_eq!(open[0].default.as_deref(), Some("common"));
        assert!(fields(&microsoft(&json!({"tenant": "contoso.com"})), &Values::new()).is_empty());
    }

    #[test]
    fn a_wrong_value_is_told_in_the_schemas_own_words() {
        let provider = microsoft(&json!({}));
        assert_eq!(flawed(&provider, &values("contoso.com")), None);
        assert_eq!(flawed(&provider, &Values::new()), None, "there is a default");
        let wrong = flawed(&provider, &values("a/b")).unwrap()[0].wrong.clone().unwrap();
        assert!(wrong.starts_with("It must be one path segment: letters, digits"), "{wrong}");
        assert!(!wrong.contains("a/b") && wrong.ends_with('.'), "{wrong}");
    }

    #[test]
    fn a_choice_is_one_of_the_choices_and_what_is_needed_must_be_there() {
        let parameter: Parameter = serde_json::from_value(json!({
            "description": "Where.", "kind": "choice", "choices": ["eu", "us"], "required": true,
            "settableBy": "connection",
        }))
        .unwrap();
        assert_eq!(field("region", &parameter, None).choices, ["eu", "us"]);
        let flaw = |value: Option<&str>| flaw(&parameter, value.map(ToOwned::to_owned).as_ref());
        assert_eq!(flaw(Some("eu")), None);
        assert_eq!(flaw(Some("mars")).unwrap(), "It must be one of the values that the catalogue names.");
        assert_eq!(flaw(None).unwrap(), "This one is needed.");
    }
}
