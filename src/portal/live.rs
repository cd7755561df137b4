//! Server-sent events for a connection's page: one word when something may have changed. The page then loads itself
//! again, so that nothing is told here that the page would not show.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use futures::Stream;
use futures::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::App;
use super::access::Question;
use super::failure::Failure;
use super::form::SignedIn;
use super::pages::subject::is_label;
use crate::api::names::connection_id;

/// Browsers connect again by themselves, and are asked again who they are.
const LASTS: Duration = Duration::from_mins(2);
/// A word now and then keeps proxies from hanging up.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// `GET …/live`
pub async fn live(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let question = Question::connection("get", &namespace, &name);
    if !is_label(&namespace) || !is_label(&name) || !app.access.allows(&session, question).await? {
        return Err(Failure::not_found());
    }
    let id = connection_id(&namespace, &name);
    let until = Instant::now() + LASTS;
    let state = (app.cluster.changes(), app.stop.clone(), id);
    let events = stream::unfold(state, move |(mut changes, stop, id)| async move {
        let event = tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep_until(until) => return None,
            () = tokio::time::sleep(HEARTBEAT) => Event::default().comment("still here"),
            () = changed(&mut changes, &id) => Event::default().event("changed").data("1"),
        };
        Some((Ok(event), (changes, stop, id)))
    });
    Ok(Sse::new(events))
}

/// Returns when the connection may have changed: it did, or we were too slow to know.
async fn changed(changes: &mut tokio::sync::broadcast::Receiver<String>, id: &str) {
    loop {
        match changes.recv().await {
            Ok(other) if other != id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
