//! Calls of a session, one after the other.

use std::collections::BTreeMap;

use bowline_api::opaque::Digest;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::super::answer::{self, Document, TokenAnswer};
use super::super::app::{App, WhichSecret};
use super::super::classify::{self, Failure, Operation};
use super::super::endpoint::{ClientRequest, Granted};
use super::super::headers;
use super::super::http::{Http, Received, Request, Sent};
use super::super::request::{self, Client, RequestError};
use super::super::tokens::Tokens;
use super::signing::sign;
use super::values::PlaceholderValues;
use crate::catalog::Description;
use crate::catalog::errors::Class;
use crate::catalog::link_session::{LinkSession, SessionCall, SessionRefusal};
use crate::catalog::template::Template;

/// What a session is opened for: `attempt` in placeholders is a digest of its state.
#[derive(Clone, Copy, Debug)]
pub struct LinkRequest<'a> {
    /// Where the person comes back to.
    pub redirect_uri: &'a str,
    pub state: &'a SecretString,
    pub scopes: &'a [String],
    /// An id of the connection: the provider's name for the person.
    pub connection: &'a str,
    /// The grant in use, if the session is to repair it.
    pub held: Option<Tokens<'a>>,
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct OpenedSession {
    /// Where the person is sent.
    pub page: Url,
    /// What is needed to fetch what came of it. It holds secrets.
    pub kept: SecretString,
}

/// Calls of one session, by one client.
pub(super) struct SessionCourse<'a> {
    asked: ClientRequest<'a>,
    pub(super) session: &'a LinkSession<Option<Url>>,
    url: &'a Url,
}

impl<'a> SessionCourse<'a> {
    pub(super) fn of(
        http: &'a dyn Http,
        description: &'a Description,
        app: &'a App,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let session = description.link_session.as_ref().ok_or(RequestError::NoTokenEndpoint)?;
        let url = session.url.as_ref().ok_or(RequestError::NoTokenEndpoint)?;
        let asked = ClientRequest { http, description, app, operation: Operation::Session, now };
        Ok(Self { asked, session, url })
    }

    pub(super) async fn opened(
        &self,
        request: &LinkRequest<'_>,
        repairs: bool,
    ) -> Result<OpenedSession, Failure> {
        let held = request.held.filter(|_| repairs).unwrap_or_default();
        let mut values = PlaceholderValues::of_grant(held);
        let state = request.state.expose_secret();
        let mut return_to = Url::parse(request.redirect_uri).map_err(|_| RequestError::BadRedirectUri)?;
        return_to.query_pairs_mut().append_pair("state", state);
        values.set("state", state);
        values.set("redirect_uri", request.redirect_uri);
        values.set("return_to", String::from(return_to));
        values.set("connection", request.connection);
        values.set("attempt", Digest::of(state).short());
        values.want(self.asked.description, request.scopes);
        self.run(self.session.opening(repairs), &mut values).await?;
        let page = self.page(&values, repairs)?;
        // The page was for the browser alone.
        values.0.remove("page");
        Ok(OpenedSession { page, kept: values.keep(repairs)? })
    }

    /// The page of the session: as safe an address as that of the calls.
    fn page(&self, values: &PlaceholderValues, repairs: bool) -> Result<Url, RequestError> {
        let Some(page) = &self.session.page else {
            let page = values.get("page").and_then(|page| Url::parse(page).ok());
            let is_safe = |page: &Url| page.scheme() == "https" || page.scheme() == self.url.scheme();
            return page.filter(is_safe).ok_or(RequestError::NoAuthorizationEndpoint);
        };
        let path = if repairs { &self.session.repair_path } else { &self.session.page_path };
        let address = format!("{}{path}", page.as_str().trim_end_matches('/'));
        let mut page = Url::parse(&address).map_err(|_| RequestError::NoAuthorizationEndpoint)?;
        for (name, text) in &self.session.page_params {
            if let Some(value) = self.filled(text, values, None) {
                page.query_pairs_mut().append_pair(name, &value);
            }
        }
        Ok(page)
    }

    /// Reads what calls took as a token answer. They `told` with which client secret they worked, and the provider's time.
    pub(super) fn granted(
        &self,
        (secret, date): (WhichSecret, Option<Timestamp>),
        values: &PlaceholderValues,
    ) -> Result<Granted, Failure> {
        let ClientRequest { description, app, now, .. } = self.asked;
        let read = |document| answer::read(document, description, &app.client_id, None, now);
        let answer: Option<TokenAnswer> = read(&values.document());
        let answer = answer.ok_or(RequestError::Unbuildable)?;
        Ok(Granted { answer, secret, date })
    }

    /// Carries out calls one after the other. Returns with which client secret they worked, and the provider's time.
    pub(super) async fn run(
        &self,
        calls: &[SessionCall],
        values: &mut PlaceholderValues,
    ) -> Result<(WhichSecret, Option<Timestamp>), Failure> {
        let mut last = (WhichSecret::Current, None);
        for call in calls {
            match self.send(call, values).await {
                // One that needs no secret takes the present one.
                Ok((WhichSecret::Current, date)) => last.1 = date,
                Ok(sent) => last = sent,
                Err(_) if call.may_fail => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(last)
    }

    /// Sends one call, and takes its values.
    async fn send(
        &self,
        call: &SessionCall,
        values: &mut PlaceholderValues,
    ) -> Result<(WhichSecret, Option<Timestamp>), Failure> {
        let sent = self
            .asked
            .ask(|client| self.request(client, call, values), |received| self.judge(call, &received));
        let ((taken, date), secret) = sent.await.map_err(|failure| without_echoes(failure, values))?;
        for (name, value) in taken {
            values.set(name, value);
        }
        Ok((secret, date))
    }

    /// The text with its placeholders replaced; `None` if one has no value.
    fn filled(&self, text: &str, values: &PlaceholderValues, client: Option<&Client<'_>>) -> Option<String> {
        let template = Template::try_from(text.to_owned()).ok()?;
        template.fill(|name| self.value(name, values, client)).ok()
    }

    fn value<'v>(
        &'v self,
        name: &str,
        values: &'v PlaceholderValues,
        client: Option<&'v Client<'_>>,
    ) -> Option<&'v str> {
        match name {
            "client_id" => Some(&self.asked.app.client_id),
            "client_secret" => Some(client?.secret?.expose_secret()),
            name => {
                values.get(name).or_else(|| self.asked.description.parameters.get(name).map(String::as_str))
            }
        }
    }

    fn request(
        &self,
        client: &Client<'_>,
        call: &SessionCall,
        values: &PlaceholderValues,
    ) -> Result<Request, RequestError> {
        let url = self.address(call, values)?;
        let fill = |text: &str| self.filled(text, values, Some(client));
        let mut request = match &call.json {
            Some(json) => {
                let json = self.filled_json(json, values, client).unwrap_or_else(|| Map::new().into());
                request::json(call.method.into(), &url, &json)?
            }
            None if !call.form.is_empty() => {
                let fields = call.form.iter().filter_map(|(name, text)| Some((name.as_str(), fill(text)?)));
                let fields: Vec<_> = fields.map(|(name, value)| (name, Zeroizing::new(value))).collect();
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                request::form(&url, &fields)?
            }
            None => request::bare(call.method.into(), &url)?,
        };
        for (name, text) in self.session.headers.iter().chain(&call.headers) {
            let value = fill(text).ok_or(RequestError::NoClientAuth)?;
            request::add_sensitive(&mut request, name, &value)?;
        }
        if let Some(name) = &call.bearer {
            let token = values.0.get(name).ok_or(RequestError::Unbuildable)?;
            request::bear(&mut request, token)?;
        }
        if let (Some(signature), Some(key)) = (&self.session.signature, client.private_key) {
            sign(&mut request, signature, key, client.now)?;
        }
        Ok(request)
    }

    /// The address of a call. A value in it is one segment of the path, or one value of the query.
    fn address(&self, call: &SessionCall, values: &PlaceholderValues) -> Result<Url, RequestError> {
        let template = Template::try_from(call.path.clone()).map_err(|_| RequestError::Unbuildable)?;
        let mut encoded = BTreeMap::new();
        for name in template.placeholders() {
            let value = self.value(name, values, None).ok_or(RequestError::Unbuildable)?;
            if matches!(value, "" | "." | "..") {
                return Err(RequestError::Unbuildable);
            }
            encoded.insert(name, form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>());
        }
        let path = template.fill(|name| encoded.get(name).map(String::as_str));
        let path = path.map_err(|_| RequestError::Unbuildable)?;
        let address = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        Url::parse(&address).map_err(|_| RequestError::Unbuildable)
    }

    /// `None`: a placeholder has no value, and the field is left out.
    fn filled_json(&self, json: &Value, values: &PlaceholderValues, client: &Client<'_>) -> Option<Value> {
        match json {
            Value::String(text) => self.filled(text, values, Some(client)).map(Value::String),
            Value::Array(items) => {
                let filled = items.iter().flat_map(|item| self.filled_item(item, values, client));
                let filled: Vec<Value> = filled.collect();
                (items.is_empty() || !filled.is_empty()).then_some(Value::Array(filled))
            }
            Value::Object(fields) => {
                let filled = |(name, field): (&String, &Value)| {
                    Some((name.clone(), self.filled_json(field, values, client)?))
                };
                let filled: Map<String, Value> = fields.iter().filter_map(filled).collect();
                (fields.is_empty() || !filled.is_empty()).then_some(Value::Object(filled))
            }
            other => Some(other.clone()),
        }
    }

    /// A placeholder that stands alone in a list becomes each word of its value.
    fn filled_item(&self, item: &Value, values: &PlaceholderValues, client: &Client<'_>) -> Vec<Value> {
        let filled = self.filled_json(item, values, client);
        let is_placeholder = item.as_str().is_some_and(|text| text.starts_with('{') && text.ends_with('}'));
        match filled {
            Some(Value::String(text)) if is_placeholder => {
                let words = text.split(|letter: char| letter == ',' || letter.is_whitespace());
                words.filter(|word| !word.is_empty()).map(Value::from).collect()
            }
            filled => filled.into_iter().collect(),
        }
    }

    /// What a success says, and the provider's time.
    fn judge<'c>(
        &self,
        call: &'c SessionCall,
        received: &Received,
    ) -> Result<(Taken<'c>, Option<Timestamp>), Failure> {
        let ClientRequest { description, operation, now, .. } = self.asked;
        let document = Document::read(received);
        let date = headers::date(&received.headers);
        let is_silent = received.status.is_success() && matches!(document, Document::Empty);
        if is_silent && call.take.is_empty() && call.items.is_none() {
            return Ok((Vec::new(), date));
        }
        let answered = classify::answered(operation, description, received, &document, now);
        answered.map_err(|failure| if call.client { about_the_client(failure) } else { failure })?;
        let said = document.data().ok_or_else(|| classify::unconfirmed(received))?;
        let items = call.items.as_ref().map_or_else(|| vec![said], |list| list.items(said));
        let mut failed = None;
        for item in items {
            match taken(call, item) {
                Ok(taken) => return Ok((taken, date)),
                // A refusal says more than a gap.
                Err(Some(refusal)) => failed = failed.or(Some(told(description, received, refusal))),
                Err(None) => {}
            }
        }
        Err(failed.unwrap_or_else(|| without_value(call.without)))
    }
}

/// Values with the names under which calls take them.
type Taken<'c> = Vec<(&'c str, String)>;

/// What a call takes from an answer or item; else the refusal in it, or `None` where a value is not there.
fn taken<'c>(call: &'c SessionCall, item: &Value) -> Result<Taken<'c>, Option<&'c SessionRefusal>> {
    let refusal = call.refusals.iter().find(|refusal| refusal.at.text(item).as_ref() == Some(&refusal.is));
    if refusal.is_some() {
        return Err(refusal);
    }
    let needed = call.take.iter().map(|(name, at)| at.text(item).map(|value| (name.as_str(), value)));
    let mut taken: Taken<'c> = needed.collect::<Option<_>>().ok_or(None)?;
    let others = call.take_if_there.iter();
    taken.extend(others.filter_map(|(name, at)| Some((name.as_str(), at.text(item)?))));
    Ok(taken)
}

/// Without a grant, none can be gone.
fn about_the_client(failure: Failure) -> Failure {
    match failure.class {
        Class::Reauth | Class::Ambiguous | Class::Alive => {
            Failure { class: Class::Config, proves_revoked: false, ..failure }
        }
        _ => failure,
    }
}

/// A hostile provider might repeat what it received.
fn without_echoes(failure: Failure, values: &PlaceholderValues) -> Failure {
    const SECRET_FROM: usize = 16;
    let long = values.0.values().map(ExposeSecret::expose_secret).filter(|text| text.len() >= SECRET_FROM);
    long.fold(failure, Failure::without_echo)
}

/// A success that says by one of its values that it is none.
fn told(description: &Description, received: &Received, refusal: &SessionRefusal) -> Failure {
    let SessionRefusal { class, is, .. } = refusal;
    let mut failure = Failure::new(*class, Sent::Refused, classify::words(*class));
    failure.code = Some(is.clone()).filter(|code| classify::is_plain(code));
    failure.summary = format!("{}: {}", failure.summary, failure.code.as_deref().unwrap_or_default());
    failure.proves_revoked = *class == Class::Reauth && description.errors.revoked.contains(is);
    failure.with_status(Some(received.status))
}

/// An answer without a value that it should have. `meaning` is what the description says that this means.
fn without_value(meaning: Option<Class>) -> Failure {
    let unclear = "the provider's answer does not say what it should";
    match meaning {
        Some(class) => Failure::new(class, Sent::Refused, classify::words(class)),
        None => Failure::new(Class::Bug, Sent::MaybeSent, unclear),
    }
}
