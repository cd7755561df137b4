//! Builds the context of the controllers.

use std::sync::Arc;

use bowline_api::IntegrationProvider;
use bowline_api::names::{TYPE_ATTEMPT, TYPE_RECORD};
use bowline_oauth::http::Clients;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use tokio::sync::mpsc::UnboundedSender;

use super::registry::Registry;
use super::{OperatorError, relations};
use crate::context::{Context, OperatorSettings};
use crate::grant::consent::Consents;
use crate::grant::desk::{Desk, Parts};
use crate::grant::engine::Engine;
use crate::grant::{Gate, Marks, Records, Replaced, Secrets};
use crate::kube_ext::events::Events;
use crate::kube_ext::index::SecretIndex;
use crate::kube_ext::memory::Memory;
use crate::metrics::Metrics;
use crate::vault::keyring::SharedKeyring;
use crate::vault::keyring::secret::KEYRING_SECRET;
use crate::vault::{IntentId, Sealer, Store};
use crate::world::World;

/// Builds the context, and the registry that fills its caches.
pub(super) fn make(
    settings: OperatorSettings,
    client: Client,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    keyring: SharedKeyring,
    cluster: String,
) -> Result<(Arc<Context>, Registry), OperatorError> {
    let mut registry = Registry::new(client.clone());
    let world = world(cluster, &client, &settings, &mut registry);
    let (clock, sealer) = (Clock::default(), Sealer::new(keyring));
    let clients = Clients::new(settings.provider_bounds.clone())?;
    let events = Arc::new(Events::new(client.clone(), Some(settings.instance.clone())));
    let records = Records { store: Arc::clone(&store), sealer: sealer.clone(), clock: clock.clone() };
    let wake_providers = world.kinds.providers.waker.clone();
    let engine = engine(&settings, &client, Arc::clone(&metrics), records, wake_providers)?;
    let attempts = Attempts::new(client.clone(), &settings.attempts_namespace);
    let grants = Arc::new(Desk::new(Parts {
        engine,
        consents: Consents::new(attempts, settings.portal.clone()),
        replaced: Replaced::new(settings.revoke_former_after),
        events: Arc::clone(&events),
        metrics: Arc::clone(&metrics),
        wake: world.kinds.connections.waker.clone(),
    }));
    let ctx = Context {
        events,
        client,
        world,
        store,
        sealer,
        grants,
        clients,
        metrics,
        clock,
        last_published: Memory::default(),
        settings,
    };
    Ok((Arc::new(ctx), registry))
}

fn engine(
    settings: &OperatorSettings,
    client: &Client,
    metrics: Arc<Metrics>,
    records: Records,
    wake_providers: UnboundedSender<ObjectRef<IntegrationProvider>>,
) -> Result<Engine, OperatorError> {
    let clock = &records.clock;
    // Names this process in intents; an earlier process of the same pod has another name.
    let holder = format!("{}/{}", settings.instance, IntentId::generate()?);
    Ok(Engine {
        gate: Gate::new(metrics, clock.clone(), wake_providers),
        marks: Marks::new(holder, settings.intent_ttl, clock.clone()),
        secrets: Secrets::new(client.clone()),
        records,
    })
}

fn world(cluster: String, client: &Client, settings: &OperatorSettings, registry: &mut Registry) -> World {
    // Records have a sealed cache of their own, and only the keyring's own code reads it.
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
