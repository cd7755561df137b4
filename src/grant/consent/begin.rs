//! The authorization request: built by the operator, because only it knows the client secret and keeps the verifier.

use bowline_api::attempt::{Step, redirect_uri};
use bowline_api::connection::Method;
use bowline_oauth::authorize::{self, AuthorizationRequest};
use bowline_oauth::catalog::protocol::Account;
use bowline_runtime::attempts::Kept;
use k8s_openapi::ByteString;
use secrecy::SecretString;

use super::pledge::Pledge;
use super::{ConsentError, Unasked, is_owners, not_offered};
use crate::grant::actor::Grants;
use crate::grant::candidate::binding;
use crate::grant::judge::into_catalog;
use crate::grant::outcome::Outcome;
use crate::grant::target::requested;
use crate::grant::work::Job;
use crate::metrics::Operation;

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
            Err(Unasked::Refused(why)) => self.fail(kept, why).await,
            Err(Unasked::Later(outcome)) => outcome,
        }
    }

    /// The address to send the browser to, and the pledge.
    async fn request(
        &self,
        job: &Job,
        kept: &Kept,
        state: &SecretString,
    ) -> Result<(SecretString, ByteString), Unasked> {
        if kept.attempt.is_expired_at(self.clock.now()) {
            return Err(ConsentError::TooLate.into());
        }
        self.may_consent(job, kept)?;
        let offered = job.target.methods().contains(&Method::AuthorizationCode);
        let portal = self.portal.as_ref().filter(|_| offered).ok_or_else(|| not_offered(job))?;
        let app = self.consented_app(job).await?;
        let permit = self.admitted(job).await?;
        let redirect_uri = redirect_uri(portal, job.target.provider());
        let scopes = requested(&job.target, &job.scopes);
        let expected = self.expected(job);
        let request = AuthorizationRequest {
            redirect_uri: &redirect_uri,
            state,
            scopes: &scopes,
            expected: expected.as_ref(),
        };
        let http = job.target.http();
        let begun = authorize::begin(http, job.target.description(), &app, &request, self.clock.now());
        let begun = self.timed(Operation::Authorize, begun).await;
        drop(permit);
        let begun = begun.map_err(|failure| self.declined(job, failure))?;
        let pledge = Pledge {
            attempt: kept.name.clone(),
            secret: begun.verifier,
            bound_to: binding(job, Some(&app)),
            redirect_uri,
            scopes,
        };
        let sealed = pledge.seal(&self.sealer, &job.place)?;
        Ok((SecretString::from(begun.address.as_str()), sealed))
    }

    /// The account that a renewal must be of, unless the owner means another one now.
    fn expected(&self, job: &Job) -> Option<Account> {
        let Account { id, name, email } = self.pinned_account(&job.place.uid).map(into_catalog)?;
        let another = |named: Option<&String>| named.is_some_and(|named| *named != id);
        let means_it = !another(job.expected_account.as_ref()) && !another(job.accepted_account.as_ref());
        means_it.then_some(Account { id, name, email })
    }

    /// The first consent is the owner's, and so is the first under a new owner. Later, who may connect may renew it, and the
    /// account's pin keeps it the same one.
    ///
    /// Asked again when the answer comes: the grant that was to be renewed may be gone by then.
    pub(super) fn may_consent(&self, job: &Job, kept: &Kept) -> Result<(), ConsentError> {
        let attempt = &kept.attempt;
        let renewed = self.in_use(&job.place.uid).filter(|grant| grant.bound_to.owner == job.owner);
        if !is_owners(attempt, job) {
            let renews = renewed.is_some_and(|grant| grant.bound_to.account.is_some());
            return if renews { Ok(()) } else { Err(ConsentError::NotTheOwner { owner: job.owner.clone() }) };
        }
        let pinned = renewed.and_then(|grant| grant.consent.person);
        match (pinned, &attempt.person) {
            (Some(pinned), Some(person)) if pinned != person.as_str() => {
                Err(ConsentError::OtherPerson { owner: job.owner.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The person who consents in the owner's name. Who renews a grant does not change whose it is, and neither does a way to
    /// sign in that tells nothing.
    pub(super) fn person_behind(&self, job: &Job, kept: &Kept) -> Option<String> {
        let own = kept.attempt.person.as_ref().filter(|_| is_owners(&kept.attempt, job));
        let renewed = self.in_use(&job.place.uid).filter(|grant| grant.bound_to.owner == job.owner);
        own.map(|person| person.as_str().to_owned()).or_else(|| renewed?.consent.person)
    }
}
