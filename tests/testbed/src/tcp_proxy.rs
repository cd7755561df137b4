//! A network between a process and the API server that can fail.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::Error;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It carries everything.
    Works,
    /// It closes every connection.
    Cut,
}

/// Forwards TCP connections to one address. Ends when dropped. Belongs to the current Tokio runtime.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
}

impl TcpProxy {
    /// Listens on a free port of this machine.
    pub async fn start(upstream: SocketAddr) -> Result<Self, Error> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::io("listen", "tcp"))?;
        let address = listener.local_addr().map_err(Error::io("listen", "tcp"))?;
        let network = Arc::new(watch::Sender::new(Network::Works));
        let seen = network.subscribe();
        tokio::spawn(async move {
            let mut gone = seen.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // An error: the proxy was dropped.
                    changed = gone.changed() => if changed.is_err() { return } else { continue },
                };
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(carry(stream, upstream, seen.clone()));
                }
            }
        });
        Ok(Self { address, network })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, with connections that are open too.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn carry(mut stream: TcpStream, upstream: SocketAddr, mut seen: watch::Receiver<Network>) {
    if *seen.borrow_and_update() == Network::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut server) => {}
        _ = seen.wait_for(|network| *network == Network::Cut) => {}
    }
}
