//! Puts together what controllers are given.

use std::sync::Arc;

use bowline_api::names::{TYPE_ATTEMPT, TYPE_RECORD};
use bowline_oauth::http::Clients;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::runtime::watcher::Config;
use kube::{Api, Client};

use super::registry::Registry;
use super::{Error, Settings, relations};
use crate::context::{self, Context};
use crate::grant::consent::Consents;
use crate::grant::desk::Desk;
use crate::grant::{Engine, Gate, Marks, Records, Replaced, Secrets};
use crate::kube_ext::events::Events;
use crate::kube_ext::index::SecretIndex;
use crate::kube_ext::memory::Memory;
use crate::metrics::Metrics;
use crate::vault::keyring::SharedKeyring;
use crate::vault::keyring::secret::KEYRING_SECRET;
use crate::vault::{IntentId, Sealer, Store};
use crate::world::World;

/// What the context is made of.
pub(super) struct Given<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) client: Client,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
    pub(crate) keyring: SharedKeyring,
    pub(crate) cluster: String,
}

/// Makes the context, and the registry of what fills its caches.
pub(super) fn make(given: Given<'_>) -> Result<(Arc<Context>, Registry), Error> {
    let Given { settings, client, metrics, clock, store: records, keyring, cluster } = given;
    let mut registry = Registry::new(client.clone());
    let world = world(cluster, &client, &settings.controllers, &mut registry);
    let sealer = Sealer::new(keyring);
    let clients = Clients::new(settings.controllers.provider_bounds.clone())?;
    let events = Arc::new(Events::new(client.clone(), Some(settings.instance.clone())));
    let attempts = Attempts::new(client.clone(), &settings.controllers.attempts_namespace);
    let engine = Engine {
        records: Records { store: Arc::clone(&records), sealer: sealer.clone(), clock: clock.clone() },
        gate: Gate::new(Arc::clone(&metrics), clock.clone(), world.kinds.providers.waker.clone()),
        marks: Marks::new(holder(&settings.instance)?, settings.intent_ttl, clock.clone()),
        secrets: Secrets { kube: client.clone() },
        consents: Consents::new(attempts, settings.controllers.portal.clone()),
        replaced: Replaced::new(settings.revoke_former_after),
    };
    let wake = world.kinds.connections.waker.clone();
    let grants = Arc::new(Desk::new(engine, Arc::clone(&events), Arc::clone(&metrics), wake));
    let ctx = Context {
        events,
        client,
        world,
        store: records,
        sealer,
        grants,
        clients,
        metrics,
        clock,
        last_published: Memory::default(),
        settings: settings.controllers.clone(),
    };
    Ok((Arc::new(ctx), registry))
}

/// This process in intents: unlike every other and every earlier one of the same pod.
fn holder(instance: &str) -> Result<String, Error> {
    Ok(format!("{instance}/{}", IntentId::generate()?))
}

/// The caches, empty.
fn world(cluster: String, client: &Client, settings: &context::Settings, registry: &mut Registry) -> World {
    // Records have a cache of their own, sealed; the keyring is read by nobody else.
    let apps = Config::default().fields(&format!("type!={TYPE_RECORD},metadata.name!={KEYRING_SECRET}"));
    let attempts = Config::default().fields(&format!("type={TYPE_ATTEMPT}"));
    let secrets = |namespace: &str| Api::namespaced(client.clone(), namespace);
    let anywhere = &settings.secret_namespaces;
    World {
        cluster,
        kinds: registry.kinds(),
        namespaces: registry.cache(Api::all(client.clone()), Config::default(), relations::namespace),
        app_secrets: registry.cache(secrets(&settings.namespace), apps, relations::app_secret),
        attempts: registry.cache(secrets(&settings.attempts_namespace), attempts, relations::attempt),
        published: registry.index(SecretIndex::published(anywhere), relations::published),
        credentials: registry.index(SecretIndex::credentials(anywhere), relations::credentials),
        resolutions: Memory::default(),
        issuers: Memory::default(),
    }
}
