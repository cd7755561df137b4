//! What a decision about a connection is taken from. Plain data: gathered in `observe.rs`, read by `decide`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_api::connection::{Phase, SecretStatus};
use bowline_api::{ConnectionShare, IntegrationConnectionStatus};
use bowline_runtime::attempts::Kept;
use k8s_openapi::jiff::Timestamp;
use url::Url;

use crate::grant::consent::Dismissal;
use crate::grant::outcome::Finished;
use crate::grant::target::Target;
use crate::publishing::Known;
use crate::sharing::Shared;
use crate::vault::Grant;

/// Everything a decision needs.
pub struct Observed {
    /// The provider, as far as it can be used.
    pub provider: Provider,
    /// The labels of the connection's namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// The record in the store.
    pub record: RecordState,
    /// The Secret under the name that is to be published here, if there is one.
    pub secret: Option<Known>,
    /// What was published last: as this process remembers, or else as status says.
    pub written: Option<SecretStatus>,
    /// Whether the grant's actor is at work.
    pub busy: bool,
    /// What it finished last, until that was reported.
    pub finished: Option<Finished>,
    /// No work before this: what kept the last one from being done cannot have passed.
    pub rest_until: Option<Timestamp>,
    /// The intake announcement that was carried out or refused last; the object may show it for a moment longer.
    pub taken: Option<String>,
    /// The connection's own app is not the one the grant is bound to, as the actor found.
    pub app_differs: bool,
    /// The version of the app registration in use, the connection's own or the provider's: `<uid>/<resourceVersion>`.
    pub app_version: Option<String>,
    /// The version of the credentials Secret, where the spec names one.
    pub credentials: Option<SourceSeen>,
    /// The version of it that was refused; the same bytes are not read again.
    pub refused_source: Option<SourceSeen>,
    /// Tries to connect it that are not over, the newest first.
    pub attempts: Vec<Kept>,
    /// Those of them that are over, which could not be written yet.
    pub unwritten: Vec<Dismissal>,
    /// Device flow: the provider is not asked again before this.
    pub poll_at: Option<Timestamp>,
    /// The portal's address, where there is one.
    pub portal: Option<Url>,
    /// Where the connection is to be shared.
    pub shared: Shared,
    /// The shares there are.
    pub shares: Vec<Arc<ConnectionShare>>,
}

/// A provider, as far as it can be used.
pub enum Provider {
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
    pub fn target(&self) -> Option<&Arc<Target>> {
        match self {
            Self::Ready(target) | Self::Rejected { target, .. } => Some(target),
            Self::NotFound | Self::NotReady { .. } | Self::ParametersInvalid { .. } => None,
        }
    }
}

/// The record of a connection.
pub enum RecordState {
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
pub struct Present {
    /// Revision of the grant; of the record while there is none.
    pub revision: i64,
    /// The grant, unsealed; absent while only a candidate is there.
    pub grant: Option<Arc<Grant>>,
    /// Whether a candidate waits to be judged.
    pub has_candidate: bool,
    /// When that was given to us by a consent; `None` where it was brought.
    pub consented_at: Option<Timestamp>,
    /// Since when a mark stands on the candidate that nobody is at work on: whether it was spent is not known.
    pub doubted_since: Option<Timestamp>,
    /// Since when an intent stands that nobody is at work on: its effect is not known.
    pub unknown_since: Option<Timestamp>,
    /// Whether the grant is being revoked.
    pub ending: bool,
}

impl RecordState {
    /// The record, if it can be read.
    pub fn present(&self) -> Option<&Present> {
        match self {
            Self::Present(present) => Some(present),
            Self::Missing | Self::Unreadable | Self::Tampered => None,
        }
    }

    /// The grant, if there is one that can be read and is not being ended.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.present().filter(|present| !present.ending)?.grant.as_ref()
    }

    /// Its revision.
    pub fn revision(&self) -> Option<i64> {
        self.present().map(|present| present.revision)
    }
}

/// The version of a credentials Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeen {
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// Whether the connection was ever authorized.
pub fn was_connected(status: Option<&IntegrationConnectionStatus>) -> bool {
    status.is_some_and(|status| status.connected_at.is_some() && status.phase != Some(Phase::Disconnected))
}
