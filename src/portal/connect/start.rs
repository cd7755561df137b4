//! A new try to connect.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use kube::ResourceExt;
use secrecy::ExposeSecret;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::Act;
use super::super::pages::review::connectable;
use super::super::pages::subject::{For, Subject, subject};
use super::super::session::Session;
use crate::api::reason;
use crate::attempt::state::{attempt_name, random_text};
use crate::attempt::store::AttemptError;
use crate::attempt::{Attempt, ConnectionRef, Ending, LIFETIME, OPEN_PER_USER, Step};

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
        connection: reference(&subject),
        provider: subject.connection.spec.provider.clone(),
        started_at: now,
        expires_at: now + LIFETIME,
        step: Step::Asked { session: act.session.digest(), state },
    };
    app.attempts.create(&attempt_name, &attempt).await?;
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
        let open = kept.attempt.user == session.user() && kept.attempt.is_open_at(now);
        let at_browser =
            matches!(kept.attempt.step, Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. });
        if open && kept.attempt.connection == this && at_browser {
            let ended = kept.attempt.clone().with(Step::Ended(replaced()));
            match app.attempts.replace(kept, &ended).await {
                // Somebody moved it on meanwhile; it is one of the open ones then.
                Err(AttemptError::Taken) => others += 1,
                result => drop(result?),
            }
        } else if open && !matches!(kept.attempt.step, Step::Waiting { .. }) {
            // Codes on other devices do not count: whoever may connect asks for them in the owner's name, one a connection.
            others += 1;
        }
    }
    if others >= OPEN_PER_USER {
        return Err(Failure::too_many("You have begun to connect five times without coming back."));
    }
    Ok(())
}

fn replaced() -> Ending {
    Ending {
        connected: false,
        reason: reason::AUTHORIZATION_FAILED.to_owned(),
        message: "A later try took its place.".to_owned(),
    }
}
