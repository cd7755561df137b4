//! Builds the context of the controllers.

use std::sync::Arc;

use bowline_api::names::{TYPE_ATTEMPT, TYPE_RECORD};
use bowline_oauth::http::Clients;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::runtime::watcher::Config;
use kube::{Api, Client};

use super::registry::Registry;
use super::{OperatorError, relations};
use crate::context::{Context, OperatorSettings};
use crate::grant::consent::Consents;
use crate::grant::desk::Desk;
use crate::grant::schedule::RefreshBounds;
use crate::grant::{Engine, Gate, Marks, Records, Replaced, Secrets};
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
    clock: Clock,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    keyring: SharedKeyring,
    cluster: String,
) -> Result<(Arc<Context>, Registry), OperatorError> {
    let mut registry = Registry::new(client.clone());
    let world = world(cluster, &client, &settings, &mut registry);
    let sealer = Sealer::new(keyring);
    let clients = Clients::new(settings.provider_bounds.clone())?;
    let events = Arc::new(Events::new(client.clone(), Some(settings.instance.clone())));
    let attempts = Attempts::new(client.clone(), &settings.attempts_namespace);
    let engine = Engine {
        records: Records { store: Arc::clone(&store), sealer: sealer.clone(), clock: clock.clone() },
        gate: gate(&metrics, &clock, &world, settings.limits),
        marks: Marks::new(holder(&settings)?, settings.intent_ttl, clock.clone()),
        secrets: Secrets { kube: client.clone() },
        consents: Consents::new(attempts, settings.portal.clone()),
        replaced: Replaced::new(settings.revoke_former_after),
    };
    let wake = world.kinds.connections.waker.clone();
    let grants = Arc::new(Desk::new(engine, Arc::clone(&events), Arc::clone(&metrics), wake));
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

fn gate(metrics: &Arc<Metrics>, clock: &Clock, world: &World, limits: RefreshBounds) -> Gate {
    Gate::new(Arc::clone(metrics), clock.clone(), world.kinds.providers.waker.clone(), limits)
}

/// Names this process in intents: an earlier process of the same pod has another name.
fn holder(settings: &OperatorSettings) -> Result<String, OperatorError> {
    Ok(format!("{}/{}", settings.instance, IntentId::generate()?))
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
