//! The client that sends secrets to providers, and its limits.
//!
//! No redirects (a 307 would pass the secret on), no proxy but the provider's own, no connection used twice (a request on an
//! idle connection that is being closed has an unknown outcome, which a one-time token cannot afford), a deadline, a limit
//! on the body, guarded addresses, and a last question as the body leaves: may this process still act?

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tracing::{Instrument, Span};
use url::Url;

use super::certificate::ClientCertificate;
use super::guard::{self, AddressRefused, DnsLookup, Resolver};
use super::network::{Network, NetworkBounds, OutOfBounds};
use super::unanswered::{Halted, failed};
pub use super::unanswered::{SendError, Sent};

/// A request with its whole body.
pub type Request = http::Request<Vec<u8>>;

/// A complete answer. Its `Debug` shows no content.
pub struct Received {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most [`RequestLimits::body`] bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({}, {} bytes)", self.status, self.body.len())
    }
}

/// Sends requests; tests replace it with their own answers.
pub trait Http: fmt::Debug + Send + Sync {
    /// Sends the request once and reads the whole answer. The future may be dropped, but then the outcome is unknown.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Received, SendError>>;

    /// What it may reach; discovery refuses documents with other addresses.
    fn network(&self) -> &Network;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// From the first lookup to the last byte of the body.
    pub(crate) total: Duration,
    /// Lookup, TCP and TLS.
    pub(crate) connect: Duration,
    /// Bytes of the body.
    pub(crate) body: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { total: Duration::from_secs(20), connect: Duration::from_secs(5), body: 1024 * 1024 }
    }
}

/// Whether this process may act at providers. It is asked when the connection stands and the body is about to be written:
/// a process that was paused since it decided to send sends nothing.
#[derive(Clone)]
pub struct MaySend(Arc<dyn Fn() -> bool + Send + Sync>);

impl MaySend {
    pub fn when(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    pub fn allows(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for MaySend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaySend")
    }
}

/// A body in one piece that leaves only while it may.
struct GuardedBody {
    bytes: Option<Bytes>,
    may_send: MaySend,
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Halted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Halted>>> {
        let bytes = self.bytes.take();
        let leaves = |bytes| if self.may_send.allows() { Ok(Frame::data(bytes)) } else { Err(Halted) };
        Poll::Ready(bytes.map(leaves))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// The client for one provider's network, over `reqwest`. Cloning shares it.
#[derive(Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    /// Clients that present a certificate: a new one replaces the oldest.
    presenting: Arc<Mutex<VecDeque<(ClientCertificate, reqwest::Client)>>>,
    network: Arc<Network>,
    resolver: Resolver,
    limits: RequestLimits,
    may_send: MaySend,
}

/// How many clients with a certificate are kept. A provider has one, and those of the connections that have an app of their own.
const KEPT_PRESENTING: usize = 16;

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("network", &self.network).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client with the usual limits and the system's resolver. A process-wide TLS provider must be installed.
    ///
    /// The network is not checked against the operator's bounds, and requests are sent at any time: [`Clients::client`] limits
    /// both for providers.
    pub fn new(network: Network) -> Result<Self, HttpClientError> {
        Self::with(network, guard::system_lookup(), RequestLimits::default())
    }

    /// The same client, whose requests with a body leave only while they may.
    fn guarded(self, may_send: MaySend) -> Self {
        Self { may_send, ..self }
    }

    /// A client with its own resolver and limits.
    pub(super) fn with(
        network: Network,
        lookup: DnsLookup,
        limits: RequestLimits,
    ) -> Result<Self, HttpClientError> {
        let network = Arc::new(network);
        let resolver = Resolver::new(Arc::clone(&network), lookup);
        let inner = Self::builder(&network, &resolver, limits)?.build()?;
        let (presenting, may_send) = (Arc::default(), MaySend::when(|| true));
        Ok(Self { inner, presenting, network, resolver, limits, may_send })
    }

    fn builder(
        network: &Network,
        resolver: &Resolver,
        limits: RequestLimits,
    ) -> Result<reqwest::ClientBuilder, HttpClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .https_only(!network.allow_http)
            .connect_timeout(limits.connect)
            .pool_max_idle_per_host(0)
            .dns_resolver(resolver.clone());
        if let Some(proxy) = &network.proxy {
            guard::check_proxy(proxy)?;
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        if let Some(pem) = &network.ca_certificates {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(HttpClientError::NoCertificate);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(builder)
    }

    /// The client that presents this certificate.
    fn presenting(&self, certificate: &ClientCertificate) -> Result<reqwest::Client, SendError> {
        let mut kept = self.presenting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = kept.iter().find(|(known, _)| known == certificate) {
            return Ok(client.clone());
        }
        let builder =
            Self::builder(&self.network, &self.resolver, self.limits).map_err(|_| SendError::BadUrl)?;
        let built = certificate.identity().and_then(|identity| builder.identity(identity).build());
        let client = built.map_err(SendError::UnusableCertificate)?;
        if kept.len() >= KEPT_PRESENTING {
            kept.pop_front();
        }
        kept.push_back((certificate.clone(), client.clone()));
        Ok(client)
    }

    async fn exchange(&self, request: Request) -> Result<Received, SendError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| SendError::BadUrl)?;
        guard::check_url(&url, &self.network)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let span = span(request.method(), &host);
        let mut status = None;
        let answer = self.answer(request, &host, &mut status).instrument(span.clone());
        let answer = match tokio::time::timeout(self.limits.total, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::Deadline { host, after: self.limits.total, status }),
        };
        tell(&span, &answer);
        answer
    }

    /// Sends and reads; `seen` is set as soon as the status is known, even if the rest never comes.
    async fn answer(
        &self,
        request: Request,
        host: &str,
        seen: &mut Option<StatusCode>,
    ) -> Result<Received, SendError> {
        let certificate = ClientCertificate::of(request.extensions());
        let client = certificate.map_or(Ok(self.inner.clone()), |it| self.presenting(it))?;
        let guarded = |body: Vec<u8>| {
            if body.is_empty() {
                return reqwest::Body::default();
            }
            reqwest::Body::wrap(GuardedBody { bytes: Some(body.into()), may_send: self.may_send.clone() })
        };
        let mut request = reqwest::Request::try_from(request.map(guarded)).map_err(|_| SendError::BadUrl)?;
        let accept = http::HeaderValue::from_static("application/json");
        request.headers_mut().entry(http::header::ACCEPT).or_insert(accept);
        // Some servers compress all the same, so that is understood.
        let plain = http::HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, plain);
        let sent = client.execute(request).await;
        let mut response = sent.map_err(|error| failed(error.without_url(), host))?;
        let status = response.status();
        *seen = Some(status);
        let headers = response.headers().clone();
        let mut body = Vec::new();
        loop {
            let next = response.chunk().await;
            let host = host.to_owned();
            match next.map_err(reqwest::Error::without_url) {
                Ok(None) => return Ok(Received { status, headers, body }),
                Ok(Some(chunk)) if body.len() + chunk.len() > self.limits.body => {
                    return Err(SendError::TooLarge { host, status, limit: self.limits.body });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(source) => return Err(SendError::Truncated { host, status, source }),
            }
        }
    }
}

/// What traces show of a request: never its path or query, which may hold secrets.
fn span(method: &http::Method, host: &str) -> Span {
    tracing::info_span!(
        "provider",
        otel.name = %method,
        otel.kind = "client",
        http.request.method = %method,
        server.address = host,
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
        otel.status_description = tracing::field::Empty,
    )
}

fn tell(span: &Span, answer: &Result<Received, SendError>) {
    match answer {
        Ok(answer) => span.record("http.response.status_code", answer.status.as_u16()),
        Err(error) => span
            .record("otel.status_code", "ERROR")
            .record("otel.status_description", tracing::field::display(error)),
    };
}

impl Http for HttpClient {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Received, SendError>> {
        Box::pin(self.exchange(request))
    }

    fn network(&self) -> &Network {
        &self.network
    }
}

/// No HTTP client could be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The operator's bounds are narrower.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    #[error("the proxy {0}")]
    Proxy(#[from] AddressRefused),
    #[error("there is no certificate in PEM in the certificate authority's data")]
    NoCertificate,
    /// For example without any trusted root.
    #[error("cannot build the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// How many clients are kept; each holds the system's roots.
const KEPT_CLIENTS: usize = 64;

/// The clients for the networks of all providers, within the operator's bounds. Cloning shares them.
#[derive(Clone)]
pub struct Clients {
    bounds: Arc<NetworkBounds>,
    may_send: MaySend,
    built: Arc<Mutex<HashMap<Network, HttpClient>>>,
}

impl Clients {
    /// Clients within `bounds`, for requests that leave only while they may. Fails if not even the client for public
    /// providers can be built.
    pub fn new(bounds: NetworkBounds, may_send: MaySend) -> Result<Self, HttpClientError> {
        let clients = Self { bounds: Arc::new(bounds), may_send, built: Arc::default() };
        clients.client(&Network::default())?;
        Ok(clients)
    }

    /// The client for a network; usually the same one for the same network.
    pub fn client(&self, network: &Network) -> Result<HttpClient, HttpClientError> {
        self.bounds.check(network)?;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(network) {
            return Ok(client.clone());
        }
        let client = HttpClient::new(network.clone())?.guarded(self.may_send.clone());
        if built.len() >= KEPT_CLIENTS {
            // Clients in use stay alive at their providers.
            built.clear();
        }
        built.insert(network.clone(), client.clone());
        Ok(client)
    }
}
