//! A page as an answer, and what every page has around it.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::access::Question;
use crate::failure::Failure;
use crate::session::Session;
use crate::visit::{Visit, session_of};

/// What every page has around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) title: String,
    /// Who is signed in.
    pub(crate) user: Option<String>,
    /// Token for its forms.
    pub(crate) form: String,
    /// Which entry of the navigation is this page's.
    pub(crate) nav: &'static str,
    /// Whether the reader may see how providers stand: who may not is not led there.
    pub(crate) providers: bool,
    /// Where a page that follows changes hears of them.
    pub(crate) live: Option<String>,
    /// Load it again after so many seconds where no script runs.
    pub(crate) again_after: Option<u32>,
}

impl Frame {
    /// Around a page of who is signed in. Where it cannot be told whether they may see providers, they are not led there.
    pub(crate) async fn of(visit: &Visit, title: &str, nav: &'static str) -> Self {
        let providers = visit.allows(Question::PROVIDERS).await.unwrap_or_default();
        Self { nav, providers, ..Self::without_asking(&visit.session, title) }
    }

    /// As [`Frame::of`], for a page that has no time to ask anybody anything.
    fn without_asking(session: &Session, title: &str) -> Self {
        Self { user: Some(session.user().to_owned()), form: session.form_token(), ..Self::of_nobody(title) }
    }

    /// Around a page for anybody.
    pub(crate) fn of_nobody(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }
}

/// Leads on to another site by itself, and by a link where the browser does not.
#[derive(Template)]
#[template(path = "onward.html")]
pub(crate) struct OnwardPage {
    pub(crate) frame: Frame,
    /// Where to, in words.
    pub(crate) name: String,
    pub(crate) address: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    failure: Failure,
}

/// A page as an answer. A template that cannot be filled is our fault; that it happened is logged.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Nobody is signed in, as far as it is known here: [`around_failures`] knows.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let page = FailurePage { frame: Frame::of_nobody(&self.title), failure: self.clone() };
        let mut response = (self.status, html(&page)).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts the menu of who is signed in around each failure, and a page around each failure that has none.
pub(crate) async fn around_failures(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let known = response.extensions().get::<Failure>().cloned();
    let failure = known.unwrap_or_else(|| Failure::of_status(status));
    let (mut parts, _) = response.into_parts();
    let page = FailurePage { frame: frame(app, &headers, &failure).await, failure };
    let (page, body) = html(&page).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

async fn frame(app: App, headers: &HeaderMap, failure: &Failure) -> Frame {
    match session_of(headers, &app) {
        None => Frame::of_nobody(&failure.title),
        // Whatever is behind us does not answer, or should not be asked more.
        Some(session) if failure.reference.is_some() || failure.status == StatusCode::TOO_MANY_REQUESTS => {
            Frame::without_asking(&session, &failure.title)
        }
        Some(session) => Frame::of(&Visit { app, session }, &failure.title, "").await,
    }
}
