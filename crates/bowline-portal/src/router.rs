//! Routes, and the layers around every request.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::time::Instant;
use tower_http::timeout::TimeoutLayer;

use crate::connect::{callback, leave, start};
use crate::failure::Failure;
use crate::page::around_failures;
use crate::pages::{
    actions, choose, connection, ending, extra, health, list, make, review, sign_in, usable, workspace,
};
use crate::sign_in::OIDC_CALLBACK;
use crate::{App, assets, headers, limits, live};

/// The largest form.
const BODY_BYTES: usize = 32 * 1024;
/// The longest path and query; hyper refuses far longer ones itself.
const ADDRESS_BYTES: usize = 24 * 1024;
/// Time limit of a page; a stream has started by then.
const LASTS: Duration = Duration::from_secs(30);

/// Everything the portal serves.
pub(crate) fn router(app: App) -> Router {
    let pages = signing_in().merge(connections()).merge(others());
    let around = pages
        .fallback(async || Failure::not_found())
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
        .layer(from_fn_with_state(app.clone(), headers::layer))
        .layer(from_fn(logged))
        .with_state(app)
}

fn signing_in() -> Router<App> {
    Router::new()
        .route("/sign-in", get(sign_in::page))
        .route("/sign-in/token", post(sign_in::with_token))
        .route("/sign-in/oidc", post(sign_in::with_oidc))
        .route(OIDC_CALLBACK, taken(sign_in::oidc_callback))
        .route("/sign-out", post(sign_in::out))
}

fn connections() -> Router<App> {
    let one = Router::new()
        .route("/", get(connection::page))
        .route("/live", get(live::live))
        .route("/edit", post(actions::edit))
        .route("/share", post(actions::share))
        .route("/unshare", post(actions::unshare))
        .route("/refresh", post(actions::refresh))
        .route("/device", post(actions::device))
        .route("/confirm", post(actions::confirm))
        .route("/again", post(actions::again))
        .route("/pause", post(actions::pause))
        .route("/resume", post(actions::resume))
        .route("/agree", post(extra::agree))
        .route("/disconnect", get(ending::before_disconnect).post(ending::disconnect))
        .route("/delete", get(ending::before_delete).post(ending::delete))
        .route("/connect", get(review::page))
        .route("/start", post(start::start));
    Router::new()
        .route("/connections", get(list::page))
        .nest("/connections/{namespace}/{name}", one)
        .route("/leave/{attempt}", get(leave::page))
        .route("/leave/{attempt}/go", taken(leave::go))
        .route("/callback/{provider}", taken(callback::callback))
}

fn others() -> Router<App> {
    Router::new()
        .route("/", get(async || Redirect::to("/connections")))
        .route("/new", get(choose::page))
        .route("/new/{provider}", get(make::page).post(make::make))
        .route("/use", get(usable::page))
        .route("/workspaces", get(workspace::list))
        .route("/workspaces/{name}", get(workspace::page))
        .route("/providers", get(health::page))
}

/// A route that works once. axum answers `HEAD` with the handler of `GET`, so a link preview or a mail scanner would use it
/// up.
fn taken<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    get(handler).head(async || ([(header::ALLOW, "GET")], not_in_this_way().await))
}

async fn not_in_this_way() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, Failure::bad_request("This address is not used in this way."))
}

async fn ready(State(app): State<App>) -> Response {
    let filled = tokio::time::timeout(Duration::from_secs(1), app.cluster.wait_ready()).await;
    if app.stop.is_cancelled() || filled.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "reading the cluster\n").into_response();
    }
    "ok\n".into_response()
}

async fn short(request: Request, next: Next) -> Response {
    let query = request.uri().query().map_or(0, str::len);
    if request.uri().path().len() + query > ADDRESS_BYTES {
        return (StatusCode::URI_TOO_LONG, Failure::bad_request("The address is too long.")).into_response();
    }
    next.run(request).await
}

/// One log line per request, with the route instead of the address: a query may contain secrets.
async fn logged(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let (method, begun) = (request.method().clone(), Instant::now());
    let response = next.run(request).await;
    let (route, status) = (route.unwrap_or_else(|| "unknown".to_owned()), response.status().as_u16());
    let milliseconds = begun.elapsed().as_millis();
    if route.starts_with("/static") || route == "/livez" || route == "/readyz" {
        tracing::debug!(%method, route, status, milliseconds, "request");
    } else {
        tracing::info!(%method, route, status, milliseconds, "request");
    }
    response
}
