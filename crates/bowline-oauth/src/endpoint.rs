//! Requests with client authentication: token, pushed authorization and device authorization endpoint.

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::answer::{self, Document, TokenAnswer};
use super::app::{App, WhichSecret};
use super::classify::{self, Failure, Operation};
use super::headers;
use super::http::{Http, Received, Request};
use super::request::{Client, RequestError};
use crate::catalog::Description;

/// A token answer, and the client secret that was used for it.
#[derive(Clone, Debug)]
pub struct Granted {
    pub answer: TokenAnswer,
    /// Which secret the provider accepted.
    pub secret: WhichSecret,
    /// When it answered, by its own clock, if it says so.
    pub date: Option<Timestamp>,
}

/// A request to an endpoint with client authentication.
#[derive(Clone, Copy)]
pub(super) struct ClientRequest<'a> {
    pub(crate) http: &'a dyn Http,
    pub(crate) description: &'a Description,
    pub(crate) app: &'a App,
    pub(crate) operation: Operation,
    pub(crate) now: Timestamp,
}

/// An answer that is no error.
pub(super) struct Answered {
    pub(crate) received: Received,
    pub(crate) document: Document,
    pub(crate) secret: WhichSecret,
}

/// A refusal that may come of a server that compares what Basic authentication sends without decoding it.
fn doubting_basic(failure: Failure) -> Failure {
    let hint = "the client id or secret has letters that Basic authentication encodes (RFC 6749 §2.3.1), which some servers do not decode: if both are right, set spec.overlay.clientAuth of the provider to [Post], or parameters.client_auth to post";
    Failure { summary: format!("{}; {hint}", failure.summary), ..failure }
}

impl ClientRequest<'_> {
    /// Requests tokens with what the grant type needs; an id token is valid only with the `nonce`, if there is one.
    pub(super) async fn tokens(
        &self,
        grant: &[(&str, &str)],
        scopes: &[String],
        nonce: Option<&str>,
    ) -> Result<Granted, Failure> {
        let Answered { received, document, secret } = self.send(|client| client.token(grant, scopes)).await?;
        let read = |data| answer::read(data, self.description, &self.app.client_id, nonce, self.now);
        let answer = document.data().and_then(read).ok_or_else(|| classify::without_token(&received))?;
        Ok(Granted { answer, secret, date: headers::date(&received.headers) })
    }

    /// Sends what `build` builds, for an answer with data.
    pub(super) async fn send(
        &self,
        build: impl Fn(&Client<'_>) -> Result<Request, RequestError>,
    ) -> Result<Answered, Failure> {
        let judge = |received: Received| {
            let document = Document::read(&received);
            classify::answered(self.operation, self.description, &received, &document, self.now)?;
            Ok((received, document))
        };
        let ((received, document), secret) = self.ask(build, judge).await?;
        Ok(Answered { received, document, secret })
    }

    /// Sends what `build` builds with the client secret, and again with the previous one if the client is refused. The
    /// provider authenticates the client before anything else (RFC 6749 §3.2.1), so nothing was spent. If an answer leaves
    /// this open, for example with status 500, there is no second request.
    pub(super) async fn ask<T>(
        &self,
        build: impl Fn(&Client<'_>) -> Result<Request, RequestError>,
        judge: impl Fn(Received) -> Result<T, Failure>,
    ) -> Result<(T, WhichSecret), Failure> {
        let (mut refused, mut presented): (Option<Failure>, _) = (None, http::Extensions::new());
        self.app.present(self.description, &mut presented, self.now)?;
        for (which, secret) in self.app.secrets() {
            let client = Client {
                description: self.description,
                id: &self.app.client_id,
                secret,
                private_key: self.app.private_key.as_ref(),
                has_certificate: self.app.certificate.is_some(),
                now: self.now,
            };
            let mut request = build(&client)?;
            request.extensions_mut().extend(presented.clone());
            let received = self.http.send(request).await?;
            let echo = secret.map_or("", |secret| secret.expose_secret());
            match judge(received).map_err(|failure| failure.without_echo(echo)) {
                Ok(answer) => return Ok((answer, which)),
                // The first refusal is about the secret that is meant to work.
                Err(failure) if failure.refuses_client() => {
                    let failure =
                        if client.is_changed_by_basic() { doubting_basic(failure) } else { failure };
                    refused = refused.or(Some(failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(refused.unwrap_or_else(|| RequestError::NoClientAuth.into()))
    }
}
