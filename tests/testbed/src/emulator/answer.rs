//! Answers, and how they can be spoiled on the way.

use std::collections::BTreeMap;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use serde_json::Value;

use super::data::Values;
use super::template::{as_text, fill};

/// What can be wrong with any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// It breaks off in the middle.
    Truncated,
    /// It holds bytes of Latin-1 that are no UTF-8.
    Latin1,
    /// It begins with a byte order mark.
    ByteOrderMark,
    /// It has more than 1 MiB.
    Mebibyte,
    /// It has the values of another account.
    OtherAccount,
    /// A page for people, with status 200, as of a firewall.
    Page,
}

impl Spoil {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Truncated, Self::Latin1, Self::ByteOrderMark, Self::Mebibyte, Self::OtherAccount, Self::Page];
}

/// An answer before it is sent.
pub(super) struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    is_cut: bool,
}

impl Answer {
    /// A template with its values: JSON, or plain text if the template is a text.
    pub fn filled(
        status: u16,
        headers: &BTreeMap<String, String>,
        body: Option<&Value>,
        values: &Values,
    ) -> Self {
        let fill_header = |(name, value): (&String, &String)| {
            Some((name.clone(), as_text(&fill(&value.as_str().into(), values)?)))
        };
        let mut headers: BTreeMap<_, _> = headers.iter().filter_map(fill_header).collect();
        let body = body.and_then(|body| fill(body, values));
        if let Some(body) = &body {
            let kind = if body.is_string() { "text/plain" } else { "application/json; charset=utf-8" };
            headers.entry("content-type".to_owned()).or_insert(kind.to_owned());
        }
        let body = body.map_or_else(Vec::new, |body| match body {
            Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        });
        Self { status, headers, body, is_cut: false }
    }

    /// A page for people that says what is wrong.
    pub fn page(status: u16, text: &str) -> Self {
        let headers = [("content-type".to_owned(), "text/html".to_owned())].into();
        let body = format!("<!doctype html><title>{text}</title>").into_bytes();
        Self { status, headers, body, is_cut: false }
    }

    /// Sends a browser there.
    pub fn redirect(location: &str) -> Self {
        let headers = [("location".to_owned(), location.to_owned())].into();
        Self { status: 302, headers, body: Vec::new(), is_cut: false }
    }

    pub fn spoiled(mut self, spoil: Spoil) -> Self {
        let inner = |body: &[u8]| body.strip_prefix(b"{").unwrap_or(body).to_vec();
        self.body = match spoil {
            Spoil::OtherAccount => self.body,
            Spoil::Page => return Self::page(200, "One moment"),
            Spoil::Truncated => {
                self.is_cut = true;
                self.body[..self.body.len() / 2].to_vec()
            }
            Spoil::Latin1 => [b"{\"greeting\":\"Gr\xfc\xdfe\",".to_vec(), inner(&self.body)].concat(),
            Spoil::ByteOrderMark => ["\u{feff}".as_bytes(), &self.body].concat(),
            Spoil::Mebibyte => {
                let padding = format!("{{\"padding\":\"{}\",", "x".repeat(1024 * 1024));
                [padding.into_bytes(), inner(&self.body)].concat()
            }
        };
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = if self.is_cut {
            // An error in the middle closes the connection without the last chunk. It comes when the rest is on its way.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("cut"))
            });
            Body::from_stream(stream::iter([Ok(Bytes::from(self.body))]).chain(cut))
        } else {
            Body::from(self.body)
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}
