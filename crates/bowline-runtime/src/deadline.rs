//! Every call to the API server ends: a deadline for the whole answer, whatever the server or the network does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use kube::client;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Layer, Service};

/// One object.
const CALL: Duration = Duration::from_secs(5);
/// A page of a listing.
const LIST: Duration = Duration::from_secs(30);
/// Until a watch is answered. The watch itself is as long as its client wants.
const WATCH_BEGINS: Duration = Duration::from_secs(30);

/// The API server did not answer in time. A write may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs())]
pub(crate) struct Unanswered(Duration);

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    within: Duration,
    /// Whether that is for the answer as a whole, and not only until it begins.
    whole: bool,
}

impl Limit {
    fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        if is_watch {
            return Self { within: WATCH_BEGINS, whole: false };
        }
        let is_list = request.method() == Method::GET && is_collection(request.uri().path());
        Self { within: if is_list { LIST } else { CALL }, whole: true }
    }
}

/// `/api/v1/secrets` or `/apis/group/v1/namespaces/team-a/secrets`, and not one object of them.
fn is_collection(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let prefix = if parts.next() == Some("api") { 1 } else { 2 };
    parts.skip(prefix).count() % 2 == 1
}

/// Gives each request of a client its deadline.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadlines;

impl<S> Layer<S> for Deadlines {
    type Service = CallsInTime<S>;

    fn layer(&self, inner: S) -> CallsInTime<S> {
        CallsInTime { inner }
    }
}

pub(crate) struct CallsInTime<S> {
    inner: S,
}

type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<BodyInTime<B>>, BoxError>> + Send>>;

impl<S, B> Service<Request<client::Body>> for CallsInTime<S>
where
    S: Service<Request<client::Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<BodyInTime<B>>;
    type Error = BoxError;
    type Future = Answer<B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<client::Body>) -> Self::Future {
        let limit = Limit::of(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let late = Unanswered(limit.within);
            let deadline = Instant::now() + limit.within;
            let answer = timeout_at(deadline, answer).await.map_err(|_| late)?.map_err(Into::into)?;
            let ends = limit.whole.then(|| (Box::pin(sleep_until(deadline)), late));
            Ok(answer.map(|body| BodyInTime { inner: Box::pin(body), ends }))
        })
    }
}

/// The body of an answer, up to its deadline.
pub(crate) struct BodyInTime<B> {
    inner: Pin<Box<B>>,
    ends: Option<(Pin<Box<Sleep>>, Unanswered)>,
}

impl<B> Body for BodyInTime<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = this.inner.as_mut().poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some((end, late)) = &mut this.ends else { return Poll::Pending };
        end.as_mut().poll(context).map(|()| Some(Err((*late).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use futures::future::pending;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{ListParams, WatchParams};
    use kube::client::{Body as Whole, ClientBuilder};
    use kube::{Api, Client};
    use tokio::time::timeout;

    use super::*;

    /// A body of which nothing arrives.
    struct Silence;

    impl Body for Silence {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    /// An API server that accepts requests and answers none, or sends headers and nothing after them.
    fn black_hole(headers: bool) -> Client {
        let silent = tower::service_fn(move |_: Request<Whole>| async move {
            if !headers {
                pending::<()>().await;
            }
            Ok::<_, BoxError>(Response::new(Silence))
        });
        ClientBuilder::new(silent, "default").with_layer(&Deadlines).build()
    }

    fn maps(client: Client) -> Api<ConfigMap> {
        Api::namespaced(client, "a")
    }

    #[tokio::test(start_paused = true)]
    async fn class_23_a_call_without_an_answer_ends_within_seconds() {
        for headers in [false, true] {
            let (client, began) = (black_hole(headers), Instant::now());
            let stuck = (0..33).map(|_| {
                let maps = maps(client.clone());
                async move { maps.get("m").await.map(drop) }
            });
            let ended = timeout(Duration::from_mins(10), futures::future::join_all(stuck)).await.unwrap();
            assert!(ended.iter().all(Result::is_err));
            assert_eq!(began.elapsed().as_secs(), CALL.as_secs(), "headers: {headers}");
            let listed = maps(client).list(&ListParams::default()).await;
            assert!(listed.is_err() && began.elapsed() <= CALL + LIST + Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_was_answered_may_be_silent() {
        let maps = maps(black_hole(true));
        let events = maps.watch(&WatchParams::default(), "0").await.unwrap();
        let mut events = std::pin::pin!(events);
        let next = futures::StreamExt::next(&mut events);
        assert!(timeout(Duration::from_mins(10), next).await.is_err(), "it ended by itself");
    }

    #[test]
    fn a_listing_may_take_longer_than_one_object() {
        for (path, list) in [
            ("/api/v1/secrets?limit=50", true),
            ("/api/v1/namespaces/a/secrets?&limit=50", true),
            ("/apis/bowline.dev/v1alpha1/workspaces", true),
            ("/api/v1/namespaces/kube-system", false),
            ("/api/v1/namespaces/a/secrets/s", false),
            ("/apis/bowline.dev/v1alpha1/namespaces/a/integrationconnections/c", false),
        ] {
            let limit = Limit::of(&Request::get(path).body(()).unwrap());
            assert_eq!(limit.within, if list { LIST } else { CALL }, "{path}");
        }
        let write = Limit::of(&Request::post("/api/v1/namespaces/a/secrets").body(()).unwrap());
        assert_eq!(write, Limit { within: CALL, whole: true });
        let watch = Limit::of(&Request::get("/api/v1/secrets?&watch=true").body(()).unwrap());
        assert!(!watch.whole);
    }
}
