//! Reading a Secret with an app registration, and the command that helps where it cannot be used. Pure.
//!
//! A client secret goes only where whoever wrote the Secret says: any Secret may have a key `client_id`, and whoever edits a
//! provider object names both the Secret and the address it is sent to.

use std::collections::BTreeMap;

use bowline_api::names::TYPE_APP;
use bowline_api::reason::quoted;
use bowline_oauth::app::{App, AppError, HOSTS, OtherPurpose, PROVIDERS};
use bowline_oauth::catalog::Description;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

/// An app Secret by its name, and the provider for which it is needed. What its methods return as errors are sentences.
pub(crate) struct AppSecret<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) description: &'a Description,
}

impl AppSecret<'_> {
    /// What to say if there is none.
    pub(crate) fn missing(&self) -> String {
        let Self { name, namespace, .. } = self;
        format!("There is no Secret {name} in namespace {namespace}. Create it: {}.", self.create())
    }

    pub(crate) fn read(&self, secret: &Secret) -> Result<App, String> {
        let none = BTreeMap::new();
        let read = App::read(secret.type_.as_deref(), secret.data.as_ref().unwrap_or(&none));
        read.map_err(|error| match error {
            AppError::WrongType => {
                let type_ = secret.type_.as_deref().unwrap_or_default();
                let Self { name, namespace, .. } = self;
                self.unusable(&format!(
                    "it has the type {type_} instead of {TYPE_APP}, and a type cannot be changed. Create it again: kubectl delete secret {name} -n {namespace} && {}",
                    self.create()
                ))
            }
            AppError::NoPurpose => {
                self.unusable(&format!("{error}. Say it: {}", self.patch(PROVIDERS, &self.description.provider)))
            }
            error => self.unusable(&error.to_string()),
        })
    }

    /// Whether the registration may be sent where the description says.
    pub(crate) fn admitted(&self, app: &App) -> Result<(), String> {
        app.purpose.admits(self.description).map_err(|other| {
            let (key, words) = match &other {
                OtherPurpose::Provider { named, provider } => {
                    (PROVIDERS, named.iter().chain([provider]).map(String::as_str).collect::<Vec<_>>())
                }
                OtherPurpose::Hosts { named, hosts } => {
                    (HOSTS, named.iter().chain(hosts).map(String::as_str).collect())
                }
            };
            let patch = self.patch(key, &words.join(","));
            self.unusable(&format!("{other}. If it may be sent there: {patch}"))
        })
    }

    pub(crate) fn unusable(&self, what: &str) -> String {
        format!("Secret {} in namespace {} cannot be used: {what}.", self.name, self.namespace)
    }

    fn create(&self) -> String {
        let Self { name, namespace, description } = self;
        let (provider, proof) = (&description.provider, App::proof_arguments(description));
        format!(
            "kubectl create secret generic {name} -n {namespace} --type={TYPE_APP} --from-literal={PROVIDERS}={provider} --from-literal=client_id=ID {proof}"
        )
    }

    fn patch(&self, key: &str, words: &str) -> String {
        let patch = quoted(&json!({"stringData": {key: words}}).to_string());
        format!("kubectl patch secret {} -n {} --type=merge -p {patch}", self.name, self.namespace)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::grant::fixtures::target;

    fn secret(type_: &str, keys: &[(&str, &str)]) -> Secret {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()));
        let data = Some(keys.iter().map(entry).collect());
        Secret { type_: Some(type_.to_owned()), data, ..Secret::default() }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_command_that_helps() {
        let (plain, certified) = (target("generic-oauth2"), target("ponto"));
        let of = |target| AppSecret { name: "crm-app", namespace: "bowline-system", description: target };
        let app_secret = of(plain.description());
        let said = |type_: &str, keys| app_secret.read(&secret(type_, keys)).unwrap_err();
        let keys = &[("client_id", "id"), ("client_secret", "canary"), ("providers", "other")];
        let create = "kubectl create secret generic crm-app -n bowline-system --type=bowline.dev/app --from-literal=providers=p";
        let missing = app_secret.missing();
        assert!(
            missing.contains(create) && missing.contains("--from-literal=client_secret=SECRET"),
            "{missing}"
        );
        let missing = of(certified.description()).missing();
        assert!(missing.contains("--from-file=tls.crt=FILE") && !missing.contains("SECRET"), "{missing}");
        let said_of_type = said("Opaque", keys);
        assert!(said_of_type.contains("has the type Opaque instead of bowline.dev/app"), "{said_of_type}");
        assert!(said_of_type.contains("kubectl delete secret crm-app") && said_of_type.contains(create));
        let patch = r#"kubectl patch secret crm-app -n bowline-system --type=merge -p '{"stringData":{"providers":"p"}}'"#;
        assert!(said(TYPE_APP, &keys[..2]).contains(patch));
        let app = app_secret.read(&secret(TYPE_APP, keys)).unwrap();
        let said = app_secret.admitted(&app).unwrap_err();
        assert!(
            said.contains("does not name p, but other") && said.contains(r#"{"providers":"other,p"}"#),
            "{said}"
        );
        let hosts = [("client_id", "id"), ("hosts", "p.example.org")];
        let app = app_secret.read(&secret(TYPE_APP, &hosts)).unwrap();
        let said = app_secret.admitted(&app).unwrap_err();
        assert!(said.contains(r#"{"hosts":"p.example.org,p.example"}"#), "{said}");
    }
}
