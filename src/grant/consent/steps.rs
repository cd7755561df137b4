//! The attempts of all connections: reading one, writing its next step, ending it.

use std::collections::HashMap;
use std::sync::Mutex;

use bowline_api::attempt::{AttemptEnding, Step};
use bowline_runtime::attempts::{Attempts, StoredAttempt};
use bowline_runtime::telemetry::chain;
use url::Url;

use crate::grant::lock;
use crate::grant::outcome::Outcome;

/// How many attempts that have ended are remembered: more than one user may have open.
const CONCLUDED: usize = 8;

pub(crate) struct Consents {
    pub(super) attempts: Attempts,
    /// The portal's address, where there is one.
    pub(super) portal: Option<Url>,
    concluded: Mutex<HashMap<String, Vec<Concluded>>>,
}

/// How to end an attempt that cannot continue. That needs no request to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dismissal {
    /// Name of its Secret.
    pub(crate) attempt: String,
    /// The version of it that was judged. If it changes, it is judged again.
    pub(crate) version: String,
    pub(crate) ending: AttemptEnding,
}

/// An attempt that this process has ended. The watch may show it as open for a moment longer.
#[derive(Clone, Debug)]
pub(crate) struct Concluded {
    pub(crate) dismissal: Dismissal,
    /// Whether that is written to its Secret. If not, the write is repeated.
    pub(crate) written: bool,
}

impl Dismissal {
    /// The end of this attempt, as it was read.
    pub(crate) fn of(kept: &StoredAttempt, ending: AttemptEnding) -> Self {
        Self { attempt: kept.name.clone(), version: kept.version().to_owned(), ending }
    }
}

impl Consents {
    pub(crate) fn new(attempts: Attempts, portal: Option<Url>) -> Self {
        Self { attempts, portal, concluded: Mutex::default() }
    }

    pub(in crate::grant) fn concluded(&self, uid: &str) -> Vec<Concluded> {
        lock(&self.concluded).get(uid).cloned().unwrap_or_default()
    }

    pub(in crate::grant) fn forget(&self, uid: &str) {
        lock(&self.concluded).remove(uid);
    }

    /// Ends an attempt that cannot go on, unless somebody moved it on since that was judged. Whether nothing is left to do.
    pub(crate) async fn dismiss(&self, dismissal: &Dismissal) -> bool {
        match self.attempt(&dismissal.attempt).await {
            Ok(kept) if kept.version() != dismissal.version => true,
            Ok(kept) => self.conclude(kept, dismissal.ending.clone()).await,
            Err(outcome) => matches!(outcome, Outcome::Stepped),
        }
    }

    pub(super) async fn attempt(&self, name: &str) -> Result<StoredAttempt, Outcome> {
        match self.attempts.get(name).await {
            Ok(Some(kept)) => Ok(kept),
            // It was removed or replaced by another Secret: there is nothing left to continue.
            Ok(None) => Err(Outcome::Stepped),
            Err(error) => {
                tracing::warn!(attempt = name, error = %chain(&error), "an attempt cannot be read now");
                Err(Outcome::Stale)
            }
        }
    }

    /// Writes the next step. `None` if another process took it, or the API server does not accept it now.
    pub(super) async fn step(&self, kept: StoredAttempt, step: Step) -> Option<StoredAttempt> {
        let next = kept.attempt.clone().with(step);
        match self.attempts.replace(kept, &next).await {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::info!(error = %chain(&error), "the step of an attempt was not taken");
                None
            }
        }
    }

    /// Ends an attempt. Returns whether that is written; if not, it is remembered for the next reconcile of the connection.
    pub(super) async fn conclude(&self, kept: StoredAttempt, ending: AttemptEnding) -> bool {
        if matches!(kept.attempt.step, Step::Ended(_)) {
            return true;
        }
        let uid = kept.attempt.connection.uid.clone();
        let dismissal = Dismissal::of(&kept, ending.clone());
        let written = self.step(kept, Step::Ended(ending)).await.is_some();
        let mut all = lock(&self.concluded);
        let concluded = all.entry(uid).or_default();
        concluded.retain(|other| other.dismissal.attempt != dismissal.attempt);
        concluded.push(Concluded { dismissal, written });
        // What is not written yet is not forgotten; the limits on attempts bound how many there are.
        while concluded.len() > CONCLUDED
            && let Some(oldest) = concluded.iter().position(|ended| ended.written)
        {
            concluded.remove(oldest);
        }
        written
    }

    /// Ends an attempt that this outcome refuses, and returns the outcome. After a temporary cause the attempt continues.
    pub(super) async fn failed(&self, kept: StoredAttempt, outcome: impl Into<Outcome>) -> Outcome {
        let outcome = outcome.into();
        if let Outcome::IntakeRefused { why } = &outcome {
            self.conclude(kept, AttemptEnding::failed(why.reason(), why.to_string())).await;
        }
        outcome
    }
}
