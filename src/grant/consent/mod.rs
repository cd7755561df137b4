//! A person consents: the authorization request, the exchange of the code, the device flow.
//!
//! Each step is read from the attempt's Secret, carried out once, and written back at the version that was read. A code or
//! device code is removed from the Secret before it is sent, so no second process sends it; the answer is put on record as
//! candidate before anything in it is judged.

mod arrival;
mod device;
mod order;
mod provided;
mod redirect;
mod steps;
mod terms;

use bowline_api::attempt::Step;
use bowline_api::names;
use bowline_api::terms::ConnectionTerms;

pub(crate) use arrival::{being_checked, in_use};
pub(crate) use device::replaced_code;
pub(crate) use steps::{Concluded, Consents, Dismissal};

use super::Engine;
use super::outcome::{Outcome, WorkResult};
pub(crate) use super::refusal::ConsentError;
pub(crate) use super::work::ConsentTask;
use super::work::Job;
use crate::vault::Record;

pub(super) async fn consent(engine: &Engine, job: &Job, task: &ConsentTask) -> WorkResult {
    match task {
        ConsentTask::Begin { attempt } => redirect::begin(engine, job, attempt).await,
        ConsentTask::Exchange { attempt } => Box::pin(redirect::exchange(engine, job, attempt)).await,
        ConsentTask::AskDevice { request } => device::ask(engine, job, request).await,
        ConsentTask::Poll { attempt } => Box::pin(device::poll(engine, job, attempt)).await,
        ConsentTask::Interrupted { attempt } => {
            let kept = engine.consents.attempt(attempt).await?;
            match kept.attempt.step {
                Step::Exchanging => Err(engine.consents.failed(kept, ConsentError::Interrupted).await),
                _ => Ok(Outcome::Stepped),
            }
        }
        ConsentTask::Issue { attempt } => order::carry_out(engine, job, attempt).await,
        ConsentTask::TakeProvided { attempt } => provided::take(engine, job, attempt).await,
        ConsentTask::Confirm { account } => confirm(engine, job, account).await,
        ConsentTask::Agree { from, to } => agree(engine, job, from.as_ref(), to).await,
    }
}

/// The owner confirms the account of a grant from a device flow.
async fn confirm(engine: &Engine, job: &Job, account: &str) -> WorkResult {
    let records = &engine.records;
    let change = |record: Record| {
        let Ok(Some(mut grant)) = record.open_grant(&records.sealer) else { return Ok(record) };
        let named = grant.bound_to.account.as_ref();
        let named = named.map_or(names::UNNAMED_ACCOUNT, |account| account.id.as_str());
        if named != account || grant.consent.confirmed {
            return Ok(record);
        }
        grant.consent.confirmed = true;
        record.agreed(&records.sealer, &grant)
    };
    match records.settle(&job.place.uid, change).await {
        Ok(Some(_)) => Ok(Outcome::Committed { accepted: true }),
        Ok(None) | Err(_) => Err(Outcome::Stale),
    }
}

/// Puts on record what is in force of the terms, if the record still says what it said when that was decided.
async fn agree(
    engine: &Engine,
    job: &Job,
    from: Option<&ConnectionTerms>,
    to: &ConnectionTerms,
) -> WorkResult {
    let records = &engine.records;
    let change = |record: Record| {
        let Ok(Some(mut grant)) = record.open_grant(&records.sealer) else { return Ok(record) };
        if grant.consent.agreed.as_ref() != from {
            return Ok(record);
        }
        grant.consent.agreed = Some(to.clone());
        record.agreed(&records.sealer, &grant)
    };
    match records.settle(&job.place.uid, change).await {
        Ok(Some(_)) => Ok(Outcome::Stepped),
        Ok(None) | Err(_) => Err(Outcome::Stale),
    }
}
