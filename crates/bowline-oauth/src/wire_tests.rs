//! The HTTP client against real sockets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request as Incoming;
use axum::response::Response;
use axum::routing::any;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::answer::Lifetime;
use super::classify::Failure;
use super::fixtures::{app, description};
use super::guard::{DnsLookup, system_lookup};
use super::headers;
use super::http::{
    Clients, Http, HttpClient, HttpClientError, MaySend, Received, Request, RequestLimits, SendError, Sent,
};
use super::network::{Network, NetworkBounds};
use super::refresh::refresh;
use crate::catalog::errors::Class;

fn install_tls() {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// `http://` on this machine, as a test's provider needs.
fn loopback() -> Network {
    Network { allow_http: true, allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()], ..Network::default() }
}

fn client_of(network: Network, lookup: DnsLookup, limits: RequestLimits) -> HttpClient {
    install_tls();
    HttpClient::with(network, lookup, limits).unwrap()
}

fn insecure(limits: RequestLimits) -> HttpClient {
    client_of(loopback(), system_lookup(), limits)
}

/// Limits that no busy machine reaches. A test of a deadline uses a shorter one with a server that never answers.
fn quick() -> RequestLimits {
    RequestLimits { total: Duration::from_mins(1), connect: Duration::from_secs(30), body: 1000 }
}

fn post(url: &str) -> Request {
    http::Request::post(url).body(b"refresh_token=rt-canary".to_vec()).unwrap()
}

/// Serves the router; the address begins with `http://127.0.0.1:`.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Reads one request to its end, then does `then` with the connection.
async fn raw<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"rt-canary") && stream.read_buf(&mut request).await.unwrap() > 0 {}
            then(stream).await;
        }
    });
    address
}

async fn write_and_close(mut stream: TcpStream, text: &'static str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn failure(client: &HttpClient, url: &str) -> SendError {
    let error = client.send(post(url)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    error
}

#[tokio::test]
async fn an_answer_is_read_with_status_headers_and_body() {
    let echo = any(|request: Incoming| async move {
        let seen = format!(
            "{:?} {}",
            request.headers()["user-agent"],
            request.headers()["accept"].to_str().unwrap()
        );
        Response::builder().status(418).header("retry-after", "9").body(Body::from(seen)).unwrap()
    });
    let address = serve(Router::new().route("/", echo)).await;
    let received: Received = insecure(RequestLimits::default()).send(post(&address)).await.unwrap();
    assert_eq!(received.status, 418);
    let seen = format!("\"bowline/{}\" application/json", env!("CARGO_PKG_VERSION"));
    assert_eq!(received.body, seen.as_bytes());
    assert_eq!(headers::retry_after(&received.headers, Timestamp::UNIX_EPOCH), Some(Duration::from_secs(9)));
    assert!(!format!("{received:?}").contains("bowline"));
}

#[tokio::test]
async fn an_answer_that_is_compressed_unasked_is_understood_and_bounded_by_what_it_contains() {
    let compressed = |bytes: &'static [u8]| {
        any(move |request: Incoming| async move {
            assert_eq!(request.headers()["accept-encoding"], "identity");
            let answer = Response::builder().header("content-encoding", "gzip");
            answer.header("content-type", "application/json").body(Body::from(bytes)).unwrap()
        })
    };
    let router = Router::new()
        .route("/small", compressed(include_bytes!("samples/answer.json.gz")))
        .route("/large", compressed(include_bytes!("samples/two-mebibytes.json.gz")));
    let address = serve(router).await;
    let client = insecure(RequestLimits::default());
    let received = client.send(post(&format!("{address}/small"))).await.unwrap();
    assert_eq!(received.body, br#"{"access_token":"at","refresh_token":"rt2","expires_in":60}"#);
    let error = failure(&client, &format!("{address}/large")).await;
    assert!(matches!(error, SendError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let target = any(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready("followed")
    });
    let redirect = any(|request: Incoming| async move {
        let status = request.uri().path()[1..].parse::<u16>().unwrap();
        Response::builder().status(status).header("location", "/target").body(Body::empty()).unwrap()
    });
    let address = serve(Router::new().route("/target", target).route("/{status}", redirect)).await;
    for status in [301, 302, 303, 307, 308] {
        let received = insecure(quick()).send(post(&format!("{address}/{status}"))).await.unwrap();
        assert_eq!(received.status, status);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline_with_an_unknown_outcome() {
    let silent = any(std::future::pending::<&'static str>);
    let dripping = any(|| async {
        let drops = futures::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        });
        Body::from_stream(drops)
    });
    let address = serve(Router::new().route("/silent", silent).route("/drip", dripping)).await;
    for (path, status) in [("silent", None), ("drip", Some(200))] {
        let limits = RequestLimits { total: Duration::from_secs(3), ..quick() };
        let error = failure(&insecure(limits), &format!("{address}/{path}")).await;
        assert!(matches!(error, SendError::Deadline { .. }), "{error:?}");
        assert_eq!((error.sent(), error.status().map(|status| status.as_u16())), (Sent::MaybeSent, status));
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_dropped_while_it_streams() {
    let endless = any(|| async {
        Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 512]))
        }))
    });
    let exact = any(|| async { "x".repeat(1000) });
    let address = serve(Router::new().route("/endless", endless).route("/exact", exact)).await;
    let error = failure(&insecure(quick()), &format!("{address}/endless")).await;
    assert!(matches!(error, SendError::TooLarge { limit: 1000, .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::MaybeSent);
    let received = insecure(quick()).send(post(&format!("{address}/exact"))).await.unwrap();
    assert_eq!(received.body.len(), 1000);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown() {
    let closed = raw(|stream| async move { drop(stream) }).await;
    let reset = raw(|stream| async move { stream.set_zero_linger().unwrap() }).await;
    let garbage = raw(|stream| write_and_close(stream, "220 mail ready\r\n\r\n")).await;
    for address in [closed, reset, garbage] {
        let error = failure(&insecure(quick()), &address).await;
        assert!(matches!(error, SendError::Broken { .. }), "{error:?}");
        assert_eq!((error.sent(), Failure::from(error).class), (Sent::MaybeSent, Class::Transient));
    }
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"access_token\":\"ab";
    let error = failure(&insecure(quick()), &raw(move |stream| write_and_close(stream, half)).await).await;
    assert!(matches!(error, SendError::Truncated { .. }), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!((failure.class, failure.sent, failure.status), (Class::Transient, Sent::MaybeSent, Some(200)));
}

#[tokio::test]
async fn a_connection_that_never_stood_sent_nothing() {
    let client = insecure(RequestLimits { connect: Duration::from_millis(200), ..quick() });
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = failure(&client, &format!("http://{unused}/")).await;
    let no_tls = raw(|stream| async move { drop(stream) }).await.replace("http://", "https://");
    let no_tls = failure(&client, &no_tls).await;
    for error in [refused, no_tls] {
        assert!(matches!(error, SendError::Connect { .. }), "{error:?}");
        assert_eq!(error.sent(), Sent::NotSent);
        let said = Failure::from(error).summary;
        assert!(said.contains("no connection to 127.0.0.1 (a NetworkPolicy,"), "{said}");
    }
    let lost: DnsLookup =
        Arc::new(|_| Box::pin(std::future::ready(Err(std::io::Error::other("no such name")))));
    let lost = client_of(loopback(), lost, quick());
    let error = failure(&lost, "http://login.example.com/").await;
    assert!(matches!(error, SendError::NotFound { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_ends_at_the_connect_timeout_and_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let limits = RequestLimits { connect: Duration::from_millis(200), ..quick() };
    let error = failure(&insecure(limits), &address).await;
    assert!(matches!(error, SendError::Connect { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
}

#[tokio::test]
async fn the_guarded_client_does_not_dial_what_is_not_public() {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialled = Arc::new(AtomicUsize::new(0));
    let counted = dialled.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let rebinding: DnsLookup = Arc::new(|_| Box::pin(std::future::ready(Ok(vec![[127, 0, 0, 1].into()]))));
    let guarded = client_of(Network::default(), rebinding, quick());
    let hosts =
        ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "169.254.169.254"];
    for host in hosts.into_iter().chain(["login.example.com"]) {
        let error = failure(&guarded, &format!("https://{host}:{port}/token?code=canary")).await;
        assert!(matches!(error, SendError::Refused(_)), "{host} {error:?}");
        assert_eq!((error.sent(), Failure::from(error).class), (Sent::NotSent, Class::Config));
    }
    let error = failure(&guarded, &format!("http://8.8.8.8:{port}/")).await;
    assert!(matches!(error, SendError::Refused(_)), "{error:?}");
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_addresses_that_were_judged_are_the_ones_that_are_dialled() {
    let address = serve(Router::new().route("/", any(|| async { "here" }))).await;
    let port = address.rsplit(':').next().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let lookup: DnsLookup = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(vec![[127, 0, 0, 1].into()])))
    });
    let client = client_of(loopback(), lookup, quick());
    // The name exists nowhere: only our lookup can have led to the server.
    let received = client.send(post(&format!("http://login.example.invalid:{port}/"))).await.unwrap();
    assert_eq!((received.body.as_slice(), asked.load(Ordering::SeqCst)), (&b"here"[..], 1));
}

/// Runs the test above again in a process whose environment names a proxy: if the client used it, it would find a closed
/// port instead of the answer.
#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let test = "wire_tests::an_answer_is_read_with_status_headers_and_body";
    let mut child = tokio::task::spawn_blocking({
        let address = address.clone();
        move || {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
                command.env(name, &address);
            }
            command.env_remove("NO_PROXY").env_remove("no_proxy");
            command.args(["--exact", test]).output().unwrap()
        }
    });
    let output = tokio::select! {
        output = &mut child => output.unwrap(),
        _ = proxy.accept() => panic!("the proxy was asked"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// A proxy that notes the head of each request and answers `answer`.
async fn proxy(answer: &'static str) -> (Url, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (listener, noted) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::clone(&heads));
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            noted.lock().unwrap().push(String::from_utf8_lossy(&head).lines().next().unwrap().to_owned());
            write_and_close(stream, answer).await;
        }
    });
    (address, heads)
}

#[tokio::test]
async fn every_request_goes_through_the_providers_proxy_and_no_name_is_looked_up() {
    let (address, heads) = proxy("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere").await;
    let unasked: DnsLookup = Arc::new(|name| panic!("{name} was looked up"));
    let through = Network { allow_http: true, proxy: Some(address), ..Network::default() };
    let client = client_of(through, unasked, quick());
    let received = client.send(post("http://login.example.com/token")).await.unwrap();
    assert_eq!(received.body, b"here");
    // The tunnel is open, but what is behind it speaks no TLS: not a byte of the request was sent.
    let error = failure(&client, "https://login.example.com/token").await;
    assert_eq!(error.sent(), Sent::NotSent, "{error:?}");
    let error = failure(&client, "https://10.0.0.1/token").await;
    assert!(matches!(error, SendError::Refused(_)), "{error:?}");
    let heads = heads.lock().unwrap().clone();
    assert_eq!(
        heads,
        ["POST http://login.example.com/token HTTP/1.1", "CONNECT login.example.com:443 HTTP/1.1"]
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_sent_nothing() {
    let (address, _) = proxy("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let through = Network { proxy: Some(address), ..Network::default() };
    let error =
        failure(&client_of(through, system_lookup(), quick()), "https://login.example.com/token").await;
    assert_eq!(error.sent(), Sent::NotSent, "{error:?}");
}

#[tokio::test]
async fn a_private_authority_counts_for_the_provider_that_names_it_and_no_other() {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    install_tls();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"rt-canary") && stream.read_buf(&mut request).await.unwrap() > 0 {}
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let mut network = Network { allow_http: false, ..loopback() };
    let error = failure(&client_of(network.clone(), system_lookup(), quick()), &address).await;
    assert_eq!(error.sent(), Sent::NotSent, "{error:?}");
    network.ca_certificates = Some(authority.pem().into_bytes());
    let received = client_of(network, system_lookup(), quick()).send(post(&address)).await.unwrap();
    assert_eq!(received.body, b"here");
}

#[test]
fn a_client_is_built_within_the_operators_bounds_and_shared_by_equal_networks() {
    install_tls();
    let bounds = NetworkBounds { allow_http: true, ..NetworkBounds::default() };
    let clients = Clients::new(bounds, MaySend::when(|| true)).unwrap();
    let plain = Network { allow_http: true, ..Network::default() };
    let first = clients.client(&plain).unwrap();
    assert!(std::ptr::eq(first.network(), clients.client(&plain).unwrap().network()));
    assert!(matches!(clients.client(&loopback()), Err(HttpClientError::OutOfBounds(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn class_27_a_process_that_stopped_leading_while_it_connected_sends_no_token() {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let leads = Arc::new(AtomicBool::new(true));
    let (asked, stands) = (Arc::clone(&leads), Arc::clone(&leads));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stands.store(false, Ordering::SeqCst);
        let mut received = Vec::new();
        // It may be reset: the client gives the request up.
        let _ = stream.read_to_end(&mut received).await;
        String::from_utf8(received).unwrap()
    });
    // As if the process had been stopped between its decision and the first byte.
    let may_send = MaySend::when(move || {
        while asked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        asked.load(Ordering::SeqCst)
    });
    let bounds =
        NetworkBounds { allow_http: true, cidrs: loopback().allowed_cidrs, ..NetworkBounds::default() };
    let client = Clients::new(bounds, may_send).unwrap().client(&loopback()).unwrap();
    let error = client.send(post(&address)).await.unwrap_err();
    assert!(matches!(error, SendError::NotLeading), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
    let received = server.await.unwrap();
    assert!(!received.contains("canary"), "{received}");
}

#[test]
fn what_cannot_be_a_proxy_or_an_authority_is_refused() {
    install_tls();
    let proxy = |url: &str| Network { proxy: Some(url.parse().unwrap()), ..Network::default() };
    assert!(matches!(HttpClient::new(proxy("http://169.254.169.254")), Err(HttpClientError::Proxy(_))));
    let authority = |pem: &str| Network { ca_certificates: Some(pem.into()), ..Network::default() };
    assert!(matches!(HttpClient::new(authority("nothing")), Err(HttpClientError::NoCertificate)));
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(HttpClient::new(authority(damaged)), Err(HttpClientError::Client(_))));
}

#[tokio::test]
async fn a_refresh_over_the_wire_gives_tokens() {
    let token = any(|| async { r#"{"access_token":"at","refresh_token":"rt2","expires_in":"60"}"# });
    let address = serve(Router::new().route("/token", token)).await;
    let mut description = description();
    description.core.endpoints.token = Some(format!("{address}/token").parse().unwrap());
    let old = SecretString::from("rt-canary");
    let client = insecure(quick());
    let granted = refresh(&client, &description, &app(), &old, &[], Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(granted.answer.lifetime, Lifetime::Told(Duration::from_mins(1)));
    assert!(granted.answer.refresh_token.is_some());
}
