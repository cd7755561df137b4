//! The browser returns from the provider. One conditional write consumes the state, whatever else the query contains and
//! whoever sends it: also somebody who was led to consent to another person's attempt, so that an address which they then
//! pass on is worth nothing.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect};
use bowline_api::attempt::{Step, attempt_name};
use bowline_oauth::catalog;
use secrecy::ExposeSecret;

use super::approval;
use super::leave::connection_page;
use super::returned::{Callback, CallbackJudgement, CallbackShape, judge};
use crate::Portal;
use crate::error::{PageError, Reply};
use crate::metrics::ExceededLimit;
use crate::visit::session_of;

const TOO_OFTEN: &str = "This response of the provider was sent too often.";

pub(crate) async fn callback(
    State(app): State<Portal>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Reply {
    let query = query.unwrap_or_default();
    if let Some(approval) = approval::read(&query) {
        return approval::page(app, &provider, approval, &headers).await;
    }
    let callback = Callback::read(&query)
        .map_err(|flaw| PageError::bad_request(&format!("This is not a provider's response: {flaw}.")))?;
    let name = attempt_name(callback.state.expose_secret());
    let unknown = "No attempt is waiting for this response: it was finished already, or never started here.";
    // Anybody can send a callback. Only a state that we gave out costs a request to the API server, and only a few times.
    if !app.keys.has_marked(callback.state.expose_secret()) {
        return Err(over(unknown));
    }
    if !app.limits.callbacks.allows(name.clone(), app.clock.now()) {
        return Err(PageError::too_many(ExceededLimit::Callbacks, TOO_OFTEN));
    }
    let kept = app.attempts.get(&name).await?.ok_or_else(|| over(unknown))?;
    let session = session_of(&headers, &app);
    let shape = shape(&app, &kept.attempt.provider);
    match judge(&kept.attempt, callback, &provider, &shape, session.as_ref(), app.clock.now()) {
        CallbackJudgement::Over(why) => Err(over(why)),
        CallbackJudgement::Ended(ending) => {
            let why = ending.message.clone();
            let ended = kept.attempt.clone().with(Step::Ended(ending));
            app.attempts.replace(kept, &ended).await?;
            tracing::warn!(attempt = name, why, "a callback was refused");
            Err(over(&why))
        }
        CallbackJudgement::Returned(step) => {
            let returned = kept.attempt.clone().with(step);
            app.attempts.replace(kept, &returned).await?;
            Ok(Redirect::to(&connection_page(&returned)).into_response())
        }
    }
}

/// What the provider's description says of its callbacks.
fn shape(app: &Portal, provider: &str) -> CallbackShape {
    let object = app.cluster.provider(provider);
    let entry = object.and_then(|object| catalog::entry_of(&object.spec).ok());
    entry.map_or_else(CallbackShape::default, |entry| CallbackShape {
        parameters: entry.callback_parameters(),
        without_code: entry.link_session.is_some(),
    })
}

fn over(why: &str) -> PageError {
    let todo = "Go to the connection and start again if it is not connected.";
    PageError::conflict("This attempt to connect is over", why, todo)
}
