//! Fixtures for tests of the engine: an API server in memory, and the engine in front of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method as Verb, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bowline_api::IntegrationProviderSpec;
use bowline_api::names::TYPE_APP;
use bowline_oauth::answer::{Lifetime, TokenAnswer};
use bowline_oauth::app::App;
use bowline_oauth::catalog;
use bowline_oauth::http::{HttpClient, MaySend};
use bowline_oauth::network::Network;
use bowline_runtime::attempts::Attempts;
use bowline_runtime::clock::{Clock, ManualClock};
use futures::stream;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::consent::Consents;
use super::delays::Delays;
use super::desk::{Desk, WorkView};
use super::gate::Gate;
use super::probe::Probes;
use super::records::Records;
use super::schedule::RefreshBounds;
use super::secrets::Secrets;
use super::slot::Marks;
use super::target::Target;
use super::target::tests::Offline;
use super::work::{AgreeingTerms, Job, Task};
use crate::kube_ext::events::Events;
use crate::metrics::Metrics;
use crate::vault::journal::Journal;
use crate::vault::keyring::{Keyring, SharedKeyring};
use crate::vault::record::Kept;
use crate::vault::{Binding, Consent, Credential, Grant, Loaded, Place, Record, Sealer, Slot, Store};

const NAMESPACE: &str = "bowline-system";

/// This many seconds after the time at which tests begin.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// An API server that keeps Secrets and takes Events.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<Contents>>);

struct Contents {
    version: u64,
    made: u64,
    secrets: BTreeMap<String, Value>,
    /// UID of the connection `mail`; `None` while it is gone.
    connection: Option<String>,
    events: Vec<String>,
    fault: Option<Fault>,
    refused_until: Option<Instant>,
    without_reads: bool,
}

impl Default for Contents {
    fn default() -> Self {
        let connection = Some("u1".to_owned());
        let (secrets, events) = (BTreeMap::new(), Vec::new());
        let (fault, refused_until, without_reads) = (None, None, false);
        Self { version: 0, made: 0, secrets, connection, events, fault, refused_until, without_reads }
    }
}

/// What goes wrong with the next write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It happens, and its answer is lost.
    AnswerLost,
}

impl ApiServer {
    pub(crate) fn client(&self) -> Client {
        Client::new(Router::new().fallback(serve).with_state(self.clone()), "default")
    }

    pub(crate) fn has(&self, secret: &str) -> bool {
        self.0.lock().unwrap().secrets.contains_key(secret)
    }

    /// The present record of a connection.
    pub(crate) fn record(&self, uid: &str) -> Record {
        let kept = self.0.lock().unwrap();
        let secret = kept.secrets.get(&format!("record-{uid}")).unwrap().clone();
        Record::from_secret(serde_json::from_value(secret).unwrap()).unwrap()
    }

    /// Deletes the connection.
    pub(crate) fn without_connection(&self) {
        self.0.lock().unwrap().connection = None;
    }

    /// Makes what a Secret says unreadable; returns what it said.
    pub(crate) fn damage(&self, name: &str) -> Value {
        let good = self.0.lock().unwrap().secrets[name]["data"].clone();
        self.restore(name, json!({"record.json": "AA=="}));
        good
    }

    /// Writes other data into a Secret.
    pub(crate) fn restore(&self, name: &str, data: Value) {
        let mut kept = self.0.lock().unwrap();
        kept.version += 1;
        let version = kept.version.to_string();
        let secret = kept.secrets.get_mut(name).unwrap();
        secret["data"] = data;
        secret["metadata"]["resourceVersion"] = version.into();
    }

    /// How many Secrets were written.
    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().unwrap().version
    }

    pub(crate) fn next(&self, fault: Fault) {
        self.0.lock().unwrap().fault = Some(fault);
    }

    /// Accepts no writes for this long.
    pub(crate) fn refuse_for(&self, time: Duration) {
        self.0.lock().unwrap().refused_until = Some(Instant::now() + time);
    }

    /// Answers no reads, or does so again.
    pub(crate) fn without_reads(&self, yes: bool) {
        self.0.lock().unwrap().without_reads = yes;
    }

    /// The notes of all Events.
    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    fn on_secret(&self, verb: &Verb, name: &str, sent: Value) -> Response {
        let mut kept = self.0.lock().unwrap();
        if *verb == Verb::GET && kept.without_reads {
            return failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        }
        if *verb != Verb::GET && kept.refused_until.is_some_and(|until| Instant::now() < until) {
            return failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
        }
        let there = kept.secrets.get(name).cloned();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let sent_version = if *verb == Verb::DELETE {
            sent["preconditions"]["resourceVersion"].clone()
        } else {
            version(&sent)
        };
        match (verb, there) {
            (&Verb::POST, Some(_)) => failure(StatusCode::CONFLICT, "AlreadyExists"),
            (&Verb::POST, None) => {
                kept.made += 1;
                let uid = format!("{name}-{}", kept.made);
                kept.put(name, sent, uid)
            }
            (_, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            (&Verb::GET, Some(there)) => there.to_string().into_response(),
            (_, Some(there)) if sent_version != version(&there) => failure(StatusCode::CONFLICT, "Conflict"),
            (&Verb::DELETE, Some(there)) => {
                kept.secrets.remove(name);
                there.to_string().into_response()
            }
            (_, Some(there)) => {
                let uid = there["metadata"]["uid"].as_str().unwrap().to_owned();
                kept.put(name, sent, uid)
            }
        }
    }
}

impl Contents {
    fn put(&mut self, name: &str, mut secret: Value, uid: String) -> Response {
        self.version += 1;
        let metadata = &mut secret["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        metadata["uid"] = uid.into();
        self.secrets.insert(name.to_owned(), secret.clone());
        match self.fault.take() {
            Some(Fault::AnswerLost) => failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            None => secret.to_string().into_response(),
        }
    }
}

async fn serve(State(server): State<ApiServer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if head.uri.path().contains("/events") {
        server.0.lock().unwrap().events.push(sent["note"].as_str().unwrap_or_default().to_owned());
        return sent.to_string().into_response();
    }
    if head.uri.path().contains("/integrationconnections/") {
        return match &server.0.lock().unwrap().connection {
            Some(uid) => json!({"metadata": {"name": "mail", "uid": uid}}).to_string().into_response(),
            None => failure(StatusCode::NOT_FOUND, "NotFound"),
        };
    }
    if head.uri.path().contains("/customresourcedefinitions/") {
        return json!({"metadata": {"name": "integrationconnections.bowline.dev"}})
            .to_string()
            .into_response();
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
    let selector = uri.query().unwrap_or_default();
    let is_wanted = |secret: &&Value| {
        let type_ = secret["type"].as_str().unwrap_or_default().replace('/', "%2F");
        selector.contains(&type_)
    };
    let items: Vec<_> = kept.secrets.values().filter(is_wanted).collect();
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

/// The records in this API server.
pub(crate) async fn records(api: &ApiServer) -> Records {
    records_at(api, &ManualClock::at(at(0))).await
}

async fn records_at(api: &ApiServer, clock: &ManualClock) -> Records {
    let store = Arc::new(Store::new(api.client(), NAMESPACE));
    let endings = Arc::new(Store::new(api.client(), NAMESPACE));
    let sealer = Sealer::new(SharedKeyring::new(Keyring::generate(at(0)).unwrap()));
    store.unlock(sealer.clone());
    endings.unlock(sealer.clone());
    tokio::spawn(Arc::clone(&store).run(CancellationToken::new()));
    tokio::spawn(Arc::clone(&endings).run(CancellationToken::new()));
    store.wait_ready().await;
    endings.wait_ready().await;
    let delays = Delays::new(mpsc::unbounded_channel().0);
    Records { store, endings, sealer, clock: Clock::Manual(clock.clone()), delays }
}

/// A desk in front of its own API server.
pub(crate) struct Bench {
    pub(crate) api: ApiServer,
    pub(crate) clock: ManualClock,
    pub(crate) desk: Arc<Desk>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with_disk(None).await
    }

    /// One that writes answers to this folder.
    pub(crate) async fn with_disk(folder: Option<PathBuf>) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (api, clock) = (ApiServer::default(), ManualClock::at(at(0)));
        let client = api.client();
        let time = Clock::Manual(clock.clone());
        let metrics = Arc::new(Metrics::new(0).unwrap());
        let wake_provider = mpsc::unbounded_channel().0;
        let records = records_at(&api, &clock).await;
        let engine = Engine {
            journal: Journal::new(folder, records.sealer.clone()),
            records,
            gate: Gate::new(
                Arc::clone(&metrics),
                time.clone(),
                wake_provider,
                RefreshBounds::default(),
                MaySend::when(|| true),
            ),
            marks: Marks::new("us".to_owned(), Duration::from_mins(1), time),
            secrets: Secrets { kube: client.clone() },
            consents: Consents::new(Attempts::new(client.clone(), "bowline-attempts"), None),
            revoke_former_after: Duration::from_mins(2),
            probes: Probes::default(),
        };
        let events = Arc::new(Events::new(client, None));
        let desk = Arc::new(Desk::new(engine, events, Arc::clone(&metrics), mpsc::unbounded_channel().0));
        Self { api, clock, desk, metrics }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.desk.engine
    }

    /// Waits until the work on this grant is done.
    pub(crate) async fn worked(&self, uid: &str) -> WorkView {
        while self.desk.view(uid).busy {
            sleep(Duration::from_millis(1)).await;
        }
        self.desk.view(uid)
    }

    /// Puts a connection's record into the store.
    pub(crate) async fn keep(&self, record: Record) -> Loaded {
        let uid = record.uid().to_owned();
        let _ = self.engine().records.store.create(record).await.unwrap();
        self.loaded(&uid)
    }

    pub(crate) fn loaded(&self, uid: &str) -> Loaded {
        self.engine().records.get(uid).unwrap()
    }

    /// A record that holds this grant and nothing else.
    pub(crate) fn holding(&self, uid: &str, grant: &Grant) -> Record {
        let sealer = &self.engine().records.sealer;
        let record = Record::new(place(uid)).with_candidate(sealer, grant).unwrap();
        let judged = record.open(sealer, Slot::Candidate).unwrap().unwrap();
        record.promoted(sealer, &judged, None).unwrap()
    }
}

pub(crate) fn place(uid: &str) -> Place {
    Place {
        cluster: "c".into(),
        namespace: "team-a".into(),
        name: "mail".into(),
        uid: uid.into(),
        provider: "p".into(),
    }
}

/// A provider made from this catalogue entry, at an address where nobody answers.
pub(crate) fn target(entry: &str) -> Arc<Target> {
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": entry,
        "endpoints": {"token": "https://p.example/token", "userinfo": "https://p.example/me"},
    }))
    .unwrap();
    let description = catalog::resolve(catalog::get(entry).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    Arc::new(Target::new(description, spec, None, Arc::new(Offline::default())))
}

/// An entry as a provider object with these further fields describes it.
pub(crate) fn described(entry: &str, more: &Value) -> catalog::Description {
    let mut spec = json!({"type": entry});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let spec = serde_json::from_value(spec).unwrap();
    let entry = catalog::resolve::entry_of(&spec).unwrap();
    catalog::resolve(&entry, &spec, "p", &BTreeMap::new()).unwrap()
}

/// The same with an app of ours, and its endpoints for tokens and revocations at this address of the machine.
pub(crate) fn target_at(entry: &str, endpoint: &str) -> Arc<Target> {
    target_with(entry, &json!({"token": endpoint, "revocation": endpoint}))
}

/// The same with these endpoints.
pub(crate) fn target_with(entry: &str, endpoints: &Value) -> Arc<Target> {
    let spec: IntegrationProviderSpec = serde_json::from_value(json!({
        "type": entry, "network": {"allowHTTP": true, "allowedCIDRs": ["127.0.0.0/8"]},
        "endpoints": endpoints,
    }))
    .unwrap();
    let description = catalog::resolve(catalog::get(entry).unwrap(), &spec, "p", &BTreeMap::new()).unwrap();
    let app = [("client_id", "c"), ("client_secret", "s"), ("providers", "p")];
    let app = app.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
    let app = App::read(Some(TYPE_APP), &app.into()).unwrap();
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let network = Network { allow_http: true, allowed_cidrs: loopback, ..Network::default() };
    let http = HttpClient::new(network).unwrap();
    Arc::new(Target::new(description, spec, Some(Arc::new(app)), Arc::new(http)))
}

/// alice's grant, bound to [`target`]`(entry)`.
pub(crate) fn grant(entry: &str, credential: Credential) -> Grant {
    let target = target(entry);
    let bound_to = Binding {
        owner: "alice".into(),
        authority: target.authority().to_owned(),
        addresses: target.addresses().clone(),
        client_id: None,
        account: None,
    };
    Grant { credential, ..Grant::empty(bound_to, Consent::default(), at(0)) }
}

/// The same with this refresh token and an access token.
pub(crate) fn oauth_grant(entry: &str, refresh_token: &str) -> Grant {
    let credential = Credential::OAuth {
        refresh_token: Some(refresh_token.into()),
        access_token: Some("a".into()),
        token_type: "Bearer".to_owned(),
    };
    grant(entry, credential)
}

/// What a provider answers to a refresh.
pub(crate) fn answer(refresh_token: Option<&str>) -> TokenAnswer {
    TokenAnswer {
        consent_ends_at: None,
        access_token: Some("new access".into()),
        refresh_token: refresh_token.map(SecretString::from),
        token_type: "Bearer".to_owned(),
        lifetime: Lifetime::Told(Duration::from_secs(90)),
        refresh_expires_in: None,
        scopes: None,
        claims: BTreeMap::new(),
        account: None,
        extras: BTreeMap::new(),
        flaws: Vec::new(),
    }
}

/// Work on the grant of the connection `u1`, which is alice's.
pub(crate) fn job(entry: &str, task: Task) -> Job {
    let target = target(entry);
    Job {
        place: place("u1"),
        owner: "alice".to_owned(),
        method: target.methods()[0],
        target,
        parameters: BTreeMap::new(),
        own_app: None,
        app_version: None,
        scopes: Vec::new(),
        agreeing: AgreeingTerms::default(),
        expected_account: None,
        accepted_account: None,
        newest_known: None,
        urgency: at(0),
        task,
        leaving: CancellationToken::new(),
        gives_way: CancellationToken::new(),
    }
}
