//! Server-sent events for a connection's page: one word when something may have changed. The page then loads itself
//! again, so that nothing is told here that the page would not show.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use futures::Stream;
use futures::stream;
use kube::ResourceExt;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::App;
use super::access::Question;
use super::cluster::Cluster;
use super::failure::Failure;
use super::form::session_of;
use super::pages::subject::is_label;
use crate::api::IntegrationConnection;
use crate::api::names::connection_id;

/// Browsers connect again by themselves, and are asked again who they are.
const LASTS: Duration = Duration::from_mins(2);
/// A word now and then keeps proxies from hanging up.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// What the page that listens shows.
#[derive(Deserialize)]
pub struct Shown {
    /// Its [`version`]. Something may change between loading a page and listening.
    #[serde(default)]
    seen: String,
}

/// `GET …/live?seen=VERSION`
///
/// A page listens here by itself. Where the session has ended it is told so, and nobody is sent to sign in: what came of that
/// would be kept as where to go afterwards, in place of the page.
pub async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Path((namespace, name)): Path<(String, String)>,
    Query(shown): Query<Shown>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let session = session_of(&headers, &app).ok_or_else(Failure::not_signed_in)?;
    let question = Question::connection("get", &namespace, &name);
    if !is_label(&namespace) || !is_label(&name) || !app.access.allows(&session, question).await? {
        return Err(Failure::not_found());
    }
    let id = connection_id(&namespace, &name);
    let until = Instant::now() + LASTS;
    // Listening comes first: what changes from here on is heard, what changed before shows in the version.
    let changes = app.cluster.changes();
    let now = app.cluster.connection(&namespace, &name).map(|connection| version(&app.cluster, &connection));
    let missed = now != Some(shown.seen);
    let state = (changes, app.stop.clone(), id, missed);
    let events = stream::unfold(state, move |(mut changes, stop, id, missed)| async move {
        let event = tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep_until(until) => return None,
            () = tokio::time::sleep(HEARTBEAT) => Event::default().comment("still here"),
            () = changed(&mut changes, &id, missed) => Event::default().event("changed").data("1"),
        };
        Some((Ok(event), (changes, stop, id, false)))
    });
    Ok(Sse::new(events))
}

/// Stands for everything on a connection's page that is followed: the connection and its shares as they are.
pub fn version(cluster: &Cluster, connection: &IntegrationConnection) -> String {
    let uid = connection.uid().unwrap_or_default();
    let shares = cluster.shares.state();
    let ours = shares.iter().filter(|share| share.spec.connection.uid == uid);
    let versions: BTreeSet<_> = ours.map(|share| (share.uid(), share.resource_version())).collect();
    let mut digest = DefaultHasher::new();
    (uid, connection.resource_version(), versions).hash(&mut digest);
    format!("{:x}", digest.finish())
}

/// Returns when the connection may have changed: it did, or we were too slow to know.
async fn changed(changes: &mut tokio::sync::broadcast::Receiver<String>, id: &str, missed: bool) {
    if missed {
        return;
    }
    loop {
        match changes.recv().await {
            Ok(other) if other != id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
