//! What is known of the cluster: caches that watches fill, asked by every controller. Never a live request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bowline_api::names::{self, LABEL_ATTEMPT_CONNECTION};
use bowline_api::reason::Reason;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider};
use bowline_oauth::app::App;
use bowline_oauth::catalog::{self, ResolveError, SetBy};
use bowline_oauth::http::Http;
use bowline_runtime::attempts::{self, StoredAttempt};
use bowline_runtime::follow::Cache;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::discovered::{IssuerReading, Metadata};
use crate::grant::target::Target;
use crate::kinds::Kinds;
use crate::kube_ext::index::SecretIndex;
use crate::kube_ext::memory::Memory;
use crate::sharing::{self, Shared};
use crate::vault::Place;
use crate::vault::record::EndTerms;

/// The caches.
pub(crate) struct World {
    /// UID of the cluster's `kube-system` namespace.
    pub(crate) cluster: String,
    /// The kinds of ours.
    pub(crate) kinds: Kinds,
    /// Names and labels of all namespaces.
    pub(crate) namespaces: Cache<PartialObjectMeta<Namespace>>,
    /// Secrets of the operator's namespace that are neither records nor the keyring: app registrations.
    pub(crate) app_secrets: Cache<Secret>,
    /// Attempts to connect, as Secrets.
    pub(crate) attempts: Cache<Secret>,
    /// The Secrets we publish, without data.
    pub(crate) published: SecretIndex,
    /// Secrets of type `bowline.dev/credential`, without data.
    pub(crate) credentials: SecretIndex,
    /// What the provider controller made of each provider object.
    pub(crate) resolutions: Memory<Arc<Resolution>>,
    /// What the issuers of providers said.
    pub(crate) issuers: Memory<IssuerReading>,
}

/// What one provider object comes to.
#[derive(Debug)]
pub(crate) enum Resolution {
    /// It cannot be used; the sentence says why and who mends it.
    NotReady {
        /// Why.
        reason: Reason,
        /// The sentence.
        message: String,
    },
    /// It can be used.
    Ready(Ready),
}

/// A provider object that can be used.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The object as it was judged.
    pub(crate) object: Arc<IntegrationProvider>,
    /// Its app registration, for the methods that need one.
    pub(crate) app: Option<Arc<App>>,
    /// What the issuer's metadata says, where it was read.
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// What carries requests to it, within its network.
    pub(crate) http: Arc<dyn Http>,
    /// For connections without parameters; `None` where they must set some.
    pub(crate) plain: Option<Arc<Target>>,
}

/// What a connection gets for the provider that it names.
pub(crate) enum ProviderLookup {
    /// No object of that name.
    NotFound,
    /// Not usable now.
    NotReady {
        /// Why, and who mends it.
        message: String,
    },
    /// The connection's own parameters do not fit.
    ParametersInvalid {
        /// Which, and why.
        message: String,
    },
    /// Usable.
    Ready(Arc<Target>),
}

/// Why a usable provider has no target for a connection. Names what does not fit, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// The entry is not in this version's catalogue.
    #[error("its catalogue entry is gone")]
    EntryGone,
    /// The parts do not fit together.
    #[error(transparent)]
    Parts(#[from] ResolveError),
    /// The addresses would have to be read from an issuer that only this connection has.
    #[error(
        "its issuer depends on the connection's parameters and is not asked; set endpoints.token on the IntegrationProvider"
    )]
    IssuerUnread,
}

impl Unfit {
    /// Whose object has to change.
    pub(crate) fn concerns(&self) -> SetBy {
        match self {
            Self::EntryGone | Self::IssuerUnread => SetBy::Provider,
            Self::Parts(error) => error.concerns(),
        }
    }
}

impl Ready {
    /// Puts a usable provider together.
    pub(crate) fn new(
        object: Arc<IntegrationProvider>,
        app: Option<Arc<App>>,
        metadata: Option<Arc<Metadata>>,
        http: Arc<dyn Http>,
    ) -> Self {
        let mut ready = Self { object, app, metadata, http, plain: None };
        ready.plain = ready.target(&BTreeMap::new()).ok();
        ready
    }

    /// The provider for a connection with these parameters.
    pub(crate) fn target(&self, parameters: &BTreeMap<String, String>) -> Result<Arc<Target>, Unfit> {
        if let (Some(plain), true) = (&self.plain, parameters.is_empty()) {
            return Ok(Arc::clone(plain));
        }
        let spec = &self.object.spec;
        let entry = catalog::get(&spec.type_).ok_or(Unfit::EntryGone)?;
        let description = catalog::resolve(entry, spec, &self.object.name_any(), parameters)?;
        // What one issuer says is nothing to go by for another, which a connection's parameters may lead to.
        let issuer = description.endpoints.issuer.as_ref();
        let description = match &self.metadata {
            Some(metadata) if issuer == Some(&metadata.issuer) => {
                description.with_metadata(&metadata.endpoints)
            }
            _ if description.needs_discovery() && description.endpoints.token.is_none() => {
                return Err(Unfit::IssuerUnread);
            }
            _ => description,
        };
        let http = Arc::clone(&self.http);
        Ok(Arc::new(Target::new(description, spec.clone(), self.app.clone(), http)))
    }
}

impl World {
    /// The provider of a connection.
    pub(crate) fn provider(&self, name: &str, parameters: &BTreeMap<String, String>) -> ProviderLookup {
        let key = ObjectRef::new(name);
        if self.kinds.providers.set_aside(&key).is_some() {
            let message = format!(
                "IntegrationProvider {name} cannot be read. An administrator must correct it: its Event Unreadable names the field."
            );
            return ProviderLookup::NotReady { message };
        }
        let object = self.kinds.providers.get(&key);
        if object.is_none_or(|object| object.meta().deletion_timestamp.is_some()) {
            return ProviderLookup::NotFound;
        }
        match self.resolutions.get(name).as_deref() {
            None => ProviderLookup::NotReady { message: format!("Provider {name} is being looked at.") },
            Some(Resolution::NotReady { message, .. }) => {
                ProviderLookup::NotReady { message: format!("Provider {name} cannot be used: {message}") }
            }
            Some(Resolution::Ready(ready)) => match ready.target(parameters) {
                Ok(target) => ProviderLookup::Ready(target),
                Err(unfit) if unfit.concerns() == SetBy::Connection => {
                    ProviderLookup::ParametersInvalid { message: sentence(&unfit.to_string()) }
                }
                Err(unfit) => ProviderLookup::NotReady {
                    message: format!("Provider {name} cannot be used: {}", sentence(&unfit.to_string())),
                },
            },
        }
    }

    /// Whether a provider object is there that nobody has looked at yet: right after the start, for as long as its issuer takes.
    pub(crate) fn is_unjudged(&self, provider: &str) -> bool {
        self.resolutions.get(provider).is_none()
            && self.kinds.providers.get(&ObjectRef::new(provider)).is_some()
    }

    /// The provider of a grant that is being ended; its connection may be gone.
    pub(crate) fn target_of_ending(&self, place: &Place, terms: &EndTerms) -> Option<Arc<Target>> {
        match self.provider(&place.provider, &terms.parameters) {
            ProviderLookup::Ready(target) => Some(target),
            ProviderLookup::NotFound
            | ProviderLookup::NotReady { .. }
            | ProviderLookup::ParametersInvalid { .. } => None,
        }
    }

    /// Where a connection is shared.
    pub(crate) fn shared(&self, connection: &IntegrationConnection) -> Shared {
        // Most connections are private: do not collect the workspaces for them.
        if !connection.spec.shared.unwrap_or_default() {
            return Shared::NotAsked;
        }
        let workspaces = &self.kinds.workspaces;
        let unreadable: BTreeSet<_> =
            workspaces.unreadable().iter().filter_map(|workspace| workspace.metadata.name.clone()).collect();
        let shared = sharing::computed(connection, &workspaces.state(), |namespace| {
            self.namespace_lives(namespace) && !self.is_held_by(&unreadable, namespace)
        });
        match shared {
            Shared::WorkspaceNotFound { workspace } if unreadable.contains(&workspace) => {
                Shared::Unknown { workspace }
            }
            known => known,
        }
    }

    /// Whether one of these workspaces, which cannot be read, has shares in a namespace: then it is no other one's.
    fn is_held_by(&self, unreadable: &BTreeSet<String>, namespace: &str) -> bool {
        let held = |share: &ConnectionShare| {
            share.meta().namespace.as_deref() == Some(namespace) && unreadable.contains(&share.spec.workspace)
        };
        !unreadable.is_empty() && !self.kinds.shares.state_filter(held).is_empty()
    }

    /// Whether a namespace exists and is not being deleted.
    pub(crate) fn namespace_lives(&self, name: &str) -> bool {
        self.namespaces
            .get(&ObjectRef::new(name))
            .is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none())
    }

    /// The labels of a namespace.
    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        self.namespaces
            .get(&ObjectRef::new(name))
            .map(|namespace| namespace.labels().clone())
            .unwrap_or_default()
    }

    /// The shares of a connection, by its UID. One that cannot be read is known by its name alone: it is there, and can be taken
    /// back.
    pub(crate) fn shares_of(&self, connection: &IntegrationConnection) -> Vec<Arc<ConnectionShare>> {
        let Some(uid) = connection.meta().uid.as_deref() else { return Vec::new() };
        let mut shares = self.kinds.shares.state_filter(|share| share.spec.connection.uid == uid);
        let id = names::connection_id(&connection.namespace().unwrap_or_default(), &connection.name_any());
        for unreadable in self.kinds.shares.unreadable() {
            if unreadable.metadata.name.as_deref() == Some(&id) {
                let share = sharing::share(connection, "", "");
                shares.push(Arc::new(ConnectionShare { metadata: unreadable.metadata.clone(), ..share }));
            }
        }
        shares
    }

    /// Whether all is known that a share depends on. What cannot be read is unknown, never gone.
    pub(crate) fn knows_source_of(&self, share: &ConnectionShare) -> bool {
        let of = &share.spec.connection;
        let key = ObjectRef::new(&of.name).within(&of.namespace);
        match self.kinds.connections.set_aside(&key) {
            Some(unreadable) => unreadable.metadata.uid.as_ref() != Some(&of.uid),
            None => self
                .connection(&of.namespace, &of.name, &of.uid)
                .is_none_or(|connection| !matches!(self.shared(&connection), Shared::Unknown { .. })),
        }
    }

    /// The tries to connect this connection, the newest first; what is no attempt is left out.
    pub(crate) fn attempts_of(&self, connection: &IntegrationConnection) -> Vec<StoredAttempt> {
        let Some(uid) = connection.meta().uid.as_deref() else { return Vec::new() };
        let its = |secret: &Secret| secret.labels().get(LABEL_ATTEMPT_CONNECTION).is_some_and(|of| of == uid);
        let read =
            self.attempts.state_filter(its).into_iter().filter_map(|secret| attempts::read(&secret).ok());
        // The label only selects: what counts is inside.
        let mut attempts: Vec<StoredAttempt> =
            read.filter(|kept| kept.attempt.connection.uid == uid).collect();
        attempts.sort_by_key(|kept| std::cmp::Reverse(kept.order()));
        attempts
    }

    /// A connection by name, if it is still the one with this UID.
    pub(crate) fn connection(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Option<Arc<IntegrationConnection>> {
        let found = self.kinds.connections.get(&ObjectRef::new(name).within(namespace))?;
        (found.meta().uid.as_deref() == Some(uid)).then_some(found)
    }

    /// Returns when every cache was filled once, save for attempts to connect: connections live without them.
    pub(crate) async fn wait_listed(&self) {
        self.kinds.wait_listed().await;
        self.namespaces.wait_listed().await;
        self.app_secrets.wait_listed().await;
        self.published.wait_listed().await;
        self.credentials.wait_listed().await;
    }

    /// Has all shares reconciled.
    pub(crate) fn wake_shares(&self) {
        self.kinds.shares.wake_where(|_| true);
    }

    /// Has all that is shared reconciled.
    pub(crate) fn wake_sharing(&self) {
        self.wake_shares();
        self.kinds.connections.wake_where(|connection| {
            connection.spec.shared.unwrap_or_default()
                || connection.status.as_ref().is_some_and(|status| status.sharing.is_some())
        });
    }

    /// The place of a connection's record.
    pub(crate) fn place(&self, connection: &IntegrationConnection) -> Place {
        Place {
            cluster: self.cluster.clone(),
            namespace: connection.namespace().unwrap_or_default(),
            name: connection.name_any(),
            uid: connection.uid().unwrap_or_default(),
            provider: connection.spec.provider.clone(),
        }
    }

    /// When the earliest token of a record without a known end would end: such work goes last.
    pub(crate) const LAST: Timestamp = Timestamp::MAX;
}

/// A message of a library-style error as a sentence for people.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
