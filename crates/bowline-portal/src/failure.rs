//! What a person reads when something did not work: what happened, what to do, and a reference that the logs know.

use std::error::Error;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bowline_api::opaque::{NoRandomness, random_text};
use bowline_runtime::attempts::AttemptError;
use bowline_runtime::telemetry::chain;
use secrecy::ExposeSecret;

use crate::seal::CannotSeal;

const REFERENCE_LETTERS: usize = 10;

/// A person waits no longer for the API server.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// What a handler gives.
pub(crate) type Reply = Result<Response, Failure>;

/// A request that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) what: String,
    pub(crate) todo: String,
    /// Tells the line of the log, where something of ours did not work.
    pub(crate) reference: Option<String>,
    /// Whether to sign in is what helps.
    pub(crate) sign_in: bool,
}

impl Failure {
    fn new(status: StatusCode, title: &str, what: &str, todo: &str) -> Self {
        let [title, what, todo] = [title, what, todo].map(ToOwned::to_owned);
        Self { status, title, what, todo, reference: None, sign_in: false }
    }

    /// Nothing there, or nothing that this user may see: the answer is the same.
    pub(crate) fn not_found() -> Self {
        let what = "There is nothing here, or nothing that you may see.";
        Self::new(
            StatusCode::NOT_FOUND,
            "Not found",
            what,
            "Check the address, or ask whoever sent it to you.",
        )
    }

    /// This user may not do this.
    pub(crate) fn forbidden(what: &str, todo: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not do this", what, todo)
    }

    /// The request is not one that our pages make.
    pub(crate) fn bad_request(what: &str) -> Self {
        let todo = "Go back to the page and try again from there.";
        Self::new(StatusCode::BAD_REQUEST, "This request cannot be used", what, todo)
    }

    /// A form of another session, another site, or a page that stood open too long.
    pub(crate) fn stale_form() -> Self {
        let what = "The form was not sent from a page of your present session, so nothing was changed.";
        Self::new(
            StatusCode::FORBIDDEN,
            "This form is out of date",
            what,
            "Load the page again and repeat what you did.",
        )
    }

    /// Nobody is signed in.
    pub(crate) fn not_signed_in() -> Self {
        let what = "You are not signed in, or your session has ended. Nothing was changed.";
        let failure = Self::new(StatusCode::UNAUTHORIZED, "Sign in first", what, "Sign in and try again.");
        Self { sign_in: true, ..failure }
    }

    /// Somebody could not be signed in.
    pub(crate) fn sign_in(what: &str) -> Self {
        let todo = "Go to the sign-in page and try again.";
        let failure = Self::new(StatusCode::FORBIDDEN, "Signing in did not work", what, todo);
        Self { sign_in: true, ..failure }
    }

    /// Too many requests.
    pub(crate) fn too_many(what: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many at once", what, "Wait a minute and try again.")
    }

    /// What was asked for does not fit the present state.
    pub(crate) fn conflict(title: &str, what: &str, todo: &str) -> Self {
        Self::new(StatusCode::CONFLICT, title, what, todo)
    }

    /// Our fault, or that of something behind us. Logged here, with the reference that the page shows.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        let reference = random_text().map_or_else(
            |_| "none".to_owned(),
            |text| {
                text.expose_secret()
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .take(REFERENCE_LETTERS)
                    .collect()
            },
        );
        tracing::error!(reference, error = %chain(error), "a request failed");
        let what =
            "Something behind this page did not answer as it should. Nothing is known to have been changed.";
        let todo = "Try again in a moment. If it stays, give the reference below to your platform team.";
        let failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "That did not work", what, todo);
        Self { reference: Some(reference), ..failure }
    }

    /// What an answer says that none of our handlers made: a library's own, of few words.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let what = match status {
            StatusCode::GATEWAY_TIMEOUT => "It took longer than a page may take.",
            _ => "This is not a request that our pages make.",
        };
        Self { status, ..Self::bad_request(what) }
    }
}

impl From<kube::Error> for Failure {
    /// What the API server refused, it says in words for people, our policies' words among them.
    fn from(error: kube::Error) -> Self {
        let todo = "If you think you should be allowed to, ask whoever manages this namespace.";
        match &error {
            kube::Error::Api(status) if status.is_not_found() => Self::not_found(),
            kube::Error::Api(status) if status.is_already_exists() => Self::conflict(
                "The name is taken",
                "There is already a connection of this name in that namespace.",
                "Go back and choose another name.",
            ),
            kube::Error::Api(status) if status.is_conflict() => Self::conflict(
                "Somebody else was faster",
                "The connection was changed or made anew meanwhile, so nothing was changed.",
                "Load the page again and repeat what you did.",
            ),
            kube::Error::Api(status) if status.is_forbidden() => Self::forbidden(&status.message, todo),
            kube::Error::Api(status) if status.is_invalid() => Self::bad_request(&status.message),
            _ => Self::internal(&error),
        }
    }
}

impl From<AttemptError> for Failure {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Taken => Self::conflict(
                "This try is over",
                "The try to connect was finished, replaced or ran out of time.",
                "Go to the connection and start again if it is not connected.",
            ),
            error => Self::internal(&error),
        }
    }
}

impl From<CannotSeal> for Failure {
    fn from(error: CannotSeal) -> Self {
        Self::internal(&error)
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::internal(&error)
    }
}

/// Waits for the API server as long as a person would.
pub(crate) async fn in_time<T>(call: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(CALL_LIMIT, call).await.map_err(|late| Failure::internal(&late))
}

/// What the API server answers to a question of our own: that it refuses is our fault, and not the reader's.
pub(crate) async fn answered<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    in_time(call).await?.map_err(|error| Failure::internal(&error))
}
