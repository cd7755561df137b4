//! Parameters that decide a setting: their values take the place of what the entry says.

use url::Url;

use super::description::Description;
use super::entry::{Entry, ScopeParameter};
use super::parameter::Setting;
use super::pointer::{Pointer, Pointers};
use super::protocol::{AccountPaths, ClientAuth, Encoding};

/// Applies each parameter of the entry that decides a setting and has a value. Values were judged before.
pub(super) fn apply<'a>(
    entry: &Entry,
    description: &mut Description,
    value: impl Fn(&str) -> Option<&'a str>,
) {
    for (name, parameter) in &entry.parameters {
        if let (Some(setting), Some(value)) = (parameter.sets, value(name)) {
            set(description, setting, value);
        }
    }
}

fn set(description: &mut Description, setting: Setting, value: &str) {
    match setting {
        Setting::ClientAuth => description.client_auth = client_auth(value).into_iter().collect(),
        Setting::Encoding => {
            description.token_request.encoding =
                if value == "json" { Encoding::Json } else { Encoding::Form };
        }
        Setting::ScopeSeparator => description.scopes.separator = Some(separator(value).to_owned()),
        Setting::ScopeParameter => {
            description.authorize.scope_parameter =
                if value == "user_scope" { ScopeParameter::UserScope } else { ScopeParameter::Scope };
        }
        Setting::AccountId => set_path(description, value, |account, path| account.id = vec![path]),
        Setting::AccountName => set_path(description, value, |account, path| account.name = path),
        Setting::AccountEmail => set_path(description, value, |account, path| account.email = path),
        Setting::KeyHeader => {
            if let Some(key) = &mut description.key {
                value.clone_into(&mut key.header);
            }
        }
        Setting::KeyScheme => {
            if let Some(key) = &mut description.key {
                key.scheme = (value != "none").then(|| value.to_owned());
            }
        }
        Setting::ValidateUrl => {
            if let Some(validate) = description.key.as_mut().and_then(|key| key.validate.as_mut()) {
                validate.url = Url::parse(value).ok();
            }
        }
    }
}

fn client_auth(value: &str) -> Option<ClientAuth> {
    match value {
        "basic" => Some(ClientAuth::Basic),
        "post" => Some(ClientAuth::Post),
        "none" => Some(ClientAuth::None),
        _ => None,
    }
}

fn separator(value: &str) -> &'static str {
    match value {
        "comma" => ",",
        "plus" => "+",
        _ => " ",
    }
}

/// Sets a path wherever the account is read: in the user info, and in the answer to a key's check.
fn set_path(description: &mut Description, value: &str, set: impl Fn(&mut AccountPaths, Pointers)) {
    let Ok(path) = value.parse::<Pointer>() else { return };
    if let Some(identity) = &mut description.identity {
        set(&mut identity.account, path.clone().into());
    }
    if let Some(validate) = description.key.as_mut().and_then(|key| key.validate.as_mut()) {
        set(&mut validate.account, path.into());
    }
}
