//! An attempt as a Secret, and back. Pure.
//!
//! Data: `attempt.json` (what is not secret), and per step `state`, `address`, `code` (text), `values` (a JSON object of texts) and
//! `sealed` (bytes). Labels are only for selecting; `attempt.json` decides.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptEnding, AuthorizationResponse, DeviceCode, Step};
use crate::issued_key::KeyOrder;
use crate::names;
use crate::opaque::Digest;

const CLEAR: &str = "attempt.json";
const STATE: &str = "state";
const ADDRESS: &str = "address";
const CODE: &str = "code";
const VALUES: &str = "values";
const SEALED: &str = "sealed";

/// A Secret is not an attempt that this version can read. Contains nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Secret is not an attempt that this version can read")]
pub struct NotAnAttempt;

/// A step without its secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ClearStep {
    Asked {
        session: Digest,
    },
    Prepared {
        session: Digest,
    },
    Sent {
        session: Digest,
    },
    Consented {
        issuer: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    Refused {
        error: String,
        description: Option<String>,
        issuer: Option<String>,
    },
    Waiting {
        code: DeviceCode,
        next_poll: Timestamp,
        interval: u32,
    },
    Ordered {
        order: KeyOrder,
    },
    Provided,
    Exchanging,
    Ended(AttemptEnding),
}

/// The Secret of this name that holds the attempt.
pub fn to_secret(name: &str, attempt: &Attempt) -> Result<Secret, serde_json::Error> {
    let (step, secrets) = split(attempt.step.clone());
    let clear = serde_json::to_vec(&attempt.clone().with(step))?;
    let data = secrets.into_iter().chain([(CLEAR, ByteString(clear))]);
    let labels = [
        (names::LABEL_ATTEMPT_CONNECTION, attempt.connection.uid.as_str()),
        (names::LABEL_ATTEMPT_USER, Digest::of(&attempt.user).short()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        type_: Some(names::TYPE_ATTEMPT.to_owned()),
        data: Some(data.map(|(key, value)| (key.to_owned(), value)).collect()),
        ..Secret::default()
    })
}

fn split(step: Step) -> (ClearStep, Vec<(&'static str, ByteString)>) {
    let text = |secret: &SecretString| ByteString(secret.expose_secret().as_bytes().to_vec());
    match step {
        Step::Asked { session, state } => (ClearStep::Asked { session }, vec![(STATE, text(&state))]),
        Step::Prepared { session, address, sealed } => {
            (ClearStep::Prepared { session }, vec![(ADDRESS, text(&address)), (SEALED, sealed)])
        }
        Step::Sent { session, sealed } => (ClearStep::Sent { session }, vec![(SEALED, sealed)]),
        Step::Returned { answer: AuthorizationResponse::Code { code, issuer, parameters }, sealed } => {
            (ClearStep::Consented { issuer, parameters }, vec![(CODE, text(&code)), (SEALED, sealed)])
        }
        Step::Returned { answer: AuthorizationResponse::Error { error, description, issuer }, sealed } => {
            (ClearStep::Refused { error, description, issuer }, vec![(SEALED, sealed)])
        }
        Step::Waiting { code, next_poll, interval, sealed } => {
            (ClearStep::Waiting { code, next_poll, interval }, vec![(SEALED, sealed)])
        }
        Step::Ordered { order } => (ClearStep::Ordered { order }, Vec::new()),
        Step::Provided { values } => (ClearStep::Provided, vec![(VALUES, object(&values))]),
        Step::Exchanging => (ClearStep::Exchanging, Vec::new()),
        Step::Ended(ending) => (ClearStep::Ended(ending), Vec::new()),
    }
}

fn object(values: &BTreeMap<String, SecretString>) -> ByteString {
    let texts = values.iter().map(|(name, value)| (name.clone(), value.expose_secret().into()));
    ByteString(serde_json::Value::Object(texts.collect()).to_string().into_bytes())
}

/// The attempt that a Secret holds.
pub fn from_secret(secret: &Secret) -> Result<Attempt, NotAnAttempt> {
    if secret.type_.as_deref() != Some(names::TYPE_ATTEMPT) {
        return Err(NotAnAttempt);
    }
    let bytes = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).ok_or(NotAnAttempt);
    let text = |key: &str| {
        let text = std::str::from_utf8(&bytes(key)?.0).map_err(|_| NotAnAttempt)?;
        Ok(SecretString::from(text))
    };
    let sealed = || bytes(SEALED).cloned();
    let clear: Attempt<ClearStep> = serde_json::from_slice(&bytes(CLEAR)?.0).map_err(|_| NotAnAttempt)?;
    let step = match clear.step.clone() {
        ClearStep::Asked { session } => Step::Asked { session, state: text(STATE)? },
        ClearStep::Prepared { session } => {
            Step::Prepared { session, address: text(ADDRESS)?, sealed: sealed()? }
        }
        ClearStep::Sent { session } => Step::Sent { session, sealed: sealed()? },
        ClearStep::Consented { issuer, parameters } => Step::Returned {
            answer: AuthorizationResponse::Code { code: text(CODE)?, issuer, parameters },
            sealed: sealed()?,
        },
        ClearStep::Refused { error, description, issuer } => Step::Returned {
            answer: AuthorizationResponse::Error { error, description, issuer },
            sealed: sealed()?,
        },
        ClearStep::Waiting { code, next_poll, interval } => {
            Step::Waiting { code, next_poll, interval, sealed: sealed()? }
        }
        ClearStep::Ordered { order } => Step::Ordered { order },
        ClearStep::Provided => {
            Step::Provided { values: serde_json::from_slice(&bytes(VALUES)?.0).map_err(|_| NotAnAttempt)? }
        }
        ClearStep::Exchanging => Step::Exchanging,
        ClearStep::Ended(ending) => Step::Ended(ending),
    };
    Ok(clear.with(step))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::attempt::ConnectionRef;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn attempt(step: Step) -> Attempt {
        Attempt {
            terms: None,
            user: "alice".to_owned(),
            person: Some(Digest::of_person("https://idp.example.com", "1")),
            connection: ConnectionRef { namespace: "n".into(), name: "c".into(), uid: "u".into() },
            request: Some("2026-05-03T14:00:00Z".to_owned()),
            provider: "p".to_owned(),
            started_at: at(0),
            expires_at: at(600),
            step,
        }
    }

    fn every_step() -> Vec<Step> {
        let (session, sealed) = (Digest::of("s"), ByteString(vec![0xff, 0]));
        let code = DeviceCode {
            user_code: "AB-CD".into(),
            verification_uri: "https://p/device".into(),
            verification_uri_complete: None,
        };
        let issuer = Some("https://p".to_owned());
        vec![
            Step::Asked { session: session.clone(), state: SecretString::from("hush") },
            Step::Prepared {
                session: session.clone(),
                address: SecretString::from("hush"),
                sealed: sealed.clone(),
            },
            Step::Sent { session, sealed: sealed.clone() },
            Step::Returned {
                answer: AuthorizationResponse::Code {
                    code: SecretString::from("hush"),
                    issuer: issuer.clone(),
                    parameters: [("realmId".to_owned(), "7".to_owned())].into(),
                },
                sealed: sealed.clone(),
            },
            Step::Returned {
                answer: AuthorizationResponse::Error {
                    error: "access_denied".into(),
                    description: None,
                    issuer,
                },
                sealed: sealed.clone(),
            },
            Step::Waiting { code, next_poll: at(5), interval: 5, sealed },
            Step::Ordered { order: KeyOrder::Revoke { id: "Ab3dEf9K".into() } },
            Step::Provided { values: [("api_key".to_owned(), SecretString::from("hush"))].into() },
            Step::Exchanging,
            Step::Ended(AttemptEnding::failed(
                crate::reason::Reason::AuthorizationFailed,
                "Access was not allowed.".into(),
            )),
        ]
    }

    #[test]
    fn every_step_comes_back_as_it_went_in() {
        for step in every_step() {
            let there = to_secret("attempt-x", &attempt(step)).unwrap();
            let again = to_secret("attempt-x", &from_secret(&there).unwrap()).unwrap();
            assert_eq!(there, again);
        }
    }

    #[test]
    fn no_step_shows_a_secret_in_debug_or_in_the_clear_part() {
        for step in every_step() {
            let attempt = attempt(step);
            assert!(!format!("{attempt:?}").contains("hush"));
            let secret = to_secret("attempt-x", &attempt).unwrap();
            let clear = secret.data.unwrap().remove(CLEAR).unwrap();
            assert!(!String::from_utf8(clear.0).unwrap().contains("hush"));
        }
    }

    #[test]
    fn a_step_that_lacks_its_secret_is_no_attempt() {
        let mut secret = to_secret("attempt-x", &attempt(every_step().remove(0))).unwrap();
        secret.data.as_mut().unwrap().remove(STATE);
        assert_eq!(from_secret(&secret).err(), Some(NotAnAttempt));
        secret.type_ = Some("Opaque".into());
        assert_eq!(from_secret(&secret).err(), Some(NotAnAttempt));
    }
}
