//! A new try to connect.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::attempt::attempt_name;
use bowline_api::attempt::{Attempt, ConnectionRef, Ending, LIFETIME, OPEN_PER_USER, Step};
use bowline_api::opaque::random_text;
use bowline_api::reason;
use bowline_runtime::attempts::{AttemptError, Kept};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use secrecy::ExposeSecret;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::Act;
use super::super::pages::review::connectable;
use super::super::pages::subject::{For, Subject, subject};
use super::super::session::Session;

/// `POST …/start`
///
/// Leads to a page of ours, and that one to the provider: browsers hold a form's redirects to `form-action`, and no list
/// of ours could name all hosts that a provider's sign-in goes through.
pub async fn start(
    State(app): State<App>,
    Path((namespace, name)): Path<(String, String)>,
    act: Act,
) -> Result<Response, Failure> {
    let subject = subject(&app, &act.session, &namespace, &name, For::AChange).await?;
    connectable(&subject)?;
    make_room(&app, &act.session, &subject).await?;
    let state = random_text().map_err(|error| Failure::internal(&error))?;
    let attempt_name = attempt_name(state.expose_secret());
    let now = app.clock.now();
    let attempt = Attempt {
        user: act.session.user().to_owned(),
        person: act.session.person().cloned(),
        connection: reference(&subject),
        provider: subject.connection.spec.provider.clone(),
        started_at: now,
        expires_at: now + LIFETIME,
        step: Step::Asked { session: act.session.digest(), state },
    };
    let made = app.attempts.create(&attempt_name, &attempt).await?;
    recount(&app, &act.session, made).await?;
    tracing::info!(
        user = act.session.user(),
        namespace,
        name,
        attempt = attempt_name,
        "a try to connect begins"
    );
    Ok(Redirect::to(&format!("/leave/{attempt_name}")).into_response())
}

/// The connection that an attempt is for.
pub fn reference(subject: &Subject) -> ConnectionRef {
    ConnectionRef {
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        uid: subject.connection.uid().unwrap_or_default(),
    }
}

/// Ends this user's earlier tries on the same connection, and refuses one more than may be open.
async fn make_room(app: &App, session: &Session, subject: &Subject) -> Result<(), Failure> {
    let (now, this) = (app.clock.now(), reference(subject));
    let mut others = 0;
    for kept in app.attempts.of_user(session.user()).await? {
        let at_browser =
            matches!(kept.attempt.step, Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. });
        let counts = counts(&kept.attempt, session, now);
        if counts && kept.attempt.connection == this && at_browser {
            let ended = kept.attempt.clone().with(Step::Ended(replaced()));
            match app.attempts.replace(kept, &ended).await {
                // Somebody moved it on meanwhile; it is one of the open ones then.
                Err(AttemptError::Taken) => others += 1,
                result => drop(result?),
            }
        } else if counts {
            others += 1;
        }
    }
    few_enough(others)
}

/// Refuses a try that was made while others were, and ends it. Each of them looks after it is there, so no more than may be
/// open pass each other.
async fn recount(app: &App, session: &Session, made: Kept) -> Result<(), Failure> {
    let (now, mine) = (app.clock.now(), app.attempts.of_user(session.user()).await?);
    let others = mine.iter().filter(|kept| kept.name != made.name && counts(&kept.attempt, session, now));
    let verdict = few_enough(others.count());
    if verdict.is_err() {
        let message = "Too many tries to connect were begun at once, so this one was not.";
        let ending = Ending::failed(reason::AUTHORIZATION_FAILED, message.to_owned());
        end(app, made, &ending).await?;
    }
    verdict
}

/// Ends a try, also one that the operator moves on at this moment.
async fn end(app: &App, kept: Kept, ending: &Ending) -> Result<(), Failure> {
    let (name, mut standing) = (kept.name.clone(), Some(kept));
    while let Some(kept) = standing {
        let ended = kept.attempt.clone().with(Step::Ended(ending.clone()));
        match app.attempts.replace(kept, &ended).await {
            Err(AttemptError::Taken) => standing = app.attempts.get(&name).await?,
            result => return Ok(result.map(drop)?),
        }
    }
    Ok(())
}

/// Whether it is one of the tries that a user may have so many of. Codes on other devices are not: whoever may connect asks for
/// them in the owner's name, one a connection.
fn counts(attempt: &Attempt, session: &Session, now: Timestamp) -> bool {
    let waits = matches!(attempt.step, Step::Waiting { .. });
    attempt.user == session.user() && attempt.is_open_at(now) && !waits
}

fn few_enough(others: usize) -> Result<(), Failure> {
    if others < OPEN_PER_USER {
        return Ok(());
    }
    Err(Failure::too_many("You have begun to connect five times without coming back."))
}

fn replaced() -> Ending {
    Ending::failed(reason::AUTHORIZATION_FAILED, "A later try took its place.".to_owned())
}
