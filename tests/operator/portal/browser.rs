//! The testbed's browser at one portal, one response at a time: the test follows redirects itself.

use std::net::IpAddr;

use bowline_testbed::browser::{self, attribute_of};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use url::Url;

/// A browser at one portal process; its cookies can be used at another one.
pub struct Browser {
    browser: browser::Browser,
    portal: String,
}

/// What came back.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub location: String,
    pub cookies: Vec<String>,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    /// The token of the forms on the page.
    pub fn token(&self) -> String {
        attribute_of(&self.text, "input", ("name", "form"), "value").unwrap_or_default()
    }

    /// The text is on the page.
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}

impl Browser {
    pub fn at(address: &str) -> Self {
        Self::on(None, address)
    }

    /// A browser on another machine: `host` is one of this machine's addresses, such as 127.0.0.2.
    pub fn on(host: Option<IpAddr>, address: &str) -> Self {
        let browser = browser::Browser::on(host).expect("a browser");
        Self { browser, portal: address.to_owned() }
    }

    fn address(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.portal)).expect("an address")
    }

    /// Stores a cookie, as if it had been set.
    pub fn keep(&self, name: &str, value: &str) {
        self.browser.keep(&self.address("/"), name, value);
    }

    /// The stored cookies.
    pub fn cookies(&self) -> Vec<String> {
        self.browser.cookies(&self.address("/")).into_values().collect()
    }

    /// The stored cookies as a request has them.
    pub fn cookie_header(&self) -> String {
        let cookies = self.browser.cookies(&self.address("/")).into_iter();
        cookies.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// The same person's browser, at another portal process.
    pub fn also_at(&self, address: &str) -> Self {
        let other = Self::at(address);
        for (name, value) in self.browser.cookies(&self.address("/")) {
            other.keep(&name, &value);
        }
        other
    }

    pub async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form as a page of the portal does.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(self.form(path, fields).header("sec-fetch-site", "same-origin").header("origin", "null"))
            .await
    }

    /// Sends the form that is on `page`, including its token.
    pub async fn submit(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = page.token();
        let all: Vec<_> = [("form", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, &all).await
    }

    /// A form that does not say which page it comes from.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.browser.form(&self.address(path), fields)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.browser.request(method, &self.address(path))
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        let answer = self.browser.send(request).await.expect("the portal answers");
        let all = |name| answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        Page {
            status: answer.status.as_u16(),
            location: all("location").next().unwrap_or_default(),
            cookies: all("set-cookie").collect(),
            headers: answer.headers,
            text: answer.text,
        }
    }

    /// Signs in with a token of the cluster.
    pub async fn sign_in(&self, token: &str) -> Page {
        let page = self.get("/sign-in").await;
        self.submit(&page, "/sign-in/token", &[("token", token)]).await
    }
}
