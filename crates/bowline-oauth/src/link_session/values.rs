//! What the placeholders of calls stand for.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::request::RequestError;
use super::super::tokens::Tokens;
use crate::catalog::Description;

/// What is kept of a session until the person is back.
#[derive(Serialize, Deserialize)]
struct KeptSession {
    repairs: bool,
    values: BTreeMap<String, String>,
}

/// What placeholders stand for.
#[derive(Default)]
pub(super) struct PlaceholderValues(pub(super) BTreeMap<String, SecretString>);

impl PlaceholderValues {
    pub(super) fn of_grant(Tokens { refresh, access, account }: Tokens<'_>) -> Self {
        let mut values = Self::default();
        let account = account.map(SecretString::from);
        let named =
            [("refresh_token", refresh.cloned()), ("access_token", access.cloned()), ("account_id", account)];
        values.0.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        values
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<SecretString>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(super) fn want(&mut self, description: &Description, scopes: &[String]) {
        if let Some(scopes) = description.scopes.joined(scopes) {
            self.set("scopes", scopes);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// What was kept of a session, and whether it repairs a grant.
    pub(super) fn kept(text: &SecretString) -> Result<(bool, Self), RequestError> {
        let kept: KeptSession =
            serde_json::from_str(text.expose_secret()).map_err(|_| RequestError::Unbuildable)?;
        let values = kept.values.into_iter().map(|(name, value)| (name, value.into()));
        Ok((kept.repairs, Self(values.collect())))
    }

    pub(super) fn keep(&self, repairs: bool) -> Result<SecretString, RequestError> {
        let values = self.0.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        let kept = KeptSession { repairs, values: values.collect() };
        serde_json::to_string(&kept).map(SecretString::from).map_err(|_| RequestError::Unbuildable)
    }

    /// As the answer of a token endpoint.
    pub(super) fn document(&self) -> Value {
        let fields = self.0.iter().map(|(name, value)| (name.clone(), value.expose_secret().into()));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}
