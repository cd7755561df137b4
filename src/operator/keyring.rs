//! The keyring: from its Secret or a directory, and followed while running.

use std::path::PathBuf;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::serve::Readiness;
use crate::vault::keyring::{Keyring, SharedKeyring, directory, secret};

/// How often a keyring that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Waits until there is a keyring; without one the operator is not ready and says why. `None` if the end came before.
pub(super) async fn obtain(
    client: &Client,
    settings: &Settings,
    clock: &Clock,
    readiness: &Readiness,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Option<SharedKeyring> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.controllers.namespace);
    loop {
        match load(&secrets, settings.keyring_dir.clone(), clock).await {
            Ok(keyring) => return Some(follow(keyring, secrets, settings.keyring_dir.clone(), stop, tasks)),
            Err(reason) => {
                tracing::error!(reason, "there is no keyring");
                readiness.waiting(reason);
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await?;
    }
}

async fn load(secrets: &Api<Secret>, dir: Option<PathBuf>, clock: &Clock) -> Result<Keyring, String> {
    match dir {
        Some(dir) => directory::load(&dir).map_err(|error| chain(&error).to_string()),
        None => secret::load_or_create(secrets, clock.now()).await.map_err(|error| chain(&error).to_string()),
    }
}

fn follow(
    keyring: Keyring,
    secrets: Api<Secret>,
    dir: Option<PathBuf>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> SharedKeyring {
    let shared = SharedKeyring::new(keyring);
    let (followed, stop) = (shared.clone(), stop.clone());
    tasks.spawn(async move {
        match dir {
            Some(dir) => directory::follow(dir, &followed, stop).await,
            None => secret::follow(secrets, &followed, stop).await,
        }
    });
    shared
}
