//! From files to entries: `extends`, defaults, and the rules that one file must keep.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bowline_api::connection::Method;
use serde_json::{Map, Value};

use super::assertion::Assertion;
use super::calls::{IdentitySource, Probe, RevokeStyle};
use super::entry::{CatalogEntry, Misfit};
use super::files::{DEFAULTS, FILES};
use super::issued_key::IssuedKeyFlaw;
use super::key_usage::KeyUsageFlaw;
use super::link_session::{LinkSession, SessionFlaw};
use super::login::LoginFlaw;
use super::merge::merge;
use super::parameter::{Parameter, ParameterKind, SetBy};
use super::protocol::Encoding;
use super::publish::PublishedFrom;
use super::template::{PlaceholderError, Template};
use super::webhook::{Webhook, WebhookEvent, WebhookScheme};
use crate::headers;

/// A catalogue file that cannot be used. `file` is its name without `.yaml`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("{file}.yaml: {source}")]
    Syntax { file: String, source: serde_yaml::Error },
    /// It has an unknown key or a value of the wrong shape.
    #[error("{file}.yaml: {source}")]
    Shape { file: String, source: Misfit },
    #[error("{file}.yaml: extends {parent}, which does not exist")]
    UnknownParent { file: String, parent: String },
    #[error("{file}.yaml: extends itself, by way of its parents")]
    Cycle { file: String },
    #[error("{file}.yaml: {flaw}")]
    Flawed { file: String, flaw: EntryFlaw },
}

/// A rule that the schema cannot express, and that an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryFlaw {
    #[error("displayName is missing")]
    NoName,
    #[error("methods is empty")]
    NoMethod,
    #[error(transparent)]
    BadTemplate(#[from] PlaceholderError),
    /// It has no parameter of its name, or that parameter decides a setting.
    #[error("{{{0}}} is no parameter that fills placeholders")]
    UnknownPlaceholder(String),
    /// It neither fills a placeholder nor decides a setting.
    #[error("parameters.{0} is used nowhere")]
    UnusedParameter(String),
    /// It is of a kind that only an administrator may set.
    #[error("parameters.{0} may not be set by connections")]
    TooFree(String),
    #[error("parameters.{0} is a text and stands in an address")]
    TextInAddress(String),
    #[error("the default of parameters.{0} is not allowed by itself")]
    BadDefault(String),
    /// Its path does not say where the value comes from.
    #[error("publish.{0}: a path begins with /answer/, /callback/, /userInfo/ or /call/")]
    UnknownSource(String),
    /// The user info has values to publish, and is not asked.
    #[error("publish.{0} is read in the user info, so identity.from needs Call")]
    UserInfoNotAsked(String),
    /// What the answer says is known before the call.
    #[error("identity.from: TokenResponse stands before Call, and so does App")]
    CallBeforeAnswer,
    /// There is no call to read it from.
    #[error("publish.{0} is read in the answer to a call, so publishCall.url is needed")]
    CallNotStated(String),
    /// Keys are not checked.
    #[error("publish.{0} is read in the answer to a key's check, so key.validate is needed")]
    CheckNotStated(String),
    /// It is a code or a state, or is read as it is.
    #[error("publish.{0} is a part of the callback that is not published")]
    SecretOfCallback(String),
    /// It is no key of a Secret, or one that is used for something else.
    #[error("publish.{0}: the key must have letters, digits, '-', '_' and '.', and be none of ours")]
    BadKey(String),
    #[error(transparent)]
    IssuedKey(#[from] IssuedKeyFlaw),
    #[error(transparent)]
    Session(#[from] SessionFlaw),
    #[error(transparent)]
    Key(#[from] KeyUsageFlaw),
    #[error("probe.every: from 10s to 168h")]
    ProbeInterval,
    #[error("scopes.parts: tokenRequest.encoding must be JSON")]
    PartsNeedJson,
    #[error("tokenRequest.assertion: lifetime is from 1s to 1h, and datedBack up to 1h")]
    AssertionTimes,
    #[error("tokenRequest.assertion.claims.{0} is set for each assertion")]
    OurClaim(String),
    /// One of the two says where the value is.
    #[error("webhook.{0} names a header or a place in the body, one of the two")]
    NoPlace(&'static str),
    /// A time that is not signed proves nothing, and neither does a signature of something else than the body.
    #[error("webhook.signs needs {{body}} once, and {{time}} if webhook.time is set")]
    BadSigned,
    #[error("webhook.scheme BodyDigestJWT says itself what is signed and when: signs and time are of no use")]
    SignsItself,
    /// It would match every message, or every account.
    #[error("webhook.events: each needs an account, and a header or a value of the body")]
    EventTooWide,
    #[error(transparent)]
    Login(#[from] LoginFlaw),
    /// It says where a request goes, who sends it, or how it is framed.
    #[error("the header {0} is not for descriptions to set")]
    OurHeader(String),
}

/// All entries by name.
///
/// # Panics
///
/// Never in a build that passed its tests: the files are compiled in, and a test loads them all.
#[allow(clippy::expect_used)]
pub fn entries() -> &'static BTreeMap<String, CatalogEntry> {
    static ENTRIES: LazyLock<BTreeMap<String, CatalogEntry>> =
        LazyLock::new(|| load(DEFAULTS, FILES).expect("the catalogue compiled in is sound"));
    &ENTRIES
}

pub fn get(name: &str) -> Option<&'static CatalogEntry> {
    entries().get(name)
}

/// Reads files, each merged over its parents and finally over the defaults.
pub(super) fn load(
    defaults: &str,
    files: &[(&str, &str)],
) -> Result<BTreeMap<String, CatalogEntry>, CatalogError> {
    let defaults = parse("defaults", defaults)?;
    let parsed: BTreeMap<&str, Map<String, Value>> = files
        .iter()
        .map(|(name, text)| Ok((*name, parse(name, text)?)))
        .collect::<Result<_, CatalogError>>()?;
    parsed
        .keys()
        .map(|name| {
            let file = (*name).to_owned();
            let json = lay_over(name, &parsed, &defaults, &mut Vec::new())?;
            match CatalogEntry::read(json).map(|entry| (check(&entry), entry)) {
                Err(source) => Err(CatalogError::Shape { file, source }),
                Ok((Err(flaw), _)) => Err(CatalogError::Flawed { file, flaw }),
                Ok((Ok(()), entry)) => Ok((file, entry)),
            }
        })
        .collect()
}

fn parse(file: &str, text: &str) -> Result<Map<String, Value>, CatalogError> {
    serde_yaml::from_str(text).map_err(|source| CatalogError::Syntax { file: file.to_owned(), source })
}

/// The file merged over its parents, and the oldest of these over the defaults.
fn lay_over(
    name: &str,
    parsed: &BTreeMap<&str, Map<String, Value>>,
    defaults: &Map<String, Value>,
    seen: &mut Vec<String>,
) -> Result<Map<String, Value>, CatalogError> {
    let file = || seen.first().map_or(name, String::as_str).to_owned();
    if seen.iter().any(|other| other == name) {
        return Err(CatalogError::Cycle { file: file() });
    }
    let Some(own) = parsed.get(name) else {
        let file = seen.last().cloned().unwrap_or_default();
        return Err(CatalogError::UnknownParent { file, parent: name.to_owned() });
    };
    seen.push(name.to_owned());
    let mut base = match own.get("extends").and_then(Value::as_str) {
        Some(parent) => lay_over(parent, parsed, defaults, seen)?,
        None => defaults.clone(),
    };
    merge(&mut base, own);
    Ok(base)
}

/// The rules that the schema cannot express.
pub(super) fn check(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    check_names(entry)?;
    let addresses = entry.named_addresses().into_iter().filter_map(|(.., address)| address);
    let in_addresses: Vec<&str> = addresses.flat_map(Template::placeholders).collect();
    let request = &entry.token_request;
    let texts = [
        &entry.authorize.params,
        &entry.device.params,
        &request.params,
        &request.assertion.claims,
        &entry.publish_text,
    ];
    let texts = texts.into_iter().flat_map(BTreeMap::values).chain(&request.subject.audience);
    let texts = texts.chain(entry.logins.usernames());
    let texts: Vec<Template> = texts.map(|text| text.clone().try_into()).collect::<Result<_, _>>()?;
    let in_texts: Vec<&str> = texts.iter().flat_map(Template::placeholders).collect();
    let in_calls = entry.link_session.as_ref().map(LinkSession::placeholders).unwrap_or_default();
    if let Some(name) = in_addresses.iter().chain(&in_texts).find(|name| !entry.fills(name)) {
        return Err(EntryFlaw::UnknownPlaceholder((*name).to_owned()));
    }
    check_sources(entry)?;
    check_probe(entry)?;
    check_assertion(&request.assertion)?;
    check_scopes(entry)?;
    check_headers(entry)?;
    entry.check_issued_key()?;
    check_session(entry)?;
    let is_free = |name: &str| is_free_key(name) && !entry.publish.contains_key(name);
    entry.key.as_ref().map_or(Ok(()), |key| key.check(is_free))?;
    entry.logins.check()?;
    entry.webhook.as_ref().map_or(Ok(()), check_webhook)?;
    entry.parameters.iter().try_for_each(|(name, parameter)| {
        let in_address = in_addresses.contains(&name.as_str());
        let in_text = in_texts.contains(&name.as_str()) || in_calls.contains(name);
        check_parameter(name, parameter, in_address, in_text)
    })
}

fn check_names(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    if entry.display_name.is_empty() {
        return Err(EntryFlaw::NoName);
    }
    if entry.methods.is_empty() { Err(EntryFlaw::NoMethod) } else { Ok(()) }
}

fn check_session(entry: &CatalogEntry) -> Result<(), SessionFlaw> {
    if entry.revoke.style == RevokeStyle::LinkSession
        && entry.link_session.as_ref().is_none_or(|session| session.revoke.is_empty())
    {
        return Err(SessionFlaw::NoRevocation);
    }
    match &entry.link_session {
        Some(session) => session.check(session.page.is_some(), |name| entry.fills(name)),
        None if entry.methods.contains(&Method::LinkSession) => Err(SessionFlaw::Absent),
        None => Ok(()),
    }
}

/// Parts of their own are members of JSON.
fn check_scopes(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    let is_json = entry.token_request.encoding == Encoding::Json;
    if is_json || entry.scopes.parts.is_empty() { Ok(()) } else { Err(EntryFlaw::PartsNeedJson) }
}

fn check_assertion(assertion: &Assertion) -> Result<(), EntryFlaw> {
    let ours = |name: &&String| matches!(name.as_str(), "aud" | "iat" | "nbf" | "exp" | "jti" | "scope");
    if let Some(name) = assertion.claims.keys().find(ours) {
        return Err(EntryFlaw::OurClaim(name.clone()));
    }
    if assertion.is_sound() { Ok(()) } else { Err(EntryFlaw::AssertionTimes) }
}

/// Where the account and what is published beside the token come from.
fn check_sources(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    let sources = entry.identity.as_ref().map(|identity| &identity.from[..]).unwrap_or_default();
    let behind_call = sources.iter().skip_while(|source| **source != IdentitySource::Call);
    if behind_call.into_iter().any(|it| matches!(it, IdentitySource::TokenResponse | IdentitySource::App)) {
        return Err(EntryFlaw::CallBeforeAnswer);
    }
    if let Some(key) = entry.publish_text.keys().find(|key| !is_free_key(key)) {
        return Err(EntryFlaw::BadKey(key.clone()));
    }
    entry.publish.iter().try_for_each(|(key, path)| match PublishedFrom::of(path) {
        _ if !is_free_key(key) => Err(EntryFlaw::BadKey(key.clone())),
        None => Err(EntryFlaw::UnknownSource(key.clone())),
        Some(PublishedFrom::Callback)
            if matches!(path.second_name().as_deref(), None | Some("code" | "state")) =>
        {
            Err(EntryFlaw::SecretOfCallback(key.clone()))
        }
        Some(PublishedFrom::UserInfo) if !sources.contains(&IdentitySource::Call) => {
            Err(EntryFlaw::UserInfoNotAsked(key.clone()))
        }
        Some(PublishedFrom::Check) if entry.key.as_ref().is_none_or(|key| key.validate.is_none()) => {
            Err(EntryFlaw::CheckNotStated(key.clone()))
        }
        Some(PublishedFrom::Call) if entry.publish_call.as_ref().is_none_or(|call| call.url.is_none()) => {
            Err(EntryFlaw::CallNotStated(key.clone()))
        }
        Some(_) => Ok(()),
    })
}

/// Whether a key stands for a secret that stays with us: no published Secret has it, whatever a description adds.
pub fn is_never_published(key: &str) -> bool {
    const NEVER: [&str; 6] =
        ["refresh_token", "client_secret", "client_assertion", "private_key", "code", "device_code"];
    NEVER.iter().any(|never| key.eq_ignore_ascii_case(never))
}

/// Whether a published Secret has room for this key: it is none of those that every one may have.
fn is_free_key(key: &str) -> bool {
    const TAKEN: [&str; 12] = [
        "access_token",
        "token_type",
        "expires_at",
        "scopes",
        "account_id",
        "account_name",
        "api_key",
        "issued_keys",
        "username",
        "password",
        "id_token",
        "config.json",
    ];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&key.len())
        && key.bytes().all(is_plain)
        && !TAKEN.contains(&key.to_ascii_lowercase().as_str())
        && !is_never_published(key)
}

/// Not so often that it harms, and often enough to be of use.
fn check_probe(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    let (least, most) = (Duration::from_secs(10), Duration::from_hours(7 * 24));
    let every = entry.probe.as_ref().map(Probe::every);
    every.is_none_or(|every| (least..=most).contains(&every)).then_some(()).ok_or(EntryFlaw::ProbeInterval)
}

fn check_webhook(webhook: &Webhook) -> Result<(), EntryFlaw> {
    let Webhook { signature, scheme, signs, time, events, .. } = webhook;
    for (name, value) in [("signature", Some(signature)), ("time", time.as_ref())] {
        if value.is_some_and(|value| value.header.is_some() == value.body.is_some()) {
            return Err(EntryFlaw::NoPlace(name));
        }
    }
    // A time in the body is signed with it.
    let is_beside = time.as_ref().is_some_and(|time| time.header.is_some());
    if *scheme == WebhookScheme::BodyDigestJwt && (time.is_some() || signs != "{body}") {
        return Err(EntryFlaw::SignsItself);
    }
    if signs.matches("{body}").count() != 1 || is_beside && !signs.contains("{time}") {
        return Err(EntryFlaw::BadSigned);
    }
    let is_wide =
        |event: &WebhookEvent| event.account.is_empty() || event.headers.is_empty() && event.body.is_empty();
    if events.is_empty() || events.iter().any(is_wide) {
        return Err(EntryFlaw::EventTooWide);
    }
    Ok(())
}

fn check_headers(entry: &CatalogEntry) -> Result<(), EntryFlaw> {
    let calls = entry.identity.iter().map(|identity| &identity.call);
    let calls = calls.chain(&entry.publish_call).map(|call| &call.headers);
    let checks = entry.key.iter().filter_map(|key| Some(&key.validate.as_ref()?.headers));
    let probes = entry.probe.iter().filter_map(|probe| Some(&probe.call.as_ref()?.headers));
    let own = [&entry.token_request.headers, &entry.revoke.headers];
    let session = entry.link_session.iter();
    let sessions = session.flat_map(|it| it.calls().map(|call| &call.headers).chain([&it.headers]));
    let all = own.into_iter().chain(calls).chain(checks).chain(probes).chain(sessions);
    let signatures = entry.link_session.iter().filter_map(|it| it.signature.as_ref());
    let signatures = signatures.flat_map(|it| [&it.header, &it.expires_header]);
    let key =
        entry.key.iter().map(|key| &key.header).filter(|name| !name.eq_ignore_ascii_case("authorization"));
    let mut names = all.flat_map(BTreeMap::keys).chain(key).chain(signatures);
    names.find(|name| headers::is_ours(name)).map_or(Ok(()), |name| Err(EntryFlaw::OurHeader(name.clone())))
}

fn check_parameter(
    name: &str,
    parameter: &Parameter,
    in_address: bool,
    in_text: bool,
) -> Result<(), EntryFlaw> {
    let Parameter { kind, default, settable_by, sets, .. } = parameter;
    let administrators =
        sets.is_some() || matches!(kind, ParameterKind::Host | ParameterKind::Url | ParameterKind::Text);
    let flaw = if administrators && *settable_by == SetBy::Connection {
        EntryFlaw::TooFree
    } else if in_address && *kind == ParameterKind::Text {
        EntryFlaw::TextInAddress
    } else if default.as_deref().is_some_and(|value| parameter.check(value).is_err()) {
        EntryFlaw::BadDefault
    } else if sets.is_none() && !in_address && !in_text {
        EntryFlaw::UnusedParameter
    } else {
        return Ok(());
    };
    Err(flaw(name.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINIMAL: &str =
        "displayName: Base\nmethods: [RefreshToken]\nendpoints: {token: 'https://a.example/t'}\n";

    fn error(files: &[(&str, &str)]) -> String {
        load("{}", files).unwrap_err().to_string()
    }

    #[test]
    fn every_entry_loads() {
        let entries = load(DEFAULTS, FILES).unwrap();
        assert_eq!(entries.len(), FILES.len());
        for (name, entry) in &entries {
            assert!(!entry.sources.is_empty(), "{name} names no source");
        }
    }

    #[test]
    fn a_source_is_an_address_unless_it_has_none() {
        for (name, entry) in &load(DEFAULTS, FILES).unwrap() {
            for source in &entry.sources {
                let first = source.split(' ').next().unwrap();
                let address = url::Url::parse(first).is_ok_and(|url| url.scheme() == "https");
                // `owner/repository path` and `RFC n` can be followed, so they must be.
                let followed = source.contains('/') || source.starts_with("RFC ");
                assert!(address || !followed, "{name}: {source}");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_files_name() {
        let text = format!("{MINIMAL}colour: red\n");
        let message = error(&[("base", &text)]);
        assert!(message.starts_with("base.yaml: colour: unknown field `colour`"), "{message}");
        let text = format!("{MINIMAL}grant: {{rotatoin: none}}\n");
        let message = error(&[("base", &text)]);
        assert!(message.starts_with("base.yaml: grant.rotatoin: unknown field `rotatoin`"), "{message}");
        let text = format!("{MINIMAL}key: {{validate: {{metod: GET}}}}\n");
        let message = error(&[("base", &text)]);
        assert!(message.starts_with("base.yaml: key.validate.metod: unknown field `metod`"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_yaml_map_is_refused() {
        for text in ["- a", "a: [", "text", ""] {
            assert!(error(&[("base", text)]).starts_with("base.yaml: "), "{text:?}");
        }
    }

    #[test]
    fn extends_merges_maps_and_replaces_lists_and_scalars() {
        let base = format!(
            "{MINIMAL}scopes: {{default: [a, b], required: [a]}}\nerrors: {{token: {{x: Reauth, y: Config}}}}\n\
             grant: {{idleLifetime: 2160h}}\n"
        );
        let child = "extends: base\ndisplayName: Child\nscopes: {default: [c]}\nerrors: {token: {y: Bug, z: Alive}}\n\
                     grant: {idleLifetime: null}\n";
        let entries = load("{}", &[("child", child), ("base", &base)]).unwrap();
        let child = &entries["child"];
        assert_eq!((child.display_name.as_str(), child.methods.len()), ("Child", 1));
        assert_eq!(
            (&child.scopes.default[..], &child.scopes.required[..]),
            (&["c".to_owned()][..], &["a".to_owned()][..])
        );
        let codes: Vec<_> =
            child.errors.token.iter().map(|(code, class)| format!("{code} {class:?}")).collect();
        assert_eq!(codes, ["x Reauth", "y Bug", "z Alive"]);
        assert_eq!(child.grant.idle_lifetime, None);
    }

    #[test]
    fn defaults_lie_below_everything() {
        let entries = load("grant: {rotation: Sliding}", &[("base", MINIMAL)]).unwrap();
        assert_eq!(entries["base"].grant.rotation, bowline_api::provider::Rotation::Sliding);
    }

    #[test]
    fn cycles_and_unknown_parents_are_refused() {
        assert_eq!(
            error(&[("a", "extends: b"), ("b", "extends: a")]),
            "a.yaml: extends itself, by way of its parents"
        );
        assert_eq!(error(&[("a", "extends: a")]), "a.yaml: extends itself, by way of its parents");
        assert_eq!(error(&[("a", "extends: z")]), "a.yaml: extends z, which does not exist");
    }

    #[test]
    fn rules_between_keys_are_kept() {
        let tenant = |rest: &str| format!("parameters: {{tenant: {{description: d, {rest}}}}}\n");
        let rows = [
            ("methods: []\n".to_owned(), "base.yaml: methods is empty"),
            (
                "endpoints: {token: 'https://a.example/{tenant}'}\n".to_owned(),
                "base.yaml: {tenant} is no parameter that fills placeholders",
            ),
            (
                "authorize: {params: {audience: '{a b}'}}\n".to_owned(),
                "base.yaml: a placeholder is written {name}, with lower-case letters, digits and underscores",
            ),
            ("displayName: null\n".to_owned(), "base.yaml: displayName is missing"),
            (tenant("kind: PathSegment"), "base.yaml: parameters.tenant is used nowhere"),
            (
                tenant("kind: Host, settableBy: Connection"),
                "base.yaml: parameters.tenant may not be set by connections",
            ),
            (
                tenant("kind: PathSegment, default: a/b"),
                "base.yaml: the default of parameters.tenant is not allowed by itself",
            ),
            (
                format!("{}endpoints: {{token: 'https://a.example/{{tenant}}'}}\n", tenant("kind: Text")),
                "base.yaml: parameters.tenant is a text and stands in an address",
            ),
        ];
        for (over, expected) in rows {
            let child = format!("extends: parent\n{over}");
            assert_eq!(error(&[("base", &child), ("parent", MINIMAL)]), expected);
        }
    }
}
