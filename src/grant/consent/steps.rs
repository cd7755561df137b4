//! The attempts of all connections: reading one, its next step, its end.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_api::attempt::{AttemptEnding, Step};
use bowline_runtime::attempts::{Attempts, StoredAttempt};
use bowline_runtime::telemetry::chain;
use url::Url;

use crate::grant::outcome::Outcome;
use crate::grant::refusal::ConsentError;

/// So many attempts that have ended are remembered: more than one user may have open.
const CONCLUDED: usize = 8;

/// The attempts of all connections.
pub(crate) struct Consents {
    pub(super) attempts: Attempts,
    /// The portal's address, where there is one.
    pub(super) portal: Option<Url>,
    concluded: Mutex<HashMap<String, Vec<Concluded>>>,
}

/// An attempt that cannot go on is ended. Nobody needs to be asked for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dismissal {
    /// Name of its Secret.
    pub(crate) attempt: String,
    /// The version of it that was judged. Once it moves on, it is judged anew.
    pub(crate) version: String,
    /// What its page says.
    pub(crate) ending: AttemptEnding,
}

/// An attempt that this process has ended. The watch may show it as open for a moment longer.
#[derive(Clone, Debug)]
pub(crate) struct Concluded {
    /// Which, and how.
    pub(crate) dismissal: Dismissal,
    /// Whether it stands in its Secret. What does not is written again, as it was meant.
    pub(crate) written: bool,
}

impl Dismissal {
    /// The end of this attempt, as it was read.
    pub(crate) fn of(kept: &StoredAttempt, ending: AttemptEnding) -> Self {
        Self { attempt: kept.name.clone(), version: kept.version().to_owned(), ending }
    }
}

impl Consents {
    /// `portal`: its address, where there is one.
    pub(crate) fn new(attempts: Attempts, portal: Option<Url>) -> Self {
        Self { attempts, portal, concluded: Mutex::default() }
    }

    /// Attempts of a connection that were ended last.
    pub(in crate::grant) fn concluded(&self, uid: &str) -> Vec<Concluded> {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Forgets a connection that is gone.
    pub(in crate::grant) fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Ends an attempt that cannot go on, unless somebody moved it on since that was judged. Says whether nothing is left to do.
    pub(in crate::grant) async fn dismiss(&self, dismissal: &Dismissal) -> bool {
        match self.attempt(&dismissal.attempt).await {
            Ok(kept) if kept.version() != dismissal.version => true,
            Ok(kept) => self.conclude(kept, dismissal.ending.clone()).await,
            Err(outcome) => matches!(outcome, Outcome::Stepped),
        }
    }

    /// The attempt of that name, as it is now.
    pub(super) async fn attempt(&self, name: &str) -> Result<StoredAttempt, Outcome> {
        match self.attempts.get(name).await {
            Ok(Some(kept)) => Ok(kept),
            // It was swept, or somebody made another Secret of it: there is nothing to go on with.
            Ok(None) => Err(Outcome::Stepped),
            Err(error) => {
                tracing::warn!(attempt = name, error = %chain(&error), "an attempt cannot be read now");
                Err(Outcome::Stale)
            }
        }
    }

    /// Writes the next step. `None` if somebody else took it, or the API server does not take it now.
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

    /// Ends an attempt; its page tells of it until it expires. Where that is not written now, it is remembered and written
    /// with the next look at the connection. Says whether it is written.
    pub(super) async fn conclude(&self, kept: StoredAttempt, ending: AttemptEnding) -> bool {
        if matches!(kept.attempt.step, Step::Ended(_)) {
            return true;
        }
        let uid = kept.attempt.connection.uid.clone();
        let dismissal = Dismissal::of(&kept, ending.clone());
        let written = self.step(kept, Step::Ended(ending)).await.is_some();
        self.remember(uid, Concluded { dismissal, written });
        written
    }

    /// Ends an attempt without a grant, and has the connection say so.
    pub(super) async fn fail(&self, kept: StoredAttempt, why: ConsentError) -> Outcome {
        let ending = AttemptEnding::failed(why.reason(), why.to_string());
        self.conclude(kept, ending).await;
        Outcome::IntakeRefused { why: why.into() }
    }

    fn remember(&self, uid: String, ended: Concluded) {
        let mut all = self.lock();
        let concluded = all.entry(uid).or_default();
        concluded.retain(|other| other.dismissal.attempt != ended.dismissal.attempt);
        concluded.push(ended);
        // What is not written yet is not forgotten; attempt limits bound the number of those.
        while concluded.len() > CONCLUDED
            && let Some(oldest) = concluded.iter().position(|ended| ended.written)
        {
            concluded.remove(oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Concluded>>> {
        self.concluded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
