//! What a person reads when something did not work: what happened, what to do, and a reference that the logs know.

use std::error::Error;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::pages::{FailurePage, Frame, html};
use crate::attempt::state::random_text;
use crate::attempt::store::AttemptError;
use crate::telemetry::chain;

const REFERENCE_LETTERS: usize = 10;

/// A request that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    title: String,
    what: String,
    todo: String,
    reference: Option<String>,
}

impl Failure {
    fn new(status: StatusCode, title: &str, what: &str, todo: &str) -> Self {
        let [title, what, todo] = [title, what, todo].map(ToOwned::to_owned);
        Self { status, title, what, todo, reference: None }
    }

    /// Nothing there, or nothing that this user may see: the answer is the same.
    pub fn not_found() -> Self {
        let what = "There is nothing here, or nothing that you may see.";
        Self::new(
            StatusCode::NOT_FOUND,
            "Not found",
            what,
            "Check the address, or ask whoever sent it to you.",
        )
    }

    /// This user may not do this.
    pub fn forbidden(what: &str, todo: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not do this", what, todo)
    }

    /// The request is not one that our pages make.
    pub fn bad_request(what: &str) -> Self {
        let todo = "Go back to the page and try again from there.";
        Self::new(StatusCode::BAD_REQUEST, "This request cannot be used", what, todo)
    }

    /// A form of another session, another site, or a page that stood open too long.
    pub fn stale_form() -> Self {
        let what = "The form was not sent from a page of your present session, so nothing was changed.";
        Self::new(
            StatusCode::FORBIDDEN,
            "This form is out of date",
            what,
            "Load the page again and repeat what you did.",
        )
    }

    /// Nobody is signed in.
    pub fn not_signed_in() -> Self {
        let what = "You are not signed in, or your session has ended. Nothing was changed.";
        Self::new(StatusCode::UNAUTHORIZED, "Sign in first", what, "Sign in and try again.")
    }

    /// Somebody could not be signed in.
    pub fn sign_in(what: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "You are not signed in",
            what,
            "Go to the sign-in page and try again.",
        )
    }

    /// Too many requests.
    pub fn too_many(what: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many at once", what, "Wait a minute and try again.")
    }

    /// What was asked for does not fit the present state.
    pub fn conflict(title: &str, what: &str, todo: &str) -> Self {
        Self::new(StatusCode::CONFLICT, title, what, todo)
    }

    /// Our fault, or that of something behind us. Logged here, with the reference that the page shows.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
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

    /// What happened, for tests and for the pages that show it in a place of their own.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { status, title, what, todo, reference } = self;
        let sign_in = status == StatusCode::UNAUTHORIZED || title == "You are not signed in";
        let page = FailurePage { frame: Frame::of_nobody(&title), what, todo, reference, sign_in };
        (status, html(&page)).into_response()
    }
}
