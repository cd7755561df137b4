//! The style sheet, the one small script, and the icon.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bowline_oauth::catalog;

use crate::view::provider::mark;

const STYLE: &str = include_str!("../templates/portal.css");
const SCRIPT: &str = include_str!("../templates/live.js");
const ICON: &str = include_str!("../templates/icon.svg");

/// Long enough to save requests, short enough for an upgrade to show.
const KEPT: &str = "public, max-age=600";

/// The style sheet with the colours of marks: inline styles are not allowed.
static STYLE_WITH_MARKS: LazyLock<String> = LazyLock::new(|| {
    let mut style = STYLE.to_owned();
    for (name, entry) in catalog::entries() {
        // Writing to a String does not fail.
        let _ = writeln!(style, ".{} {{ background: {}; }}", mark(name), entry.color);
    }
    style
});

fn kept(type_: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, type_), (header::CACHE_CONTROL, KEPT)], text).into_response()
}

/// `GET /static/portal.css`
pub(crate) async fn style() -> Response {
    kept("text/css; charset=utf-8", &STYLE_WITH_MARKS)
}

/// `GET /static/live.js`
pub(crate) async fn script() -> Response {
    kept("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /static/icon.svg`
pub(crate) async fn icon() -> Response {
    kept("image/svg+xml", ICON)
}
