//! Serves HTTP with limits on the number of connections and on their time.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{HeaderTiming, Timed};
use crate::limits::ConcurrencyLimit;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Time to receive the headers of a request, counted from their first byte.
    pub(crate) headers: Duration,
    /// Time to wait for that first byte, counted from the end of the previous request.
    pub(crate) idle: Duration,
    /// Lifetime of a connection; a request that is in progress may finish.
    pub(crate) connection: Duration,
    /// Time for that request to finish.
    pub(crate) ending: Duration,
    /// Number of open connections, in total and for one peer, which may be a proxy for many users.
    pub(crate) connections: usize,
    pub(crate) connections_of_peer: usize,
}

impl Default for Bounds {
    /// Proxies commonly keep idle connections for 60 seconds. If we closed them earlier, a request could get lost.
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            connection: Duration::from_mins(5),
            ending: Duration::from_secs(30),
            connections: 1024,
            connections_of_peer: 512,
        }
    }
}

/// Serves until `stop`, then finishes the requests in progress.
pub(crate) async fn serve(
    mut listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let places = ConcurrencyLimit::new(bounds.connections, bounds.connections_of_peer);
    let open = TaskTracker::new();
    while let Some((stream, peer)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
        // Closed without a response, which would take the resources that are short.
        let Some(place) = places.take(peer.ip()) else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        open.spawn(async move {
            connection(stream, peer, router, bounds, stop).await;
            drop(place);
        });
    }
    tracing::info!("shutting down");
    drop(listener);
    open.close();
    open.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let arrival = HeaderTiming::default();
    let arriving = arrival.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = arriving.complete();
        let answer = router.call(request);
        async move {
            let answer = answer.await;
            drop(answering);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.idle);
    let timed = Timed { stream, arrival: arrival.clone() };
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(timed), service));
    // The result does not matter: every request has its own log line.
    tokio::select! {
        _ = served.as_mut() => return,
        () = arrival.overdue(bounds.headers) => return,
        () = stop.cancelled() => {}
        () = sleep(bounds.connection) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(bounds.ending, served).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::http::Uri;
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(50);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    /// Patient bounds.
    fn bounds() -> Bounds {
        Bounds { headers: LONG, idle: LONG, connection: LONG, ending: LONG, ..Bounds::default() }
    }

    /// A server with a short response and an endless one.
    async fn started(bounds: Bounds) -> (SocketAddr, CancellationToken) {
        let router = Router::new().fallback(async |uri: Uri| match uri.path() {
            "/endless" => Body::from_stream(stream::repeat(Ok::<_, Infallible>("more "))),
            _ => Body::from("page"),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve(listener, router, bounds, stop.clone()));
        (address, stop)
    }

    async fn sending(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// What the server sends until it closes the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        // It may also reset the connection.
        let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the server does not hang up");
        String::from_utf8(bytes).unwrap()
    }

    /// Repeats the request until it is served.
    async fn until_served(address: SocketAddr) {
        let served = async { while !rest(sending(address, REQUEST).await).await.ends_with("page") {} };
        timeout(LONG, served).await.expect("no place becomes free");
    }

    #[tokio::test]
    async fn who_sends_half_a_header_is_hung_up_on() {
        for (half, bounds) in [
            ("", Bounds { idle: SHORT, ..bounds() }),
            ("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", Bounds { headers: SHORT, ..bounds() }),
        ] {
            let (address, _stop) = started(bounds).await;
            assert!(!rest(sending(address, half.as_bytes()).await).await.contains("page"), "{half}");
            assert!(rest(sending(address, REQUEST).await).await.ends_with("page"));
        }
    }

    #[tokio::test]
    async fn class_10_who_sends_slowly_is_hung_up_on_and_who_waits_between_requests_is_not() {
        let (address, _stop) = started(Bounds { headers: SHORT, ..bounds() }).await;
        let mut idle = sending(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut answer = [0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        let slow = sending(address, b"GET / HTTP/1.1\r\nX-Slow: ").await;
        assert!(!rest(slow).await.contains("page"));
        // That took longer than a header may take, and this one has been idle since before.
        idle.write_all(REQUEST).await.unwrap();
        assert!(rest(idle).await.ends_with("page"));
    }

    #[tokio::test]
    async fn who_reads_nothing_keeps_its_place_only_for_a_while() {
        let short = Bounds { connection: SHORT, ending: SHORT, connections_of_peer: 1, ..bounds() };
        let (address, _stop) = started(short).await;
        let _unread = sending(address, b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until_served(address).await;
    }

    #[tokio::test]
    async fn one_connection_more_than_a_peer_may_have_is_closed_and_the_next_after_one_ended_is_not() {
        let (address, _stop) = started(Bounds { connections_of_peer: 1, ..bounds() }).await;
        let one = sending(address, b"GET /").await;
        assert_eq!(rest(sending(address, REQUEST).await).await, "");
        drop(one);
        until_served(address).await;
    }

    #[tokio::test]
    async fn the_end_of_the_process_closes_what_waits() {
        let (address, stop) = started(bounds()).await;
        let idle = sending(address, b"").await;
        assert!(rest(sending(address, REQUEST).await).await.ends_with("page"));
        stop.cancel();
        assert_eq!(rest(idle).await, "");
    }
}
