//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde_json::Value;

use super::app::{App, AppPurpose};
use super::http::{Http, Received, Request, SendError};
use super::network::Network;
use crate::catalog::Description;
use crate::catalog::entry::{ProviderEndpoints, ThirdParty};
use crate::catalog::errors::ErrorTable;
use crate::catalog::pointer::{Pointer, Pointers};
use crate::catalog::protocol::{ClientAuth, ScopeRules, TokenResponse};

pub(crate) fn pointer(text: &str) -> Pointer {
    Pointer::try_from(text.to_owned()).unwrap()
}

pub(crate) fn pointers(text: &str) -> Pointers {
    Pointers::try_from(text.to_owned()).unwrap()
}

/// A provider that follows the standard, at `https://provider.example.com`.
pub(crate) fn description() -> Description {
    Description {
        provider: "example".to_owned(),
        entry: "generic-oauth2".to_owned(),
        core: ThirdParty {
            display_name: "Example".to_owned(),
            endpoints: ProviderEndpoints {
                authorization: Some("https://provider.example.com/authorize".parse().unwrap()),
                token: Some("https://provider.example.com/token".parse().unwrap()),
                device_authorization: Some("https://provider.example.com/device".parse().unwrap()),
                revocation: Some("https://provider.example.com/revoke".parse().unwrap()),
                userinfo: Some("https://provider.example.com/me".parse().unwrap()),
                ..ProviderEndpoints::default()
            },
            client_auth: vec![ClientAuth::Basic, ClientAuth::Post, ClientAuth::None],
            token_response: TokenResponse {
                access_token: pointer("/access_token"),
                refresh_token: Some(pointer("/refresh_token")),
                expires_in: Some(pointer("/expires_in")),
                refresh_expires_in: Some(pointer("/refresh_token_expires_in")),
                scope: Some(pointer("/scope")),
                id_token: Some(pointer("/id_token")),
                token_type: Some(pointer("/token_type")),
                ..TokenResponse::default()
            },
            scopes: ScopeRules { separator: Some(" ".to_owned()), ..ScopeRules::default() },
            errors: ErrorTable { code: pointers("/error"), ..ErrorTable::default() },
            ..ThirdParty::default()
        },
        parameters: BTreeMap::new(),
        own_issuer: false,
        discovered: false,
        certificate_bound: false,
    }
}

/// An app registration with a secret that needs encoding.
pub(crate) fn app() -> App {
    App {
        client_id: "client".to_owned(),
        client_secret: Some(SecretString::from("s:e+c%r t")),
        client_secret_previous: None,
        private_key: None,
        certificate: None,
        purpose: AppPurpose::default(),
        version: None,
    }
}

/// An unsigned id token with the claims.
pub(crate) fn id_token(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&serde_json::json!({"alg": "none"})), part(claims))
}

/// An answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Received {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    Received {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body: body.as_bytes().to_vec(),
    }
}

/// Returns prepared answers in order, and keeps the requests.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Mutex<std::collections::VecDeque<Result<Received, SendError>>>,
    requests: Mutex<Vec<Request>>,
    network: Network,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Received, SendError>>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
            network: Network::default(),
        }
    }

    /// Each request is answered.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Received>) -> Self {
        Self::new(answers.into_iter().map(Ok))
    }

    /// One answer with status and body.
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self::new([Ok(answer(status, &[], body))])
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Body of the only request.
    pub(crate) fn body(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1);
        String::from_utf8(requests[0].body().clone()).unwrap()
    }
}

impl Http for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Received, SendError>> {
        self.requests.lock().unwrap().push(request);
        let next = self.answers.lock().unwrap().pop_front().expect("a request too many");
        Box::pin(std::future::ready(next))
    }

    fn network(&self) -> &Network {
        &self.network
    }
}
