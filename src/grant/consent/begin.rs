//! The authorization request: built by the operator, because only it knows the client secret and keeps the verifier.

use k8s_openapi::ByteString;
use secrecy::SecretString;

use super::pledge::Pledge;
use super::{ConsentError, is_owners};
use crate::api::connection::Method;
use crate::attempt::store::Kept;
use crate::attempt::{Step, redirect_uri};
use crate::grant::actor::Grants;
use crate::grant::candidate::binding;
use crate::grant::outcome::Outcome;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::oauth::authorize::{self, AuthorizationRequest};

impl Grants {
    /// Builds the authorization request of an attempt, pushed to the provider first where it offers that.
    pub(super) async fn begin(&self, job: &Job, name: &str) -> Outcome {
        let kept = match self.attempt(name).await {
            Ok(kept) => kept,
            Err(outcome) => return outcome,
        };
        let Step::Asked { session, state } = &kept.attempt.step else { return Outcome::Stepped };
        match self.request(job, &kept, state).await {
            Ok((address, sealed)) => {
                let next = Step::Prepared { session: session.clone(), address, sealed };
                self.step(kept, next).await.map_or(Outcome::Stale, |_| Outcome::Stepped)
            }
            Err(Ok(why)) => self.fail(kept, why).await,
            Err(Err(outcome)) => outcome,
        }
    }

    /// The address to send the browser to, and the pledge. The inner error: nothing was decided, try again.
    async fn request(
        &self,
        job: &Job,
        kept: &Kept,
        state: &SecretString,
    ) -> Result<(SecretString, ByteString), Result<ConsentError, Outcome>> {
        if kept.attempt.is_expired_at(self.clock.now()) {
            return Err(Ok(ConsentError::TooLate));
        }
        self.may_consent(job, kept).map_err(Ok)?;
        let whom_to_ask = || job.target.whom_to_ask();
        let not_offered = || Ok(ConsentError::NotOffered { whom_to_ask: whom_to_ask() });
        let portal = self.portal.as_ref().ok_or_else(not_offered)?;
        if !job.target.methods().contains(&Method::AuthorizationCode) {
            return Err(not_offered());
        }
        let app = match self.app(job).await {
            Ok(Some(app)) => app,
            Ok(None) => return Err(not_offered()),
            Err(none) => return Err(Err(none.into())),
        };
        let permit = self.admitted(job).await.map_err(Err)?;
        let redirect_uri = redirect_uri(portal, job.target.provider());
        let scopes = requested(&job.target, &job.scopes);
        let request =
            AuthorizationRequest { redirect_uri: &redirect_uri, state, scopes: &scopes, login_hint: None };
        let http = self.clients.for_provider(job.target.insecure());
        let begun = authorize::begin(http, job.target.description(), &app, &request, self.clock.now());
        let begun = self.timed(Operation::Authorize, begun).await;
        drop(permit);
        let begun =
            begun.map_err(|failure| Ok(ConsentError::of(&self.heard(job, failure, None), whom_to_ask())))?;
        let pledge = Pledge {
            attempt: kept.name.clone(),
            secret: begun.verifier,
            bound_to: binding(job, Some(&app)),
            redirect_uri,
            scopes,
        };
        let sealed = pledge.seal(&self.sealer, &job.place).map_err(Ok)?;
        Ok((SecretString::from(begun.address.as_str()), sealed))
    }

    /// The first consent is the owner's. Later, who may connect may renew it, and the account's pin keeps it the same one.
    fn may_consent(&self, job: &Job, kept: &Kept) -> Result<(), ConsentError> {
        if is_owners(&kept.attempt, job) || self.pinned_account(&job.place.uid).is_some() {
            return Ok(());
        }
        Err(ConsentError::NotTheOwner { owner: job.owner.clone() })
    }
}
