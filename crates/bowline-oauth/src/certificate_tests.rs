//! Clients that prove themselves with a certificate, against a server that asks for one in a real TLS handshake.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::app::App;
use super::authorize::{AuthorizationRequest, begin};
use super::catalog::calls::{ApiCall, Identity, IdentitySource, Probe, RevokeStyle};
use super::catalog::errors::Class;
use super::catalog::protocol::{AccountPaths, CertificateUse, ClientAuth, Proofs};
use super::catalog::{Description, entry};
use super::certificate::ClientCertificate;
use super::certificate::tests::Authority;
use super::classify::Failure;
use super::discovery::discover;
use super::fixtures::{app, description, pointers};
use super::guard::system_lookup;
use super::http::{HttpClient, RequestLimits, Sent};
use super::network::Network;
use super::refresh::refresh;
use super::revoke::{Revocation, Tokens, revoke};
use super::{device, identity, probe};

/// Path of each request, and the name in the certificate that came with it.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

struct Server {
    /// `https://localhost:` and the port.
    address: String,
    seen: Seen,
    http: HttpClient,
}

/// A server that asks for certificates of `clients`, and takes no connection without one if they are `required`.
async fn server(clients: &Authority, required: bool) -> Server {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = Authority::new("servers");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
    let verifier = if required { verifier } else { verifier.allow_unauthenticated() }.build().unwrap();
    let (certificate, key) = own.issues("localhost", 2020, 2060);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(verifier);
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (seen, base) = (Seen::default(), address.clone());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream, Arc::clone(&noted), base.clone()));
        }
    });
    let network = Network {
        allowed_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        ca_certificates: Some(own.pem().into_bytes()),
        ..Network::default()
    };
    let patient = Duration::from_mins(1);
    let limits = RequestLimits { total: patient, connect: patient, ..RequestLimits::default() };
    Server { address, seen, http: HttpClient::with(network, system_lookup(), limits).unwrap() }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream, seen: Seen, base: String) {
    let mut stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        // What was sent is read to its end, so that the alert arrives and no reset.
        Err((_, mut stream)) => return drop(stream.read_to_end(&mut Vec::new()).await),
    };
    let presented = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let client = presented.map(|certificate| {
        let certificate = webpki::EndEntityCert::try_from(certificate).unwrap();
        String::from_utf8_lossy(certificate.subject())
            .trim_start_matches(|c: char| !c.is_ascii_lowercase())
            .to_owned()
    });
    let mut request = Vec::new();
    let head = loop {
        stream.read_buf(&mut request).await.unwrap();
        if let Some(end) = request.windows(4).position(|part| part == b"\r\n\r\n") {
            break String::from_utf8(request[..end].to_vec()).unwrap();
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
    while request.len() < head.len() + 4 + length {
        stream.read_buf(&mut request).await.unwrap();
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, body) = match path.as_str() {
        "/token" => (200, json!({"access_token": "at", "refresh_token": "rt2", "expires_in": 60})),
        "/introspect" => (200, json!({"active": true})),
        "/push" => (201, json!({"request_uri": "urn:example:1", "expires_in": 60})),
        "/device" => (
            200,
            json!({"device_code": "dc", "user_code": "AAAA-BBBB", "verification_uri": format!("{base}/go"), "expires_in": 60}),
        ),
        _ => (200, json!({"sub": "8"})),
    };
    seen.lock().unwrap().push((path, client));
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A client without a secret that proves itself with a certificate.
fn app_with(certificate: Option<ClientCertificate>) -> App {
    App { client_secret: None, certificate, ..app() }
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

impl Server {
    fn description(&self) -> Description {
        let url = |path: &str| Some(format!("{}/{path}", self.address).parse().unwrap());
        let mut description = description();
        let endpoints = &mut description.core.endpoints;
        endpoints.token = url("token");
        endpoints.revocation = url("revoke");
        endpoints.introspection = url("introspect");
        endpoints.pushed_authorization_request = url("push");
        endpoints.device_authorization = url("device");
        endpoints.userinfo = url("me");
        let account = AccountPaths { id: vec![pointers("/sub")], ..AccountPaths::default() };
        description.core.identity =
            Some(Identity { from: vec![IdentitySource::Call], call: ApiCall::default(), account });
        description.core.probe = Some(Probe { every: "1h".to_owned().try_into().unwrap(), call: None });
        description.core.client_auth = vec![ClientAuth::TlsClientAuth];
        description.core.revoke.style = RevokeStyle::Rfc7009;
        description
    }

    async fn refreshes(&self, app: &App) -> Result<(), Failure> {
        let old = SecretString::from("rt-canary");
        refresh(&self.http, &self.description(), app, &old, &[], now()).await.map(drop)
    }

    /// Which requests came, with the certificate's name.
    fn seen(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Does everything that a connection does; returns what the server saw.
async fn all_requests(
    server: &Server,
    description: &Description,
    app: &App,
) -> Vec<(String, Option<String>)> {
    let (token, now) = (SecretString::from("at"), now());
    let http = &server.http;
    let request = AuthorizationRequest {
        redirect_uri: "https://portal.example.com/callback",
        state: &SecretString::from("state"),
        scopes: &[],
        expected: None,
    };
    begin(http, description, app, &request, now).await.unwrap();
    device::authorize(http, description, app, &[], now).await.unwrap();
    refresh(http, description, app, &token, &[], now).await.unwrap();
    let tokens = Tokens { refresh: Some(&token), ..Tokens::default() };
    assert_eq!(revoke(http, description, app, tokens, now).await.unwrap(), Revocation::Revoked);
    identity::user_info(http, description, Some(app), &token, now).await.unwrap();
    for way in probe::token_probes(description) {
        probe::token(http, description, Some(app), way, &token, now).await.unwrap();
    }
    server.seen()
}

fn presented(paths: &[&str], by: Option<&str>) -> Vec<(String, Option<String>)> {
    paths.iter().map(|path| ((*path).to_owned(), by.map(str::to_owned))).collect()
}

#[tokio::test]
async fn the_certificate_goes_where_the_client_proves_itself_and_to_calls_only_where_described() {
    let clients = Authority::new("clients");
    let server = server(&clients, false).await;
    let app = app_with(Some(clients.certificate("bowline")));
    let mut description = server.description();
    let seen = all_requests(&server, &description, &app).await;
    let mut want =
        presented(&["/push", "/device", "/token", "/revoke", "/me", "/introspect", "/me"], Some("bowline"));
    for index in [4, 6] {
        want[index].1 = None;
    }
    assert_eq!(seen, want);

    let all =
        presented(&["/push", "/device", "/token", "/revoke", "/me", "/introspect", "/me"], Some("bowline"));
    description.core.client_certificate = CertificateUse::AllRequests;
    assert_eq!(all_requests(&server, &description, &app).await, all);
    description.core.client_certificate = CertificateUse::ClientEndpoints;
    description.certificate_bound = true;
    assert_eq!(all_requests(&server, &description, &app).await, all, "tokens are bound to it");
}

#[tokio::test]
async fn only_the_id_is_sent_beside_the_certificate() {
    let clients = Authority::new("clients");
    let server = server(&clients, true).await;
    for way in [ClientAuth::TlsClientAuth, ClientAuth::SelfSignedTlsClientAuth] {
        let mut description = server.description();
        description.core.client_auth = vec![way, ClientAuth::None];
        let script = super::fixtures::Script::of(200, r#"{"access_token":"at"}"#);
        let app = App { certificate: Some(clients.certificate("bowline")), client_secret: None, ..app() };
        let old = SecretString::from("rt");
        refresh(&script, &description, &app, &old, &[], now()).await.unwrap();
        assert_eq!(script.body(), "grant_type=refresh_token&refresh_token=rt&client_id=client");
        let request = &script.requests()[0];
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(ClientCertificate::of(request.extensions()), app.certificate.as_ref());
        refresh(&server.http, &description, &app, &old, &[], now()).await.unwrap();
        assert_eq!(server.seen(), presented(&["/token"], Some("bowline")));
    }
}

#[tokio::test]
async fn a_certificate_that_replaces_another_is_presented_at_once() {
    let clients = Authority::new("clients");
    let server = server(&clients, true).await;
    for name in ["first", "second", "first"] {
        server.refreshes(&app_with(Some(clients.certificate(name)))).await.unwrap();
        assert_eq!(server.seen(), presented(&["/token"], Some(name)));
    }
}

#[tokio::test]
async fn a_server_that_does_not_take_the_certificate_has_not_read_the_request() {
    let clients = Authority::new("clients");
    let server = server(&clients, true).await;
    let foreign = Authority::new("somebody").certificate("bowline");
    let forged = Authority::new("clients").certificate("bowline");
    // Its last day was before this machine's, and the clock that we are given is behind.
    let (certificate, key) = clients.issues("bowline", 2020, 2021);
    let expired = ClientCertificate::read(&certificate, &key).unwrap();
    let early: Timestamp = "2020-06-01T00:00:00Z".parse().unwrap();
    let rows = [
        (foreign, now(), "UnknownCA"),
        (forged, now(), "DecryptError"),
        (expired, early, "CertificateExpired"),
    ];
    for (certificate, now, alert) in rows {
        let (app, old) = (app_with(Some(certificate)), SecretString::from("rt-canary"));
        let failure = refresh(&server.http, &server.description(), &app, &old, &[], now).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::Refused), "{failure}");
        assert!(failure.refuses_client() && failure.summary.contains(alert), "{failure}");
    }
    // A client that proves itself otherwise, at a server that takes no connection without a certificate.
    let mut description = server.description();
    description.core.client_auth = vec![ClientAuth::Basic];
    let old = SecretString::from("rt-canary");
    let failure = refresh(&server.http, &description, &app(), &old, &[], now()).await.unwrap_err();
    assert_eq!((failure.class, failure.sent), (Class::Config, Sent::Refused), "{failure}");
    assert!(failure.summary.contains("requires a TLS client certificate"), "{failure}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_without_the_certificate_or_outside_its_dates() {
    let clients = Authority::new("clients");
    let server = server(&clients, false).await;
    let (certificate, key) = clients.issues("bowline", 2020, 2021);
    let expired = ClientCertificate::read(&certificate, &key).unwrap();
    let (certificate, key) = clients.issues("bowline", 2050, 2051);
    let early = ClientCertificate::read(&certificate, &key).unwrap();
    let rows = [
        (None, "put tls.crt and tls.key"),
        (Some(expired), "expired at 2021"),
        (Some(early), "not valid before 2050"),
    ];
    for (certificate, words) in rows {
        let app = app_with(certificate);
        let failure = server.refreshes(&app).await.unwrap_err();
        assert_eq!((failure.class, failure.sent), (Class::Config, Sent::NotSent), "{failure}");
        assert!(failure.summary.contains(words), "{failure}");
        let mut description = server.description();
        description.core.client_certificate = CertificateUse::AllRequests;
        let token = SecretString::from("at");
        let failure =
            identity::user_info(&server.http, &description, Some(&app), &token, now()).await.unwrap_err();
        assert!(failure.sent == Sent::NotSent && failure.summary.contains(words), "{failure}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn metadata_names_other_addresses_for_clients_with_a_certificate() {
    let issuer = "https://login.example.com";
    let document = json!({
        "issuer": issuer,
        "token_endpoint": "https://login.example.com/token",
        "revocation_endpoint": "https://login.example.com/revoke",
        "userinfo_endpoint": "https://login.example.com/me",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "self_signed_tls_client_auth", "tls_client_auth"],
        "tls_client_certificate_bound_access_tokens": true,
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/token", "userinfo_endpoint": "https://mtls.example.com/me"},
    });
    let read = async |document: &serde_json::Value| {
        let script = super::fixtures::Script::of(200, &document.to_string());
        discover(&script, &issuer.parse().unwrap()).await
    };
    let metadata = read(&document).await.unwrap();
    let mut bare = description();
    bare.core.endpoints = entry::ProviderEndpoints::default();
    bare.core.client_auth = vec![
        ClientAuth::Basic,
        ClientAuth::Post,
        ClientAuth::TlsClientAuth,
        ClientAuth::SelfSignedTlsClientAuth,
    ];
    let with = |proofs: Proofs| {
        let found = bare.clone().with_metadata(&metadata, proofs);
        let addresses: Vec<_> = found.receiving_addresses().map(|(_, address)| address.to_string()).collect();
        (found.client_auth(proofs), found.calls_with_certificate(), addresses)
    };
    let address = |text: &str| format!("https://{text}");
    let secret = Proofs { secret: true, ..Proofs::default() };
    let plain = ["login.example.com/token", "login.example.com/revoke", "login.example.com/me"].map(address);
    assert_eq!(with(secret), (Some(ClientAuth::Basic), false, plain.to_vec()));
    let certificate = Proofs { certificate: true, ..Proofs::default() };
    let mutual = ["mtls.example.com/token", "login.example.com/revoke", "mtls.example.com/me"].map(address);
    assert_eq!(with(certificate), (Some(ClientAuth::TlsClientAuth), true, mutual.to_vec()));

    let mut inside = document.clone();
    inside["mtls_endpoint_aliases"]["token_endpoint"] = json!("https://10.0.0.1/token");
    assert!(read(&inside).await.unwrap_err().to_string().contains("10.0.0.1"));
}
