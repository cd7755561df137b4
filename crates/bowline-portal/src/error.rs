//! What a person reads when a request failed: what happened, what to do, and a reference to the log line.

use std::error::Error;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bowline_api::opaque::{NoRandomness, random_text};
use bowline_runtime::attempts::AttemptError;
use bowline_runtime::follow::Unreadable;
use bowline_runtime::telemetry::chain;
use secrecy::ExposeSecret;

use crate::metrics::ExceededLimit;
use crate::session::SessionError;
use crate::session_key::CannotSeal;
use crate::view::{foreign, key_of};

const REFERENCE_LETTERS: usize = 10;

/// How long a person waits for the API server.
const CALL_LIMIT: Duration = Duration::from_secs(10);

pub(crate) type Reply = Result<Response, PageError>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageError {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) what: String,
    pub(crate) todo: String,
    /// Finds the log line of an internal error.
    pub(crate) reference: Option<String>,
    /// Whether signing in helps.
    pub(crate) sign_in: bool,
    pub(crate) exceeded: Option<ExceededLimit>,
}

impl PageError {
    fn new(status: StatusCode, title: &str, what: &str, todo: &str) -> Self {
        let [title, what, todo] = [title, what, todo].map(ToOwned::to_owned);
        Self { status, title, what, todo, reference: None, sign_in: false, exceeded: None }
    }

    /// Does not exist, or this user may not see it: both get the same response.
    pub(crate) fn not_found() -> Self {
        let what = "There is nothing here, or nothing that you are allowed to see.";
        let todo = "Check the address, or ask the person who sent it to you.";
        Self::new(StatusCode::NOT_FOUND, "Not found", what, todo)
    }

    pub(crate) fn forbidden(what: &str, todo: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "You are not allowed to do this", what, todo)
    }

    /// A request that no page of ours sends.
    pub(crate) fn bad_request(what: &str) -> Self {
        let todo = "Go back to the page and try again from there.";
        Self::new(StatusCode::BAD_REQUEST, "This request cannot be used", what, todo)
    }

    /// A form of another session or another site, or from a page that was open for too long.
    pub(crate) fn stale_form() -> Self {
        let what = "The form does not belong to your current session, so nothing was changed.";
        let todo = "Reload the page and repeat the change.";
        Self::new(StatusCode::FORBIDDEN, "This form is out of date", what, todo)
    }

    pub(crate) fn not_signed_in() -> Self {
        let what = "You are not signed in, or your session has ended. Nothing was changed.";
        let error = Self::new(StatusCode::UNAUTHORIZED, "Sign in first", what, "Sign in and try again.");
        Self { sign_in: true, ..error }
    }

    pub(crate) fn sign_in(what: &str) -> Self {
        let todo = "Go to the sign-in page and try again.";
        let error = Self::new(StatusCode::FORBIDDEN, "Signing in did not work", what, todo);
        Self { sign_in: true, ..error }
    }

    pub(crate) fn too_many(limit: ExceededLimit, what: &str) -> Self {
        let todo = "Wait a minute and try again.";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many at once", what, todo);
        Self { exceeded: Some(limit), ..error }
    }

    /// The request does not fit the current state.
    pub(crate) fn conflict(title: &str, what: &str, todo: &str) -> Self {
        Self::new(StatusCode::CONFLICT, title, what, todo)
    }

    /// An internal error, or one of the API server or the sign-in provider. Logged here with the reference that the page shows.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        let random = random_text().map_or_else(|_| "none".to_owned(), |text| text.expose_secret().to_owned());
        let reference: String =
            random.chars().filter(char::is_ascii_alphanumeric).take(REFERENCE_LETTERS).collect();
        tracing::error!(reference, error = %chain(error), "a request failed");
        let what =
            "Something behind this page did not answer as expected. As far as we know, nothing was changed.";
        let todo =
            "Try again in a moment. If it keeps failing, give the reference below to your platform team.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "That did not work", what, todo);
        Self { reference: Some(reference), ..error }
    }

    /// A connection that exists and does not parse, for a person who may read it.
    pub(crate) fn unreadable(connection: &Unreadable) -> Self {
        let (namespace, name) = key_of(&connection.metadata);
        let todo = format!(
            "Correct the field with `kubectl edit integrationconnection {name} -n {namespace}`, or ask whoever manages that namespace."
        );
        let title = "This connection cannot be read";
        Self::new(StatusCode::CONFLICT, title, &foreign(&connection.note()), &todo)
    }

    /// For a response that a library made, with a status and no page.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let what = match status {
            StatusCode::GATEWAY_TIMEOUT => "The page took too long.",
            _ => "None of our pages sends such a request.",
        };
        Self { status, ..Self::bad_request(what) }
    }
}

impl From<kube::Error> for PageError {
    /// The API server's messages are written for people, those of our admission policies included.
    fn from(error: kube::Error) -> Self {
        let todo = "If you think you should be allowed to, ask whoever manages this namespace.";
        match &error {
            kube::Error::Api(status) if status.is_not_found() => Self::not_found(),
            kube::Error::Api(status) if status.is_already_exists() => Self::conflict(
                "The name is taken",
                "There is already a connection with this name in that namespace.",
                "Go back and choose another name.",
            ),
            kube::Error::Api(status) if status.is_conflict() => Self::conflict(
                "Changed in the meantime",
                "Somebody else changed or recreated the connection, so nothing was changed.",
                "Reload the page and repeat the change.",
            ),
            kube::Error::Api(status) if status.is_forbidden() => Self::forbidden(&status.message, todo),
            kube::Error::Api(status) if status.is_invalid() => Self::bad_request(&status.message),
            _ => Self::internal(&error),
        }
    }
}

impl From<AttemptError> for PageError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Taken => Self::conflict(
                "This attempt is over",
                "The attempt to connect was finished, was replaced or ran out of time.",
                "Go to the connection and start again if it is not connected.",
            ),
            error => Self::internal(&error),
        }
    }
}

impl From<SessionError> for PageError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::ReservedUser | SessionError::TooManyGroups | SessionError::TooShort => {
                Self::sign_in(&error.to_string())
            }
            SessionError::NoRandomness(_) | SessionError::CannotSeal(_) => Self::internal(&error),
        }
    }
}

impl From<CannotSeal> for PageError {
    fn from(error: CannotSeal) -> Self {
        Self::internal(&error)
    }
}

impl From<NoRandomness> for PageError {
    fn from(error: NoRandomness) -> Self {
        Self::internal(&error)
    }
}

/// Waits for the API server for a limited time.
pub(crate) async fn in_time<T>(call: impl Future<Output = T>) -> Result<T, PageError> {
    tokio::time::timeout(CALL_LIMIT, call).await.map_err(|late| PageError::internal(&late))
}

/// The API server's response to a request that the portal makes for itself: a refusal is not the user's fault.
pub(crate) async fn answered<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, PageError> {
    in_time(call).await?.map_err(|error| PageError::internal(&error))
}
