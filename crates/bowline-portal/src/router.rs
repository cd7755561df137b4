//! Routes, and the layers around every request, among them the security headers.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::timeout::TimeoutLayer;

use crate::connect::{callback, keys, leave, start};
use crate::error::PageError;
use crate::page::around_failures;
use crate::pages::{
    actions, approve, connection, credential, ending, extra, health, list, make, offboard, review, sign_in,
    transfer, usable, workspace,
};
use crate::sign_in::OIDC_CALLBACK;
use crate::{Portal, assets, limits, live, log, webhook};

const BODY_BYTES: usize = 32 * 1024;
/// The longest path and query; hyper refuses far longer ones itself.
const ADDRESS_BYTES: usize = 24 * 1024;
/// Time limit of a page; a stream has started by then.
const LASTS: Duration = Duration::from_secs(30);

pub(crate) fn router(app: Portal) -> Router {
    let pages = signing_in().merge(connections()).merge(others());
    let around = pages
        .fallback(async || PageError::not_found())
        .method_not_allowed_fallback(not_in_this_way)
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LASTS))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(short))
        .layer(from_fn_with_state(app.clone(), limits::layer))
        .layer(from_fn_with_state(app.clone(), around_failures));
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/static/portal.css", get(assets::style))
        .route("/static/live.js", get(assets::script))
        .route("/static/icon.svg", get(assets::icon))
        .merge(around)
        .layer(from_fn_with_state(app.clone(), secured))
        .layer(from_fn_with_state(app.clone(), log::layer))
        .with_state(app)
}

fn signing_in() -> Router<Portal> {
    Router::new()
        .route("/sign-in", get(sign_in::page))
        .route("/sign-in/token", post(sign_in::with_token))
        .route("/sign-in/oidc", post(sign_in::with_oidc))
        .route(OIDC_CALLBACK, taken(sign_in::oidc_callback))
        .route("/sign-out", post(sign_in::out))
}

fn connections() -> Router<Portal> {
    let one = Router::new()
        .route("/", get(connection::page))
        .route("/live", get(live::live))
        .route("/edit", post(actions::edit))
        .route("/share", post(actions::share))
        .route("/unshare", get(ending::before_unshare).post(ending::unshare))
        .route("/refresh", post(actions::refresh))
        .route("/device", post(actions::device))
        .route("/confirm", post(actions::confirm))
        .route("/again", post(actions::again))
        .route("/pause", post(actions::pause))
        .route("/resume", post(actions::resume))
        .route("/agree", post(extra::agree))
        .route("/approve", get(approve::page).post(approve::approve))
        .route("/disconnect", get(ending::before_disconnect).post(ending::disconnect))
        .route("/delete", get(ending::before_delete).post(ending::delete))
        .route("/transfer", get(transfer::page).post(transfer::transfer))
        .route("/connect", get(review::page))
        .route("/start", post(start::start))
        .route("/credential", get(credential::page).post(credential::provide))
        .route("/keys", post(keys::create))
        .route("/keys/revoke", post(keys::revoke));
    Router::new()
        .route("/connections", get(list::page))
        .nest("/connections/{namespace}/{name}", one)
        .route("/leave/{attempt}", get(leave::page))
        .route("/leave/{attempt}/go", taken(leave::go))
        .route("/callback/{provider}", taken(callback::callback))
}

fn others() -> Router<Portal> {
    Router::new()
        .route("/", get(async || Redirect::to("/connections")))
        .route("/new", get(make::choose))
        .route("/new/{provider}", get(make::page).post(make::make))
        .route("/use", get(usable::page))
        .route("/offboard", get(offboard::page).post(offboard::act))
        .route("/workspaces", get(workspace::list))
        .route("/workspaces/{name}", get(workspace::page))
        .route("/providers", get(health::page))
        .route("/webhooks/{provider}", post(webhook::receive))
}

/// A route that works once. axum answers `HEAD` with the handler of `GET`, so a link preview or a mail scanner would use it
/// up.
fn taken<H: Handler<T, Portal>, T: 'static>(handler: H) -> MethodRouter<Portal> {
    get(handler).head(async || ([(header::ALLOW, "GET")], not_in_this_way().await))
}

async fn not_in_this_way() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, PageError::bad_request("This address is not used in this way."))
}

async fn ready(State(app): State<Portal>) -> Response {
    let filled = tokio::time::timeout(Duration::from_secs(1), app.cluster.wait_ready()).await;
    if app.stop.is_cancelled() || filled.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "reading the cluster\n").into_response();
    }
    "ok\n".into_response()
}

async fn short(request: Request, next: Next) -> Response {
    let query = request.uri().query().map_or(0, str::len);
    if request.uri().path().len() + query > ADDRESS_BYTES {
        return (StatusCode::URI_TOO_LONG, PageError::bad_request("The address is too long."))
            .into_response();
    }
    next.run(request).await
}

/// No inline script or style, no third-party resource, no frame, and forms are sent only to this portal. A page, not a form,
/// redirects the browser to a provider, so no host of a provider's sign-in has to be listed here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

const HSTS: &str = "max-age=63072000; includeSubDomains";

/// Adds the headers; `no-store` unless the response states how long it may be cached.
fn put_headers(headers: &mut HeaderMap, https: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
}

async fn secured(State(app): State<Portal>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    put_headers(response.headers_mut(), app.settings.url.is_https());
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all(https: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        put_headers(&mut headers, https);
        headers
    }

    #[test]
    fn nothing_inline_nothing_foreign_no_frame() {
        let headers = all(true);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(part), "{part}");
        }
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[test]
    fn https_is_kept_where_there_is_https() {
        assert!(all(true).contains_key(header::STRICT_TRANSPORT_SECURITY));
        assert!(!all(false).contains_key(header::STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn what_may_be_kept_says_so_itself() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        put_headers(&mut headers, true);
        assert_eq!(headers[header::CACHE_CONTROL], "max-age=60");
    }
}
