//! The keyring: from its Secret or a directory, and reloaded while running; and kept wrapped, if there is a KMS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_runtime::clock::Clock;
use bowline_runtime::tasks::Tasks;
use bowline_runtime::telemetry::chain;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::OperatorSettings;
use super::serve::Readiness;
use crate::context::Context;
use crate::metrics::{Metrics, whole};
use crate::vault::keyring::secret::{KeyringLoadError, KeyringSecret};
use crate::vault::keyring::{Keyring, KeyringRenewal, SharedKeyring, directory};

/// How often we look for a missing keyring.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often a KMS that is well is asked whether it still is, and one that is not. Kubernetes asks as often.
const KMS_ASKED_EVERY: Duration = Duration::from_mins(1);
const FAILING_KMS_ASKED_EVERY: Duration = Duration::from_secs(10);
/// How often the KMS has to open the keys that are in memory, besides after each failure: what it cannot open any more is wrapped
/// again while we have it.
const KEYS_VERIFIED_EVERY: Duration = Duration::from_hours(1);

/// The keyring in use, and where it is stored.
#[derive(Clone)]
pub(super) struct OpenKeyring {
    pub(super) shared: SharedKeyring,
    pub(super) secret: KeyringSecret,
}

/// Where a keyring comes from.
struct KeyringSource {
    /// In place of the Secret.
    directory: Option<PathBuf>,
    secret: KeyringSecret,
}

/// Waits for a keyring; until there is one, the operator is not ready and says why. `None` if the process stops first.
pub(super) async fn obtain(
    client: &Client,
    settings: &OperatorSettings,
    clock: &Clock,
    metrics: &Metrics,
    readiness: &Readiness,
    life: &Tasks,
) -> Option<OpenKeyring> {
    let secret = KeyringSecret::new(client.clone(), &settings.namespace, settings.protection.clone());
    let source = KeyringSource { directory: settings.keyring_dir.clone(), secret };
    loop {
        match source.load(clock.now()).await {
            Ok(keyring) => {
                metrics.kms_failing.set(0);
                return Some(source.follow(keyring, life));
            }
            Err((reason, is_of_kms)) => {
                metrics.kms_failing.set(is_of_kms.into());
                tracing::error!(reason, "there is no keyring");
                readiness.waiting(reason);
            }
        }
        life.stop().run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await?;
    }
}

impl KeyringSource {
    /// The keyring; or why there is none, and whether the KMS is the reason.
    async fn load(&self, now: Timestamp) -> Result<Keyring, (String, bool)> {
        if let Some(path) = &self.directory {
            return directory::load(path).map_err(|error| (chain(&error).to_string(), false));
        }
        let loaded = self.secret.load_or_create(now).await;
        loaded.map_err(|error| (chain(&error).to_string(), error.is_of_kms()))
    }

    fn follow(self, keyring: Keyring, life: &Tasks) -> OpenKeyring {
        let shared = SharedKeyring::new(keyring);
        let Self { directory, secret } = self;
        let (open, stop) =
            (OpenKeyring { shared: shared.clone(), secret: secret.clone() }, life.stop().clone());
        life.own("the watch of the keyring", async move {
            match directory {
                Some(path) => directory::follow(path, &shared, stop).await,
                None => secret.follow(&shared, stop).await,
            }
        });
        open
    }
}

impl OpenKeyring {
    /// Looks after the KMS until `stop`: whether it is well, on every replica; and on the one that leads, whether the keyring is
    /// wrapped as it should be. What is in memory goes on working without it.
    pub(super) async fn keep_wrapped(self, ctx: Arc<Context>, stop: CancellationToken) {
        let (mut problem, mut verified, mut versions) = (None, Instant::now(), self.shared.versions());
        loop {
            // A KMS that was away may have come back without its keys.
            let verify = problem.is_some() || verified.elapsed() > KEYS_VERIFIED_EVERY;
            let kept = if ctx.grants.leads() { self.wrap(&ctx, verify).await } else { self.ask().await };
            ctx.metrics.kms_failing.set(kept.is_err().into());
            if kept.is_ok() && verify {
                verified = Instant::now();
            }
            let now = kept.err().map(|error| chain(&error).to_string());
            tell(problem.as_deref(), now.as_deref());
            problem = now;
            let pause = if problem.is_some() { FAILING_KMS_ASKED_EVERY } else { KMS_ASKED_EVERY };
            tokio::select! {
                () = stop.cancelled() => return,
                // Somebody may ask for a rotation, or add a key in clear.
                () = versions.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn ask(&self) -> Result<(), KeyringLoadError> {
        self.secret.wraps_with().await?;
        Ok(())
    }

    async fn wrap(&self, ctx: &Context, verify: bool) -> Result<(), KeyringLoadError> {
        let found = self.secret.look(Some(&self.shared.current())).await?;
        ctx.metrics.keys_under_former_kms_keys.set(whole(found.stale()));
        let renewal = KeyringRenewal { verify, ..KeyringRenewal::default() };
        if self.secret.renew(&found, renewal, ctx.clock.now()).await?.is_some() {
            ctx.metrics.keys_under_former_kms_keys.set(0);
            tracing::info!("the keyring was wrapped by the KMS again");
        }
        Ok(())
    }
}

/// Logs a problem once, and its end.
fn tell(before: Option<&str>, now: Option<&str>) {
    match now {
        Some(problem) if before != now => {
            tracing::error!(problem, "the keyring cannot be kept wrapped; the keys in memory stay in use");
        }
        None if before.is_some() => tracing::info!("the keyring is wrapped by the KMS as it should be"),
        _ => {}
    }
}
