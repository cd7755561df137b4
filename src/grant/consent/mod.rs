//! A person consents: the authorization request, the exchange of the code, the device flow.
//!
//! Each step is read from the attempt's Secret, carried out once, and written back on the version that was read. A code or a
//! device code leaves the Secret before it is sent, so no second process sends it; the answer is on record as candidate before
//! anything in it is judged.
//!
//! | module | holds |
//! |---|---|
//! | [`begin`] | the authorization request |
//! | [`exchange`] | the code for tokens, once |
//! | [`device`] | RFC 8628: the code for people, and the polls |
//! | [`arrival`] | from the provider's answer to the grant in use |
//! | [`pledge`] | what the operator keeps for itself between the steps |
//! | [`refused`] | why a try ends without a grant |

mod arrival;
mod begin;
mod device;
mod exchange;
mod pledge;
mod refused;

pub use arrival::{being_checked, in_use};
pub use device::replaced_code;
pub use refused::ConsentError;

use std::sync::Arc;

use bowline_api::attempt::{Attempt, Ending, Step};
use bowline_oauth::app::App;
use bowline_oauth::classify::Failure;
use bowline_runtime::attempts::Kept;
use bowline_runtime::telemetry::chain;

use super::actor::Grants;
use super::outcome::Outcome;
use super::work::Job;

/// One step of a try to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentTask {
    /// Build the authorization request of this attempt.
    Begin {
        /// Name of its Secret.
        attempt: String,
    },
    /// Take what the browser brought back.
    Exchange {
        /// Name of its Secret.
        attempt: String,
    },
    /// Ask the provider for a device code.
    AskDevice {
        /// The request it serves: value of `bowline.dev/authorize-requested-at`.
        request: String,
    },
    /// Ask the provider whether the person has decided.
    Poll {
        /// Name of its Secret.
        attempt: String,
    },
    /// End an attempt whose exchange nobody is at work on, and of which nothing is on record.
    Interrupted {
        /// Name of its Secret.
        attempt: String,
    },
    /// The owner agrees to the account that finished a device flow.
    Confirm {
        /// The account's id, as the annotation says it.
        account: String,
    },
}

/// An attempt that cannot go on is ended. Nobody needs to be asked for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    /// Name of its Secret.
    pub attempt: String,
    /// The version of it that was judged. Once it moves on, it is judged anew.
    pub version: String,
    /// What its page says.
    pub ending: Ending,
}

/// A try to connect that this process ended.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// Which, and how.
    pub dismissal: Dismissal,
    /// Whether it stands in its Secret. What does not is written again, as it was meant.
    pub written: bool,
}

impl Dismissal {
    /// The end of this try, as it was read.
    pub fn of(kept: &Kept, ending: Ending) -> Self {
        Self { attempt: kept.name.clone(), version: kept.version().to_owned(), ending }
    }
}

impl ConsentTask {
    /// The request for a device flow it serves.
    pub fn request(&self) -> Option<&String> {
        match self {
            Self::AskDevice { request } => Some(request),
            _ => None,
        }
    }
}

impl Grants {
    /// Takes one step.
    pub(super) async fn consent(&self, job: &Job, task: &ConsentTask) -> Outcome {
        match task {
            ConsentTask::Begin { attempt } => self.begin(job, attempt).await,
            ConsentTask::Exchange { attempt } => self.exchange(job, attempt).await,
            ConsentTask::AskDevice { .. } => self.ask_device(job).await,
            ConsentTask::Poll { attempt } => self.poll(job, attempt).await,
            ConsentTask::Interrupted { attempt } => match self.attempt(attempt).await {
                Ok(kept) if matches!(kept.attempt.step, Step::Exchanging) => {
                    self.fail(kept, ConsentError::Interrupted).await
                }
                Ok(_) => Outcome::Stepped,
                Err(outcome) => outcome,
            },
            ConsentTask::Confirm { account } => self.confirm(job, account).await,
        }
    }

    /// The attempt of that name, as it is now.
    async fn attempt(&self, name: &str) -> Result<Kept, Outcome> {
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
    async fn step(&self, kept: Kept, step: Step) -> Option<Kept> {
        let next = kept.attempt.clone().with(step);
        match self.attempts.replace(kept, &next).await {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::info!(error = %chain(&error), "the step of an attempt was not taken");
                None
            }
        }
    }

    /// Ends an attempt that cannot go on, unless somebody moved it on since that was judged. Says whether nothing is left to do.
    pub async fn dismiss(&self, dismissal: &Dismissal) -> bool {
        match self.attempt(&dismissal.attempt).await {
            Ok(kept) if kept.version() != dismissal.version => true,
            Ok(kept) => self.conclude(kept, dismissal.ending.clone()).await,
            Err(outcome) => matches!(outcome, Outcome::Stepped),
        }
    }

    /// Ends an attempt; its page tells of it until it expires. Where that is not written now, it is remembered and written
    /// with the next look at the connection. Says whether it is written.
    async fn conclude(&self, kept: Kept, ending: Ending) -> bool {
        if matches!(kept.attempt.step, Step::Ended(_)) {
            return true;
        }
        let uid = kept.attempt.connection.uid.clone();
        let dismissal = Dismissal::of(&kept, ending.clone());
        let written = self.step(kept, Step::Ended(ending)).await.is_some();
        self.remember_concluded(&uid, Concluded { dismissal, written });
        written
    }

    /// Ends an attempt without a grant, and has the connection say so.
    async fn fail(&self, kept: Kept, why: ConsentError) -> Outcome {
        let ending = Ending::failed(why.reason(), why.to_string());
        self.conclude(kept, ending).await;
        Outcome::IntakeRefused { why: why.into() }
    }
}

/// Why a person was not asked.
enum Unasked {
    /// The try ends.
    Refused(ConsentError),
    /// Nothing was decided; it is gone on with later.
    Later(Outcome),
}

impl From<ConsentError> for Unasked {
    fn from(why: ConsentError) -> Self {
        Self::Refused(why)
    }
}

impl From<Outcome> for Unasked {
    fn from(outcome: Outcome) -> Self {
        Self::Later(outcome)
    }
}

impl Grants {
    /// The app in whose name a person is asked.
    async fn consented_app(&self, job: &Job) -> Result<Arc<App>, Unasked> {
        match self.app(job).await {
            Ok(Some(app)) => Ok(app),
            Ok(None) => Err(not_offered(job).into()),
            Err(none) => Err(Outcome::from(none).into()),
        }
    }

    /// What a failed request means for the try; what it says of the provider is taken in.
    fn declined(&self, job: &Job, failure: Failure) -> ConsentError {
        ConsentError::of(&self.heard(job, failure, None), job.target.whom_to_ask())
    }
}

fn not_offered(job: &Job) -> ConsentError {
    ConsentError::NotOffered { whom_to_ask: job.target.whom_to_ask() }
}

/// Whether the try is the owner's own: the first consent is nobody else's to give.
fn is_owners(attempt: &Attempt, job: &Job) -> bool {
    attempt.user == job.owner
}
