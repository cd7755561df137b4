//! Why a grant was not taken in, in words for the person who provided it. Each text says what to do; none quotes a value, a
//! code or a token. An older grant is unchanged.

use std::fmt;

use bowline_api::connection::Method;
use bowline_api::issued_key::OrderFlaw;
use bowline_api::reason::{MessageFacts, Reason};
use bowline_oauth::callback::Declined;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::catalog::key_usage::{KeyUsage, KeyValue};
use bowline_oauth::key::KeyFlaw;
use bowline_oauth::limits::{MAX_NAME, MAX_SCOPES, MAX_TOKEN, Oversized};

use crate::vault::record::KeyChangeError;

/// The size limit of one value of a Secret, in bytes: that of a token from the provider.
pub(super) const MAX_VALUE: usize = MAX_TOKEN;

/// Why what a Secret provides, or what a consent gave, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("The annotation bowline.dev/intake is not <name>/<uid> of a Secret. Use kubectl bowline import.")]
    BadAnnouncement,
    #[error("The announced intake Secret is not there. Import the grant again: kubectl bowline import.")]
    NotThere,
    #[error(
        "The Secret is not the one that was announced: somebody replaced it. It is left alone. Import the grant again."
    )]
    Swapped,
    #[error("The Secret is not of type {expected}. Create it again with that type.")]
    WrongType { expected: &'static str },
    #[error(
        "The Secret's label bowline.dev/connection does not name this connection. It is left alone. Import the grant again."
    )]
    ForAnother,
    #[error("{}", for_another(secret, namespace, name))]
    SecretForAnother { secret: String, namespace: String, name: String },
    #[error("The Secret is empty. It needs {0}.")]
    Empty(Needs),
    #[error("The Secret has keys that mean nothing here. It needs {0}.")]
    UnknownKeys(Needs),
    #[error("The Secret's keys do not fit the provider. It needs {0}.")]
    WrongKeys(Needs),
    #[error("The value of {key} is not printable UTF-8 text.")]
    NotText { key: String },
    #[error("The value of {key} has more than {} KiB.", MAX_VALUE / 1024)]
    TooLong { key: String },
    #[error(
        "The value of scope has more than {MAX_SCOPES} scopes, or one of more than {MAX_NAME} characters."
    )]
    TooManyScopes,
    #[error(
        "The provider's answer cannot be kept: {0}. Nothing of it is used. Ask the provider, then connect again."
    )]
    Oversized(#[from] Oversized),
    #[error("expires_in and expires_at contradict each other: give one of them.")]
    TwoTimes,
    #[error("The value of {key} is not a time: expires_in is in whole seconds, expires_at is RFC 3339.")]
    BadTime { key: &'static str },
    #[error("The tokens of this connection are minted: there is nothing to import.")]
    NothingToImport,
    #[error(
        "The keys of this connection are issued by Bowline, and none is read from a Secret. Use kubectl bowline issue."
    )]
    NotIssuedHere,
    #[error("The account of this connection is linked in the portal, and none is read from a Secret.")]
    NotLinkedHere,
    #[error("What was ordered cannot be done: {0}. Use kubectl bowline issue.")]
    BadOrder(#[from] OrderFlaw),
    #[error(transparent)]
    Keys(#[from] KeyChangeError),
    #[error("The provider does not accept what was provided: {summary} Provide a new one.")]
    Refused { summary: String },
    #[error(
        "What was provided was sent to the provider and its answer never arrived. The provider refuses it since: what it gave instead is very likely lost. Import a new one."
    )]
    AnswerLost,
    #[error("The key or password cannot be right: {0}.")]
    BadKey(#[from] KeyFlaw),
    #[error(
        "It belongs to the account {} and another one is connected or expected. The earlier grant stays. To change accounts, the owner sets the annotation bowline.dev/accept-account to {id} and connects again.",
        shown(id, name.as_deref())
    )]
    OtherAccount { id: String, name: Option<String> },
    #[error(
        "The provider does not say which account it belongs to, and one is connected. The earlier grant stays. To change accounts, disconnect first."
    )]
    AccountUnknown,
    #[error(transparent)]
    Consent(#[from] ConsentError),
    #[error(
        "Another connection already holds this account's only chain of tokens. Ask its owner to share it."
    )]
    AccountTaken,
}

impl IntakeError {
    /// The reason under which it is reported.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::SecretForAnother { .. } => Reason::SecretForAnother,
            Self::AnswerLost => Reason::IntakeOutcomeUnknown,
            Self::Consent(why) => why.reason(),
            Self::OtherAccount { .. } | Self::AccountUnknown => Reason::AccountMismatch,
            Self::AccountTaken => Reason::AccountAlreadyConnected,
            _ => Reason::IntakeRefused,
        }
    }
}

fn for_another(secret: &str, namespace: &str, name: &str) -> String {
    let facts = MessageFacts {
        secret: Some(secret),
        namespace: Some(namespace),
        name: Some(name),
        ..MessageFacts::default()
    };
    Reason::SecretForAnother.message(&facts)
}

/// An account's id, with its name if that adds something.
fn shown(id: &str, name: Option<&str>) -> String {
    match name.filter(|name| *name != id) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    }
}

/// The keys that a Secret needs, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs(String);

impl Needs {
    pub(super) fn of<U>(method: Method, key: Option<&KeyUsage<U>>) -> Self {
        let known = match method {
            Method::ApiKey => {
                let mut values: Vec<_> = key.map(|key| key.values.iter()).into_iter().flatten().collect();
                values.sort_by_key(|(_, value)| value.optional);
                let value = |(name, KeyValue { label, optional, .. }): (&String, &KeyValue)| {
                    let (before, behind) = if *optional { ("and ", " if there is one") } else { ("", "") };
                    format!(", {before}{name} ({label}){behind}")
                };
                let values: String = values.into_iter().map(value).collect();
                return Self(format!("the key api_key{values}; expires_at if it is known"));
            }
            Method::BasicAuth => "the keys username and password; expires_at if it is known",
            Method::AuthorizationCode | Method::DeviceCode | Method::RefreshToken => {
                "refresh_token, or access_token; with it expires_in or expires_at, scope"
            }
            Method::LinkSession => "nothing: the account is linked in the portal",
            Method::ClientCredentials | Method::JwtBearer | Method::TokenExchange => {
                "nothing: its tokens are minted"
            }
            Method::IssuedKey => "the key key_order, as kubectl bowline issue writes it",
        };
        Self(known.to_owned())
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an attempt ended without a grant. `summary` is what the provider said, in our words; `whom_to_ask` a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConsentError {
    #[error("Access was not allowed at the provider. Connect again to be asked once more.")]
    Denied,
    #[error("An administrator at the provider must approve the app first; then connect again. ({summary})")]
    AdminConsent { summary: String },
    #[error(
        "A rule of the organization at the provider blocks it. Its administrator can say which. ({summary})"
    )]
    Policy { summary: String },
    #[error(
        "The answer does not come from the provider that was asked. Nothing was sent there. Connect again, and tell a security administrator if it happens twice."
    )]
    WrongIssuer,
    #[error("The provider's address, app or the owner changed while you were there. Connect again.")]
    TermsMoved,
    #[error(
        "Where the token goes or which access is asked for changed after the page had shown it. Look at the page again and connect."
    )]
    TermsChanged,
    #[error("It took more than ten minutes. Connect again.")]
    TooLate,
    #[error(
        "The operator was interrupted while it fetched the token, and a code works only once. Connect again."
    )]
    Interrupted,
    #[error("The first consent is the owner's to give: {owner} must connect.")]
    NotTheOwner { owner: String },
    #[error(
        "{owner} is now a different person than the one who first consented: your sign-in provider gives another issuer or subject. If that is intended, disconnect and connect again; otherwise tell an administrator."
    )]
    OtherPerson { owner: String },
    #[error("What the operator kept of this attempt cannot be read any more. Connect again.")]
    Unreadable,
    #[error(
        "The provider did not grant {missing}, which are required. The earlier grant stays in use. Connect again and agree to them."
    )]
    MissingScopes { missing: String },
    #[error(
        "The provider gave more than was asked for: {extra}. The earlier grant stays in use. The owner agrees by adding them to spec.scopes, or takes them back at the provider; then connect again."
    )]
    ExtraScopes { extra: String },
    #[error(
        "The record of this connection cannot be written, so what the provider gave is not kept. An administrator finds the cause in the operator's log."
    )]
    NotKept,
    #[error(
        "The connection was disconnected or deleted while you were at the provider. What it gave is not kept."
    )]
    NotWanted,
    #[error(
        "The operator has no place to keep a code: an administrator must apply deploy/, with the namespace of attempts and the rights in it."
    )]
    NotInstalled,
    #[error("The provider does not offer this way to connect. {whom_to_ask}")]
    NotOffered { whom_to_ask: String },
    #[error("The provider refuses our app, not you: {summary} {whom_to_ask}")]
    Config { summary: String, whom_to_ask: String },
    #[error("The provider could not be asked: {summary} Connect again.")]
    Unavailable { summary: String },
    #[error("The provider refused: {summary} Connect again.")]
    Refused { summary: String },
}

impl ConsentError {
    /// The reason under which it is reported.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::AdminConsent { .. } => Reason::AdminConsentRequired,
            Self::Policy { .. } => Reason::PolicyBlocked,
            Self::MissingScopes { .. } => Reason::MissingScopes,
            Self::ExtraScopes { .. } => Reason::ExtraScopes,
            _ => Reason::AuthorizationFailed,
        }
    }

    /// The meaning of a callback without a code. The provider's text is marked as such.
    pub(crate) fn declined(declined: Declined, whom_to_ask: String) -> Self {
        let Declined { class, code: _, said, summary } = declined;
        let summary = match said {
            Some(said) => format!("{summary}; in the provider's words: \u{201c}{said}\u{201d}"),
            None => summary,
        };
        Self::of(class, summary, whom_to_ask)
    }

    /// The result of a failed request for the attempt that sent it.
    pub(crate) fn of(class: Class, summary: String, whom_to_ask: String) -> Self {
        match class {
            Class::Cancelled => Self::Denied,
            Class::Consent => Self::AdminConsent { summary },
            Class::Policy => Self::Policy { summary },
            Class::Config => Self::Config { summary, whom_to_ask },
            Class::Transient => Self::Unavailable { summary },
            Class::Reauth | Class::Ambiguous | Class::StepUp | Class::Alive | Class::Bug => {
                Self::Refused { summary }
            }
        }
    }
}
