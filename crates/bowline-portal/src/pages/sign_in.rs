//! Sign in and sign out.

use askama::Template;
use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use crate::Portal;
use crate::error::{PageError, Reply};
use crate::limits::Sender;
use crate::log::Requester;
use crate::metrics::ExceededLimit;
use crate::page::{Frame, OnwardPage, html};
use crate::session::{self, Session};
use crate::sign_in::before::{self, Before, HOME};
use crate::sign_in::oidc::OpenId;
use crate::sign_in::{proxy, token};
use crate::visit::{self, Fields, Form, session_of};

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'a> {
    frame: Frame,
    /// Token of the form.
    form: String,
    with_oidc: bool,
    with_token: bool,
    token_audience: Option<&'a str>,
}

/// `GET /sign-in`
///
/// A session that ended with its ID token is renewed where that is from: its provider knows whether the person is still
/// there, and usually asks them nothing.
pub(crate) async fn page(
    State(app): State<Portal>,
    Extension(sender): Extension<Sender>,
    headers: HeaderMap,
) -> Reply {
    let now = app.clock.now();
    let before = Before::of(&headers, &app.keys, now).map_or_else(|| Before::new(HOME, now), Ok)?;
    if session_of(&headers, &app).is_some() {
        return Ok(Redirect::to(before.next()).into_response());
    }
    let ways = &app.settings.sign_in;
    if let Some(settings) = &ways.proxy {
        return signed_in(&app, &proxy::sign_in(settings, &headers, now)?, &before);
    }
    let renews =
        app.openid.as_ref().filter(|_| !ways.with_token && Session::has_ended(&headers, &app.keys, now));
    if let Some(provider) = renews {
        slow_enough(&app, sender)?;
        return onward(&app, provider, before).await;
    }
    let cookie = before.to_cookie(&app.keys)?;
    let (with_oidc, with_token) = (ways.oidc.is_some(), ways.with_token);
    let (frame, token_audience) = (Frame::of_nobody("Sign in"), ways.token_audience.as_deref());
    let page = SignInPage { frame, form: before.form, with_oidc, with_token, token_audience };
    Ok(([(header::SET_COOKIE, cookie)], html(&page)).into_response())
}

/// `POST /sign-in/token`
pub(crate) async fn with_token(
    State(app): State<Portal>,
    Extension(sender): Extension<Sender>,
    request: Request,
) -> Reply {
    let ways = &app.settings.sign_in;
    if !ways.with_token {
        return Err(PageError::not_found());
    }
    let (before, fields) = began(&app, sender, request).await?;
    let token = SecretString::from(fields.text("token"));
    let audience = ways.token_audience.as_deref();
    let session = token::sign_in(&app.client, audience, token, &app.keys, app.clock.now()).await?;
    signed_in(&app, &session, &before)
}

/// `POST /sign-in/oidc`
///
/// Responds with a page that redirects: `form-action` forbids a form's own redirect to another host.
pub(crate) async fn with_oidc(
    State(app): State<Portal>,
    Extension(sender): Extension<Sender>,
    request: Request,
) -> Reply {
    let provider = app.openid.as_ref().ok_or_else(PageError::not_found)?;
    let (before, _) = began(&app, sender, request).await?;
    onward(&app, provider, before).await
}

async fn onward(app: &Portal, provider: &OpenId, mut before: Before) -> Reply {
    let (address, sent) = provider.begin(app.clock.now()).await?;
    before.oidc = Some(sent);
    let cookie = before.to_cookie(&app.keys)?;
    let (frame, name) = (Frame::of_nobody("Signing in"), "your sign-in provider".to_owned());
    let page = OnwardPage { frame, name, address: address.into() };
    Ok(([(header::SET_COOKIE, cookie)], html(&page)).into_response())
}

/// The `OpenID` provider's response (`OpenID` Connect Core §3.1.2.5). Repeated parameters are refused.
#[derive(Deserialize)]
pub(crate) struct CallbackQuery {
    state: Option<String>,
    code: Option<SecretString>,
    error: Option<String>,
}

/// `GET /sign-in/oidc/callback`
pub(crate) async fn oidc_callback(
    State(app): State<Portal>,
    Extension(sender): Extension<Sender>,
    headers: HeaderMap,
    Query(returned): Query<CallbackQuery>,
) -> Reply {
    let provider = app.openid.as_ref().ok_or_else(PageError::not_found)?;
    slow_enough(&app, sender)?;
    let mut before = Before::of(&headers, &app.keys, app.clock.now()).ok_or_else(PageError::stale_form)?;
    let sent = before.oidc.take().ok_or_else(PageError::stale_form)?;
    if !session::same(&returned.state.unwrap_or_default(), &sent.state) {
        return Err(PageError::stale_form());
    }
    if returned.error.is_some() {
        return Err(PageError::sign_in("Your sign-in provider did not sign you in."));
    }
    let code = returned.code.ok_or_else(|| PageError::bad_request("The response contains no code."))?;
    let session = provider.finish(&code, &sent, app.clock.now()).await?;
    signed_in(&app, &session, &before)
}

/// `POST /sign-out`
pub(crate) async fn out(form: Form) -> Response {
    drop(form);
    let gone = [session::COOKIE, before::COOKIE].map(|name| (header::SET_COOKIE, session::no_cookie(name)));
    (AppendHeaders(gone), Redirect::to("/sign-in")).into_response()
}

/// Always a new session, so that a cookie planted in the browser before is useless.
fn signed_in(app: &Portal, session: &Session, before: &Before) -> Reply {
    let cookie = session.to_cookie(&app.keys)?;
    let cookies = [cookie, session::no_cookie(before::COOKIE)].map(|cookie| (header::SET_COOKIE, cookie));
    let actor = Requester { user: session.user().to_owned(), signed_in: true };
    Ok((Extension(actor), AppendHeaders(cookies), Redirect::to(before.next())).into_response())
}

/// The fields of a sign-in form that belongs to this browser.
async fn began(app: &Portal, sender: Sender, request: Request) -> Result<(Before, Fields), PageError> {
    slow_enough(app, sender)?;
    if !visit::is_from_our_page(request.headers(), &app.settings.url.origin()) {
        return Err(PageError::stale_form());
    }
    let before =
        Before::of(request.headers(), &app.keys, app.clock.now()).ok_or_else(PageError::stale_form)?;
    let fields = visit::body(request, app).await?;
    if !session::same(fields.text(visit::TOKEN_FIELD), &before.form) {
        return Err(PageError::stale_form());
    }
    Ok((before, fields))
}

fn slow_enough(app: &Portal, Sender(sender): Sender) -> Result<(), PageError> {
    let allowed = app.limits.sign_ins.allows(sender, app.clock.now());
    allowed.then_some(()).ok_or_else(|| {
        PageError::too_many(ExceededLimit::SignIns, "There were too many sign-ins from your address.")
    })
}
