//! What tests of the engine stand on: an API server in memory, and the engine in front of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::grant::target::tests::Offline;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method as Verb, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bowline_api::IntegrationProviderSpec;
use bowline_oauth::catalog;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::{Clock, ManualClock};
use futures::stream;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::actor::{Grants, Parts};
use super::former::Formers;
use super::target::Target;
use crate::kube_ext::events::Events;
use crate::metrics::Metrics;
use crate::vault::keyring::{Keyring, SharedKeyring};
use crate::vault::{Binding, Consent, Credential, Grant, Loaded, Place, Record, Sealer, Store};

const NAMESPACE: &str = "bowline-system";

/// Seconds after the time at which tests begin.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// An API server that keeps Secrets and takes Events.
#[derive(Clone, Default)]
pub struct ApiServer(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    version: u64,
    secrets: BTreeMap<String, Value>,
    events: Vec<String>,
}

impl ApiServer {
    pub fn client(&self) -> Client {
        Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    pub fn has(&self, secret: &str) -> bool {
        self.0.lock().unwrap().secrets.contains_key(secret)
    }

    /// The notes of all Events.
    pub fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    fn on_secret(&self, verb: &Verb, name: &str, sent: Value) -> Response {
        let mut kept = self.0.lock().unwrap();
        let there = kept.secrets.get(name).cloned();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let sent_version = if *verb == Verb::DELETE {
            sent["preconditions"]["resourceVersion"].clone()
        } else {
            version(&sent)
        };
        match (verb, there) {
            (&Verb::POST, Some(_)) => failure(StatusCode::CONFLICT, "AlreadyExists"),
            (&Verb::POST, None) => kept.put(name, sent).into_response(),
            (_, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            (&Verb::GET, Some(there)) => there.to_string().into_response(),
            (_, Some(there)) if sent_version != version(&there) => failure(StatusCode::CONFLICT, "Conflict"),
            (&Verb::DELETE, Some(there)) => {
                kept.secrets.remove(name);
                there.to_string().into_response()
            }
            (_, Some(_)) => kept.put(name, sent).into_response(),
        }
    }
}

impl Kept {
    fn put(&mut self, name: &str, mut secret: Value) -> String {
        self.version += 1;
        let metadata = &mut secret["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        metadata["uid"] = format!("uid of {name}").into();
        self.secrets.insert(name.to_owned(), secret.clone());
        secret.to_string()
    }
}

async fn answer(State(server): State<ApiServer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if head.uri.path().contains("/events") {
        server.0.lock().unwrap().events.push(sent["note"].as_str().unwrap_or_default().to_owned());
        return sent.to_string().into_response();
    }
    match head.uri.path().split_once("/secrets/") {
        Some((_, name)) => server.on_secret(&head.method, name, sent),
        None if head.method == Verb::POST => {
            let name = sent["metadata"]["name"].as_str().unwrap().to_owned();
            server.on_secret(&Verb::POST, &name, sent)
        }
        None => list(&server, &head.uri),
    }
}

fn list(server: &ApiServer, uri: &Uri) -> Response {
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        return Body::from_stream(stream::pending::<Result<String, Infallible>>()).into_response();
    }
    let kept = server.0.lock().unwrap();
    let items: Vec<_> = kept.secrets.values().collect();
    let metadata = json!({"resourceVersion": kept.version.to_string()});
    json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items})
        .to_string()
        .into_response()
}

fn failure(code: StatusCode, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": reason});
    (code, status.to_string()).into_response()
}

/// The engine, in front of an API server of its own.
pub struct Engine {
    pub api: ApiServer,
    pub store: Arc<Store>,
    pub sealer: Sealer,
    pub clock: ManualClock,
    pub grants: Arc<Grants>,
}

impl Engine {
    pub async fn start() -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api = ApiServer::default();
        let client = api.client();
        let store = Arc::new(Store::new(client.clone(), NAMESPACE));
        tokio::spawn(Arc::clone(&store).run(CancellationToken::new()));
        store.wait_ready().await;
        let sealer = Sealer::new(SharedKeyring::new(Keyring::generate(at(0)).unwrap()));
        let clock = ManualClock::at(at(0));
        let grants = Arc::new(Grants::new(Parts {
            store: Arc::clone(&store),
            sealer: sealer.clone(),
            kube: client.clone(),
            clock: Clock::Manual(clock.clone()),
            metrics: Arc::new(Metrics::new().unwrap()),
            events: Arc::new(Events::new(client.clone(), None)),
            holder: "us".to_owned(),
            intent_ttl: Duration::from_mins(1),
            attempts: Attempts::new(client, "bowline-attempts"),
            formers: Formers::new(Duration::from_mins(2)),
            portal: None,
            wake: mpsc::unbounded_channel().0,
            wake_provider: mpsc::unbounded_channel().0,
        }));
        Self { api, store, sealer, clock, grants }
    }

    /// Puts a connection's record into the store.
    pub async fn keep(&self, record: Record) -> Loaded {
        let uid = record.uid().to_owned();
        let _ = self.store.create(record).await.unwrap();
        self.loaded(&uid)
    }

    pub fn loaded(&self, uid: &str) -> Loaded {
        self.store.get(uid).unwrap().unwrap()
    }

    /// A record that holds this grant and nothing else.
    pub fn holding(&self, uid: &str, grant: &Grant) -> Record {
        let record = Record::new(place(uid)).with_candidate(&self.sealer, grant).unwrap();
        let judged = record.open_candidate(&self.sealer).unwrap().unwrap();
        record.promoted(&self.sealer, &judged).unwrap()
    }
}

pub fn place(uid: &str) -> Place {
    Place {
        cluster: "c".into(),
        namespace: "team-a".into(),
        name: "mail".into(),
        uid: uid.into(),
        provider: "p".into(),
    }
}

/// A provider that is made of this catalogue entry and lives where nobody answers.
pub fn target(entry: &str) -> Arc<Target> {
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": entry,
        "endpoints": {"token": "https://p.example/token", "userinfo": "https://p.example/me"},
    }))
    .unwrap();
    let description = catalog::resolve(catalog::get(entry).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    Arc::new(Target::new(description, spec, None, Arc::new(Offline::default())))
}

/// alice's grant, bound to [`target`]`(entry)`.
pub fn grant(entry: &str, credential: Credential) -> Grant {
    let authority = target(entry).description().authority();
    let bound_to = Binding { owner: "alice".into(), authority, client_id: None, account: None };
    Grant { credential, ..Grant::empty(bound_to, Consent::default(), at(0)) }
}
