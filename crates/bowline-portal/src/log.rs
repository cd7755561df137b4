//! What is logged of each request: one line with the route, and one more for what a person did.
//!
//! The lines of a request share its id. None has an address: a query may contain secrets.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use bowline_api::opaque::random_text;
use bowline_runtime::telemetry::{AUDIT, TRACES};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::Portal;
use crate::error::PageError;
use crate::metrics::PortalMetrics;
use crate::sign_in::OIDC_CALLBACK;
use crate::view::foreign;

const ID_LETTERS: usize = 16;

/// Who made the request that a response is for.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub(crate) user: String,
    /// Whether they signed in with this request.
    pub(crate) signed_in: bool,
}

/// What a request did to several connections, each told in a line of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deeds(pub(crate) Vec<Deed>);

#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) action: &'static str,
    /// `NAMESPACE/NAME`.
    pub(crate) object: String,
    /// Of a request that did this alone.
    pub(crate) status: StatusCode,
}

pub(crate) async fn layer(State(app): State<Portal>, request: Request, next: Next) -> Response {
    let id =
        random_text().map_or_else(|_| String::new(), |text| text.expose_secret()[..ID_LETTERS].to_owned());
    let traced = traced(&request);
    let logs = traced.in_scope(|| tracing::info_span!("request", request = id));
    let response = logged(&app.metrics, request, next).instrument(logs).await;
    traced.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        traced.record("otel.status_code", "ERROR");
    }
    response
}

fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str)
}

/// What traces show of a request: its route, and not its address.
fn traced(request: &Request) -> Span {
    let (method, route) = (request.method(), route(request));
    tracing::info_span!(
        target: TRACES,
        "server",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = %method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

async fn logged(metrics: &PortalMetrics, request: Request, next: Next) -> Response {
    let route = route(&request).to_owned();
    let (method, uri, begun) = (request.method().clone(), request.uri().clone(), Instant::now());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let (lasted, failure) = (begun.elapsed(), response.extensions().get::<PageError>());
    let milliseconds = lasted.as_millis();
    metrics.requested(&route, response.status(), lasted);
    if let Some(limit) = failure.and_then(|failure| failure.exceeded) {
        metrics.limited(limit);
    }
    if route.starts_with("/static") || route == "/livez" || route == "/readyz" {
        tracing::debug!(%method, route, status, milliseconds, "request");
    } else {
        tracing::info!(%method, route, status, milliseconds, "request");
    }
    let actor = response.extensions().get::<Requester>();
    if let Some(action) = action(&method, &route, actor) {
        let user = actor.map(|actor| foreign(&actor.user)).unwrap_or_default();
        let whole = Deed { action, object: object(&route, &uri, &response), status: response.status() };
        let deeds = response.extensions().get::<Deeds>().map_or_else(|| vec![whole], |deeds| deeds.0.clone());
        for deed in deeds {
            acted(metrics, &user, &deed);
        }
        let result = result(response.status());
        if let Some(method) = sign_in_method(&route).filter(|_| action == SIGN_IN) {
            metrics.signed_in(method, result);
        }
    }
    response
}

fn acted(metrics: &PortalMetrics, user: &str, Deed { action, object, status }: &Deed) {
    let (object, result, status) = (foreign(object), result(*status), status.as_u16());
    let (door, kind) = ("portal", kind(&object));
    tracing::info!(target: AUDIT, door, user, action, kind, object, result, status, "action");
    metrics.acted(action, result);
}

/// What somebody did with a request; `None` if they only looked.
fn action(method: &Method, route: &str, actor: Option<&Requester>) -> Option<&'static str> {
    if method == Method::GET {
        // A proxy signs people in on the page itself.
        return match route {
            "/callback/{provider}" => Some(FINISH),
            route if route == OIDC_CALLBACK => Some(SIGN_IN),
            "/sign-in" if actor.is_some_and(|actor| actor.signed_in) => Some(SIGN_IN),
            _ => None,
        };
    }
    // No person sends a webhook.
    if method != Method::POST || route == "/webhooks/{provider}" {
        return None;
    }
    let last = route.rsplit('/').next().unwrap_or_default();
    Some(FORMS.iter().find(|(form, _)| *form == last).map_or("unknown", |(_, action)| action))
}

const SIGN_IN: &str = "sign in";
const FINISH: &str = "finish connecting";

/// The last part of the address of a form, and what it does.
const FORMS: &[(&str, &str)] = &[
    ("token", SIGN_IN),
    ("oidc", "begin to sign in"),
    ("sign-out", "sign out"),
    ("{provider}", "create"),
    ("start", "begin connecting"),
    ("device", "request a code"),
    ("again", "connect again"),
    ("confirm", "confirm account"),
    ("agree", "agree to scopes"),
    ("credential", "provide key"),
    ("approve", "approve terms"),
    ("keys", "create key"),
    ("revoke", "revoke key"),
    ("edit", "edit"),
    ("share", "share"),
    ("unshare", "unshare"),
    ("refresh", "refresh"),
    ("pause", "pause"),
    ("resume", "resume"),
    ("disconnect", "disconnect"),
    ("delete", "delete"),
    ("transfer", "transfer"),
    ("offboard", "offboard"),
];

/// Everything that people can do.
pub(crate) fn actions() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|(_, action)| *action).chain([FINISH])
}

fn sign_in_method(route: &str) -> Option<&'static str> {
    match route {
        "/sign-in/token" => Some("token"),
        "/sign-in" => Some("proxy"),
        route if route == OIDC_CALLBACK => Some("oidc"),
        _ => None,
    }
}

/// What it was done to: a connection as `NAMESPACE/NAME`, else what the address names.
fn object(route: &str, uri: &Uri, response: &Response) -> String {
    let connection = |path: &str| {
        let mut parts = path.strip_prefix("/connections/")?.split('/');
        Some(format!("{}/{}", parts.next()?, parts.next()?))
    };
    let leads = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let of_address = connection(uri.path());
    let named = || {
        let last = route.ends_with('}').then(|| uri.path().rsplit('/').next()).flatten();
        last.unwrap_or_default().to_owned()
    };
    of_address
        .or_else(|| leads.and_then(connection).filter(|_| !route.starts_with("/sign-")))
        .unwrap_or_else(named)
}

/// The kind of an object as [`object`] names it; empty if there is none.
fn kind(object: &str) -> &'static str {
    match object {
        "" => "",
        connection if connection.contains('/') => "IntegrationConnection",
        _ => "IntegrationProvider",
    }
}

/// A change redirects to its result, or shows what it created; another page in its place asks for something first.
fn result(status: StatusCode) -> &'static str {
    match status {
        status if status.is_redirection() || status == StatusCode::CREATED => "done",
        status if status.is_server_error() => "failed",
        status if status.is_client_error() => "refused",
        _ => "asked",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::response::{IntoResponse, Redirect};

    use super::*;

    #[test]
    fn the_object_is_the_connection_wherever_it_is_named() {
        let done = |to: &str| Redirect::to(to).into_response();
        let asked = |path: &str| path.parse::<Uri>().unwrap();
        for (route, address, leads, expected) in [
            ("/connections/{namespace}/{name}/share", "/connections/a/b/share", "/connections/a/b", "a/b"),
            ("/connections/{namespace}/{name}/delete", "/connections/a/b/delete", "/connections", "a/b"),
            ("/new/{provider}", "/new/github", "/connections/a/new", "a/new"),
            ("/new/{provider}", "/new/github", "", "github"),
            ("/callback/{provider}", "/callback/github?code=secret", "/connections/a/b", "a/b"),
            ("/callback/{provider}", "/callback/github?code=secret", "", "github"),
            ("/sign-in/token", "/sign-in/token", "/connections/a/b", ""),
            ("/sign-out", "/sign-out", "/sign-in", ""),
        ] {
            assert_eq!(object(route, &asked(address), &done(leads)), expected, "{address}");
        }
    }

    /// As the router has them: what a person can do has a word.
    #[test]
    fn every_route_that_changes_something_is_an_action() {
        let router = include_str!("router.rs");
        let posts =
            router.split(".route(").skip(1).filter(|route| route.lines().next().unwrap().contains("post("));
        let paths: Vec<&str> = posts.map(|route| route.split('"').nth(1).unwrap()).collect();
        assert!(paths.len() >= 17, "{paths:?}");
        for path in paths {
            assert_ne!(action(&Method::POST, path, None), Some("unknown"), "{path}");
        }
    }

    /// An alert on the growth of a series sees no growth in one that begins with its first event.
    #[test]
    fn each_action_sign_in_and_limit_is_served_at_zero_before_it_happens() {
        let metrics = PortalMetrics::new(actions()).unwrap();
        let series = |text: &str| -> Vec<String> {
            let samples = text.lines().filter(|line| line.starts_with("bowline_"));
            samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
        };
        let before = series(&metrics.encode().unwrap());
        for status in [StatusCode::OK, StatusCode::SEE_OTHER, StatusCode::FORBIDDEN, StatusCode::BAD_GATEWAY]
        {
            for action in actions() {
                metrics.acted(action, result(status));
            }
            for route in ["/sign-in", "/sign-in/token", OIDC_CALLBACK] {
                metrics.signed_in(sign_in_method(route).unwrap(), result(status));
            }
        }
        assert_eq!(series(&metrics.encode().unwrap()), before);
    }
}
