//! The client that speaks to the `OpenID` provider: no redirects, a deadline, a limit on the answer.

use std::time::Duration;

use futures::future::BoxFuture;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

const DEADLINE: Duration = Duration::from_secs(10);
const LARGEST: usize = 1024 * 1024;

/// Speaks to the `OpenID` provider.
#[derive(Clone)]
pub struct Http(reqwest::Client);

/// No usable answer. Says nothing of the request, which holds a code and a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client cannot be built.
    #[error("cannot build the HTTP client")]
    Build(#[source] reqwest::Error),
    /// No answer, or not in time.
    #[error("no answer from the sign-in provider")]
    NoAnswer(#[source] reqwest::Error),
    /// More than a mebibyte.
    #[error("the sign-in provider's answer is too large")]
    TooLarge,
    /// Not an answer of HTTP.
    #[error("the sign-in provider's answer cannot be read")]
    Unreadable(#[source] http::Error),
}

impl Http {
    /// The client.
    pub fn new() -> Result<Self, HttpError> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(DEADLINE);
        client.build().map(Self).map_err(HttpError::Build)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // An error of reqwest names the address; ours may hold nothing but the token endpoint's.
        let silent = |error: reqwest::Error| HttpError::NoAnswer(error.without_url());
        let request = reqwest::Request::try_from(request).map_err(silent)?;
        let mut answer = self.0.execute(request).await.map_err(silent)?;
        let mut response = http::Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(silent)? {
            if body.len() + chunk.len() > LARGEST {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        response.body(body).map_err(HttpError::Unreadable)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
