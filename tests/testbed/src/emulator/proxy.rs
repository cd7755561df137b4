//! The way in: a proxy that ends TLS itself, with certificates of its own authority for the hosts that it plays.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::EmulatorError;
use super::authority::Authority;

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

/// What is played.
pub(super) struct Hosts {
    pub played: BTreeSet<String>,
    /// Those that take no connection without a client certificate.
    pub guarded: BTreeSet<String>,
    /// Issues the certificates that those accept.
    pub clients: Arc<Authority>,
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
    pub async fn start(hosts: Hosts, stop: CancellationToken) -> Result<Self, EmulatorError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let issuer = Authority::new()?;
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
    hosts: Hosts,
    issuer: Authority,
    strangers: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    async fn open(&self, mut stream: TcpStream) -> io::Result<Tunnel> {
        stream.set_nodelay(true)?;
        let wanted = wanted(&mut stream).await?;
        let host = wanted
            .strip_suffix(":443")
            .filter(|host| self.hosts.played.contains(*host))
            .map(ToOwned::to_owned);
        let Some(host) = host else {
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner).push(wanted);
            stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
            return Err(io::Error::other("the emulator does not play this host"));
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        let acceptor = self.acceptor(&host).map_err(io::Error::other)?;
        match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => Ok((stream, Host(host))),
            Err((error, mut stream)) => {
                // What was sent is read to its end, so that the client hears the alert and no reset.
                stream.read_to_end(&mut Vec::new()).await?;
                Err(error)
            }
        }
    }

    fn acceptor(&self, host: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions()?;
        let config = if self.hosts.guarded.contains(host) {
            let roots = Arc::new(self.hosts.clients.roots()?);
            config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
            )
        } else {
            config.with_no_client_auth()
        };
        let (certificate, key) = self.issuer.host(host)?;
        Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key)?)))
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
