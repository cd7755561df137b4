//! Plays the portal: begins an attempt, takes the browser to the provider and back. It passes data on without understanding
//! it.

use std::collections::BTreeMap;

use bowline_api::attempt::attempt_name;
use bowline_api::attempt::{Attempt, AttemptEnding, AuthorizationResponse, ConnectionRef, LIFETIME, Step};
use bowline_api::opaque::{Digest, random_text};
use bowline_runtime::attempts::{Attempts, StoredAttempt};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::looking::until;
use crate::scene::Scene;

/// The namespace of attempts.
pub const ATTEMPTS: &str = "bowline-attempts";

/// An attempt, as the portal sees it.
pub struct OpenAttempt {
    pub name: String,
    pub state: SecretString,
    attempts: Attempts,
}

/// The query with which the browser comes back to the callback.
pub type Callback = BTreeMap<String, String>;

impl Scene {
    /// Begins an attempt as this user.
    pub async fn attempt_as(&self, user: &str, connection: &str) -> OpenAttempt {
        self.attempt_by(user, None, connection).await
    }

    /// Begins an attempt as this user, who is this person at the sign-in provider.
    pub async fn attempt_by(&self, user: &str, person: Option<Digest>, connection: &str) -> OpenAttempt {
        self.attempt_shown(user, person, connection, None).await
    }

    /// Begins an attempt as this user, whom a page has shown terms with this digest.
    pub async fn attempt_shown(
        &self,
        user: &str,
        person: Option<Digest>,
        connection: &str,
        terms: Option<String>,
    ) -> OpenAttempt {
        let object = self.get(connection).await;
        let state = random_text().unwrap();
        let name = attempt_name(state.expose_secret());
        let attempts = Attempts::new(self.admin.clone(), ATTEMPTS);
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let attempt = Attempt {
            user: user.to_owned(),
            person,
            connection: ConnectionRef {
                namespace: self.namespace.clone(),
                name: connection.to_owned(),
                uid: object.uid().unwrap(),
            },
            request: None,
            terms,
            provider: self.name.clone(),
            started_at: now,
            expires_at: now + SignedDuration::try_from(LIFETIME).unwrap(),
            step: Step::Asked { session: Digest::of("session"), state: state.clone() },
        };
        attempts.create(&name, &attempt).await.expect("an attempt");
        OpenAttempt { name, state, attempts }
    }

    /// Alice connects in a browser, as this account of the sandbox.
    pub async fn consents_as(&self, connection: &str, account: &str) -> AttemptEnding {
        let attempt = self.attempt_as("alice", connection).await;
        let address = attempt.sent().await;
        let callback = allowed(&address, account).await;
        attempt.returned(&callback).await;
        attempt.ended().await
    }
}

impl OpenAttempt {
    /// The present state of the attempt.
    pub async fn now(&self) -> StoredAttempt {
        self.attempts.get(&self.name).await.expect("the API server answers").expect("the attempt is there")
    }

    /// Waits until the operator has taken the first step, and returns the next one.
    pub async fn begun(&self) -> Step {
        until("an answer to the first step", async || match self.now().await.attempt.step {
            Step::Asked { .. } => Err("not yet"),
            step => Ok(step),
        })
        .await
    }

    /// Waits for the address, takes it, and sends the browser there.
    pub async fn sent(&self) -> Url {
        let (kept, session, address, sealed) = until("an address to send the browser to", async || {
            let kept = self.now().await;
            match kept.attempt.step.clone() {
                Step::Prepared { session, address, sealed } => Ok((kept, session, address, sealed)),
                step => Err(format!("{step:?}")),
            }
        })
        .await;
        let next = kept.attempt.clone().with(Step::Sent { session, sealed });
        self.attempts.replace(kept, &next).await.expect("the step is free");
        Url::parse(address.expose_secret()).expect("an address")
    }

    /// Passes on what the provider sent.
    pub async fn returned(&self, callback: &Callback) {
        assert_eq!(callback["state"], self.state.expose_secret(), "the state comes back as it went");
        let issuer = callback.get("iss").cloned();
        let answer = match callback.get("code") {
            Some(code) => AuthorizationResponse::Code {
                code: code.as_str().into(),
                issuer,
                parameters: callback.clone().into_iter().collect(),
            },
            None => AuthorizationResponse::Error {
                error: callback["error"].clone(),
                description: callback.get("error_description").cloned(),
                issuer,
            },
        };
        self.answered(answer).await;
    }

    /// Writes this answer into the attempt.
    pub async fn answered(&self, answer: AuthorizationResponse) {
        let kept = self.now().await;
        let Step::Sent { sealed, .. } = kept.attempt.step.clone() else {
            panic!("{:?}", kept.attempt.step);
        };
        let next = kept.attempt.clone().with(Step::Returned { answer, sealed });
        self.attempts.replace(kept, &next).await.expect("the step is free");
    }

    /// Writes any step into the attempt, as a hijacked portal could.
    pub async fn forged(&self, step: Step) {
        let expires_at = self.now().await.attempt.expires_at;
        self.forged_at(expires_at, step).await;
    }

    /// Like [`OpenAttempt::forged`], but with another expiry.
    pub async fn forged_at(&self, expires_at: Timestamp, step: Step) {
        let kept = self.now().await;
        let next = Attempt { expires_at, ..kept.attempt.clone().with(step) };
        self.attempts.replace(kept, &next).await.expect("the step is free");
    }

    /// Waits until it is over.
    pub async fn ended(&self) -> AttemptEnding {
        until("the end of the attempt", async || match self.now().await.attempt.step {
            Step::Ended(ending) => Ok(ending),
            step => Err(format!("{step:?}")),
        })
        .await
    }
}

/// The browser at the provider: this account allows access.
pub async fn allowed(address: &Url, account: &str) -> Callback {
    visit(address, &[("auto_consent", account)]).await
}

/// The browser at the provider: the person denies access.
pub async fn denied(address: &Url) -> Callback {
    visit(address, &[("auto_deny", "yes")]).await
}

/// Opens the provider's page and reads where it redirects the browser.
pub async fn visit(address: &Url, more: &[(&str, &str)]) -> Callback {
    let mut address = address.clone();
    address.query_pairs_mut().extend_pairs(more);
    let browser = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
    let answer = browser.get(address.as_str()).send().await.expect("the provider answers");
    let location = answer.headers().get("location").expect("the provider sends the browser back");
    let back = Url::parse(location.to_str().unwrap()).unwrap();
    back.query_pairs().into_owned().collect()
}
