//! The keyring: from its Secret or a directory, and reloaded while running.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::tasks::Tasks;
use bowline_runtime::telemetry::chain;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};

use super::OperatorSettings;
use super::serve::Readiness;
use crate::vault::keyring::{Keyring, SharedKeyring, directory, secret};

/// How often we look for a missing keyring.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Waits for a keyring; until there is one, the operator is not ready and says why. `None` if the process stops first.
pub(super) async fn obtain(
    client: &Client,
    settings: &OperatorSettings,
    clock: &Clock,
    readiness: &Readiness,
    life: &Tasks,
) -> Option<SharedKeyring> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    let dir = settings.keyring_dir.clone();
    loop {
        match load(&secrets, dir.as_deref(), clock.now()).await {
            Ok(keyring) => return Some(follow(keyring, secrets, dir, life)),
            Err(reason) => {
                tracing::error!(reason, "there is no keyring");
                readiness.waiting(reason);
            }
        }
        life.stop().run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await?;
    }
}

async fn load(secrets: &Api<Secret>, dir: Option<&Path>, now: Timestamp) -> Result<Keyring, String> {
    match dir {
        Some(dir) => directory::load(dir).map_err(|error| chain(&error).to_string()),
        None => secret::load_or_create(secrets, now).await.map_err(|error| chain(&error).to_string()),
    }
}

fn follow(keyring: Keyring, secrets: Api<Secret>, dir: Option<PathBuf>, life: &Tasks) -> SharedKeyring {
    let shared = SharedKeyring::new(keyring);
    let (followed, stop) = (shared.clone(), life.stop().clone());
    life.own("the watch of the keyring", async move {
        match dir {
            Some(dir) => directory::follow(dir, &followed, stop).await,
            None => secret::follow(secrets, &followed, stop).await,
        }
    });
    shared
}
