//! One refresh of the grant in use. Publishing and status follow in the reconcile that is woken.

use bowline_oauth::catalog::errors::Class;

use super::engine::Engine;
use super::outcome::{Origin, Outcome};
use super::slot::{NotSpent, spend};
use super::work::Job;
use crate::vault::Slot;

/// Uses the refresh token once.
pub(super) async fn refresh(engine: &Engine, job: &Job) -> Outcome {
    let app = match engine.secrets.client(job).await {
        Ok(app) => app,
        Err(outcome) => return outcome,
    };
    match spend(engine, job, &app, Slot::InUse).await {
        Ok(spent) => {
            Outcome::Committed { revision: spent.loaded.record.revision(), origin: Origin::Refreshed }
        }
        Err(why) => why.into(),
    }
}

impl From<NotSpent> for Outcome {
    fn from(why: NotSpent) -> Self {
        match why {
            NotSpent::NotAdmitted(why) => why.into(),
            NotSpent::Misfit => Self::ConsentOutdated,
            NotSpent::Respected { until } => Self::Foreign { until },
            NotSpent::Stale | NotSpent::MaybeSpent | NotSpent::AnswerLost => Self::Stale,
            NotSpent::Failed { revision, failure } => Self::Failed { revision, failure },
            NotSpent::Unknown { revision, failure, before: true } if failure.class == Class::Reauth => {
                Self::Lost { revision, failure }
            }
            NotSpent::Unknown { revision, failure, .. } => Self::Unknown { revision, failure },
        }
    }
}
