//! A new attempt to connect.

use axum::response::{IntoResponse, Redirect};
use bowline_api::attempt::{
    Attempt, AttemptEnding, ConnectionRef, LIFETIME, OPEN_PER_USER, Step, attempt_name,
};
use bowline_api::reason::Reason;
use bowline_runtime::attempts::{AttemptError, Attempts, StoredAttempt};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{PageError, Reply};
use crate::metrics::ExceededLimit;
use crate::subject::{Subject, SubjectForm};
use crate::visit::Visit;

/// `POST …/start`
///
/// Redirects to a page, and that page to the provider: browsers apply `form-action` to a form's redirects as well, and no list
/// could name all hosts of a provider's sign-in.
pub(crate) async fn start(form: SubjectForm) -> Reply {
    let subject = &form.subject;
    let (visit, session) = (&subject.visit, &subject.visit.session);
    subject.need_to_connect()?;
    let state = visit.app.keys.marked()?;
    let shown = shown_terms(&form)?;
    let asked = Step::Asked { session: session.digest(), state: state.clone() };
    let attempt = begin(subject, &state, asked, shown).await?;
    tracing::info!(attempt, "an attempt to connect begins");
    Ok(Redirect::to(&format!("/leave/{attempt}")).into_response())
}

/// The digest of the terms that the form's page showed, if they are still those that the connection asks for.
pub(crate) fn shown_terms(form: &SubjectForm) -> Result<Option<String>, PageError> {
    let shown = form.fields.filled("terms");
    if shown.is_some_and(|shown| shown != form.subject.asked_terms().digest()) {
        return Err(PageError::conflict(
            "The connection changed",
            "Where its token goes or which access is asked for is no longer what your page showed.",
            "Go back, look at it again and continue.",
        ));
    }
    Ok(shown.map(ToOwned::to_owned))
}

/// Creates an attempt at this step of the visitor, who was shown these terms. Returns its name, which is derived from the state.
/// Whether they may is the caller's to ask.
pub(crate) async fn begin(
    subject: &Subject,
    state: &SecretString,
    step: Step,
    terms: Option<String>,
) -> Result<String, PageError> {
    let (visit, session) = (&subject.visit, &subject.visit.session);
    make_room(subject).await?;
    let (name, now) = (attempt_name(state.expose_secret()), visit.now());
    let attempt = Attempt {
        user: session.user().to_owned(),
        person: session.person.clone(),
        connection: reference(subject),
        request: None,
        terms,
        provider: subject.connection.spec.provider.clone(),
        started_at: now,
        expires_at: now + LIFETIME,
        step,
    };
    let made = visit.app.attempts.create(&name, &attempt).await?;
    recount(visit, made).await?;
    Ok(name)
}

/// The connection that an attempt is for.
pub(crate) fn reference(subject: &Subject) -> ConnectionRef {
    ConnectionRef {
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        uid: subject.connection.uid().unwrap_or_default(),
    }
}

/// Ends the user's earlier attempts on the same connection, and refuses more open attempts than are allowed.
async fn make_room(subject: &Subject) -> Result<(), PageError> {
    let (attempts, this) = (&subject.visit.app.attempts, reference(subject));
    let mut others = 0;
    for kept in open(&subject.visit).await? {
        let at_browser =
            matches!(kept.attempt.step, Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. });
        if kept.attempt.connection != this || !at_browser {
            others += 1;
            continue;
        }
        let ended = kept.attempt.clone().with(failed("A later attempt replaced it."));
        match attempts.replace(kept, &ended).await {
            // It moved on in the meantime, so it still counts as open.
            Err(AttemptError::Taken) => others += 1,
            result => drop(result?),
        }
    }
    few_enough(others)
}

/// Counts again now that the attempt exists: of several that start at the same time, no more than allowed stay open.
async fn recount(visit: &Visit, made: StoredAttempt) -> Result<(), PageError> {
    let others = open(visit).await?.iter().filter(|kept| kept.name != made.name).count();
    let verdict = few_enough(others);
    if verdict.is_err() {
        let ended = failed("Too many attempts were started at once, so this one was not started.");
        end(&visit.app.attempts, made, &ended).await?;
    }
    verdict
}

/// Ends an attempt, even while the operator is changing it.
async fn end(attempts: &Attempts, made: StoredAttempt, ended: &Step) -> Result<(), PageError> {
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

/// The open attempts that count towards the user's limit. Device codes do not: they are requested in the owner's name, one per
/// connection.
async fn open(visit: &Visit) -> Result<Vec<StoredAttempt>, PageError> {
    let (user, now) = (visit.session.user(), visit.now());
    let mut mine = visit.app.attempts.of_user(user).await?;
    mine.retain(|StoredAttempt { attempt, .. }| {
        let waits = matches!(attempt.step, Step::Waiting { .. });
        attempt.user == user && attempt.is_open_at(now) && !waits
    });
    Ok(mine)
}

fn few_enough(others: usize) -> Result<(), PageError> {
    let too_many =
        || PageError::too_many(ExceededLimit::Attempts, "You already have five open attempts to connect.");
    (others < OPEN_PER_USER).then_some(()).ok_or_else(too_many)
}

fn failed(message: &str) -> Step {
    Step::Ended(AttemptEnding::failed(Reason::AuthorizationFailed, message.to_owned()))
}
