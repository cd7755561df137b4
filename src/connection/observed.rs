//! What a decision about a connection is taken from. Plain data: gathered in `observe.rs`, read by `decide`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::ConnectionShare;
use bowline_runtime::attempts::StoredAttempt;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;
use url::Url;

use crate::grant::consent::Dismissal;
use crate::grant::outcome::FinishedWork;
use crate::grant::target::Target;
use crate::publishing::PublishedVersion;
use crate::sharing::Shared;
use crate::vault::Grant;
use crate::vault::record::{GrantVersion, Pause};

/// Everything a decision needs.
pub(crate) struct Observed {
    /// The provider, as far as it can be used.
    pub(crate) provider: Provider,
    /// The labels of the connection's namespace.
    pub(crate) namespace_labels: BTreeMap<String, String>,
    /// The record in the store.
    pub(crate) record: RecordState,
    /// The Secret under the name that is to be published here, if there is one.
    pub(crate) secret: Option<ObjectVersion>,
    /// What was published last: as this process remembers, or else as the Secret itself tells.
    pub(crate) written: Option<PublishedVersion>,
    /// Whether the grant's actor is at work.
    pub(crate) busy: bool,
    /// What it finished last, until that was reported.
    pub(crate) finished: Option<FinishedWork>,
    /// No work before this: what kept the last one from being done cannot have passed.
    pub(crate) rest_until: Option<Timestamp>,
    /// The intake announcement that was carried out or refused last; the object may show it for a moment longer.
    pub(crate) taken: Option<String>,
    /// The connection's own app is not the one the grant is bound to, as the actor found.
    pub(crate) app_differs: bool,
    /// The version of the app registration in use, the connection's own or the provider's: `<uid>/<resourceVersion>`.
    pub(crate) app_version: Option<String>,
    /// The version of the credentials Secret, where the spec names one.
    pub(crate) credentials: Option<SourceSeen>,
    /// The version of it that was refused; the same bytes are not read again.
    pub(crate) refused_source: Option<SourceSeen>,
    /// Tries to connect it that are not over, the newest first.
    pub(crate) attempts: Vec<StoredAttempt>,
    /// The newest attempt, ended or not.
    pub(crate) newest_attempt: Option<StoredAttempt>,
    /// Those of them that are over, which could not be written yet.
    pub(crate) unwritten: Vec<Dismissal>,
    /// Device flow: the provider is not asked again before this.
    pub(crate) poll_at: Option<Timestamp>,
    /// The portal's address, where there is one.
    pub(crate) portal: Option<Url>,
    /// Where the connection is to be shared.
    pub(crate) shared: Shared,
    /// The shares there are.
    pub(crate) shares: Vec<Arc<ConnectionShare>>,
}

/// A provider, as far as it can be used.
pub(crate) enum Provider {
    /// No object of that name.
    NotFound,
    /// Not usable now.
    NotReady {
        /// Why, in words that name who can mend it.
        message: String,
    },
    /// It does not accept our registration; one connection may probe.
    Rejected {
        /// What it is.
        target: Arc<Target>,
        /// When the next probe is due.
        next_probe: Timestamp,
    },
    /// The connection's own parameters do not fit.
    ParametersInvalid {
        /// Which and why.
        message: String,
    },
    /// Usable.
    Ready(Arc<Target>),
}

impl Provider {
    /// The target, where its addresses are known.
    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        match self {
            Self::Ready(target) | Self::Rejected { target, .. } => Some(target),
            Self::NotFound | Self::NotReady { .. } | Self::ParametersInvalid { .. } => None,
        }
    }
}

/// The record of a connection.
pub(crate) enum RecordState {
    /// There is none.
    Missing,
    /// It does not parse, or the keyring has no key for it.
    Unreadable,
    /// It was changed by somebody else.
    Tampered,
    /// It is there.
    Present(Present),
}

/// A record that can be read.
pub(crate) struct Present {
    /// Revision of the grant; of the record while there is none.
    pub(crate) revision: i64,
    /// The grant, unsealed; absent while only a candidate is there.
    pub(crate) grant: Option<Arc<Grant>>,
    /// Which grant it is, and how often it was refreshed.
    pub(crate) version: Option<GrantVersion>,
    /// The pause that a failure imposed.
    pub(crate) pause: Option<Pause>,
    /// Whether a candidate waits to be judged.
    pub(crate) has_candidate: bool,
    /// When that was given to us by a consent; `None` where it was brought.
    pub(crate) consented_at: Option<Timestamp>,
    /// Since when a mark stands on the candidate that nobody is at work on: whether it was spent is not known.
    pub(crate) doubted_since: Option<Timestamp>,
    /// Since when an intent stands that nobody is at work on: its effect is not known.
    pub(crate) unknown_since: Option<Timestamp>,
    /// Whether the grant is being revoked.
    pub(crate) ending: bool,
}

impl RecordState {
    /// The record, if it can be read.
    pub(crate) fn present(&self) -> Option<&Present> {
        match self {
            Self::Present(present) => Some(present),
            Self::Missing | Self::Unreadable | Self::Tampered => None,
        }
    }

    /// The grant, if there is one that can be read and is not being ended.
    pub(crate) fn grant(&self) -> Option<&Arc<Grant>> {
        self.present().filter(|present| !present.ending)?.grant.as_ref()
    }

    /// The grant in use, the revision of its record, and which grant it is.
    pub(crate) fn in_use(&self) -> Option<(&Arc<Grant>, i64, GrantVersion)> {
        let present = self.present()?;
        Some((self.grant()?, present.revision, present.version?))
    }

    /// Its revision.
    pub(crate) fn revision(&self) -> Option<i64> {
        self.present().map(|present| present.revision)
    }
}

/// The version of a credentials Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceSeen {
    /// Its UID.
    pub(crate) uid: String,
    /// Its resourceVersion.
    pub(crate) resource_version: String,
}
