//! A browser without a screen: stores cookies, follows links and redirects, fills in the forms of a page.
//!
//! It reads only the HTML that the pages of Bowline and of the sandbox use.

mod html;

use std::net::IpAddr;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::http::{Method, StatusCode, header};
use reqwest::{RequestBuilder, header::HeaderMap, redirect::Policy};
use url::{Origin, Url, form_urlencoded};

pub use html::{Form, attribute_of};

use crate::{error::Error, tls::install_tls};

/// More redirects than any page here has.
const REDIRECTS: usize = 10;

/// Cookies by site, then by name.
type Jar = BTreeMap<String, BTreeMap<String, String>>;

/// A browser; it has one session at each site, as a person has.
pub struct Browser {
    client: reqwest::Client,
    jar: Mutex<Jar>,
    /// Headers for one site, added by a proxy in front of it.
    proxied: Option<(Origin, Vec<(&'static str, String)>)>,
}

/// What came back for one request.
#[derive(Debug)]
pub struct Answer {
    /// The address of the request.
    pub address: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

/// A page that was shown.
pub struct Page {
    /// Its address, after redirects.
    pub address: Url,
    /// Its status.
    pub status: StatusCode,
    text: String,
}

impl Browser {
    /// A new browser.
    pub fn new() -> Result<Self, Error> {
        Self::on(None)
    }

    /// The same, on another machine: `host` is one of this machine's addresses, such as 127.0.0.2.
    pub fn on(host: Option<IpAddr>) -> Result<Self, Error> {
        install_tls();
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().local_address(host);
        let client =
            client.build().map_err(|source| Error::Browser { address: "anything".into(), source })?;
        Ok(Self { client, jar: Mutex::default(), proxied: None })
    }

    /// The same, behind a proxy that adds headers to all requests for this site.
    #[must_use]
    pub fn proxied(mut self, site: &Url, headers: Vec<(&'static str, String)>) -> Self {
        self.proxied = Some((site.origin(), headers));
        self
    }

    /// Opens an address.
    pub async fn open(&self, address: Url) -> Result<Page, Error> {
        self.show(self.request(Method::GET, &address)).await
    }

    /// Follows the page's own redirect (`http-equiv=refresh`).
    pub async fn go_on(&self, page: &Page) -> Result<Page, Error> {
        let target = page.refresh().ok_or_else(|| page.lacks("a way onward"))?;
        self.open(page.join(&target)?).await
    }

    /// Follows the link with this id.
    pub async fn follow(&self, page: &Page, id: &str) -> Result<Page, Error> {
        let target = attribute_of(&page.text, "a", ("id", id), "href");
        let target = target.ok_or_else(|| page.lacks(&format!("the link {id}")))?;
        self.open(page.join(&target)?).await
    }

    /// Sends a form of the page as its buttons do.
    pub async fn submit(&self, page: &Page, form: &Form) -> Result<Page, Error> {
        let address = page.join(&form.action)?;
        let is_own = address.origin() == page.address.origin();
        let site = if is_own { "same-origin" } else { "cross-site" };
        let request = self
            .form(&address, form.fields.iter().cloned())
            .header("sec-fetch-site", site)
            .header(header::ORIGIN.as_str(), page.address.origin().ascii_serialization());
        self.show(request).await
    }

    /// Sends a request, and follows redirects.
    async fn show(&self, mut request: RequestBuilder) -> Result<Page, Error> {
        for _ in 0..REDIRECTS {
            let Answer { address, status, headers, text } = Box::pin(self.send(request)).await?;
            let location = headers.get(header::LOCATION.as_str()).and_then(|value| value.to_str().ok());
            let Some(next) = location.filter(|_| status.is_redirection()).map(|it| address.join(it)) else {
                return Ok(Page { address, status, text });
            };
            let next = next.map_err(|_| unexpected(&address, "a redirect to no address"))?;
            request = self.request(Method::GET, &next);
        }
        Err(Error::Unexpected { what: "a page".to_owned(), seen: "one redirect after the other".to_owned() })
    }

    /// Sends a request and returns its response, even if that is a redirect; stores its cookies.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let failed = |source: reqwest::Error| Error::Browser {
            address: source.url().map(shown).unwrap_or_default(),
            // Its text would contain the query, and that may contain a code.
            source: source.without_url(),
        };
        let answer = request.send().await.map_err(failed)?;
        let (address, status, headers) = (answer.url().clone(), answer.status(), answer.headers().clone());
        self.keep_cookies(&address, &headers);
        Ok(Answer { address, status, headers, text: answer.text().await.map_err(failed)? })
    }

    /// A request with the cookies of its site.
    pub fn request(&self, method: Method, address: &Url) -> RequestBuilder {
        let mut request = self.client.request(method, address.clone());
        let origin = address.origin();
        let cookies: Vec<_> =
            self.cookies(address).iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE.as_str(), cookies.join("; "));
        }
        let proxied = self.proxied.iter().filter(|(site, _)| *site == origin);
        proxied
            .flat_map(|(_, headers)| headers)
            .fold(request, |request, (name, value)| request.header(*name, value))
    }

    /// A request that sends a form, and does not say from which page.
    pub fn form(&self, address: &Url, fields: impl IntoIterator<Item = (String, String)>) -> RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, address);
        request.header(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded").body(body)
    }

    /// The cookies of a site, by name.
    pub fn cookies(&self, site: &Url) -> BTreeMap<String, String> {
        self.jar().get(&site.origin().ascii_serialization()).cloned().unwrap_or_default()
    }

    /// Stores a cookie of a site, as if the site had set it.
    pub fn keep(&self, site: &Url, name: &str, value: &str) {
        let mut jar = self.jar();
        let kept = jar.entry(site.origin().ascii_serialization()).or_default();
        kept.insert(name.to_owned(), value.to_owned());
    }

    /// By origin: our pages differ only in their ports. Nothing here lives long enough to expire.
    fn keep_cookies(&self, address: &Url, headers: &HeaderMap) {
        let set = headers.get_all(header::SET_COOKIE.as_str()).iter();
        for cookie in set.filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if value.is_empty() {
                let mut jar = self.jar();
                jar.entry(address.origin().ascii_serialization()).or_default().remove(name);
            } else {
                self.keep(address, name, value);
            }
        }
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// Whether this text is on the page.
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The form that is sent to a path with this ending, with its fields as they are filled in.
    pub fn form(&self, action: &str) -> Result<Form, Error> {
        html::forms(&self.text)
            .into_iter()
            .find(|form| form.action.ends_with(action))
            .ok_or_else(|| self.lacks(&format!("a form for {action}")))
    }

    /// The error for an unexpected page. Contains status and heading, and no query: that may contain a code.
    pub fn lacks(&self, what: &str) -> Error {
        let heading = html::text_of(&self.text, "h1").unwrap_or_default();
        let seen = format!("no {what} there: {} {heading:?}", self.status.as_u16());
        unexpected(&self.address, &seen)
    }

    fn refresh(&self) -> Option<String> {
        let content = attribute_of(&self.text, "meta", ("http-equiv", "refresh"), "content")?;
        content.split_once("url=").map(|(_, target)| target.trim().to_owned())
    }

    fn join(&self, target: &str) -> Result<Url, Error> {
        self.address.join(target).map_err(|_| self.lacks("address that can be gone to"))
    }
}

fn unexpected(address: &Url, seen: &str) -> Error {
    Error::Unexpected { what: format!("the page {}", shown(address)), seen: seen.to_owned() }
}

/// Without its query.
fn shown(address: &Url) -> String {
    format!("{}{}", address.origin().ascii_serialization(), address.path())
}
