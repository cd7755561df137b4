//! The emulator: plays what real providers document, from data files, under their real names.
//!
//! It is a proxy on the loopback interface. A client that tunnels through it (`CONNECT`) and trusts its certificate authority
//! reaches `https://slack.com` as if it were there, so a catalogue entry is tested unchanged. A host that no family has is
//! refused and noted: nothing ever leaves the machine. Each file in `tests/testbed/emulator` is a [`Family`]: hosts, apps,
//! accounts, endpoints, what they answer, and every refusal that a test may ask for. The engine knows no provider.
//!
//! To add a provider, add a file: read [`Family`] beside `tests/testbed/emulator/linear.yaml`, which is close to the standard.
//!
//! The emulator checks requests as strictly as the documents allow, and keeps a book of codes, grants and tokens, which
//! tests read through a [`FamilyHandle`]. What it proves is that Bowline fits the documents; of the live service it knows
//! nothing.

mod answer;
mod asked;
mod authority;
mod bearing;
mod book;
mod claims;
mod consent;
mod data;
mod load;
mod machine;
mod proxy;
mod session;
mod signed;
mod stage;
mod template;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
mod turn;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

pub use answer::Spoil;
pub use claims::{Refusal, Run};
pub use data::{EmulatedApp, Family, Operation, Renewal};
pub use load::{DataError, DataFlaw};
pub use machine::TEST_KEY;
pub use signed::{signature, verifying_key};

use asked::Asked;
use authority::Authority;
use proxy::{Host, Hosts, Proxy};
use stage::Stage;

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// A data file cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// No port on the loopback interface.
    #[error("cannot listen on the loopback interface")]
    Listen(#[from] io::Error),
    /// No certificate authority.
    #[error("cannot make a certificate authority")]
    Authority(#[from] rcgen::Error),
}

/// A running emulator of all families. It stops listening when this is dropped.
pub struct Emulator {
    address: SocketAddr,
    authority: String,
    clients: Arc<Authority>,
    stages: Stages,
    strangers: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

type Stages = Arc<BTreeMap<String, Arc<Stage>>>;

impl Emulator {
    /// Starts all families at the time `now`, on the current tokio runtime.
    pub async fn start(now: Timestamp) -> Result<Self, EmulatorError> {
        let stage = |(name, family)| (name, Arc::new(Stage::new(family, now.as_second())));
        let stages: Stages = Arc::new(Family::all()?.into_iter().map(stage).collect());
        let hosts = stages.values().flat_map(|stage| stage.data.hosts.clone()).collect();
        let guarded = stages.values().flat_map(|stage| stage.data.certificate_hosts.clone()).collect();
        let stop = CancellationToken::new();
        let clients = Arc::new(Authority::new()?);
        let hosts = Hosts { played: hosts, guarded, clients: Arc::clone(&clients) };
        let Proxy { address, authority, tunnels, strangers } = Proxy::start(hosts, stop.clone()).await?;
        let app = Router::new().fallback(serve).with_state(Arc::clone(&stages));
        let app = app.into_make_service_with_connect_info::<Host>();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(tunnels, app).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the emulator stopped serving");
            }
        });
        Ok(Self { address, authority, clients, stages, strangers, _stop: stop.drop_guard() })
    }

    /// The proxy to tunnel through.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate authority to trust, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A new client certificate and its private key in PEM, valid in these years, which this emulator's hosts accept then.
    pub fn client_certificate(&self, years: RangeInclusive<i32>) -> Result<(String, String), EmulatorError> {
        Ok(self.clients.client(years)?)
    }

    /// A family, by the name of its file.
    pub fn family(&self, name: &str) -> Option<FamilyHandle> {
        self.stages.get(name).map(|stage| FamilyHandle(Arc::clone(stage)))
    }

    /// Where clients wanted to go that the emulator does not play.
    pub fn strangers(&self) -> Vec<String> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    ConnectInfo(host): ConnectInfo<Host>,
    State(stages): State<Stages>,
    request: Request,
) -> Response {
    let Some(stage) = stages.values().find(|stage| stage.data.hosts.contains(&host.0)) else {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    };
    match Asked::read(&host.0, request).await {
        Ok(asked) => stage.answer(&asked).into_response(),
        Err(status) => status.into_response(),
    }
}

/// A request as it came, for tests: it shows secrets.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// What it was for; `None` for an address that the family does not have.
    pub operation: Option<Operation>,
    /// HTTP method.
    pub method: String,
    /// Address with its query.
    pub url: Url,
    /// Names of its headers.
    pub headers: Vec<String>,
    /// Fields of its form or JSON body.
    pub fields: BTreeMap<String, String>,
    /// What the emulator did not like about it.
    pub flaw: Option<String>,
}

/// What tests ask of one family.
#[derive(Clone)]
pub struct FamilyHandle(Arc<Stage>);

impl FamilyHandle {
    /// Its data.
    pub fn data(&self) -> &Family {
        &self.0.data
    }

    /// Who consents from now on.
    pub fn consent_as(&self, account: &str) {
        account.clone_into(&mut self.0.lock().account);
    }

    /// A person creates a key of this kind, which is an app of the data, at the provider: what they then have, by name. `None` if
    /// there is no such kind.
    pub fn create_key(&self, app: &str, account: &str) -> Option<BTreeMap<String, String>> {
        let app = self.data().apps.get(app)?;
        let mut values = app.values.clone();
        values.insert("token".to_owned(), self.0.lock().book.create(app, account).into());
        let named = app.provides.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let alone = app.provides.is_empty().then_some(("api_key", "{token}"));
        let filled = |(name, text): (&str, &str)| {
            Some((name.to_owned(), template::as_text(&template::fill(&text.into(), &values)?)))
        };
        named.chain(alone).map(filled).collect()
    }

    /// The keys that a person has stop working.
    pub fn end_key(&self, given: &BTreeMap<String, String>) {
        for text in given.values() {
            self.end(text);
        }
    }

    /// An access token or key stops working.
    pub fn end(&self, text: &str) {
        self.0.lock().book.revoke(text, data::Extent::Token);
    }

    /// The most that is granted from now on; `None`: all that is requested.
    pub fn grant_only(&self, scopes: Option<&[&str]>) {
        self.0.lock().narrowed = scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
    }

    /// Answers the next such operation with a refusal, and does nothing else.
    pub fn refuse_next(&self, operation: Operation, refusal: &str) {
        self.0.lock().refusals.push((operation, refusal.to_owned()));
    }

    /// Takes back what was prepared for coming requests.
    pub fn refuse_no_more(&self) {
        self.0.lock().refusals.clear();
    }

    /// Spoils the answer to the next such operation, which is done.
    pub fn spoil_next(&self, operation: Operation, spoil: Spoil) {
        self.0.lock().spoils.push((operation, spoil));
    }

    /// Whether what was prepared for coming requests was used up.
    pub fn is_played(&self) -> bool {
        let state = self.0.lock();
        state.refusals.is_empty() && state.spoils.is_empty()
    }

    /// Moves the family's clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.lock().book.now += i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.0.lock().seen.clone()
    }

    /// Whether an access or refresh token works now.
    pub fn is_alive(&self, token: &str) -> bool {
        self.0.lock().book.is_alive(token)
    }

    /// How many grants have not been ended.
    pub fn grants_alive(&self) -> usize {
        self.0.lock().book.grants_alive()
    }
}
