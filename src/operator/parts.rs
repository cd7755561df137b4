//! Builds the context of the controllers.

use std::sync::Arc;

use bowline_api::keyring;
use bowline_api::names::{
    LABEL_CONNECTION_UID, LABEL_WORKSPACE, TYPE_ATTEMPT, TYPE_ENDING, TYPE_RECORD, TYPE_SHARER,
};
use bowline_oauth::http::{Clients, MaySend};
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::runtime::watcher::Config;
use kube::{Api, Client};

use super::keyring::OpenKeyring;
use super::registry::Registry;
use super::{OperatorError, relations};
use crate::context::{Context, OperatorSettings};
use crate::grant::consent::Consents;
use crate::grant::desk::Desk;
use crate::grant::lifetime::Lifetimes;
use crate::grant::probe::Probes;
use crate::grant::{Delays, Engine, Gate, Marks, Records, Secrets};
use crate::kinds::keys;
use crate::kube_ext::events::Events;
use crate::kube_ext::index::SecretIndex;
use crate::kube_ext::memory::Memory;
use crate::metrics::Metrics;
use crate::notify::{self, NotificationDelivery};
use crate::policies::Policies;
use crate::publishing::{Nudges, Withdrawals};
use crate::vault::journal::Journal;
use crate::vault::record::Ending;
use crate::vault::{IntentId, Sealer, Store};
use crate::world::{MemberRoles, World};

/// Selects what the operator writes.
const MANAGED: &str = "app.kubernetes.io/managed-by=bowline";

/// The records, and the grants that are being ended.
#[derive(Clone)]
pub(super) struct Stores {
    pub(super) store: Arc<Store>,
    pub(super) endings: Arc<Store<Ending>>,
}

impl Stores {
    /// Those in `namespace`, not listed yet.
    pub(super) fn of(client: &Client, namespace: &str) -> Self {
        Self {
            store: Arc::new(Store::new(client.clone(), namespace)),
            endings: Arc::new(Store::new(client.clone(), namespace)),
        }
    }

    fn unlock(&self, sealer: &Sealer) {
        self.store.unlock(sealer.clone());
        self.endings.unlock(sealer.clone());
    }
}

/// What the context is built from.
pub(super) struct Foundation {
    pub(super) settings: OperatorSettings,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stores: Stores,
    pub(super) keyring: OpenKeyring,
    pub(super) cluster: String,
    /// This process in intents and in the Lease.
    pub(super) holder: String,
    /// Whether it leads.
    pub(super) may_send: MaySend,
}

/// The context, the registry that fills its caches, and what delivers notifications once this replica leads.
type ContextParts = (Arc<Context>, Registry, Option<NotificationDelivery>);

/// Builds the context and what belongs to it.
// long: a line for each part.
pub(super) fn make(foundation: Foundation) -> Result<ContextParts, OperatorError> {
    let Foundation { settings, client, clock, metrics, stores, keyring, cluster, holder, may_send } =
        foundation;
    let (mut registry, sealer) = (Registry::new(client.clone()), Sealer::new(keyring.shared));
    let (notifications, delivery) =
        notify::open(settings.notify.clone(), &cluster, Arc::clone(&metrics), clock.clone())?;
    let world = world(cluster, &client, &settings, &mut registry)?;
    stores.unlock(&sealer);
    let clients = Clients::new(settings.provider_bounds.clone(), may_send.clone())?;
    let events = Arc::new(Events::new(client.clone(), Some(settings.instance.clone())));
    let (wake, wake_provider) = (world.kinds.connections.waker.clone(), world.kinds.providers.waker.clone());
    let (Stores { store, endings }, delays) = (stores, Delays::new(wake.clone()));
    let records =
        Records { store: Arc::clone(&store), endings, sealer: sealer.clone(), clock: clock.clone(), delays };
    let attempts = Attempts::new(client.clone(), &settings.attempts_namespace);
    let engine = Engine {
        journal: Journal::new(settings.journal_dir.clone(), sealer.clone()),
        records,
        gate: Gate::new(Arc::clone(&metrics), clock.clone(), wake_provider, settings.limits, may_send),
        marks: Marks::new(holder, settings.intent_ttl, clock.clone()),
        secrets: Secrets { kube: client.clone() },
        consents: Consents::new(attempts, settings.portal.clone()),
        revoke_former_after: settings.revoke_former_after,
        probes: Probes::default(),
    };
    let ctx = Context {
        grants: Desk::new(engine, Arc::clone(&events), Arc::clone(&metrics), wake).into(),
        nudges: Arc::new(Nudges::new(client.clone(), Arc::clone(&events), clock.clone())),
        events,
        notifications,
        client,
        world,
        store,
        sealer,
        clients,
        metrics,
        clock,
        last_published: Memory::default(),
        dependents_told: Memory::default(),
        deliveries_told: Memory::default(),
        withdrawals: Withdrawals::default(),
        lifetimes: Lifetimes::default(),
        settings,
    };
    Ok((ctx.into(), registry, delivery))
}

/// Names this process in intents and in the Lease: an earlier process of the same pod has another name.
pub(super) fn holder(settings: &OperatorSettings) -> Result<String, OperatorError> {
    Ok(format!("{}/{}", settings.instance, IntentId::generate()?))
}

// long: one line for each cache.
fn world(
    cluster: String,
    client: &Client,
    settings: &OperatorSettings,
    registry: &mut Registry,
) -> Result<World, OperatorError> {
    // Records and endings have sealed caches of their own, and only the keyring's own code reads it.
    let elsewhere = [TYPE_RECORD, TYPE_ENDING, TYPE_SHARER].map(|type_| format!("type!={type_}")).join(",");
    let apps = Config::default().fields(&format!("{elsewhere},metadata.name!={}", keyring::SECRET));
    let sharers = Config::default().fields(&format!("type={TYPE_SHARER}"));
    let attempts = Config::default().fields(&format!("type={TYPE_ATTEMPT}"));
    let secrets = |namespace: &str| Api::namespaced(client.clone(), namespace);
    let anywhere = &settings.secret_namespaces;
    let policies = policies(client, settings, registry)?;
    Ok(World {
        cluster,
        own_namespaces: [settings.namespace.clone(), settings.attempts_namespace.clone()],
        kinds: registry.kinds(),
        namespaces: registry.cache(
            keys::none,
            Api::all(client.clone()),
            Config::default(),
            relations::namespace,
        ),
        app_secrets: registry.cache(keys::none, secrets(&settings.namespace), apps, relations::app_secret),
        sharers: registry.cache(keys::none, secrets(&settings.namespace), sharers, relations::sharer),
        attempts: registry.cache(
            keys::attempts,
            secrets(&settings.attempts_namespace),
            attempts,
            relations::attempt,
        ),
        published: registry.index(SecretIndex::published(anywhere), relations::published),
        credentials: registry.index(SecretIndex::credentials(anywhere), relations::named_by_connections),
        own_apps: registry.index(SecretIndex::apps(anywhere), relations::named_by_connections),
        member_roles: member_roles(client, registry),
        policies,
        resolutions: Memory::default(),
        issuers: Memory::default(),
    })
}

/// The roles of members that are ours, found by our labels.
fn member_roles(client: &Client, registry: &mut Registry) -> MemberRoles {
    let (all, ours) = (client.clone(), |label: &str| Config::default().labels(&format!("{MANAGED},{label}")));
    let (of_connections, of_workspaces) = (ours(LABEL_CONNECTION_UID), ours(LABEL_WORKSPACE));
    let (here, there) = (of_connections.clone(), of_workspaces.clone());
    MemberRoles {
        roles: registry.cache(keys::none, Api::all(all.clone()), here, relations::role),
        role_bindings: registry.cache(keys::none, Api::all(all.clone()), of_connections, relations::role),
        cluster_roles: registry.cache(keys::none, Api::all(all.clone()), there, relations::role),
        cluster_role_bindings: registry.cache(keys::none, Api::all(all), of_workspaces, relations::role),
    }
}

/// The policies in the cluster, found by the label that all have.
fn policies(
    client: &Client,
    settings: &OperatorSettings,
    registry: &mut Registry,
) -> Result<Policies, OperatorError> {
    let ours = || Config::default().labels("app.kubernetes.io/name=bowline");
    let policies = registry.cache(keys::none, Api::all(client.clone()), ours(), relations::policy);
    let bindings = registry.cache(keys::none, Api::all(client.clone()), ours(), relations::policy);
    let namespaces = [settings.namespace.as_str(), settings.attempts_namespace.as_str()];
    Ok(Policies::new(namespaces, policies, bindings)?)
}
