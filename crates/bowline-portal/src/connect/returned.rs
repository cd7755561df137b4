//! Reads and judges the query of a callback. Pure.
//!
//! Repeated parameters are refused instead of choosing one, and every length is limited.

use std::collections::{BTreeMap, BTreeSet};

use bowline_api::attempt::{Attempt, AttemptEnding, AuthorizationResponse, Step};
use bowline_api::reason::Reason;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use crate::session::Session;
use crate::view::foreign;

const STATE_LETTERS: usize = 43;
const CODE_BYTES: usize = 8 * 1024;
const ISSUER_BYTES: usize = 2 * 1024;
const ERROR_BYTES: usize = 128;
const PARAMETER_BYTES: usize = 1024;
pub(crate) const QUERY_BYTES: usize = 16 * 1024;

/// A callback. Its state finds the attempt, on which any other flaw is then reported.
pub(crate) struct Callback {
    pub(crate) state: SecretString,
    /// `None`: it has neither a code nor an error.
    answer: Result<Option<AuthorizationResponse>, &'static str>,
    parameters: Vec<(String, String)>,
}

/// What a provider's callback has besides the standard's parameters, and without them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallbackShape {
    /// Parameters to read.
    pub(crate) parameters: BTreeSet<String>,
    /// Whether it may come without a code: the operator asks the provider what came of a link session.
    pub(crate) without_code: bool,
}

impl Callback {
    /// Reads a query, or says why it is not a provider's response.
    pub(crate) fn read(query: &str) -> Result<Self, &'static str> {
        if query.len() > QUERY_BYTES {
            return Err("the address is too long");
        }
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let all = |name: &str| {
            pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect::<Vec<_>>()
        };
        let states = all("state");
        let state = match states[..] {
            [state] if is_state(state) => SecretString::from(state.as_str()),
            [] | [_] => return Err("the address contains no valid state"),
            _ => return Err("the address contains more than one state"),
        };
        let one = |name: &str| match all(name)[..] {
            [] => Ok(None),
            [value] => Ok(Some(value.clone())),
            _ => Err("A parameter of the provider's response is repeated."),
        };
        let answer = answer(one);
        Ok(Self { state, answer, parameters: pairs })
    }

    /// The response, with the parameters that its provider reads besides the standard's. One that is repeated or too long is
    /// left out.
    fn answer(self, shape: &CallbackShape) -> Result<AuthorizationResponse, &'static str> {
        let parameters = BTreeMap::new();
        let silent =
            || AuthorizationResponse::Code { code: SecretString::default(), issuer: None, parameters };
        let mut answer = match self.answer? {
            Some(answer) => answer,
            None if shape.without_code => silent(),
            None => return Err("The provider's response contains neither a code nor an error."),
        };
        if let AuthorizationResponse::Code { parameters, .. } = &mut answer {
            for name in &shape.parameters {
                let mut found = self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
                if let (Some(value), None) = (found.next(), found.next())
                    && value.len() <= PARAMETER_BYTES
                {
                    parameters.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(answer)
    }
}

fn is_state(state: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    state.len() == STATE_LETTERS && state.bytes().all(fits)
}

/// `error` counts before `code` (RFC 6749 §4.1.2.1).
fn answer(
    one: impl Fn(&str) -> Result<Option<String>, &'static str>,
) -> Result<Option<AuthorizationResponse>, &'static str> {
    let (error, code, issuer) = (one("error")?, one("code")?, one("iss")?);
    let description = one("error_description")?;
    if issuer.as_ref().is_some_and(|issuer| issuer.len() > ISSUER_BYTES) {
        return Err("The provider's response is too long.");
    }
    match (error, code) {
        (Some(error), _) => Ok(Some(AuthorizationResponse::Error {
            error: cut(&error),
            description: description.as_deref().map(foreign),
            issuer,
        })),
        (None, Some(code)) if code.is_empty() || code.len() > CODE_BYTES => {
            Err("The provider's response is empty or too long.")
        }
        (None, Some(code)) => Ok(Some(AuthorizationResponse::Code {
            code: SecretString::from(code),
            issuer,
            parameters: BTreeMap::new(),
        })),
        (None, None) => Ok(None),
    }
}

fn cut(error: &str) -> String {
    let clean = foreign(error);
    clean[..clean.floor_char_boundary(ERROR_BYTES)].to_owned()
}

/// What a callback does to its attempt.
pub(crate) enum CallbackJudgement {
    /// Nothing: it was used before, or it expired.
    Over(&'static str),
    /// The attempt fails: another session came back, or the response cannot be used.
    Ended(AttemptEnding),
    /// The operator continues.
    Returned(Step),
}

/// Judges a callback at the redirect URI of `provider`, whose callbacks have this shape, from the browser of `session`.
pub(crate) fn judge(
    attempt: &Attempt,
    callback: Callback,
    provider: &str,
    shape: &CallbackShape,
    session: Option<&Session>,
    now: Timestamp,
) -> CallbackJudgement {
    let Step::Sent { session: began, sealed } = &attempt.step else {
        return CallbackJudgement::Over("This response was used already, or no attempt is waiting for it.");
    };
    if attempt.is_expired_at(now) {
        return CallbackJudgement::Over("It took longer than ten minutes, so the attempt ran out of time.");
    }
    if !session.is_some_and(|session| session.user() == attempt.user && session.digest() == *began) {
        return ended(
            "The person who came back from the provider is not the one who left, or the session ended in between.",
        );
    }
    if attempt.provider != provider {
        return ended("The response came from a different provider than the one that was asked.");
    }
    match callback.answer(shape) {
        Err(flaw) => ended(flaw),
        Ok(answer) => CallbackJudgement::Returned(Step::Returned { answer, sealed: sealed.clone() }),
    }
}

fn ended(message: &str) -> CallbackJudgement {
    let message = format!("{message} Nothing was connected or changed; you can start again.");
    CallbackJudgement::Ended(AttemptEnding::failed(Reason::AuthorizationFailed, message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use bowline_api::attempt::{ConnectionRef, EndResult};
    use bowline_api::opaque::random_text;

    use super::*;
    use crate::session::Groups;
    use k8s_openapi::ByteString;
    use k8s_openapi::jiff::SignedDuration;
    use secrecy::ExposeSecret;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + second)
    }

    fn session(user: &str) -> Session {
        Session::begin(user, Groups::Claimed(Vec::new()), at(0)).unwrap()
    }

    fn sent(session: &Session) -> Attempt {
        Attempt {
            terms: None,
            user: session.user().to_owned(),
            person: None,
            connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
            request: None,
            provider: "github".to_owned(),
            started_at: at(0),
            expires_at: at(600),
            step: Step::Sent { session: session.digest(), sealed: ByteString(vec![1]) },
        }
    }

    const NONE: CallbackShape = CallbackShape { parameters: BTreeSet::new(), without_code: false };

    fn state() -> String {
        random_text().unwrap().expose_secret().to_owned()
    }

    fn callback(rest: &str) -> Callback {
        Callback::read(&format!("state={}&{rest}", state())).unwrap()
    }

    fn message(judgement: CallbackJudgement) -> String {
        match judgement {
            CallbackJudgement::Ended(ending) => {
                assert_eq!(ending.result, EndResult::Failed);
                ending.message
            }
            CallbackJudgement::Over(message) => format!("over: {message}"),
            CallbackJudgement::Returned(_) => panic!("taken"),
        }
    }

    #[test]
    fn the_one_who_left_comes_back_with_a_code() {
        let alice = session("alice");
        let judged =
            judge(&sent(&alice), callback("code=abc&iss=https://p"), "github", &NONE, Some(&alice), at(60));
        let CallbackJudgement::Returned(Step::Returned {
            answer: AuthorizationResponse::Code { code, issuer, .. },
            sealed,
        }) = judged
        else {
            panic!()
        };
        assert_eq!((code.expose_secret(), issuer.as_deref(), sealed.0), ("abc", Some("https://p"), vec![1]));
    }

    #[test]
    fn parameters_that_the_provider_reads_are_passed_on_and_no_others() {
        let alice = session("alice");
        let long = "l".repeat(PARAMETER_BYTES + 1);
        let query = format!("code=abc&realmId=9130&location=eu&twice=1&twice=2&long={long}");
        let parameters = ["realmId", "twice", "long", "absent"].map(str::to_owned).into();
        let shape = CallbackShape { parameters, ..NONE };
        let judged = judge(&sent(&alice), callback(&query), "github", &shape, Some(&alice), at(60));
        let CallbackJudgement::Returned(Step::Returned {
            answer: AuthorizationResponse::Code { parameters, .. },
            ..
        }) = judged
        else {
            panic!()
        };
        assert_eq!(parameters, [("realmId".to_owned(), "9130".to_owned())].into());
    }

    #[test]
    fn only_a_link_session_comes_back_without_a_code_and_an_error_counts_all_the_same() {
        let alice = session("alice");
        let shape = CallbackShape { without_code: true, ..NONE };
        let judged = |rest: &str| judge(&sent(&alice), callback(rest), "bank", &shape, Some(&alice), at(60));
        let provider = |judgement| match judgement {
            CallbackJudgement::Ended(ending) => ending.message,
            _ => String::new(),
        };
        assert!(provider(judged("")).contains("a different provider"));
        let bank = Attempt { provider: "bank".to_owned(), ..sent(&alice) };
        let judged = |rest: &str| judge(&bank, callback(rest), "bank", &shape, Some(&alice), at(60));
        let CallbackJudgement::Returned(Step::Returned { answer, .. }) = judged("credentialsId=1") else {
            panic!()
        };
        assert!(
            matches!(answer, AuthorizationResponse::Code { code, .. } if code.expose_secret().is_empty())
        );
        let CallbackJudgement::Returned(Step::Returned { answer, .. }) = judged("error=USER_CANCELLED")
        else {
            panic!()
        };
        assert!(matches!(answer, AuthorizationResponse::Error { error, .. } if error == "USER_CANCELLED"));
        assert!(matches!(judged("code="), CallbackJudgement::Ended(_)));
    }

    #[test]
    fn another_browser_user_or_provider_ends_the_attempt() {
        let alice = session("alice");
        let attempt = sent(&alice);
        let judged = |session: Option<&Session>, provider| {
            message(judge(&attempt, callback("code=abc"), provider, &NONE, session, at(60)))
        };
        assert!(judged(None, "github").contains("not the one who left"));
        assert!(
            judged(Some(&session("alice")), "github").contains("not the one who left"),
            "another session of alice"
        );
        assert!(judged(Some(&session("mallory")), "github").contains("not the one who left"));
        assert!(judged(Some(&alice), "evil").contains("a different provider"));
    }

    #[test]
    fn an_answer_counts_once_and_in_time() {
        let alice = session("alice");
        let judged = |attempt: &Attempt, now| {
            message(judge(attempt, callback("code=abc"), "github", &NONE, Some(&alice), now))
        };
        assert!(judged(&sent(&alice), at(600)).starts_with("over: It took longer"));
        for step in [
            Step::Exchanging,
            Step::Asked { session: alice.digest(), state: SecretString::from("s") },
            Step::Returned {
                answer: AuthorizationResponse::Code {
                    code: SecretString::from("c"),
                    issuer: None,
                    parameters: BTreeMap::new(),
                },
                sealed: ByteString(Vec::new()),
            },
        ] {
            assert!(judged(&sent(&alice).with(step), at(60)).starts_with("over: This response"));
        }
    }

    #[test]
    fn an_error_comes_first_and_its_words_are_hostile() {
        let alice = session("alice");
        let query = "error=access_denied&code=abc&error_description=%3Cscript%3E%0Aalert(1)";
        let judged = judge(&sent(&alice), callback(query), "github", &NONE, Some(&alice), at(60));
        let CallbackJudgement::Returned(Step::Returned {
            answer: AuthorizationResponse::Error { error, description, .. },
            ..
        }) = judged
        else {
            panic!()
        };
        assert_eq!(error, "access_denied");
        assert_eq!(description.unwrap(), "<script> alert(1)");
        let long = format!("error={}&error_description={}", "e".repeat(4000), "d".repeat(4000));
        let judged = judge(&sent(&alice), callback(&long), "github", &NONE, Some(&alice), at(60));
        let CallbackJudgement::Returned(Step::Returned {
            answer: AuthorizationResponse::Error { error, description, .. },
            ..
        }) = judged
        else {
            panic!()
        };
        assert!(error.len() <= ERROR_BYTES && description.unwrap().chars().count() <= 301);
    }

    #[test]
    fn what_stands_there_twice_or_is_too_long_ends_the_attempt() {
        let alice = session("alice");
        let code = "c".repeat(CODE_BYTES + 1);
        let issuer = "i".repeat(ISSUER_BYTES + 1);
        for rest in [
            "code=a&code=b".to_owned(),
            "code=a&iss=b&iss=c".to_owned(),
            "error=a&error=b".to_owned(),
            format!("code={code}"),
            "code=".to_owned(),
            format!("code=a&iss={issuer}"),
            String::new(),
        ] {
            let judged = judge(&sent(&alice), callback(&rest), "github", &NONE, Some(&alice), at(60));
            assert!(matches!(judged, CallbackJudgement::Ended(_)), "{}", rest.len());
        }
    }

    #[test]
    fn a_state_is_there_once_and_is_ours() {
        let state = state();
        let read = |query: &str| Callback::read(query).err();
        let no_state = Some("the address contains no valid state");
        assert_eq!(read(""), no_state);
        assert_eq!(read("code=a"), no_state);
        assert_eq!(read("state=short&code=a"), no_state);
        assert_eq!(read(&format!("state={state}%2F..&code=a")), no_state);
        assert_eq!(
            read(&format!("state={state}&state={state}")),
            Some("the address contains more than one state")
        );
        assert_eq!(
            read(&format!("state={state}&code={}", "x".repeat(1 << 20))),
            Some("the address is too long")
        );
        assert!(read(&format!("state={state}&code=a")).is_none());
    }
}
