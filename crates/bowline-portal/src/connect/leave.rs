//! Leaving for the provider: wait until the operator has made the address, take it once, go.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::attempt::{Attempt, Step};
use bowline_runtime::attempts::Kept;
use secrecy::ExposeSecret;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::pages::{Frame, OnwardPage, html};
use super::super::session::Session;
use super::super::view::provider::Card;

/// How long one request waits for the address.
const WAITS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// A page that still waits looks again after so many seconds.
const AGAIN_SECONDS: u32 = 2;

#[derive(Template)]
#[template(path = "waiting.html")]
struct WaitingPage {
    frame: Frame,
    card: Card,
    page: String,
}

/// `GET /leave/{attempt}`: a page that leads on once there is an address.
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let deadline = tokio::time::Instant::now() + WAITS;
    let (mut kept, mut card) = begun(&app, &session, &name).await?;
    while matches!(kept.attempt.step, Step::Asked { .. }) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        (kept, card) = begun(&app, &session, &name).await?;
    }
    let mut frame = Frame::of(&app, &session, &format!("Going to {}", card.title), "connections").await;
    match kept.attempt.step {
        Step::Prepared { .. } => {
            let address = format!("/leave/{name}/go");
            Ok(html(&OnwardPage { frame, name: card.title, address }))
        }
        Step::Asked { .. } => {
            frame.again_after = Some(AGAIN_SECONDS);
            let page = connection_page(&kept.attempt);
            Ok(html(&WaitingPage { frame, card, page }))
        }
        _ => Ok(Redirect::to(&connection_page(&kept.attempt)).into_response()),
    }
}

/// `GET /leave/{attempt}/go`: takes the address. A second time there is none. The router lets no `HEAD` through.
pub async fn go(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let (kept, _) = begun(&app, &session, &name).await?;
    let Step::Prepared { session: digest, address, sealed } = kept.attempt.step.clone() else {
        return Ok(Redirect::to(&connection_page(&kept.attempt)).into_response());
    };
    let sent = kept.attempt.clone().with(Step::Sent { session: digest, sealed });
    app.attempts.replace(kept, &sent).await?;
    Ok(Redirect::to(address.expose_secret()).into_response())
}

/// A try of this very session that is not over; for anybody else there is none.
async fn begun(app: &App, session: &Session, name: &str) -> Result<(Kept, Card), Failure> {
    if !is_attempt(name) {
        return Err(Failure::not_found());
    }
    let kept = app.attempts.get(name).await?.ok_or_else(Failure::not_found)?;
    let Attempt { user, step, .. } = &kept.attempt;
    let foreign_session = kept.attempt.session().is_some_and(|began| *began != session.digest());
    if user != session.user() || foreign_session || matches!(step, Step::Waiting { .. }) {
        return Err(Failure::not_found());
    }
    if kept.attempt.is_expired_at(app.clock.now()) {
        return Err(bowline_runtime::attempts::AttemptError::Taken.into());
    }
    let provider = app.cluster.provider(&kept.attempt.provider);
    let card = provider.map_or_else(|| Card::unknown(&kept.attempt.provider), |provider| Card::of(&provider));
    Ok((kept, card))
}

/// The page of the connection that a try is for.
pub fn connection_page(attempt: &Attempt) -> String {
    format!("/connections/{}/{}", attempt.connection.namespace, attempt.connection.name)
}

/// Whether it can be the name of an attempt: `attempt-` and hexadecimal digits.
fn is_attempt(name: &str) -> bool {
    name.strip_prefix("attempt-").is_some_and(|digits| {
        digits.len() == 40
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use bowline_api::attempt::attempt_name;

    use super::*;

    #[test]
    fn only_names_of_attempts_are_looked_up() {
        assert!(is_attempt(&attempt_name("state")));
        for bad in ["", "attempt-", "attempt-xyz", "bowline-keyring", &format!("attempt-{}", "A".repeat(40))]
        {
            assert!(!is_attempt(bad), "{bad}");
        }
    }
}
