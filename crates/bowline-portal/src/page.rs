//! Rendering a page, and the frame around every page.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bowline_api::shown;

use crate::Portal;
use crate::access::Permission;
use crate::error::PageError;
use crate::session::Session;
use crate::visit::{Visit, session_of};

#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) user: Option<String>,
    /// Token for its forms.
    pub(crate) form: String,
    /// Which entry of the navigation is this page's.
    pub(crate) nav: &'static str,
    /// Whether the navigation contains the page of providers.
    pub(crate) providers: bool,
    /// Address of the stream of changes that the page follows.
    pub(crate) live: Option<String>,
    /// Seconds after which a page reloads where no script runs.
    pub(crate) again_after: Option<u32>,
}

impl Frame {
    /// For somebody who is signed in.
    pub(crate) async fn of(visit: &Visit, title: &str, nav: &'static str) -> Self {
        let providers = visit.allows(Permission::PROVIDERS).await.unwrap_or_default();
        Self { nav, providers, ..Self::without_asking(&visit.session, title) }
    }

    /// As [`Frame::of`], without asking the API server anything.
    fn without_asking(session: &Session, title: &str) -> Self {
        Self { user: Some(session.user().to_owned()), form: session.form_token(), ..Self::of_nobody(title) }
    }

    /// For a page without a session.
    pub(crate) fn of_nobody(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }
}

/// Redirects to another site, with a link as fallback.
#[derive(Template)]
#[template(path = "onward.html")]
pub(crate) struct OnwardPage {
    pub(crate) frame: Frame,
    pub(crate) name: String,
    pub(crate) address: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct ErrorPage {
    frame: Frame,
    failure: PageError,
}

/// The only writer of pages. Templates escape what would be markup; letters that act or hide are replaced here, wherever they
/// come from.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render().map(|text| shown::lines(&text)) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Without a session, which is not known here: [`around_failures`] renders it again.
impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let page = ErrorPage { frame: Frame::of_nobody(&self.title), failure: self.clone() };
        let mut response = (self.status, html(&page)).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Renders each failure with the navigation of the user, and gives a page to failures that have none.
pub(crate) async fn around_failures(State(app): State<Portal>, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let known = response.extensions().get::<PageError>().cloned();
    let failure = known.unwrap_or_else(|| PageError::of_status(status));
    let (mut parts, _) = response.into_parts();
    let page = ErrorPage { frame: frame(app, &headers, &failure).await, failure };
    let (page, body) = html(&page).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

async fn frame(app: Portal, headers: &HeaderMap, failure: &PageError) -> Frame {
    match session_of(headers, &app) {
        None => Frame::of_nobody(&failure.title),
        // The API server did not answer, or should not be asked more.
        Some(session) if failure.reference.is_some() || failure.status == StatusCode::TOO_MANY_REQUESTS => {
            Frame::without_asking(&session, &failure.title)
        }
        Some(session) => Frame::of(&Visit { app, session }, &failure.title, "").await,
    }
}
