//! A browser without a screen: keeps cookies, fills in forms that are on the page, follows nothing by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};

/// A browser at one portal process; its cookies may be used at another.
pub struct Browser {
    client: reqwest::Client,
    address: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What came back.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub location: String,
    pub cookies: Vec<String>,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Page {
    /// The token of the forms on the page.
    pub fn token(&self) -> String {
        let field = self.text.split("name=\"form\" value=\"").nth(1);
        field.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    /// The text is there.
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}

impl Browser {
    pub fn at(address: &str) -> Self {
        Self::on(None, address)
    }

    /// A browser on another machine than the others: `host` is one of this machine's addresses, such as 127.0.0.2.
    pub fn on(host: Option<IpAddr>, address: &str) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().local_address(host);
        Self { client: client.build().unwrap(), address: address.to_owned(), cookies: Mutex::default() }
    }

    /// Keeps a cookie, as if it had been set.
    pub fn keep(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// The cookies it keeps.
    pub fn cookies(&self) -> Vec<String> {
        self.cookies.lock().unwrap().values().cloned().collect()
    }

    /// The same person's browser, at another portal process.
    pub fn also_at(&self, address: &str) -> Self {
        let other = Self::at(address);
        other.cookies.lock().unwrap().clone_from(&self.cookies.lock().unwrap());
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

    /// Sends the form that is on `page`, token and all.
    pub async fn submit(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = page.token();
        let all: Vec<_> = [("form", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, &all).await
    }

    /// A form, with no word on where it comes from.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, path);
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.address));
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        let answer = request.send().await.expect("the portal answers");
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let set = answer.headers().get_all("set-cookie").iter();
        let cookies: Vec<String> = set.map(|value| value.to_str().unwrap().to_owned()).collect();
        for cookie in &cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let mut kept = self.cookies.lock().unwrap();
            if value.is_empty() {
                kept.remove(name)
            } else {
                kept.insert(name.to_owned(), value.to_owned())
            };
        }
        Page {
            status: answer.status().as_u16(),
            location: header("location").unwrap_or_default(),
            headers: answer.headers().clone(),
            cookies,
            text: answer.text().await.unwrap(),
        }
    }

    /// Signs in with a token of the cluster.
    pub async fn sign_in(&self, token: &str) -> Page {
        let page = self.get("/sign-in").await;
        self.submit(&page, "/sign-in/token", &[("token", token)]).await
    }
}
