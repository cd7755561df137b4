//! Server-sent events for a connection's page. An event only says that something changed; the page then reloads itself, so a
//! stream never contains anything that the page would not show.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use bowline_api::IntegrationConnection;
use bowline_api::names::connection_id;
use futures::Stream;
use futures::stream;
use kube::ResourceExt;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use crate::Portal;
use crate::access::Permission;
use crate::cluster::Cluster;
use crate::error::PageError;
use crate::metrics::ExceededLimit;
use crate::subject::is_label;
use crate::visit::{bindings_readable, session_of};

/// Browsers reconnect by themselves, and their session and rights are checked again.
const LASTS: Duration = Duration::from_mins(2);
/// Keeps proxies from closing the connection.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// The [`version`] that the page shows: something may change between loading the page and opening the stream.
#[derive(Deserialize)]
pub(crate) struct ShownVersion {
    #[serde(default)]
    seen: String,
}

/// `GET …/live?seen=VERSION`
///
/// Without a session the response is 401 and no redirect: the sign-in would remember this address as the page to return to.
pub(crate) async fn live(
    State(app): State<Portal>,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
    Query(shown): Query<ShownVersion>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    let session = session_of(&headers, &app).ok_or_else(PageError::not_signed_in)?;
    let permission = Permission::connection("get", &namespace, &name);
    if !is_label(&namespace) || !is_label(&name) || !app.access.allows(&session, permission).await? {
        return Err(PageError::not_found());
    }
    let too_many = || PageError::too_many(ExceededLimit::Streams, "You have too many pages open.");
    let place = app.limits.streams.take(session.user().to_owned()).ok_or_else(too_many)?;
    let until = Instant::now() + LASTS;
    // Where bindings come into question later is asked when the stream is opened again.
    let bindings = match app.cluster.connection(&namespace, &name) {
        Some(connection) => bindings_readable(&app, &session, &connection).await?,
        None => BTreeSet::new(),
    };
    let cluster = Arc::clone(&app.cluster);
    let page = OpenPage { cluster, namespace, name, bindings, version: Some(shown.seen) };
    // Subscribe first: later changes are received, earlier ones differ in the version.
    let state = (page, app.cluster.changes(), app.stop.clone(), place);
    let events = stream::unfold(state, move |(mut page, mut changes, stop, place)| async move {
        let event = tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep_until(until) => return None,
            () = tokio::time::sleep(HEARTBEAT) => Event::default().comment("still here"),
            () = page.news(&mut changes) => Event::default().event("changed").data("1"),
        };
        Some((Ok(event), (page, changes, stop, place)))
    });
    Ok(Sse::new(events))
}

struct OpenPage {
    cluster: Arc<Cluster>,
    namespace: String,
    name: String,
    /// The namespaces whose bindings the reader may list: what changes elsewhere is not told.
    bindings: BTreeSet<String>,
    /// What it shows or was notified of.
    version: Option<String>,
}

impl OpenPage {
    /// Returns when the page is out of date. Cancel safe.
    async fn news(&mut self, changes: &mut Receiver<String>) {
        let id = connection_id(&self.namespace, &self.name);
        loop {
            let connection = self.cluster.connection(&self.namespace, &self.name);
            let now = connection.map(|connection| version(&self.cluster, &connection, &self.bindings));
            if now != self.version {
                self.version = now;
                return;
            }
            // After a lag it could be any connection. The channel never closes: `cluster` has its sender.
            while changes.recv().await.is_ok_and(|changed| changed != id) {}
        }
    }
}

/// Identifies the state of a connection, its shares, and its bindings in these namespaces.
pub(crate) fn version(
    cluster: &Cluster,
    connection: &IntegrationConnection,
    namespaces: &BTreeSet<String>,
) -> String {
    let shares = cluster.shares_of(connection);
    let shares: BTreeSet<_> = shares.iter().map(|share| (share.uid(), share.resource_version())).collect();
    let bindings = cluster.bindings_of(&connection.id());
    let seen = bindings.iter().filter(|it| it.namespace().is_some_and(|it| namespaces.contains(&it)));
    let bindings: BTreeSet<_> = seen.map(|binding| (binding.uid(), binding.resource_version())).collect();
    let mut digest = DefaultHasher::new();
    (connection.uid(), connection.resource_version(), shares, bindings).hash(&mut digest);
    format!("{:x}", digest.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::Body;
    use axum::http::Uri;
    use bowline_runtime::tasks::Tasks;
    use kube::Client;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// An API server: the answers to one list of connections after the other. Each watch but the last has a gap.
    fn cluster(lists: Vec<Vec<Value>>, stop: &CancellationToken) -> Arc<Cluster> {
        let lists = Arc::new(Mutex::new(lists.into_iter().peekable()));
        let answer = move |uri: Uri| async move {
            let ours = uri.path().ends_with("/integrationconnections");
            let watch = uri.query().is_some_and(|query| query.contains("watch=true"));
            let mut lists = lists.lock().unwrap();
            if watch && ours && lists.peek().is_some() {
                let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                    "reason": "Expired", "message": "too old"});
                return Body::from(json!({"type": "ERROR", "object": gone}).to_string() + "\n");
            }
            if watch {
                return Body::from_stream(stream::pending::<Result<String, Infallible>>());
            }
            let items = if ours { lists.next().unwrap() } else { Vec::new() };
            let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
            Body::from(list.to_string())
        };
        Cluster::watch(&Client::new(Router::new().fallback(answer), "default"), &Tasks::until(stop.clone()))
    }

    fn connection(version: &str) -> Value {
        json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": "mail", "namespace": "n", "uid": "u", "resourceVersion": version},
            "spec": {"provider": "p", "owner": "alice"}})
    }

    fn open(cluster: &Arc<Cluster>) -> OpenPage {
        let (namespace, name) = ("n".to_owned(), "mail".to_owned());
        let bindings = BTreeSet::from([namespace.clone()]);
        let shown = cluster.connection(&namespace, &name);
        let version = shown.map(|connection| version(cluster, &connection, &bindings));
        OpenPage { cluster: Arc::clone(cluster), namespace, name, bindings, version }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_in_a_gap_of_the_watch_is_told() {
        let stop = CancellationToken::new();
        let lists = vec![vec![connection("1")], vec![connection("2")], Vec::new()];
        let cluster = cluster(lists, &stop);
        let mut changes = cluster.changes();
        cluster.wait_ready().await;
        let mut page = open(&cluster);
        for after in [true, false] {
            tokio::time::timeout(Duration::from_mins(5), page.news(&mut changes)).await.unwrap();
            assert_eq!(page.version.is_some(), after, "changed first, then gone");
        }
        stop.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_in_which_nothing_changed_says_nothing() {
        let stop = CancellationToken::new();
        let same = || vec![connection("1")];
        let cluster = cluster(vec![same(), same(), same()], &stop);
        let mut changes = cluster.changes();
        cluster.wait_ready().await;
        let mut page = open(&cluster);
        let news = tokio::time::timeout(Duration::from_mins(5), page.news(&mut changes)).await;
        assert!(news.is_err(), "the page was told that it changed");
        stop.cancel();
    }
}
