//! Why a try to connect ends without a grant, in words for the one who tried.

use bowline_api::reason;
use bowline_oauth::callback::Declined;
use bowline_oauth::catalog::errors::Class;
use bowline_oauth::classify::Failure;

/// Why a try ended without a grant. An older grant is untouched. No text quotes a code, a token or a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The person, or the provider for them, said no.
    #[error("Access was not allowed at the provider. Connect again to be asked once more.")]
    Denied,
    /// An administrator there has to approve the app.
    #[error("An administrator at the provider must approve the app first; then connect again. ({summary})")]
    AdminConsent {
        /// What the provider said, in our words.
        summary: String,
    },
    /// A rule of the organization there.
    #[error(
        "A rule of the organization at the provider blocks it. Its administrator can say which. ({summary})"
    )]
    Policy {
        /// What the provider said, in our words.
        summary: String,
    },
    /// The answer came from somebody else than the one who was asked (RFC 9207).
    #[error(
        "The answer does not come from the provider that was asked. Nothing was sent there. Connect again, and tell a security administrator if it happens twice."
    )]
    WrongIssuer,
    /// Owner, endpoint or app changed between the request and the answer.
    #[error("The provider's address, app or the owner changed while you were there. Connect again.")]
    TermsMoved,
    /// It took too long.
    #[error("It took more than ten minutes. Connect again.")]
    TooLate,
    /// The operator ended between sending the code and keeping the answer.
    #[error(
        "The operator was interrupted while it fetched the token, and a code works only once. Connect again."
    )]
    Interrupted,
    /// The first consent is the owner's.
    #[error("The first consent is the owner's to give: {owner} must connect.")]
    NotTheOwner {
        /// The owner.
        owner: String,
    },
    /// The owner's name stands for somebody else than before.
    #[error(
        "At your sign-in provider {owner} is not the person any more who gave the first consent: another issuer or subject. If that is as it should be, disconnect and connect again; else tell an administrator."
    )]
    OtherPerson {
        /// The owner.
        owner: String,
    },
    /// What was brought back cannot be opened.
    #[error("What the operator kept of this try cannot be read any more. Connect again.")]
    Unreadable,
    /// Required scopes were not given, and the grant in use has them.
    #[error(
        "The provider did not grant {missing}, which are required. The earlier grant stays in use. Connect again and agree to them."
    )]
    MissingScopes {
        /// Their names.
        missing: String,
    },
    /// More was given than was reviewed, and the grant in use is what was reviewed.
    #[error(
        "The provider gave more than was asked for: {extra}. The earlier grant stays in use. The owner agrees by adding them to spec.scopes, or takes them back at the provider; then connect again."
    )]
    ExtraScopes {
        /// Their names.
        extra: String,
    },
    /// The record cannot take a grant in.
    #[error(
        "The record of this connection cannot be written, so what the provider gave is not kept. An administrator finds the cause in the operator's log."
    )]
    NotKept,
    /// Disconnected, or deleted, while the person was at the provider.
    #[error(
        "The connection was disconnected or deleted while you were at the provider. What it gave is not kept."
    )]
    NotWanted,
    /// There is no place for tries to connect, or no right to write there.
    #[error(
        "The operator has no place to keep a code: an administrator must apply deploy/, with the namespace of attempts and the rights in it."
    )]
    NotInstalled,
    /// The provider cannot be used in this way.
    #[error("The provider does not offer this way to connect. {whom_to_ask}")]
    NotOffered {
        /// Who can mend it.
        whom_to_ask: String,
    },
    /// The provider's configuration is at fault.
    #[error("The provider refuses our app, not you: {summary} {whom_to_ask}")]
    Config {
        /// What it said, in our words.
        summary: String,
        /// Who can mend it.
        whom_to_ask: String,
    },
    /// The provider is in trouble or did not answer in time.
    #[error("The provider could not be asked: {summary} Connect again.")]
    Unavailable {
        /// What happened, in our words.
        summary: String,
    },
    /// The provider refused.
    #[error("The provider refused: {summary} Connect again.")]
    Refused {
        /// What it said, in our words.
        summary: String,
    },
}

impl ConsentError {
    /// The reason under which it is told: a constant of `api::reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AdminConsent { .. } => reason::ADMIN_CONSENT_REQUIRED,
            Self::Policy { .. } => reason::POLICY_BLOCKED,
            Self::MissingScopes { .. } => reason::MISSING_SCOPES,
            Self::ExtraScopes { .. } => reason::EXTRA_SCOPES,
            _ => reason::AUTHORIZATION_FAILED,
        }
    }

    /// What a failed request means for the try it was sent for.
    pub fn of(failure: &Failure, whom_to_ask: String) -> Self {
        Self::meaning(failure.class, failure.summary.clone(), whom_to_ask)
    }

    /// What it means that the browser came back without a code. The provider's words are marked as such.
    pub fn declined(declined: Declined, whom_to_ask: String) -> Self {
        let Declined { class, code: _, said, summary } = declined;
        let summary = match said {
            Some(said) => format!("{summary}; in the provider's words: \u{201c}{said}\u{201d}"),
            None => summary,
        };
        Self::meaning(class, summary, whom_to_ask)
    }

    fn meaning(class: Class, summary: String, whom_to_ask: String) -> Self {
        match class {
            Class::Cancelled => Self::Denied,
            Class::Consent => Self::AdminConsent { summary },
            Class::Policy => Self::Policy { summary },
            Class::Config => Self::Config { summary, whom_to_ask },
            Class::Transient => Self::Unavailable { summary },
            Class::Reauth | Class::StepUp | Class::Alive | Class::Bug => Self::Refused { summary },
        }
    }
}
