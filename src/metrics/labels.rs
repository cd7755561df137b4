//! The values of labels.

use bowline_api::connection::Phase;
use bowline_oauth::catalog::errors::Class;
use k8s_openapi::jiff::SignedDuration;

/// A value from a closed set.
pub(crate) trait Label {
    fn label(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            #[allow(dead_code, reason = "only some series are started at zero")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl Label for $name {
            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }
        }
    };
}

labels! {
    PassOutcome {
        Settled = "settled",
        /// It looks again at a known time.
        Waiting = "waiting",
        /// A person must act first.
        Stalled = "stalled",
        Retrying = "retrying",
    }
}

labels! {
    RefreshOutcome {
        Refreshed = "refreshed",
        /// A passing cause: outage, rate limit, no answer before anything was sent.
        Transient = "transient",
        /// The provider refused, and the refusal counts towards the ten.
        Refused = "refused",
        Ended = "ended",
        AppRejected = "app_rejected",
        /// Sent, and its outcome is not known.
        Unknown = "unknown",
        /// Somebody else moved first; nothing was sent.
        Superseded = "superseded",
    }
}

labels! {
    Operation {
        Refresh = "refresh",
        /// An authorization request that is pushed (RFC 9126), or a device code (RFC 8628 §3.1).
        Authorize = "authorize",
        Exchange = "exchange",
        /// A token for the app itself (RFC 6749 §4.4).
        ClientCredentials = "client_credentials",
        /// A token for a signed assertion (RFC 7523 §2.1).
        JwtBearer = "jwt_bearer",
        /// A token for one of the cluster's (RFC 8693).
        TokenExchange = "token_exchange",
        Revoke = "revoke",
        /// The metadata of an issuer (RFC 8414).
        Discovery = "discovery",
        Identity = "identity",
        /// Whether a key, or user and password, work.
        Key = "key",
        /// Whether the token or key in use is still honored.
        Probe = "probe",
    }
}

labels! {
    PublishOutcome {
        Written = "written",
        Unchanged = "unchanged",
        Withdrawn = "withdrawn",
        NameTaken = "name_taken",
        QuotaExceeded = "quota_exceeded",
        Forbidden = "forbidden",
        /// The template or format could not be rendered.
        NotRenderable = "not_renderable",
        Failed = "failed",
    }
}

labels! {
    /// What is told to the receiver of notifications.
    NotificationType {
        NeedsYou = "needs-you",
        ExpiresSoon = "expires-soon",
        Recovered = "recovered",
    }
}

labels! {
    NotificationOutcome {
        Delivered = "delivered",
        /// A request that failed and is repeated.
        Retried = "retried",
        /// Refused, or not taken for an hour.
        GivenUp = "given_up",
        /// There was no place in the queue.
        Dropped = "dropped",
    }
}

labels! {
    /// The reminders of a grant's end.
    EndsWithin {
        Month = "30d",
        Week = "7d",
        Day = "1d",
    }
}

impl EndsWithin {
    pub(crate) const fn days(self) -> i32 {
        match self {
            Self::Month => 30,
            Self::Week => 7,
            Self::Day => 1,
        }
    }

    pub(crate) fn span(self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.days()) * 24)
    }
}

/// Its caller stopped waiting before it ended.
pub(super) const ABANDONED: &str = "abandoned";

/// Of the failure, where there is one.
impl Label for Option<Class> {
    fn label(self) -> &'static str {
        match self {
            None => "success",
            Some(Class::Transient) => "transient",
            Some(Class::Reauth) => "reauth",
            Some(Class::Consent) => "consent",
            Some(Class::Policy) => "policy",
            Some(Class::StepUp) => "step_up",
            Some(Class::Config) => "config",
            Some(Class::Ambiguous) => "ambiguous",
            Some(Class::Alive) => "alive",
            Some(Class::Cancelled) => "cancelled",
            Some(Class::Bug) => "bug",
        }
    }
}

impl Label for Phase {
    fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Expired => "Expired",
            Self::Error => "Error",
            Self::Revoked => "Revoked",
            Self::Suspended => "Suspended",
            Self::Disconnected => "Disconnected",
        }
    }
}
