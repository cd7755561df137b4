//! The state of the visitor's last attempt, for the connection's page.

use bowline_api::IntegrationConnection;
use bowline_api::attempt::{Attempt, AttemptEnding, AuthorizationResponse, EndResult, Step};
use bowline_runtime::attempts::StoredAttempt;
use k8s_openapi::jiff::Timestamp;

use super::start::reference;
use crate::error::PageError;
use crate::subject::Subject;
use crate::view::foreign;

pub(crate) struct AttemptNote {
    /// Class of the note: `good`, `wait` or `bad`.
    pub(crate) tone: &'static str,
    pub(crate) words: String,
    /// What the provider said, shown as a quotation.
    pub(crate) said: Option<String>,
    /// Whether it will change without the visitor.
    pub(crate) waits: bool,
}

/// The visitor's last attempt to connect this connection, as long as its Secret exists.
pub(crate) async fn progress(subject: &Subject) -> Result<Option<AttemptNote>, PageError> {
    let (visit, this) = (&subject.visit, reference(subject));
    let mut mine = visit.app.attempts.of_user(visit.session.user()).await?;
    mine.retain(|kept| kept.attempt.user == visit.session.user() && kept.attempt.connection == this);
    let last = mine.into_iter().max_by_key(StoredAttempt::order).map(|kept| kept.attempt);
    let last = last.filter(|attempt| !is_old_news(attempt, &subject.connection));
    // Of keys, the list says it.
    let listed = subject.card.issues_keys(&subject.connection);
    let last =
        last.filter(|attempt| !(listed && matches!(&attempt.step, Step::Ended(it) if it.is_connected())));
    Ok(last.map(|attempt| note(&attempt, &subject.card.title, visit.now())))
}

/// Whether the grant of the attempt has been judged since: then the status shows the result.
fn is_old_news(attempt: &Attempt, connection: &IntegrationConnection) -> bool {
    let Step::Ended(AttemptEnding { result: EndResult::Kept, .. }) = &attempt.step else { return false };
    connection
        .last_attempt()
        .is_some_and(|last| !last.is_running() && last.started_at.0 >= attempt.started_at)
}

fn note(attempt: &Attempt, provider: &str, now: Timestamp) -> AttemptNote {
    let mut said = None;
    let (tone, words, waits) = match &attempt.step {
        Step::Ended(ending) if ending.is_connected() => ("good", format!("{provider} is connected."), false),
        Step::Ended(ending) if ending.result == EndResult::Kept => ("wait", ending.message.clone(), true),
        Step::Ended(ending) => ("bad", foreign(&ending.message), false),
        Step::Exchanging if attempt.is_expired_at(now) => {
            let words = "Your last attempt took very long. The state of the connection shows its result.";
            ("wait", words.to_owned(), false)
        }
        _ if attempt.is_expired_at(now) => {
            let words = "Your last attempt ran out of time. Nothing was connected or changed.";
            ("bad", words.to_owned(), false)
        }
        Step::Asked { .. } | Step::Prepared { .. } | Step::Sent { .. } => {
            ("wait", format!("You started to connect and have not come back from {provider} yet."), false)
        }
        Step::Returned { answer: AuthorizationResponse::Error { error, description, .. }, .. } => {
            said = Some(foreign(description.as_ref().unwrap_or(error)));
            ("bad", format!("You came back from {provider} without access."), true)
        }
        Step::Returned { .. } | Step::Exchanging => {
            ("wait", format!("The access is being checked with {provider}."), true)
        }
        Step::Waiting { .. } => ("wait", format!("Waiting for you to type the code at {provider}."), true),
        Step::Provided { .. } => ("wait", "What you entered is on its way to the operator.".to_owned(), true),
        Step::Ordered { .. } => ("wait", "Your change of the keys is being carried out.".to_owned(), true),
    };
    AttemptNote { tone, words, said, waits }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::attempt::ConnectionRef;
    use bowline_api::opaque::Digest;

    use super::*;
    use k8s_openapi::ByteString;
    use k8s_openapi::jiff::SignedDuration;

    fn attempt(step: Step) -> Attempt {
        Attempt {
            terms: None,
            user: "alice".into(),
            person: None,
            connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
            request: None,
            provider: "github".into(),
            started_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_mins(10),
            step,
        }
    }

    #[test]
    fn each_step_is_told() {
        let sealed = || ByteString(Vec::new());
        let ending = |result| {
            Step::Ended(AttemptEnding {
                result,
                reason: bowline_api::reason::Reason::AccountMismatch.into(),
                message: "The account is another.".into(),
            })
        };
        let denied =
            AuthorizationResponse::Error { error: "access_denied".into(), description: None, issuer: None };
        let rows = [
            (Step::Sent { session: Digest::of("s"), sealed: sealed() }, "not come back from GitHub", false),
            (Step::Exchanging, "being checked", true),
            (Step::Returned { answer: denied, sealed: sealed() }, "without access", true),
            (ending(EndResult::Connected), "GitHub is connected", false),
            (ending(EndResult::Kept), "The account is another.", true),
            (ending(EndResult::Failed), "The account is another.", false),
        ];
        for (step, words, waits) in rows {
            let told = note(&attempt(step), "GitHub", Timestamp::UNIX_EPOCH);
            assert!(told.words.contains(words), "{}", told.words);
            assert_eq!(told.waits, waits, "{words}");
        }
        let late = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(10);
        let sent = Step::Sent { session: Digest::of("s"), sealed: sealed() };
        assert!(note(&attempt(sent), "GitHub", late).words.contains("ran out of time"));
        let taken = note(&attempt(Step::Exchanging), "GitHub", late);
        assert!(!taken.words.contains("Nothing was connected"), "the code was sent: {}", taken.words);
    }
}
