//! Requests in which the client proves itself: token, pushed authorization and device authorization endpoint.

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::answer::{self, Document, TokenAnswer};
use super::app::{App, WhichSecret};
use super::classify::{self, Failure, Operation};
use super::http::{Http, Received, Request, Sent};
use super::request::RequestError;
use crate::catalog::Description;

/// A token answer, and the client secret with which it came.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The answer.
    pub answer: TokenAnswer,
    /// Which secret the provider accepted.
    pub secret: WhichSecret,
}

/// One way of asking an endpoint at which the client proves itself.
pub(super) struct ClientRequest<'a> {
    pub http: &'a dyn Http,
    pub description: &'a Description,
    pub app: &'a App,
    pub operation: Operation,
    pub now: Timestamp,
}

/// An answer that is no error.
pub(super) struct Answered {
    pub received: Received,
    pub document: Document,
    pub secret: WhichSecret,
}

impl ClientRequest<'_> {
    /// Asks for tokens; an id token counts only with the `nonce`, if there is one.
    pub(super) async fn tokens(
        &self,
        nonce: Option<&str>,
        build: impl Fn(Option<&SecretString>) -> Result<Request, RequestError>,
    ) -> Result<Granted, Failure> {
        let Answered { received, document, secret } = self.send(build).await?;
        let read = |data| answer::read(data, self.description, &self.app.client_id, nonce, self.now);
        let answer = document.data().and_then(read).ok_or_else(|| classify::without_token(&received))?;
        Ok(Granted { answer, secret })
    }

    /// Sends what `build` makes with the client secret, and again with the previous one if the client is refused: the
    /// provider proves the client before it looks at anything else (RFC 6749 §3.2.1), so nothing was spent. An answer
    /// that leaves this open, such as one with status 500, is not followed by a second request.
    pub(super) async fn send(
        &self,
        build: impl Fn(Option<&SecretString>) -> Result<Request, RequestError>,
    ) -> Result<Answered, Failure> {
        let mut refused: Option<Failure> = None;
        for (secret, value) in self.app.secrets() {
            let request = build(value).map_err(|error| classify::unbuilt(&error))?;
            let outcome = self.once(request).await;
            let echo = value.map_or("", |value| value.expose_secret());
            match outcome.map_err(|failure| failure.without_echo(echo)) {
                Ok((received, document)) => return Ok(Answered { received, document, secret }),
                // The first refusal speaks of the secret that is meant to work.
                Err(failure) if failure.refuses_client() && failure.sent == Sent::Refused => {
                    refused = refused.or(Some(failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(refused.unwrap_or_else(|| classify::unbuilt(&RequestError::NoClientAuth)))
    }

    async fn once(&self, request: Request) -> Result<(Received, Document), Failure> {
        let received = self.http.send(request).await.map_err(|error| classify::unanswered(&error))?;
        let document = Document::read(&received);
        match classify::answered(self.operation, self.description, &received, &document, self.now) {
            Some(failure) => Err(failure),
            None => Ok((received, document)),
        }
    }
}
