//! Going to the provider: wait until the operator has prepared the address, take it once, redirect.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use bowline_api::attempt::{Attempt, Step};
use bowline_runtime::attempts::{AttemptError, StoredAttempt};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};

use crate::error::{PageError, Reply};
use crate::page::{Frame, OnwardPage, html};
use crate::view::page_of;
use crate::view::provider::Card;
use crate::visit::Visit;

const WAITS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// Seconds after which a page that still waits reloads.
const AGAIN_SECONDS: u32 = 2;

#[derive(Template)]
#[template(path = "waiting.html")]
struct WaitingPage {
    frame: Frame,
    card: Card,
    page: String,
}

/// `GET /leave/{attempt}`: a page that redirects as soon as the address is prepared.
pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Reply {
    let deadline = Instant::now() + WAITS;
    let mut kept = begun(&visit, &name).await?;
    while matches!(kept.attempt.step, Step::Asked { .. }) && Instant::now() < deadline {
        sleep(PAUSE).await;
        kept = begun(&visit, &name).await?;
    }
    let (card, page) = (visit.card(&kept.attempt.provider), connection_page(&kept.attempt));
    let mut frame = Frame::of(&visit, &format!("Going to {}", card.title), "connections").await;
    match kept.attempt.step {
        Step::Prepared { .. } => {
            let address = format!("/leave/{name}/go");
            Ok(html(&OnwardPage { frame, name: card.title, address }))
        }
        Step::Asked { .. } => {
            frame.again_after = Some(AGAIN_SECONDS);
            Ok(html(&WaitingPage { frame, card, page }))
        }
        _ => Ok(Redirect::to(&page).into_response()),
    }
}

/// `GET /leave/{attempt}/go`: redirects to the provider, once. The router refuses `HEAD`.
pub(crate) async fn go(visit: Visit, Path(name): Path<String>) -> Reply {
    let kept = begun(&visit, &name).await?;
    let Step::Prepared { session: digest, address, sealed } = kept.attempt.step.clone() else {
        return Ok(Redirect::to(&connection_page(&kept.attempt)).into_response());
    };
    let sent = kept.attempt.clone().with(Step::Sent { session: digest, sealed });
    visit.app.attempts.replace(kept, &sent).await?;
    Ok(Redirect::to(address.expose_secret()).into_response())
}

/// An open attempt of this session. Other sessions get the response for one that does not exist.
async fn begun(visit: &Visit, name: &str) -> Result<StoredAttempt, PageError> {
    if !is_attempt(name) {
        return Err(PageError::not_found());
    }
    let kept = visit.app.attempts.get(name).await?.ok_or_else(PageError::not_found)?;
    let Attempt { user, step, .. } = &kept.attempt;
    let foreign_session = kept.attempt.session().is_some_and(|began| *began != visit.session.digest());
    if user != visit.session.user() || foreign_session || matches!(step, Step::Waiting { .. }) {
        return Err(PageError::not_found());
    }
    if kept.attempt.is_expired_at(visit.now()) {
        return Err(AttemptError::Taken.into());
    }
    Ok(kept)
}

pub(crate) fn connection_page(attempt: &Attempt) -> String {
    page_of(&attempt.connection.namespace, &attempt.connection.name)
}

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
