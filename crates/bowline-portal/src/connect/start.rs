//! A new try to connect.

use axum::response::{IntoResponse, Redirect};
use bowline_api::attempt::{Attempt, ConnectionRef, Ending, LIFETIME, OPEN_PER_USER, Step, attempt_name};
use bowline_api::opaque::random_text;
use bowline_api::reason;
use bowline_runtime::attempts::{AttemptError, Attempts, Kept};
use kube::ResourceExt;
use secrecy::ExposeSecret;

use crate::failure::{Failure, Reply};
use crate::subject::{Subject, SubjectForm};
use crate::visit::Visit;

/// `POST …/start`
///
/// Leads to a page of ours, and that one to the provider: browsers hold a form's redirects to `form-action`, and no list
/// of ours could name all hosts that a provider's sign-in goes through.
pub(crate) async fn start(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    let (visit, session) = (&subject.visit, &subject.visit.session);
    subject.need_to_connect()?;
    make_room(subject).await?;
    let (state, now) = (random_text()?, visit.now());
    let attempt = attempt_name(state.expose_secret());
    let asked = Attempt {
        user: session.user().to_owned(),
        person: session.person().cloned(),
        connection: reference(subject),
        provider: subject.connection.spec.provider.clone(),
        started_at: now,
        expires_at: now + LIFETIME,
        step: Step::Asked { session: session.digest(), state },
    };
    let made = visit.app.attempts.create(&attempt, &asked).await?;
    recount(visit, made).await?;
    let Subject { namespace, name, .. } = subject;
    tracing::info!(user = session.user(), namespace, name, attempt, "a try to connect begins");
    Ok(Redirect::to(&format!("/leave/{attempt}")).into_response())
}

/// The connection that an attempt is for.
pub(crate) fn reference(subject: &Subject) -> ConnectionRef {
    ConnectionRef {
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        uid: subject.connection.uid().unwrap_or_default(),
    }
}

/// Ends this user's earlier tries on the same connection, and refuses one more than may be open.
async fn make_room(subject: &Subject) -> Result<(), Failure> {
    let (attempts, this) = (&subject.visit.app.attempts, reference(subject));
    let mut others = 0;
    for kept in open(&subject.visit).await? {
        let at_browser =
            matches!(kept.attempt.step, Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. });
        if kept.attempt.connection != this || !at_browser {
            others += 1;
            continue;
        }
        let ended = kept.attempt.clone().with(failed("A later try took its place."));
        match attempts.replace(kept, &ended).await {
            // Somebody moved it on meanwhile; it is one of the open ones then.
            Err(AttemptError::Taken) => others += 1,
            result => drop(result?),
        }
    }
    few_enough(others)
}

/// Refuses a try that was made while others were, and ends it. Each of them looks after it is there, so no more than may be
/// open pass each other.
async fn recount(visit: &Visit, made: Kept) -> Result<(), Failure> {
    let others = open(visit).await?.iter().filter(|kept| kept.name != made.name).count();
    let verdict = few_enough(others);
    if verdict.is_err() {
        let ended = failed("Too many tries to connect were begun at once, so this one was not.");
        end(&visit.app.attempts, made, &ended).await?;
    }
    verdict
}

/// Ends a try, also one that the operator moves on at this moment.
async fn end(attempts: &Attempts, made: Kept, ended: &Step) -> Result<(), Failure> {
    let (name, mut standing) = (made.name.clone(), Some(made));
    while let Some(kept) = standing {
        let ended = kept.attempt.clone().with(ended.clone());
        match attempts.replace(kept, &ended).await {
            Err(AttemptError::Taken) => standing = attempts.get(&name).await?,
            result => return Ok(result.map(drop)?),
        }
    }
    Ok(())
}

/// The tries that a user may have so many of. Codes on other devices are none: whoever may connect asks for them in the owner's
/// name, one a connection.
async fn open(visit: &Visit) -> Result<Vec<Kept>, Failure> {
    let (user, now) = (visit.session.user(), visit.now());
    let mut mine = visit.app.attempts.of_user(user).await?;
    mine.retain(|Kept { attempt, .. }| {
        let waits = matches!(attempt.step, Step::Waiting { .. });
        attempt.user == user && attempt.is_open_at(now) && !waits
    });
    Ok(mine)
}

fn few_enough(others: usize) -> Result<(), Failure> {
    let too_many = || Failure::too_many("You have begun to connect five times without coming back.");
    (others < OPEN_PER_USER).then_some(()).ok_or_else(too_many)
}

fn failed(message: &str) -> Step {
    Step::Ended(Ending::failed(reason::AUTHORIZATION_FAILED, message.to_owned()))
}
