//! Puts together what controllers are given.

use std::sync::Arc;

use bowline_oauth::http::Clients;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::Clock;
use kube::Client;
use kube::runtime::reflector::store;
use tokio::sync::mpsc;

use super::watches::{Watches, Writers};
use super::{Error, Settings, relations};
use crate::context::{Context, Told, Wakes, Written};
use crate::grant::consent::Consents;
use crate::grant::desk::{Desk, Parts};
use crate::grant::engine::Engine;
use crate::grant::{Gate, Marks, Records, Replaced, Secrets};
use crate::kube_ext::events::Events;
use crate::kube_ext::index::SecretIndex;
use crate::metrics::Metrics;
use crate::vault::keyring::SharedKeyring;
use crate::vault::{IntentId, Sealer, Store};
use crate::world::{Resolutions, World};

/// The receiving ends of [`Wakes`].
pub struct Woken {
    pub connections:
        mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<bowline_api::IntegrationConnection>>,
    pub providers:
        mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<bowline_api::IntegrationProvider>>,
    pub workspaces: mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<bowline_api::Workspace>>,
    pub shares: mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<bowline_api::ConnectionShare>>,
}

/// What the context is made of.
pub struct Given<'a> {
    pub settings: &'a Settings,
    pub client: Client,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub store: Arc<Store>,
    pub keyring: SharedKeyring,
    pub cluster: String,
}

/// Makes the context, the watches that fill it, and the ends at which controllers are woken.
pub fn make(given: Given<'_>) -> Result<(Arc<Context>, Watches, Woken), Error> {
    let Given { settings, client, metrics, clock, store: records, keyring, cluster } = given;
    let (wakes, woken) = channels();
    let (world, writers) = world(cluster, &wakes);
    let sealer = Sealer::new(keyring);
    let clients = Clients::new(settings.controllers.allow_insecure_providers)?;
    let events = Arc::new(Events::new(client.clone(), Some(settings.instance.clone())));
    let engine = Engine {
        records: Records { store: Arc::clone(&records), sealer: sealer.clone(), clock: clock.clone() },
        gate: Gate::new(clients.clone(), Arc::clone(&metrics), clock.clone(), wakes.providers.clone()),
        marks: Marks::new(holder(&settings.instance)?, settings.intent_ttl, clock.clone()),
        secrets: Secrets::new(client.clone()),
    };
    let attempts = Attempts::new(client.clone(), &settings.controllers.attempts_namespace);
    let grants = Arc::new(Desk::new(Parts {
        engine,
        consents: Consents::new(attempts, settings.controllers.portal.clone()),
        replaced: Replaced::new(settings.revoke_former_after),
        events: Arc::clone(&events),
        metrics: Arc::clone(&metrics),
        wake: wakes.connections.clone(),
    }));
    let ctx = Arc::new(Context {
        events,
        client,
        world,
        store: records,
        sealer,
        grants,
        clients,
        metrics,
        clock,
        wakes,
        written: Written::default(),
        told: Told::default(),
        settings: settings.controllers.clone(),
    });
    Ok((Arc::clone(&ctx), Watches::new(&ctx, writers), woken))
}

/// This process in intents: unlike every other and every earlier one of the same pod.
fn holder(instance: &str) -> Result<String, Error> {
    Ok(format!("{instance}/{}", IntentId::generate()?))
}

/// The caches, empty, and the ends by which watches fill them.
fn world(cluster: String, wakes: &Wakes) -> (World, Writers) {
    let (connections, connections_writer) = store();
    let (providers, providers_writer) = store();
    let (workspaces, workspaces_writer) = store();
    let (shares, shares_writer) = store();
    let (namespaces, namespaces_writer) = store();
    let (app_secrets, app_secrets_writer) = store();
    let (attempts, attempts_writer) = store();
    let credential_wakes = relations::credentials_changed(connections.clone(), wakes.clone());
    let world = World {
        cluster,
        connections,
        providers,
        workspaces,
        shares,
        namespaces,
        app_secrets,
        attempts,
        published: SecretIndex::published(relations::published_changed(wakes.clone())),
        credentials: SecretIndex::credentials(credential_wakes),
        resolutions: Resolutions::default(),
    };
    let writers = Writers {
        connections: connections_writer,
        providers: providers_writer,
        workspaces: workspaces_writer,
        shares: shares_writer,
        namespaces: namespaces_writer,
        app_secrets: app_secrets_writer,
        attempts: attempts_writer,
    };
    (world, writers)
}

fn channels() -> (Wakes, Woken) {
    let (connections, woken_connections) = mpsc::unbounded_channel();
    let (providers, woken_providers) = mpsc::unbounded_channel();
    let (workspaces, woken_workspaces) = mpsc::unbounded_channel();
    let (shares, woken_shares) = mpsc::unbounded_channel();
    let wakes = Wakes { connections, providers, workspaces, shares };
    let woken = Woken {
        connections: woken_connections,
        providers: woken_providers,
        workspaces: woken_workspaces,
        shares: woken_shares,
    };
    (wakes, woken)
}
