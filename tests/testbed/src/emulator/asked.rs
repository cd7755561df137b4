//! A request, and whether it is as the provider demands.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::data::{BodyEncoding, ClientProof, EmulatedApp, Family, Takes, Values, Violation};
use super::template::as_text;

/// The largest body that is read.
const MAX_BODY: usize = 64 * 1024;

/// What is wrong with a request, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what:?}: {why}")]
pub(super) struct Wrong {
    pub what: Violation,
    why: String,
}

impl Violation {
    pub fn because(self, why: impl Into<String>) -> Wrong {
        Wrong { what: self, why: why.into() }
    }
}

/// A request with its whole body.
pub(super) struct Asked {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Of the body, or of the query if there is none.
    pub fields: Values,
    body: Option<BodyEncoding>,
    /// The body as it came.
    pub raw: Vec<u8>,
    flaw: Option<&'static str>,
}

impl Asked {
    pub async fn read(host: &str, request: Request) -> Result<Self, StatusCode> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = Url::parse(&format!("https://{host}{path}")).map_err(|_| StatusCode::BAD_REQUEST)?;
        let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let mut asked = Self {
            method: parts.method,
            url,
            headers: parts.headers.clone(),
            fields: Values::new(),
            body: None,
            raw: bytes.to_vec(),
            flaw: None,
        };
        match kind {
            Some("application/x-www-form-urlencoded") => {
                asked.body = Some(BodyEncoding::Form);
                asked.collect(&bytes);
            }
            Some("application/json") => {
                asked.body = Some(BodyEncoding::Json);
                match serde_json::from_slice(&bytes) {
                    Ok(Value::Object(fields)) => asked.fields = fields,
                    _ => asked.flaw = Some("the body is not a JSON object"),
                }
            }
            None if bytes.is_empty() => {
                let query = asked.url.query().unwrap_or_default().to_owned();
                asked.collect(query.as_bytes());
            }
            _ => asked.flaw = Some("the body is neither a form nor JSON"),
        }
        Ok(asked)
    }

    fn collect(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            if self.fields.insert(name.into_owned(), value.into_owned().into()).is_some() {
                // RFC 6749 §3.1 and §3.2.
                self.flaw = Some("a parameter occurs twice");
            }
        }
    }

    /// A field that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1).
    pub fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    /// Whether the request is as it must be, apart from the client.
    pub fn check(&self, takes: &Takes) -> Result<(), Wrong> {
        let Takes { body: encoding, needs, forbids, headers, client: _ } = takes;
        let body = || Value::Object(self.fields.clone());
        let is_there = |name: &str| {
            let is_pointer = name.starts_with('/');
            if is_pointer { body().pointer(name).is_some() } else { self.fields.contains_key(name) }
        };
        let missing = needs.iter().find(|name| !is_there(name));
        let forbidden = forbids.iter().find(|name| self.fields.contains_key(*name));
        let header = headers.iter().find(|(name, wanted)| {
            let given = self.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
            given.is_none_or(|given| *wanted != "*" && given != wanted.as_str())
        });
        let flaw = None
            .or(self.flaw.map(ToOwned::to_owned))
            .or((self.body != *encoding).then(|| format!("the body is {:?} and not {encoding:?}", self.body)))
            .or(missing.map(|name| format!("{name} is missing")))
            .or(forbidden.map(|name| format!("{name} must not be there")))
            .or(header.map(|(name, _)| format!("the header {name} is not as demanded")));
        flaw.map_or(Ok(()), |flaw| Err(Violation::Request.because(flaw)))
    }

    /// The app that the request proves itself as, in one of these ways and in no second one (RFC 6749 §2.3).
    pub fn client<'a>(&self, family: &'a Family, ways: &[ClientProof]) -> Result<&'a EmulatedApp, Wrong> {
        if let Some(names) = family.client_headers.as_ref().filter(|_| ways.contains(&ClientProof::Headers)) {
            let [id, secret] = names.each_ref().map(|name| self.headers.get(name)?.to_str().ok());
            let found =
                family.app_of(id.ok_or_else(|| Violation::Client.because("it does not name itself"))?);
            let found = found.filter(|app| app.client_secret.as_deref() == secret);
            return found.ok_or_else(|| Violation::Client.because("it is unknown, or the secret is wrong"));
        }
        let (id, secret) = (self.text("client_id"), self.text("client_secret"));
        let bearer = self.bearer().filter(|_| ways.contains(&ClientProof::Bearer));
        let basic = self.headers.get(header::AUTHORIZATION).filter(|_| bearer.is_none());
        let basic = basic.map(|value| basic_pair(value.as_bytes()));
        let (way, id, secret) = match (basic, id, secret.or(bearer)) {
            (None, Some(id), Some(secret)) if bearer.is_some() => {
                (ClientProof::Bearer, id.to_owned(), Some(secret.to_owned()))
            }
            (Some(_), _, Some(_)) => return Err(Violation::Client.because("it proves itself twice")),
            (Some(None), ..) => return Err(Violation::Client.because("the header cannot be read")),
            (Some(Some((id, secret))), ..) => (ClientProof::Basic, id, Some(secret)),
            (None, Some(id), Some(secret)) => (ClientProof::Post, id.to_owned(), Some(secret.to_owned())),
            (None, Some(id), None) => (ClientProof::None, id.to_owned(), None),
            (None, None, _) => return Err(Violation::Client.because("it does not name itself")),
        };
        if !ways.contains(&way) {
            return Err(Violation::Client.because("this way is not accepted"));
        }
        let found = family.app_of(&id).ok_or_else(|| Violation::Client.because("it is unknown"))?;
        if found.client_secret == secret {
            Ok(found)
        } else {
            Err(Violation::Client.because("the secret is wrong"))
        }
    }

    /// The fields as text.
    pub fn texts(&self) -> impl Iterator<Item = (String, String)> {
        self.fields.iter().map(|(name, value)| (name.clone(), as_text(value)))
    }
}

/// Id and secret of a Basic header, each form-decoded after they were split (RFC 6749 §2.3.1).
fn basic_pair(header: &[u8]) -> Option<(String, String)> {
    let pair = STANDARD.decode(header.strip_prefix(b"Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let mut fields = form_urlencoded::parse(text.as_bytes());
        fields.next().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
