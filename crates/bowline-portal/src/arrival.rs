//! How long the headers of a request take to arrive, counted from their first byte: a connection that is idle between two
//! requests is a proxy's, one that sends a header a minute is not.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

#[derive(Default)]
struct State {
    /// When the first byte of a request came that is not complete.
    since: Option<Instant>,
    /// Whether a request is being answered; what is read then is its body.
    answering: bool,
}

/// The arrival of requests on one connection.
#[derive(Clone, Default)]
pub(crate) struct HeaderTiming {
    state: Arc<Mutex<State>>,
    begins: Arc<Notify>,
}

impl HeaderTiming {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn got_bytes(&self) {
        let mut state = self.state();
        if !state.answering && state.since.is_none() {
            state.since = Some(Instant::now());
            self.begins.notify_one();
        }
    }

    /// A request is complete and being answered until the returned guard is dropped.
    pub(crate) fn complete(&self) -> Answering {
        *self.state() = State { since: None, answering: true };
        Answering(self.clone())
    }

    /// Returns when a request has taken longer than this to arrive.
    pub(crate) async fn overdue(&self, limit: Duration) {
        loop {
            let since = self.state().since;
            match since {
                None => self.begins.notified().await,
                Some(since) if since.elapsed() >= limit => return,
                Some(since) => sleep_until(since + limit).await,
            }
        }
    }
}

pub(crate) struct Answering(HeaderTiming);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().answering = false;
    }
}

/// A connection whose requests are timed.
pub(crate) struct Timed<S> {
    pub(crate) stream: S,
    pub(crate) arrival: HeaderTiming,
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.arrival.got_bytes();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
