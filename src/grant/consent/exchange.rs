//! The code for tokens: sent once, whatever happens.

use bowline_api::attempt::{Answer, Step};
use bowline_oauth::app::App;
use bowline_oauth::callback;
use bowline_oauth::exchange::{self, Code};
use bowline_runtime::attempts::Kept;

use super::ConsentError;
use super::arrival::Arrival;
use super::pledge::Pledge;
use crate::grant::actor::Grants;
use crate::grant::candidate::binding;
use crate::grant::outcome::Outcome;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::Way;
use secrecy::SecretString;

impl Grants {
    /// Takes what the browser brought back: the error is told, the code is exchanged.
    pub(super) async fn exchange(&self, job: &Job, name: &str) -> Outcome {
        let kept = match self.attempt(name).await {
            Ok(kept) => kept,
            Err(outcome) => return outcome,
        };
        let Step::Returned { answer, sealed } = &kept.attempt.step else { return Outcome::Stepped };
        let (pledge, code) = match self.taken(job, &kept, answer, sealed) {
            Ok(taken) => taken,
            Err(why) => return self.fail(kept, why).await,
        };
        let app = match self.app(job).await {
            Ok(Some(app)) => app,
            Ok(None) => return self.fail(kept, ConsentError::TermsMoved).await,
            Err(none) => return none.into(),
        };
        if !pledge.holds_for(&binding(job, Some(&app))) {
            return self.fail(kept, ConsentError::TermsMoved).await;
        }
        self.spend(job, kept, &app, &pledge, &code).await
    }

    /// Sends the code, once.
    async fn spend(&self, job: &Job, kept: Kept, app: &App, pledge: &Pledge, code: &SecretString) -> Outcome {
        // What was consented to before and could not be judged yet goes first: were the new one refused, it would be lost with it.
        if self.standing_candidate(&job.place.uid) {
            self.judge(job).await;
        }
        let permit = match self.admitted(job).await {
            Ok(permit) => permit,
            Err(outcome) => return outcome,
        };
        // From here on nobody else finds the code.
        let Some(kept) = self.step(kept, Step::Exchanging).await else { return Outcome::Stale };
        let asked_at = self.clock.now();
        let http = job.target.http();
        let Pledge { secret: verifier, redirect_uri, scopes, .. } = pledge;
        let code = Code { code, verifier, redirect_uri, scopes };
        let sent = exchange::exchange(http, job.target.description(), app, code, asked_at);
        let sent = self.timed(Operation::Exchange, sent).await;
        drop(permit);
        match sent {
            Ok(granted) => {
                let arrival = Arrival { kept, pledge, app, way: Way::Redirect, asked_at };
                self.arrived(job, arrival, granted.answer).await
            }
            Err(failure) => {
                let why = self.declined(job, failure);
                self.fail(kept, why).await
            }
        }
    }

    fn standing_candidate(&self, uid: &str) -> bool {
        self.store.get(uid).ok().flatten().is_some_and(|loaded| loaded.record.candidate().is_some())
    }

    /// The pledge and the code, if the answer is one to this try, from the provider that was asked.
    fn taken(
        &self,
        job: &Job,
        kept: &Kept,
        answer: &Answer,
        sealed: &k8s_openapi::ByteString,
    ) -> Result<(Pledge, SecretString), ConsentError> {
        if kept.attempt.is_expired_at(self.clock.now()) {
            return Err(ConsentError::TooLate);
        }
        self.may_consent(job, kept)?;
        let pledge = Pledge::open(&self.sealer, &job.place, &kept.name, sealed)?;
        let (Answer::Code { issuer, .. } | Answer::Error { issuer, .. }) = answer;
        let description = job.target.description();
        callback::callback_issuer(description, issuer.as_deref()).map_err(|_| ConsentError::WrongIssuer)?;
        match answer {
            Answer::Code { code, .. } => Ok((pledge, code.clone())),
            Answer::Error { error, description: said, .. } => {
                let declined = callback::declined(description, error, said.as_deref());
                Err(ConsentError::declined(declined, job.target.whom_to_ask()))
            }
        }
    }
}
