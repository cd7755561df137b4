//! A candidate is judged, and promoted to the grant in use or erased.

use super::judge::{Judged, judge};
use crate::grant::engine::Engine;
use crate::grant::outcome::{Origin, Outcome};
use crate::grant::revoke::{Replaced, discard};
use crate::grant::work::Job;
use crate::vault::{Opened, Slot};

/// Judges the candidate that stands, and promotes or erases it.
pub(crate) async fn judge_candidate(engine: &Engine, replaced: &Replaced, job: &Job) -> Outcome {
    let app = match engine.secrets.app(job).await {
        Ok(app) => app,
        Err(none) => return none.into(),
    };
    let Some(loaded) = engine.records.get(&job.place.uid) else { return Outcome::Stale };
    let Ok(candidate) = loaded.record.open(&engine.records.sealer, Slot::Candidate) else {
        return delayed("The candidate on record cannot be opened now.");
    };
    let Some(mut candidate) = candidate else {
        return Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Accepted };
    };
    match judge(engine, job, app.as_deref(), &mut candidate).await {
        Judged::Good => promote(engine, replaced, job, &candidate).await,
        Judged::Refused(why) => {
            let why = discard(engine, job, app.as_deref(), &candidate.grant, why).await;
            Outcome::IntakeRefused { why }
        }
        Judged::Later(message) => Outcome::IntakeDelayed { message },
        Judged::InDoubt => Outcome::IntakeInDoubt,
        Judged::Instead(outcome) => outcome,
    }
}

async fn promote(engine: &Engine, replaced: &Replaced, job: &Job, candidate: &Opened) -> Outcome {
    let records = &engine.records;
    let old = records.in_use(&job.place.uid);
    let promoted = records.settle(&job.place.uid, |record| record.promoted(&records.sealer, candidate)).await;
    let Ok(Some(loaded)) = promoted else {
        return delayed("The judged grant could not be put in place now.");
    };
    if let Some(old) = old {
        replaced.remember(job, &candidate.grant, old);
    }
    Outcome::Committed { revision: loaded.record.revision(), origin: Origin::Accepted }
}

fn delayed(message: &str) -> Outcome {
    Outcome::IntakeDelayed { message: message.to_owned() }
}
