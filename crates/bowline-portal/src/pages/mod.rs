//! The pages. Each is a struct that a template under `templates/` fills; handlers gather, [`super::view`] words it.
//!
//! | module | page |
//! |---|---|
//! | [`list`] | connections |
//! | [`choose`] | choose a provider |
//! | [`make`] | new connection |
//! | [`parameters`] | what a provider leaves to each connection |
//! | [`connection`] | one connection |
//! | [`review`] | before you go |
//! | [`sharing`] | with whom a connection is shared |
//! | [`actions`], [`ending`], [`extra`] | what its buttons do |
//! | [`usable`] | use in a workflow |
//! | [`workspace`] | workspaces |
//! | [`health`] | providers, for those who may see them |
//! | [`subject`] | a connection, and what the reader may do with it |

pub mod actions;
pub mod choose;
pub mod connection;
pub mod ending;
pub mod extra;
pub mod health;
pub mod list;
pub mod make;
pub mod parameters;
pub mod review;
pub mod sharing;
pub mod subject;
pub mod usable;
pub mod workspace;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::session::Session;

/// What every page has around it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Title of the page.
    pub title: String,
    /// Who is signed in.
    pub user: Option<String>,
    /// Token for its forms.
    pub form: String,
    /// Which entry of the navigation is this page's.
    pub nav: &'static str,
    /// Whether the reader may see how providers stand: who may not is not led there.
    pub providers: bool,
    /// Where a page that follows changes hears of them.
    pub live: Option<String>,
    /// Load it again after so many seconds where no script runs.
    pub again_after: Option<u32>,
}

impl Frame {
    /// Around a page of who is signed in. Where it cannot be told whether they may see providers, they are not led there.
    pub async fn of(app: &App, session: &Session, title: &str, nav: &'static str) -> Self {
        let providers = app.access.allows(session, health::QUESTION).await.unwrap_or_default();
        Self { providers, ..Self::without_asking(session, title, nav) }
    }

    /// As [`Frame::of`], for a page that has no time to ask anybody anything.
    pub fn without_asking(session: &Session, title: &str, nav: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            user: Some(session.user().to_owned()),
            form: session.form_token(),
            nav,
            providers: false,
            live: None,
            again_after: None,
        }
    }

    /// Around a page for anybody.
    pub fn of_nobody(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            user: None,
            form: String::new(),
            nav: "",
            providers: false,
            live: None,
            again_after: None,
        }
    }
}

/// Sign in.
#[derive(Template)]
#[template(path = "sign-in.html")]
pub struct SignInPage {
    /// Around it.
    pub frame: Frame,
    /// Token of the form.
    pub form: String,
    /// Whether an `OpenID` provider is set up.
    pub oidc: bool,
    /// Whether tokens of the cluster are taken.
    pub token: bool,
    /// Whom such a token must be for.
    pub audience: Option<String>,
}

/// Leads on to another site by itself, and by a link where the browser does not.
#[derive(Template)]
#[template(path = "onward.html")]
pub struct OnwardPage {
    /// Around it.
    pub frame: Frame,
    /// Where to, in words.
    pub name: String,
    /// Where to.
    pub address: String,
}

/// A page as an answer. A template that cannot be filled is our fault; that it happened is logged.
pub fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
