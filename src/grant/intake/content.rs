//! Reads what an intake or credentials Secret provides: pure, from the Secret's keys to a credential or a reason.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_api::issued_key::{KeyOrder, ORDER};
use bowline_oauth::answer::Lifetime;
use bowline_oauth::catalog::Description;
use bowline_oauth::catalog::key_usage::KeyUsage;
use bowline_oauth::limits::{MAX_NAME, MAX_SCOPES};
use bowline_runtime::clock::later;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::grant::refusal::{IntakeError, MAX_VALUE, Needs};
use crate::vault::Credential;

/// The keys that such a Secret may have. `id_token` is part of many token answers and is not read: nobody checked its
/// signature, so whoever imports a grant could use it to name another account.
const KNOWN: &str =
    "refresh_token access_token token_type expires_in expires_at scope id_token api_key username password";

pub(super) type SecretData = BTreeMap<String, ByteString>;

/// What a Secret provides: with scopes and the expiry of the access token, if given.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    pub(crate) credential: Credential,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) expires_at: Option<Timestamp>,
    /// What is published beside a key.
    pub(crate) extras: BTreeMap<String, SecretString>,
}

/// Reads the data of a Secret for a connection that uses `method` with a provider as described.
pub(super) fn read(
    data: &SecretData,
    method: Method,
    description: &Description,
    now: Timestamp,
) -> Result<Provided, IntakeError> {
    let key = description.key.as_ref().filter(|_| method == Method::ApiKey);
    let needs = || Needs::of(method, key);
    match method {
        Method::ClientCredentials | Method::JwtBearer | Method::TokenExchange => {
            return Err(IntakeError::NothingToImport);
        }
        Method::IssuedKey => return Err(IntakeError::NotIssuedHere),
        Method::LinkSession => return Err(IntakeError::NotLinkedHere),
        _ => {}
    }
    if data.is_empty() {
        return Err(IntakeError::Empty(needs()));
    }
    let is_value = |name: &str| key.is_some_and(|key| key.values.contains_key(name));
    if data.keys().any(|name| !KNOWN.split(' ').any(|known| known == name) && !is_value(name)) {
        return Err(IntakeError::UnknownKeys(needs()));
    }
    let credential = credential(data, method, needs)?;
    let scopes = text(data, "scope")?.map(scopes).transpose()?;
    let assumed = description.grant.assumed_lifetime();
    let expires_at = expires_at(data, &credential, assumed, now)?;
    let extras = key.map_or_else(|| Ok(BTreeMap::new()), |key| beside(data, &credential, key))?;
    Ok(Provided { credential, scopes, expires_at, extras })
}

/// What is published beside a key: the values that were provided with it, and what it shows by its looks.
fn beside(
    data: &SecretData,
    credential: &Credential,
    usage: &KeyUsage<Option<Url>>,
) -> Result<BTreeMap<String, SecretString>, IntakeError> {
    let mut extras = BTreeMap::new();
    for name in usage.values.keys() {
        extras.extend(secret(data, name)?.map(|value| (name.clone(), value)));
    }
    if let Credential::ApiKey { api_key } = credential {
        let shown = usage.published_beside(api_key.expose_secret());
        extras.extend(shown.into_iter().map(|(name, value)| (name, value.into())));
    }
    Ok(extras)
}

/// Reads the order in an intake Secret for a connection whose keys we issue.
pub(super) fn order(data: &SecretData) -> Result<KeyOrder, IntakeError> {
    let other = data.keys().any(|key| key != ORDER);
    let json = data.get(ORDER).filter(|json| !other && json.0.len() <= MAX_VALUE);
    let json = json.ok_or_else(|| IntakeError::WrongKeys(Needs::of::<()>(Method::IssuedKey, None)))?;
    Ok(KeyOrder::read(&json.0)?)
}

/// Each once, and no more of them than an answer of a provider may have.
fn scopes(text: &str) -> Result<Vec<String>, IntakeError> {
    let mut seen = HashSet::new();
    let listed = text.split([' ', ',']).filter(|scope| !scope.is_empty() && seen.insert(*scope));
    let scopes: Vec<_> = listed.map(ToOwned::to_owned).collect();
    let too_long = |scope: &String| scope.chars().count() > MAX_NAME;
    if scopes.len() > MAX_SCOPES || scopes.iter().any(too_long) {
        return Err(IntakeError::TooManyScopes);
    }
    Ok(scopes)
}

fn credential(
    data: &SecretData,
    method: Method,
    needs: impl Fn() -> Needs,
) -> Result<Credential, IntakeError> {
    let wrong = || IntakeError::WrongKeys(needs());
    match method {
        Method::ApiKey => {
            let api_key = secret(data, "api_key")?.ok_or_else(wrong)?;
            Ok(Credential::ApiKey { api_key })
        }
        Method::BasicAuth => {
            let username = text(data, "username")?.ok_or_else(wrong)?.to_owned();
            // An empty password is legal: several services use the key as user name.
            let password = secret(data, "password")?.unwrap_or_default();
            Ok(Credential::Basic { username, password })
        }
        Method::AuthorizationCode
        | Method::DeviceCode
        | Method::RefreshToken
        | Method::ClientCredentials
        | Method::JwtBearer
        | Method::TokenExchange
        | Method::IssuedKey
        | Method::LinkSession => {
            let (refresh_token, access_token) =
                (secret(data, "refresh_token")?, secret(data, "access_token")?);
            if refresh_token.is_none() && (access_token.is_none() || method == Method::RefreshToken) {
                return Err(wrong());
            }
            let token_type = text(data, "token_type")?.unwrap_or("Bearer").to_owned();
            Ok(Credential::OAuth { refresh_token, access_token, token_type })
        }
    }
}

/// When the access token or key expires. `expires_in` counts from now, as nobody knows how old it is.
fn expires_at(
    data: &SecretData,
    credential: &Credential,
    assumed: Option<Duration>,
    now: Timestamp,
) -> Result<Option<Timestamp>, IntakeError> {
    if data.contains_key("expires_at") && data.contains_key("expires_in") {
        return Err(IntakeError::TwoTimes);
    }
    let refresh_token = match credential {
        Credential::OAuth { refresh_token, access_token: Some(_), .. } => refresh_token.as_ref(),
        Credential::ApiKey { .. } | Credential::Basic { .. } => None,
        Credential::OAuth { .. } | Credential::IssuedKeys { .. } => return Ok(None),
    };
    if let Some(text) = text(data, "expires_at")? {
        return text.parse().map(Some).map_err(|_| IntakeError::BadTime { key: "expires_at" });
    }
    let told = text(data, "expires_in")?.map(str::parse::<u32>).transpose();
    let lifetime = match told.map_err(|_| IntakeError::BadTime { key: "expires_in" })? {
        None => Lifetime::Untold(assumed),
        Some(0) => Lifetime::Zero(assumed),
        Some(seconds) => Lifetime::Told(Duration::from_secs(seconds.into())),
    };
    Ok(lifetime.counted(refresh_token.is_some(), None).map(|lifetime| later(now, lifetime)))
}

/// A value, checked when it is read. Blank counts as absent.
fn text<'a>(data: &'a SecretData, key: &str) -> Result<Option<&'a str>, IntakeError> {
    let Some(ByteString(bytes)) = data.get(key) else { return Ok(None) };
    if bytes.len() > MAX_VALUE {
        return Err(IntakeError::TooLong { key: key.to_owned() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| IntakeError::NotText { key: key.to_owned() })?.trim();
    if text.chars().any(char::is_control) {
        return Err(IntakeError::NotText { key: key.to_owned() });
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn secret(data: &SecretData, key: &str) -> Result<Option<SecretString>, IntakeError> {
    Ok(text(data, key)?.map(SecretString::from))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::grant::fixtures::described;
    use serde_json::json;

    type Pairs<'a> = &'a [(&'a str, &'a [u8])];

    fn data(pairs: Pairs) -> BTreeMap<String, ByteString> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn needs(method: Method) -> Needs {
        Needs::of::<()>(method, None)
    }

    fn refusal(pairs: Pairs, method: Method) -> IntakeError {
        read(&data(pairs), method, &described("github", &json!({})), at(0)).err().unwrap()
    }

    #[test]
    fn a_refresh_token_with_its_access_token_is_read() {
        let pairs: &[(&str, &[u8])] =
            &[("refresh_token", b"r\n"), ("access_token", b"a"), ("expires_in", b"60"), ("scope", b"x,y z")];
        let provided =
            read(&data(pairs), Method::AuthorizationCode, &described("github", &json!({})), at(0)).unwrap();
        let Credential::OAuth { refresh_token: Some(refresh), .. } = &provided.credential else { panic!() };
        assert_eq!(refresh.expose_secret(), "r");
        assert_eq!(provided.expires_at, Some(at(60)));
        assert_eq!(provided.scopes.unwrap(), ["x", "y", "z"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        use Method::{ApiKey, AuthorizationCode, BasicAuth, ClientCredentials, RefreshToken};
        let long = vec![b'a'; 1024 * 1024];
        let scopes: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
        let (scopes, scope) = (scopes.join(" "), "s".repeat(257));
        let rows: &[(&str, IntakeError, Method, Pairs)] = &[
            ("empty", IntakeError::Empty(needs(ApiKey)), ApiKey, &[]),
            ("wrong key", IntakeError::UnknownKeys(needs(ApiKey)), ApiKey, &[("apikey", b"k")]),
            (
                "a code",
                IntakeError::UnknownKeys(needs(AuthorizationCode)),
                AuthorizationCode,
                &[("code", b"k")],
            ),
            ("another method's", IntakeError::WrongKeys(needs(ApiKey)), ApiKey, &[("refresh_token", b"k")]),
            ("blank", IntakeError::WrongKeys(needs(ApiKey)), ApiKey, &[("api_key", b" \n")]),
            ("no user", IntakeError::WrongKeys(needs(BasicAuth)), BasicAuth, &[("password", b"k")]),
            (
                "no refresh token",
                IntakeError::WrongKeys(needs(RefreshToken)),
                RefreshToken,
                &[("access_token", b"k")],
            ),
            ("binary", IntakeError::NotText { key: "api_key".into() }, ApiKey, &[("api_key", &[0xff, 0xfe])]),
            ("a NUL", IntakeError::NotText { key: "api_key".into() }, ApiKey, &[("api_key", b"a\0b")]),
            ("a line break", IntakeError::NotText { key: "api_key".into() }, ApiKey, &[("api_key", b"a\nb")]),
            ("1 MiB", IntakeError::TooLong { key: "api_key".into() }, ApiKey, &[("api_key", &long)]),
            (
                "bad time",
                IntakeError::BadTime { key: "expires_in" },
                AuthorizationCode,
                &[("access_token", b"k"), ("expires_in", b"-1")],
            ),
            (
                "two times",
                IntakeError::TwoTimes,
                AuthorizationCode,
                &[("access_token", b"k"), ("expires_in", b"1"), ("expires_at", b"2030-01-01T00:00:00Z")],
            ),
            (
                "a thousand scopes",
                IntakeError::TooManyScopes,
                AuthorizationCode,
                &[("access_token", b"k"), ("scope", scopes.as_bytes())],
            ),
            (
                "a long scope",
                IntakeError::TooManyScopes,
                AuthorizationCode,
                &[("access_token", b"k"), ("scope", scope.as_bytes())],
            ),
            ("minted", IntakeError::NothingToImport, ClientCredentials, &[("access_token", b"k")]),
            ("signed for", IntakeError::NothingToImport, Method::JwtBearer, &[("access_token", b"k")]),
        ];
        for (name, expected, method, pairs) in rows {
            assert_eq!(refusal(pairs, *method), *expected, "{name}");
        }
    }

    /// A provider with two values beside its key, one of which may be absent.
    fn with_values() -> Description {
        let values =
            json!({"token": {"label": "API token"}, "hook": {"label": "Signing secret", "optional": true}});
        let kinds = json!([{"pattern": "live-.+", "publish": {"mode": "live"}}]);
        let overlay = json!({"key": {"values": values, "kinds": kinds}});
        described("generic-api-key", &json!({"overlay": overlay}))
    }

    #[test]
    fn values_that_belong_to_a_key_are_read_with_it() {
        let described = with_values();
        let read = |pairs: Pairs| read(&data(pairs), Method::ApiKey, &described, at(0));
        let extras = |pairs: Pairs| {
            let extras = read(pairs).unwrap().extras.into_iter();
            extras.map(|(name, value)| format!("{name}={}", value.expose_secret())).collect::<Vec<_>>()
        };
        assert_eq!(extras(&[("api_key", b"live-1"), ("token", b" t\n")]), ["mode=live", "token=t"]);
        let all: Pairs = &[("api_key", b"test-1"), ("token", b"t"), ("hook", b"h")];
        assert_eq!(extras(all), ["hook=h", "token=t"]);
        let long = vec![b'a'; 17 * 1024];
        let rows: [(&str, IntakeError, Pairs); 4] = [
            (
                "an unknown one",
                IntakeError::UnknownKeys(Needs::of(Method::ApiKey, described.key.as_ref())),
                &[("api_key", b"k"), ("token", b"t"), ("tokn", b"t")],
            ),
            (
                "too long",
                IntakeError::TooLong { key: "hook".into() },
                &[("api_key", b"k"), ("token", b"t"), ("hook", &long)],
            ),
            (
                "binary",
                IntakeError::NotText { key: "token".into() },
                &[("api_key", b"k"), ("token", &[0xff])],
            ),
            (
                "no key",
                IntakeError::WrongKeys(Needs::of(Method::ApiKey, described.key.as_ref())),
                &[("token", b"t")],
            ),
        ];
        for (name, expected, pairs) in rows {
            assert_eq!(read(pairs).unwrap_err(), expected, "{name}");
        }
        let said = Needs::of(Method::ApiKey, described.key.as_ref()).to_string();
        assert_eq!(
            said,
            "the key api_key, token (API token), and hook (Signing secret) if there is one; expires_at if it is known"
        );
    }

    #[test]
    fn the_end_of_a_key_may_come_with_it() {
        let read =
            |pairs: Pairs| read(&data(pairs), Method::ApiKey, &with_values(), at(0)).map(|it| it.expires_at);
        let end = b"2030-01-01T00:00:00Z".as_slice();
        let known = read(&[("api_key", b"k"), ("expires_at", end)]).unwrap().unwrap();
        assert_eq!(known.to_string().as_bytes(), end);
        assert_eq!(read(&[("api_key", b"k")]), Ok(None));
        assert_eq!(
            read(&[("api_key", b"k"), ("expires_at", b"soon")]),
            Err(IntakeError::BadTime { key: "expires_at" })
        );
    }

    #[test]
    fn keys_are_ordered_and_never_imported() {
        let good = br#"{"revoke":{"id":"Ab3dEf9K"}}"#.as_slice();
        let order = |pairs: Pairs| super::order(&data(pairs));
        assert_eq!(order(&[("key_order", good)]), Ok(KeyOrder::Revoke { id: "Ab3dEf9K".into() }));
        for pairs in [&[("api_key", good)][..], &[("key_order", good), ("api_key", b"k")], &[]] {
            assert_eq!(order(pairs), Err(IntakeError::WrongKeys(needs(Method::IssuedKey))));
        }
        let hush = order(&[("key_order", b"hush")]).unwrap_err();
        assert!(matches!(hush, IntakeError::BadOrder(_)) && !hush.to_string().contains("hush"));
        assert_eq!(refusal(&[("key_order", good)], Method::IssuedKey), IntakeError::NotIssuedHere);
    }

    #[test]
    fn no_reason_quotes_a_value() {
        for pairs in [&[("api_key", b"hush\0".as_slice())], &[("hush", b"x".as_slice())]] {
            assert!(!refusal(pairs, Method::ApiKey).to_string().contains("hush"));
        }
    }
}
