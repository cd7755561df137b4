//! The values that labels may have.

use bowline_api::connection::Phase;
use bowline_oauth::catalog::errors::Class;

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            #[allow(dead_code, reason = "only some series are started at zero")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The value of the label.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }
        }
    };
}

labels! {
    /// How a reconcile ended.
    PassOutcome {
        /// All is as it should be.
        Settled = "settled",
        /// It looks again at a known time.
        Waiting = "waiting",
        /// A person must act first.
        Stalled = "stalled",
        /// It failed for a passing cause and is tried again.
        Retrying = "retrying",
    }
}

labels! {
    /// How a refresh ended.
    RefreshOutcome {
        /// The new grant is committed.
        Refreshed = "refreshed",
        /// A passing cause: outage, rate limit, no answer before anything was sent.
        Transient = "transient",
        /// The provider refused, and the refusal counts towards the ten.
        Refused = "refused",
        /// The provider said that the grant is over.
        Ended = "ended",
        /// The provider does not accept our registration.
        AppRejected = "app_rejected",
        /// Sent, and its outcome is not known.
        Unknown = "unknown",
        /// Somebody else moved first; nothing was sent.
        Superseded = "superseded",
    }
}

labels! {
    /// What a provider was asked.
    Operation {
        /// A refresh (RFC 6749 §6).
        Refresh = "refresh",
        /// An authorization request that is pushed (RFC 9126), or a device code (RFC 8628 §3.1).
        Authorize = "authorize",
        /// A code or a device code for tokens (RFC 6749 §4.1.3, RFC 8628 §3.4).
        Exchange = "exchange",
        /// A token for the app itself (RFC 6749 §4.4).
        ClientCredentials = "client_credentials",
        /// A revocation (RFC 7009).
        Revoke = "revoke",
        /// Its metadata (RFC 8414).
        Discovery = "discovery",
        /// Which account a token belongs to.
        Identity = "identity",
        /// Whether a key, or user and password, work.
        Key = "key",
    }
}

/// Label of an answer as hoped.
pub(super) const SUCCESS: &str = "success";
/// Label of a call whose caller went away before the answer.
pub(super) const ABANDONED: &str = "abandoned";

/// The label of a failure's class.
pub(super) fn class(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::Reauth => "reauth",
        Class::Consent => "consent",
        Class::Policy => "policy",
        Class::StepUp => "step_up",
        Class::Config => "config",
        Class::Alive => "alive",
        Class::Cancelled => "cancelled",
        Class::Bug => "bug",
    }
}

labels! {
    /// How a publish ended.
    PublishOutcome {
        /// The Secret was made or changed.
        Written = "written",
        /// It was as it should be.
        Unchanged = "unchanged",
        /// It was removed.
        Withdrawn = "withdrawn",
        /// A Secret of that name belongs to somebody else.
        NameTaken = "name_taken",
        /// The namespace's quota refused it.
        QuotaExceeded = "quota_exceeded",
        /// The operator may not write Secrets there.
        Forbidden = "forbidden",
        /// The template or format could not be rendered.
        NotRenderable = "not_renderable",
        /// Any other failure; tried again.
        Failed = "failed",
    }
}

/// The label of a phase: its name in the API.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Active => "Active",
        Phase::Expired => "Expired",
        Phase::Error => "Error",
        Phase::Revoked => "Revoked",
        Phase::Suspended => "Suspended",
        Phase::Disconnected => "Disconnected",
    }
}
