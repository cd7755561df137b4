//! Reading what an intake or credentials Secret brings: pure, from the Secret's keys to a grant or a reason.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_api::connection::Method;
use bowline_api::reason;
use bowline_oauth::key::KeyFlaw;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::consent::ConsentError;
use super::schedule::later;
use crate::vault::Credential;

/// The most that one value may have, in bytes: far beyond any token, far below what etcd takes.
const MAX_VALUE: usize = 64 * 1024;

/// Every key that may stand in such a Secret. `id_token` is part of many token answers and is not read: nobody checked its
/// signature, so it would let whoever brings a grant name somebody else's account.
const KNOWN: &[&str] = &[
    "refresh_token",
    "access_token",
    "token_type",
    "expires_in",
    "expires_at",
    "scope",
    "id_token",
    "api_key",
    "username",
    "password",
];

/// The announcement on a connection: which intake Secret to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The annotation's value.
    pub value: String,
    /// Name and UID of the Secret; `None` if the value is not `<name>/<uid>`.
    pub secret: Option<(String, String)>,
}

impl Announcement {
    /// Reads the annotation `bowline.dev/intake`.
    pub fn parse(value: &str) -> Self {
        let secret = value
            .split_once('/')
            .filter(|(name, uid)| !name.is_empty() && !uid.is_empty() && !uid.contains('/'))
            .map(|(name, uid)| (name.to_owned(), uid.to_owned()));
        Self { value: value.to_owned(), secret }
    }
}

/// Why what was brought cannot be used. Each text says what to do; none quotes a value. An older grant is untouched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The annotation is not `<name>/<uid>`.
    #[error("The annotation bowline.dev/intake is not <name>/<uid> of a Secret. Use kubectl bowline import.")]
    BadAnnouncement,
    /// The Secret is not there.
    #[error("The announced intake Secret is not there. Bring the grant again: kubectl bowline import.")]
    NotThere,
    /// Another Secret has that name now.
    #[error(
        "The Secret is not the one that was announced: somebody replaced it. It is left alone. Bring the grant again."
    )]
    Swapped,
    /// The Secret's type is another.
    #[error("The Secret is not of type {expected}. Make it again with that type.")]
    WrongType {
        /// The type it should have.
        expected: &'static str,
    },
    /// The label does not name this connection.
    #[error(
        "The Secret's label bowline.dev/connection does not name this connection. It is left alone. Bring the grant again."
    )]
    ForAnother,
    /// It has no keys.
    #[error("The Secret is empty. It needs {}.", expected(*method))]
    Empty {
        /// What the connection expects.
        method: Method,
    },
    /// It has keys that nobody knows.
    #[error("The Secret has keys that mean nothing here. It needs {}.", expected(*method))]
    UnknownKeys {
        /// What the connection expects.
        method: Method,
    },
    /// The keys do not make what the provider needs.
    #[error("The Secret's keys do not fit the provider. It needs {}.", expected(*method))]
    WrongKeys {
        /// What the connection expects.
        method: Method,
    },
    /// A value is not text.
    #[error("The value of {key} is not printable UTF-8 text.")]
    NotText {
        /// The key.
        key: &'static str,
    },
    /// A value is too long.
    #[error("The value of {key} has more than {} KiB.", MAX_VALUE / 1024)]
    TooLong {
        /// The key.
        key: &'static str,
    },
    /// A time cannot be read.
    #[error("The value of {key} is not a time: expires_in is in whole seconds, expires_at is RFC 3339.")]
    BadTime {
        /// The key.
        key: &'static str,
    },
    /// The method needs no intake.
    #[error("This connection gets its tokens from the app registration: there is nothing to bring.")]
    NothingToBring,
    /// The provider refused it.
    #[error("The provider does not accept what was brought: {summary} Bring a new one.")]
    Refused {
        /// What it said, in our words.
        summary: String,
    },
    /// It was sent, no answer came, and now the provider refuses it.
    #[error(
        "What was brought was sent to the provider and its answer never arrived. The provider refuses it since: what it gave instead is very likely lost. Bring a new one."
    )]
    AnswerLost,
    /// The key breaks a rule that can be checked without asking.
    #[error("The key or password cannot be right: {0}.")]
    BadKey(#[from] KeyFlaw),
    /// It belongs to another account.
    #[error(
        "It belongs to the account {} and another one is connected or expected. The earlier grant stays. To change accounts, the owner sets the annotation bowline.dev/accept-account to {id} and connects again.",
        shown(id, name.as_deref())
    )]
    OtherAccount {
        /// The provider's stable id of it.
        id: String,
        /// Its name there, for people.
        name: Option<String>,
    },
    /// Nobody says which account it belongs to, and one is pinned.
    #[error(
        "The provider does not say which account it belongs to, and one is connected. The earlier grant stays. To change accounts, disconnect first."
    )]
    AccountUnknown,
    /// A try to connect ended without a grant.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// It is refused, and what the provider gave for it lives on there.
    #[error("{why} It could not be revoked at the provider.{}", by_hand.as_deref().map_or_else(String::new, |how| format!(" By hand: {how}")))]
    NotRevoked {
        /// Why it is refused.
        why: Box<IntakeError>,
        /// How a person can revoke it.
        by_hand: Option<String>,
    },
    /// Another connection holds the account's only chain of tokens.
    #[error(
        "Another connection already holds this account's only chain of tokens. Ask its owner to share it."
    )]
    AccountTaken,
}

impl IntakeError {
    /// The reason under which it is told: a constant of `api::reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AnswerLost => reason::INTAKE_OUTCOME_UNKNOWN,
            Self::Consent(why) => why.reason(),
            Self::OtherAccount { .. } | Self::AccountUnknown => reason::ACCOUNT_MISMATCH,
            Self::AccountTaken => reason::ACCOUNT_ALREADY_CONNECTED,
            Self::NotRevoked { why, .. } => why.reason(),
            _ => reason::INTAKE_REFUSED,
        }
    }
}

/// An account's id, with its name where that says more.
fn shown(id: &str, name: Option<&str>) -> String {
    match name.filter(|name| *name != id) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    }
}

fn expected(method: Method) -> &'static str {
    match method {
        Method::ApiKey => "the key api_key",
        Method::BasicAuth => "the keys username and password",
        Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken => {
            "refresh_token, or access_token; with it expires_in or expires_at, scope"
        }
        Method::ClientCredentials => "nothing: tokens are minted from the app registration",
    }
}

/// What a Secret brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The credential.
    pub credential: Credential,
    /// Scopes, if it says.
    pub scopes: Option<Vec<String>>,
    /// When the access token ends, if it says.
    pub expires_at: Option<Timestamp>,
}

/// Reads the data of a Secret for a connection that uses `method`.
pub fn read(
    data: &BTreeMap<String, ByteString>,
    method: Method,
    now: Timestamp,
) -> Result<Brought, IntakeError> {
    if method == Method::ClientCredentials {
        return Err(IntakeError::NothingToBring);
    }
    if data.is_empty() {
        return Err(IntakeError::Empty { method });
    }
    if data.keys().any(|key| !KNOWN.contains(&key.as_str())) {
        return Err(IntakeError::UnknownKeys { method });
    }
    let values = Values { data };
    let credential = credential(&values, method)?;
    Ok(Brought {
        credential,
        scopes: values.text("scope")?.map(|scope| {
            scope.split([' ', ',']).filter(|scope| !scope.is_empty()).map(ToOwned::to_owned).collect()
        }),
        expires_at: expires_at(&values, now)?,
    })
}

fn credential(values: &Values, method: Method) -> Result<Credential, IntakeError> {
    let wrong = || IntakeError::WrongKeys { method };
    match method {
        Method::ApiKey => {
            let api_key = values.secret("api_key")?.ok_or_else(wrong)?;
            Ok(Credential::ApiKey { api_key })
        }
        Method::BasicAuth => {
            let username = values.text("username")?.ok_or_else(wrong)?.to_owned();
            // An empty password is legal: several services take the key as user name.
            let password = values.secret("password")?.unwrap_or_default();
            Ok(Credential::Basic { username, password })
        }
        Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken | Method::ClientCredentials => {
            let (refresh_token, access_token) =
                (values.secret("refresh_token")?, values.secret("access_token")?);
            if refresh_token.is_none() && (access_token.is_none() || method == Method::RefreshToken) {
                return Err(wrong());
            }
            let token_type = values.text("token_type")?.unwrap_or("Bearer").to_owned();
            Ok(Credential::OAuth { refresh_token, access_token, token_type })
        }
    }
}

fn expires_at(values: &Values, now: Timestamp) -> Result<Option<Timestamp>, IntakeError> {
    if let Some(text) = values.text("expires_at")? {
        return text.parse().map(Some).map_err(|_| IntakeError::BadTime { key: "expires_at" });
    }
    let Some(text) = values.text("expires_in")? else { return Ok(None) };
    let seconds: u32 = text.parse().map_err(|_| IntakeError::BadTime { key: "expires_in" })?;
    Ok(Some(later(now, Duration::from_secs(seconds.into()))))
}

/// The values of a Secret, each checked when it is read. Blank counts as absent.
struct Values<'a> {
    data: &'a BTreeMap<String, ByteString>,
}

impl<'a> Values<'a> {
    fn text(&self, key: &'static str) -> Result<Option<&'a str>, IntakeError> {
        let Some(ByteString(bytes)) = self.data.get(key) else { return Ok(None) };
        if bytes.len() > MAX_VALUE {
            return Err(IntakeError::TooLong { key });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| IntakeError::NotText { key })?.trim();
        if text.chars().any(char::is_control) {
            return Err(IntakeError::NotText { key });
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn secret(&self, key: &'static str) -> Result<Option<SecretString>, IntakeError> {
        Ok(self.text(key)?.map(SecretString::from))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    type Pairs<'a> = &'a [(&'a str, &'a [u8])];

    fn data(pairs: Pairs) -> BTreeMap<String, ByteString> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn refusal(pairs: Pairs, method: Method) -> IntakeError {
        read(&data(pairs), method, at(0)).err().unwrap()
    }

    #[test]
    fn a_refresh_token_with_its_access_token_is_read() {
        let pairs: &[(&str, &[u8])] =
            &[("refresh_token", b"r\n"), ("access_token", b"a"), ("expires_in", b"60"), ("scope", b"x,y z")];
        let brought = read(&data(pairs), Method::AuthorizationCode, at(0)).unwrap();
        let Credential::OAuth { refresh_token: Some(refresh), .. } = &brought.credential else { panic!() };
        assert_eq!(refresh.expose_secret(), "r");
        assert_eq!(brought.expires_at, Some(at(60)));
        assert_eq!(brought.scopes.unwrap(), ["x", "y", "z"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        use Method::{ApiKey, AuthorizationCode, BasicAuth, ClientCredentials, RefreshToken};
        let long = vec![b'a'; 1024 * 1024];
        let rows: &[(&str, IntakeError, Method, Pairs)] = &[
            ("empty", IntakeError::Empty { method: ApiKey }, ApiKey, &[]),
            ("wrong key", IntakeError::UnknownKeys { method: ApiKey }, ApiKey, &[("apikey", b"k")]),
            (
                "a code",
                IntakeError::UnknownKeys { method: AuthorizationCode },
                AuthorizationCode,
                &[("code", b"k")],
            ),
            (
                "another method's",
                IntakeError::WrongKeys { method: ApiKey },
                ApiKey,
                &[("refresh_token", b"k")],
            ),
            ("blank", IntakeError::WrongKeys { method: ApiKey }, ApiKey, &[("api_key", b" \n")]),
            ("no user", IntakeError::WrongKeys { method: BasicAuth }, BasicAuth, &[("password", b"k")]),
            (
                "no refresh token",
                IntakeError::WrongKeys { method: RefreshToken },
                RefreshToken,
                &[("access_token", b"k")],
            ),
            ("binary", IntakeError::NotText { key: "api_key" }, ApiKey, &[("api_key", &[0xff, 0xfe])]),
            ("a NUL", IntakeError::NotText { key: "api_key" }, ApiKey, &[("api_key", b"a\0b")]),
            ("a line break", IntakeError::NotText { key: "api_key" }, ApiKey, &[("api_key", b"a\nb")]),
            ("1 MiB", IntakeError::TooLong { key: "api_key" }, ApiKey, &[("api_key", &long)]),
            (
                "bad time",
                IntakeError::BadTime { key: "expires_in" },
                AuthorizationCode,
                &[("access_token", b"k"), ("expires_in", b"-1")],
            ),
            ("minted", IntakeError::NothingToBring, ClientCredentials, &[("access_token", b"k")]),
        ];
        for (name, expected, method, pairs) in rows {
            assert_eq!(refusal(pairs, *method), *expected, "{name}");
        }
    }

    #[test]
    fn no_reason_quotes_a_value() {
        for pairs in [&[("api_key", b"hush\0".as_slice())], &[("hush", b"x".as_slice())]] {
            assert!(!refusal(pairs, Method::ApiKey).to_string().contains("hush"));
        }
    }

    #[test]
    fn announcements_name_a_secret_and_its_uid() {
        assert_eq!(Announcement::parse("a/b").secret, Some(("a".into(), "b".into())));
        for bad in ["", "a", "a/", "/b", "a/b/c"] {
            assert_eq!(Announcement::parse(bad).secret, None, "{bad}");
        }
    }
}
