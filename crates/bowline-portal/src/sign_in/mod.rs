//! Signing in, by one of the ways that the administrator chose, and out.
//!
//! | module | holds |
//! |---|---|
//! | [`before`] | what is remembered of somebody who is not signed in yet |
//! | [`token`] | a token that the API server knows |
//! | [`oidc`], [`http`] | an `OpenID` provider |
//! | [`proxy`] | a proxy that names the user |

pub mod before;
pub mod http;
pub mod oidc;
pub mod proxy;
pub mod token;

use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use self::before::{Before, HOME};
use super::App;
use super::failure::Failure;
use super::form::{self, Act, Fields, session_of};
use super::limits::{self, Sender};
use super::pages::{Frame, SignInPage, html};
use super::session::{self, Session};

/// Where the `OpenID` provider sends browsers back to.
pub const OIDC_CALLBACK: &str = "/sign-in/oidc/callback";

/// `GET /sign-in`
pub async fn page(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failure> {
    let now = app.clock.now();
    let before = Before::of(&headers, &app.key, now).map_or_else(|| Before::new(HOME, now), Ok)?;
    if session_of(&headers, &app).is_some() {
        return Ok(Redirect::to(before.next()).into_response());
    }
    let ways = &app.settings.sign_in;
    if let Some(settings) = &ways.proxy {
        let session = proxy::sign_in(settings, &headers, now)?;
        return signed_in(&app, &session, &before);
    }
    let cookie = before.to_cookie(&app.key)?;
    let page = SignInPage {
        frame: Frame::of_nobody("Sign in"),
        form: before.form,
        oidc: ways.oidc.is_some(),
        token: ways.token.is_some(),
        audience: ways.token.as_ref().and_then(|token| token.audience.clone()),
    };
    Ok(([(header::SET_COOKIE, cookie)], html(&page)).into_response())
}

/// `POST /sign-in/token`
pub async fn with_token(
    State(app): State<App>,
    Extension(sender): Extension<Sender>,
    request: Request,
) -> Result<Response, Failure> {
    let settings = app.settings.sign_in.token.clone().ok_or_else(Failure::not_found)?;
    let (before, fields) = began(&app, sender, request).await?;
    let token = SecretString::from(fields.text("token"));
    let session = token::sign_in(&app.client, &settings, &token, app.clock.now()).await?;
    signed_in(&app, &session, &before)
}

/// `POST /sign-in/oidc`
///
/// Answers with a page that leads on by itself: a form's own redirect may not leave this host.
pub async fn with_oidc(
    State(app): State<App>,
    Extension(sender): Extension<Sender>,
    request: Request,
) -> Result<Response, Failure> {
    let provider = app.openid.as_ref().ok_or_else(Failure::not_found)?;
    let (mut before, _) = began(&app, sender, request).await?;
    let (address, kept) = provider.begin(app.clock.now()).await?;
    before.oidc = Some(kept);
    let cookie = before.to_cookie(&app.key)?;
    let page = super::pages::OnwardPage {
        frame: Frame::of_nobody("Signing in"),
        name: "your sign-in provider".to_owned(),
        address: address.into(),
    };
    Ok(([(header::SET_COOKIE, cookie)], html(&page)).into_response())
}

/// What an `OpenID` provider sends back (`OpenID` Connect Core §3.1.2.5). A parameter that comes twice is refused.
#[derive(Deserialize)]
pub struct Returned {
    state: Option<String>,
    code: Option<SecretString>,
    error: Option<String>,
}

/// `GET /sign-in/oidc/callback`
pub async fn oidc_callback(
    State(app): State<App>,
    Extension(sender): Extension<Sender>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Result<Response, Failure> {
    let provider = app.openid.as_ref().ok_or_else(Failure::not_found)?;
    slow_enough(&app, sender)?;
    let mut before = Before::of(&headers, &app.key, app.clock.now()).ok_or_else(Failure::stale_form)?;
    let kept = before.oidc.take().ok_or_else(Failure::stale_form)?;
    let state = returned.state.unwrap_or_default();
    if !session::same(&state, &SecretString::from(kept.state.clone())) {
        return Err(Failure::stale_form());
    }
    if returned.error.is_some() {
        return Err(Failure::sign_in("Your sign-in provider did not sign you in."));
    }
    let code = returned.code.ok_or_else(|| Failure::bad_request("There was no code in it."))?;
    let session = provider.finish(&code, kept, app.clock.now()).await?;
    signed_in(&app, &session, &before)
}

/// `POST /sign-out`
pub async fn out(act: Act) -> Response {
    tracing::info!(user = act.session.user(), "signed out");
    let gone = [session::COOKIE, before::COOKIE].map(|name| (header::SET_COOKIE, session::no_cookie(name)));
    (AppendHeaders(gone), Redirect::to("/sign-in")).into_response()
}

/// A new session, never one that was there before: who set a cookie in somebody's browser beforehand has nothing.
fn signed_in(app: &App, session: &Session, before: &Before) -> Result<Response, Failure> {
    let cookie = session.to_cookie(&app.key).map_err(|refused| Failure::sign_in(&refused.to_string()))?;
    tracing::info!(user = session.user(), "signed in");
    let cookies = [cookie, session::no_cookie(before::COOKIE)].map(|cookie| (header::SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies), Redirect::to(before.next())).into_response())
}

/// The fields of a sign-in form that this browser got from us.
async fn began(app: &App, sender: Sender, request: Request) -> Result<(Before, Fields), Failure> {
    slow_enough(app, sender)?;
    if !form::is_from_our_page(request.headers(), &app.settings.url.origin()) {
        return Err(Failure::stale_form());
    }
    let before = Before::of(request.headers(), &app.key, app.clock.now()).ok_or_else(Failure::stale_form)?;
    let fields = form::body(request, app).await?;
    if !session::same(fields.text(form::TOKEN_FIELD), &SecretString::from(before.form.clone())) {
        return Err(Failure::stale_form());
    }
    Ok((before, fields))
}

fn slow_enough(app: &App, Sender(address): Sender) -> Result<(), Failure> {
    if app.limits.sign_ins.allows(limits::network_of(address), app.clock.now()) {
        return Ok(());
    }
    Err(Failure::too_many("There were too many tries to sign in from your address."))
}
