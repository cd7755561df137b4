//! One request on its way through the sandbox: read it, check the fault script, do the work, record it, respond.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts as _, RawPathParams, Request};
use axum::http::{HeaderMap, Response, StatusCode, header, request::Parts};

use super::answer::{Answer, Refusal, deliver, never_sent};
use super::connection::Switch;
use super::faults::{Action, Subject};
use super::form::Form;
use super::grants::{Bend, scope_values};
use super::ledger::{self, Endpoint, GrantType};
use super::realm::{DEFAULT_REALM, Realm, Realms};
use super::state::{Decision, State};

const BODY_LIMIT: usize = 64 * 1024;

/// A request to one realm.
pub(super) struct Call {
    pub realm: Arc<Realm>,
    pub query: Vec<u8>,
    pub headers: HeaderMap,
    body: Bytes,
    is_form: bool,
    switch: Switch,
}

/// What the work learns about a request, and what a fault requires of the work.
pub(super) struct Visit {
    pub now: u64,
    pub bend: Bend,
    pub subject: Subject,
    pub client: Option<String>,
    pub scope_asked: Option<String>,
}

/// An endpoint's work: done under the realm's lock, so that it happens at once or not at all.
pub(super) type Work = fn(&Call, &mut State, &mut Visit) -> Result<Answer, Refusal>;

impl FromRequest<Arc<Realms>> for Call {
    type Rejection = StatusCode;

    async fn from_request(request: Request, realms: &Arc<Realms>) -> Result<Self, StatusCode> {
        let (mut parts, body) = request.into_parts();
        let name = realm_name(&mut parts, realms).await?;
        let realm = realms.find(&name).ok_or(StatusCode::NOT_FOUND)?;
        let ConnectInfo(switch) = ConnectInfo::<Switch>::from_request_parts(&mut parts, realms)
            .await
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let body = to_bytes(body, BODY_LIMIT).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let query = parts.uri.query().unwrap_or_default().as_bytes().to_vec();
        let is_form = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
            let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        Ok(Self { realm, query, headers: parts.headers, body, is_form, switch })
    }
}

async fn realm_name(parts: &mut Parts, realms: &Arc<Realms>) -> Result<String, StatusCode> {
    let params =
        RawPathParams::from_request_parts(parts, realms).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let named = params.iter().find(|(name, _)| *name == "realm").map(|(_, value)| value.to_owned());
    Ok(named.unwrap_or_else(|| DEFAULT_REALM.to_owned()))
}

impl Call {
    /// Runs `work` as a request to `endpoint`, with the fault that the script has for it.
    pub async fn run(self, endpoint: Endpoint, work: Work) -> Response<Body> {
        let (arrived, subject, action) = self.enter(endpoint);
        if let Some(Action::Delay { milliseconds, commit: false }) = &action {
            let waiting = Waiting::of(&self, endpoint, arrived, &subject, action.as_ref());
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
            waiting.ended();
        }
        let response = self.work(endpoint, arrived, subject, action.as_ref(), work);
        if let Some(Action::Delay { milliseconds, commit: true }) = &action {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
        response
    }

    fn enter(&self, endpoint: Endpoint) -> (u64, Subject, Option<Action>) {
        let mut state = self.realm.lock();
        let subject = self.subject(&state);
        let action = state.script.take(endpoint, &subject);
        (self.realm.clock.now_ms(), subject, action)
    }

    fn work(
        &self,
        endpoint: Endpoint,
        arrived: u64,
        subject: Subject,
        action: Option<&Action>,
        work: Work,
    ) -> Response<Body> {
        let mut state = self.realm.lock();
        let now = self.realm.clock.now_ms();
        let mut visit = Visit { now, bend: bend(action), subject, client: None, scope_asked: None };
        let committed = action.is_none_or(Action::commits);
        let result = if committed { work(self, &mut state, &mut visit) } else { Ok(Answer::empty()) };
        let error = result.as_ref().err().map(|refusal| refusal.error.to_owned());
        let response = deliver(result.unwrap_or_else(Answer::from), action, &self.switch, now);
        let request = ledger::Request {
            client: visit.client,
            scope_asked: visit.scope_asked,
            committed,
            error,
            status: response.as_ref().map(|response| response.status().as_u16()),
            ..blank(endpoint, arrived, &visit.subject, action)
        };
        state.write_request(request);
        drop(state);
        self.realm.announce();
        response.unwrap_or_else(never_sent)
    }

    /// The body, which has to be a form and must not share its parameters with the address (RFC 6749 §2.3.1, §3.2).
    pub fn form(&self) -> Result<Form, Refusal> {
        if !self.is_form {
            return Err(Refusal::of(
                "invalid_request",
                "the body has to be application/x-www-form-urlencoded",
            ));
        }
        if !self.query.is_empty() {
            return Err(Refusal::of("invalid_request", "parameters belong in the body"));
        }
        Form::parse(&self.body)
    }

    /// The token of `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    fn subject(&self, state: &State) -> Subject {
        let form = if self.is_form { Form::parse(&self.body).unwrap_or_default() } else { Form::default() };
        let grant = ["refresh_token", "code", "device_code", "token"]
            .iter()
            .find_map(|name| form.get(name))
            .or_else(|| self.bearer())
            .and_then(|text| state.grant_behind(text));
        let account =
            grant.as_ref().and_then(|id| state.grants.get(id)).and_then(|found| found.account.clone());
        Subject { grant, account, grant_type: form.get("grant_type").and_then(grant_type) }
    }
}

/// A request whose work has not begun. If the client hangs up meanwhile, the ledger still shows the request.
struct Waiting<'a> {
    call: &'a Call,
    request: Option<ledger::Request>,
}

impl<'a> Waiting<'a> {
    fn of(
        call: &'a Call,
        endpoint: Endpoint,
        arrived: u64,
        subject: &Subject,
        action: Option<&Action>,
    ) -> Self {
        Self { call, request: Some(blank(endpoint, arrived, subject, action)) }
    }

    fn ended(mut self) {
        self.request = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.call.realm.lock().write_request(request);
            self.call.realm.announce();
        }
    }
}

/// What is known about a request before its work.
fn blank(endpoint: Endpoint, at_ms: u64, subject: &Subject, action: Option<&Action>) -> ledger::Request {
    ledger::Request {
        sequence: 0,
        at_ms,
        endpoint,
        client: None,
        account: subject.account.clone(),
        grant: subject.grant.clone(),
        grant_type: subject.grant_type,
        scope_asked: None,
        committed: false,
        error: None,
        fault: action.map(|action| action.name().to_owned()),
        status: None,
    }
}

impl State {
    /// The grant that a token or code of any kind belongs to.
    fn grant_behind(&self, text: &str) -> Option<String> {
        let refresh = self.refresh.get(text).map(|token| &token.grant);
        let access = self.access.get(text).map(|token| &token.grant);
        let code = self.codes.get(text).map(|code| &code.grant);
        let device = self.devices.get(text).and_then(|device| match &device.decision {
            Decision::Spent { grant } => Some(grant),
            Decision::Open | Decision::Denied | Decision::Allowed { .. } => None,
        });
        refresh.or(access).or(code).or(device).cloned()
    }
}

/// The grant types that the token endpoint knows, by the names of their standards.
pub(super) fn grant_type(name: &str) -> Option<GrantType> {
    match name {
        "authorization_code" => Some(GrantType::AuthorizationCode),
        "refresh_token" => Some(GrantType::RefreshToken),
        "client_credentials" => Some(GrantType::ClientCredentials),
        "urn:ietf:params:oauth:grant-type:token-exchange" => Some(GrantType::TokenExchange),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => Some(GrantType::JwtBearer),
        "urn:ietf:params:oauth:grant-type:device_code" => Some(GrantType::DeviceCode),
        _ => None,
    }
}

fn bend(action: Option<&Action>) -> Bend {
    match action {
        Some(Action::NoRefreshToken) => Bend { no_refresh_token: true, scope: None },
        Some(Action::FewerScopes { scope }) => {
            Bend { no_refresh_token: false, scope: Some(scope_values(scope)) }
        }
        _ => Bend::default(),
    }
}
