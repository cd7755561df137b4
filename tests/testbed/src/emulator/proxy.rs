//! The way in: a proxy that ends TLS itself, with certificates of its own authority for the hosts that it plays.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::EmulatorError;

/// The longest request for a tunnel.
const MAX_HEAD: usize = 8 * 1024;

/// The host at the end of a tunnel.
#[derive(Clone, Debug)]
pub(super) struct Host(pub String);

impl Connected<IncomingStream<'_, Tunnels>> for Host {
    fn connect_info(stream: IncomingStream<'_, Tunnels>) -> Self {
        stream.remote_addr().clone()
    }
}

type Tunnel = (TlsStream<TcpStream>, Host);

/// Tunnels whose TLS stands.
pub(super) struct Tunnels {
    open: mpsc::Receiver<Tunnel>,
    address: SocketAddr,
}

impl Listener for Tunnels {
    type Io = TlsStream<TcpStream>;
    type Addr = Host;

    async fn accept(&mut self) -> Tunnel {
        match self.open.recv().await {
            Some(tunnel) => tunnel,
            // Nobody listens any more; the server is about to stop.
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Host> {
        Ok(Host(self.address.to_string()))
    }
}

/// A proxy that listens.
pub(super) struct Proxy {
    pub address: SocketAddr,
    /// The authority's certificate in PEM.
    pub authority: String,
    pub tunnels: Tunnels,
    /// What was refused.
    pub strangers: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Listens until `stop`.
    pub async fn start(hosts: BTreeSet<String>, stop: CancellationToken) -> Result<Self, EmulatorError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (authority, strangers) = (issuer.pem(), Arc::default());
        let gate = Arc::new(Gate { hosts, issuer, strangers: Arc::clone(&strangers) });
        let (sender, open) = mpsc::channel(8);
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (gate, sender) = (Arc::clone(&gate), sender.clone());
                tokio::spawn(async move {
                    match gate.open(stream).await {
                        // The server has stopped: nobody waits for this one.
                        Ok(tunnel) => drop(sender.send(tunnel).await),
                        Err(error) => tracing::debug!(%error, "no tunnel"),
                    }
                });
            }
        }));
        Ok(Self { address, authority, tunnels: Tunnels { open, address }, strangers })
    }
}

struct Gate {
    hosts: BTreeSet<String>,
    issuer: CertifiedIssuer<'static, KeyPair>,
    strangers: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    async fn open(&self, mut stream: TcpStream) -> io::Result<Tunnel> {
        stream.set_nodelay(true)?;
        let wanted = wanted(&mut stream).await?;
        let host =
            wanted.strip_suffix(":443").filter(|host| self.hosts.contains(*host)).map(ToOwned::to_owned);
        let Some(host) = host else {
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner).push(wanted);
            stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
            return Err(io::Error::other("the emulator does not play this host"));
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        let acceptor = self.acceptor(&host).map_err(io::Error::other)?;
        Ok((acceptor.accept(stream).await?, Host(host)))
    }

    fn acceptor(&self, host: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The `host:port` of a CONNECT request (RFC 9110 §9.3.6); of any other, its first line.
async fn wanted(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    Ok(target.unwrap_or(line).to_owned())
}
