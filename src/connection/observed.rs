//! What a decision about a connection is based on. Plain data: collected in `observe.rs`, read by `decide`.

use std::sync::Arc;
use std::time::Duration;

use bowline_api::connection::{DependentsStatus, Method};
use bowline_api::delivery::LastDelivery;
use bowline_api::{ConnectionShare, IntegrationConnectionSpec};
use bowline_runtime::attempts::StoredAttempt;
use bowline_runtime::follow::ObjectVersion;
use k8s_openapi::jiff::Timestamp;
use url::Url;

use crate::grant::consent::Dismissal;
use crate::grant::desk::WorkView;
use crate::grant::incident::Incident;
use crate::grant::probe::ProbeView;
use crate::grant::target::Target;
use crate::kube_ext::coalesce::Coalesced;
use crate::publishing::PublishedVersion;
use crate::secret_plan::GrantInUse;
use crate::sharers::Sharer;
use crate::sharing::Shared;
use crate::sharing::limits::ReachedLimit;
use crate::sharing::terms::TermsInForce;
use crate::vault::record::{GrantVersion, Pause, RevocationResult};
use crate::vault::{Credential, Grant, GrantId};
use crate::world::{ProviderUse, UnusableProvider};

pub(crate) struct ObservedConnection {
    pub(crate) provider: Result<Arc<Target>, UnusableProvider>,
    /// When the next probe is due, if the provider rejects the registration that the connection uses.
    pub(crate) next_probe: Option<Timestamp>,
    /// Whether the connection may use its provider; `Allowed` while the provider is not known.
    pub(crate) usage: ProviderUse,
    /// How long a disconnection can be undone.
    pub(crate) disconnect_pause: Duration,
    /// The limit of a workspace that leaves no place for it, while it has no grant and never had one since it was enabled.
    pub(crate) reached_limit: Option<ReachedLimit>,
    /// The contact of the workspace that it names.
    pub(crate) workspace_contact: Option<String>,
    /// The provider refuses the grants of several connections at once.
    pub(crate) incident: Option<Incident>,
    /// The provider refuses several tokens at once when they are checked.
    pub(crate) token_incident: Option<Incident>,
    /// What probes of the token in use have shown; `None` where there are none.
    pub(crate) probe: Option<ProbeView>,
    pub(crate) record: RecordState,
    /// The record of a former object that can be adopted.
    pub(crate) adoptable: Option<Adoptable>,
    /// The newest grant that was ever published, as far as status and Secret say.
    pub(crate) newest_known: Option<GrantVersion>,
    /// Its grants that are being ended.
    pub(crate) endings: Vec<EndingView>,
    /// The Secret under the name to publish, if it exists.
    pub(crate) secret: Option<ObjectVersion>,
    pub(crate) written: Option<PublishedVersion>,
    pub(crate) actor: WorkView,
    /// The version of the app registration in use, the connection's own or the provider's: `<uid>/<resourceVersion>`.
    pub(crate) app_version: Option<String>,
    /// UID and resourceVersion of the credentials Secret, where the spec names one.
    pub(crate) credentials: Option<(String, String)>,
    /// From when another requested refresh may be sent to the provider; `None` if there is room now.
    pub(crate) requests_from: Option<Timestamp>,
    /// Shipped admission policies that are not in force.
    pub(crate) missing_policies: Arc<[String]>,
    /// Whether the Secrets of the namespace cannot be listed: then nothing of them is known.
    pub(crate) namespace_unreadable: bool,
    /// Open ones, newest first.
    pub(crate) attempts: Vec<StoredAttempt>,
    /// Ended or not.
    pub(crate) newest_attempt: Option<StoredAttempt>,
    pub(crate) portal: Option<Url>,
    /// The terms that are in force: what its owner agreed to.
    pub(crate) terms: TermsInForce,
    pub(crate) shared: Shared,
    pub(crate) shares: Vec<Arc<ConnectionShare>>,
    /// The bindings that hold its token.
    pub(crate) dependents: Coalesced<DependentsStatus>,
    /// What their workloads reported last.
    pub(crate) delivery: Coalesced<LastDelivery>,
    /// Who is known to share a connection under this id; `None` if nobody, or if that cannot be read.
    pub(crate) sharer: Option<Sharer>,
    /// Whether nothing is published in its namespace.
    pub(crate) is_reserved: bool,
    /// Whether `spec.secret.name` is the own name of another connection, and the Secret is not ours already.
    pub(crate) takes_anothers_name: bool,
}

impl ObservedConnection {
    /// The provider, if its addresses are known.
    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        self.provider.as_ref().ok()
    }

    /// The grant, as far as its provider publishes it now.
    pub(crate) fn in_use(&self) -> Option<GrantInUse> {
        let grant = self.record.in_use()?;
        Some(match self.target() {
            Some(target) => grant.published_by(target.description()),
            None => grant,
        })
    }

    /// Whether nobody can tell if the connection may use its provider: what that depends on cannot be read, or the provider
    /// object cannot be used.
    pub(crate) fn usage_is_unknown(&self) -> bool {
        self.provider.is_err() || matches!(self.usage, ProviderUse::Unknown(_))
    }

    /// The ending to be shown: one that is not done, if there is one, and the newest.
    pub(crate) fn shown_ending(&self) -> Option<&EndingView> {
        self.endings.iter().max_by_key(|ending| (!ending.is_done, ending.since))
    }

    /// Ends of attempts that could not be written yet.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = &Dismissal> {
        self.actor.concluded.iter().filter(|ended| !ended.written).map(|ended| &ended.dismissal)
    }

    /// Whether tokens are minted, without a person.
    pub(crate) fn is_minted(&self, spec: &IntegrationConnectionSpec) -> bool {
        self.target().is_some_and(|target| !target.method(spec).is_a_persons())
    }

    /// Whether its keys are issued here.
    pub(crate) fn issues_keys(&self, spec: &IntegrationConnectionSpec) -> bool {
        self.target().is_some_and(|target| target.method(spec) == Method::IssuedKey)
    }

    /// Whether its owner provides a key, or a user name and password.
    pub(crate) fn takes_keys(&self, spec: &IntegrationConnectionSpec) -> bool {
        let method = self.target().map(|target| target.method(spec));
        matches!(method, Some(Method::ApiKey | Method::BasicAuth))
    }

    /// Whether accounts are linked on a page of the provider.
    pub(crate) fn links(&self, spec: &IntegrationConnectionSpec) -> bool {
        self.target().is_some_and(|target| target.method(spec) == Method::LinkSession)
    }

    /// Whether a new token can be obtained without the owner.
    pub(crate) fn is_refreshable(&self, spec: &IntegrationConnectionSpec, grant: &Grant) -> bool {
        match &grant.credential {
            Credential::OAuth { refresh_token, .. } => refresh_token.is_some() || self.is_minted(spec),
            Credential::ApiKey { .. } | Credential::Basic { .. } | Credential::IssuedKeys { .. } => false,
        }
    }
}

/// A grant of this connection that is being ended.
#[derive(Clone, Debug)]
pub(crate) struct EndingView {
    pub(crate) key: Arc<str>,
    /// The grant, while it was in use; `None` once nothing is left to be done about it.
    pub(crate) grant: Option<GrantId>,
    pub(crate) since: Timestamp,
    /// What is known by now; `None` while the first request is under way.
    pub(crate) result: Option<RevocationResult>,
    /// Whether nothing is left to be done.
    pub(crate) is_done: bool,
}

/// A record that can be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adoptable {
    /// UID of the former object.
    pub(crate) former: String,
    /// When the access token expired, if the grant has a refresh token.
    pub(crate) expires_at: Option<Timestamp>,
}

pub(crate) enum RecordState {
    Missing,
    /// It does not parse, or the keyring has no key for it.
    Unreadable,
    Tampered,
    /// It is older than what was published. What it holds is not used; only a candidate that came since is judged.
    RolledBack(Present),
    Present(Present),
}

pub(crate) struct Present {
    /// Revision of the grant; of the record while there is none.
    pub(crate) revision: i64,
    /// The grant, unsealed; absent while only a candidate is there.
    pub(crate) grant: Option<Arc<Grant>>,
    pub(crate) version: Option<GrantVersion>,
    pub(crate) pause: Option<Pause>,
    /// Since when the connection is disconnected, as far as that is on record.
    pub(crate) disconnected_at: Option<Timestamp>,
    /// Whether the record says that nothing of the grant works any more.
    pub(crate) is_dead: bool,
    pub(crate) has_candidate: bool,
    /// The owner of the connection when the candidate came.
    pub(crate) candidate_owner: Option<String>,
    /// When a consent gave us the candidate; `None` if it was imported.
    pub(crate) consented_at: Option<Timestamp>,
    /// Since when the candidate has a mark that nobody works on: whether it was spent is not known.
    pub(crate) doubted_since: Option<Timestamp>,
    /// Since when there is an intent that nobody works on: its effect is not known.
    pub(crate) unknown_since: Option<Timestamp>,
}

impl RecordState {
    pub(crate) fn present(&self) -> Option<&Present> {
        match self {
            Self::Present(present) => Some(present),
            Self::Missing | Self::Unreadable | Self::Tampered | Self::RolledBack(_) => None,
        }
    }

    /// What may be judged, also beside a grant that is not used because it was rolled back.
    pub(crate) fn holding_candidate(&self) -> Option<&Present> {
        match self {
            Self::Present(present) | Self::RolledBack(present) => Some(present).filter(|it| it.has_candidate),
            Self::Missing | Self::Unreadable | Self::Tampered => None,
        }
    }

    /// The owner whose grant is on record: the one in use, else the candidate.
    pub(crate) fn owner(&self) -> Option<&str> {
        let (Self::Present(present) | Self::RolledBack(present)) = self else { return None };
        let in_use = present.grant.as_ref().map(|grant| grant.bound_to.owner.as_str());
        in_use.or(present.candidate_owner.as_deref())
    }

    /// The grant, if it can be read and used.
    pub(crate) fn grant(&self) -> Option<&Arc<Grant>> {
        self.present()?.grant.as_ref()
    }

    pub(crate) fn version(&self) -> Option<GrantVersion> {
        self.present()?.version
    }

    pub(crate) fn revision(&self) -> Option<i64> {
        self.present().map(|present| present.revision)
    }

    pub(crate) fn in_use(&self) -> Option<GrantInUse> {
        Some(GrantInUse { grant: Arc::clone(self.grant()?), version: self.version()? })
    }
}
