//! A person consents: the authorization request, the exchange of the code, the device flow.
//!
//! Each step is read from the attempt's Secret, carried out once, and written back on the version that was read. A code or a
//! device code leaves the Secret before it is sent, so no second process sends it; the answer is on record as candidate before
//! anything in it is judged.
//!
//! | module | holds |
//! |---|---|
//! | [`steps`] | reading an attempt, its next step, its end |
//! | [`begin`] | the authorization request |
//! | [`exchange`] | the code for tokens, once |
//! | [`device`] | RFC 8628: the code for people, and the polls |
//! | [`arrival`] | from the provider's answer to the grant in use |
//! | [`confirm`] | the owner agrees to the account of a device flow |
//! | [`allowed`] | who may consent, and with which app |
//! | [`pledge`] | what the operator keeps for itself between the steps |

mod allowed;
mod arrival;
mod begin;
mod confirm;
mod device;
mod exchange;
mod pledge;
mod steps;

use bowline_api::attempt::Step;
use tokio_util::sync::CancellationToken;

pub(crate) use arrival::{being_checked, in_use};
pub(crate) use device::replaced_code;
pub(crate) use steps::{Concluded, Consents, Dismissal};

use super::engine::Engine;
use super::outcome::Outcome;
pub(crate) use super::refusal::ConsentError;
use super::revoke::Replaced;
pub(crate) use super::work::ConsentTask;
use super::work::Job;

/// One step for one connection, and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Consenting<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) consents: &'a Consents,
    pub(crate) replaced: &'a Replaced,
    pub(crate) job: &'a Job,
    /// Cancelled when the connection is gone.
    pub(crate) gone: &'a CancellationToken,
}

/// Takes one step.
pub(super) async fn consent(at: Consenting<'_>, task: &ConsentTask) -> Outcome {
    match task {
        ConsentTask::Begin { attempt } => begin::begin(at, attempt).await,
        ConsentTask::Exchange { attempt } => Box::pin(exchange::exchange(at, attempt)).await,
        ConsentTask::AskDevice { .. } => device::ask(at).await,
        ConsentTask::Poll { attempt } => Box::pin(device::poll(at, attempt)).await,
        ConsentTask::Interrupted { attempt } => match at.consents.attempt(attempt).await {
            Ok(kept) if matches!(kept.attempt.step, Step::Exchanging) => {
                at.consents.fail(kept, ConsentError::Interrupted).await
            }
            Ok(_) => Outcome::Stepped,
            Err(outcome) => outcome,
        },
        ConsentTask::Confirm { account } => confirm::confirm(at, account).await,
    }
}
