//! The style sheet, the one small script, and the icon.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("../templates/portal.css");
const SCRIPT: &str = include_str!("../templates/live.js");
const ICON: &str = include_str!("../templates/icon.svg");

/// Long enough to save requests, short enough for an upgrade to show.
const KEPT: &str = "public, max-age=600";

fn kept(type_: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, type_), (header::CACHE_CONTROL, KEPT)], text).into_response()
}

/// `GET /static/portal.css`
pub(crate) async fn style() -> Response {
    kept("text/css; charset=utf-8", STYLE)
}

/// `GET /static/live.js`
pub(crate) async fn script() -> Response {
    kept("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /static/icon.svg`
pub(crate) async fn icon() -> Response {
    kept("image/svg+xml", ICON)
}
