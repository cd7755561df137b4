//! The request for a code: the value of an annotation, which tells one request from another. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_AUTHORIZE_REQUESTED;

/// A code that ends sooner than this is not worth going to another device for.
const WORTH_TYPING: SignedDuration = SignedDuration::from_mins(1);

/// A value that was never asked with before: each accepted request gives the connection a new resourceVersion. It ends
/// with the spec's generation: what a code was asked for.
pub(super) fn new(connection: &IntegrationConnection, now: Timestamp) -> String {
    let version = connection.metadata.resource_version.as_deref().unwrap_or("0");
    format!("{now}/{version}/{}", generation(connection))
}

/// The request whose code still waits to be typed, if it was made for this very spec: an interrupted command goes on with
/// it, as somebody may be typing that code now.
pub(super) fn waiting(connection: &IntegrationConnection, now: Timestamp) -> Option<String> {
    let request = connection.annotations().get(ANNOTATION_AUTHORIZE_REQUESTED)?;
    let status = connection.status.as_ref()?;
    let open = status.authorization.as_ref().filter(|open| open.user_code.is_some())?;
    let ends = open.expires_at.as_ref()?.0;
    let is_shown = status.last_handled_authorization.as_ref() == Some(request);
    let (_, of) = request.rsplit_once('/')?;
    let is_of_this_spec = of == generation(connection).to_string();
    (is_shown && is_of_this_spec && ends.duration_since(now) > WORTH_TYPING).then(|| request.clone())
}

fn generation(connection: &IntegrationConnection) -> i64 {
    connection.metadata.generation.unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(version: &str, generation: i64) -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "github", "resourceVersion": version, "generation": generation},
            "spec": {"provider": "github", "owner": "alice"},
            "status": {"authorization": {"userCode": "WDJB-MJHT", "expiresAt": "2026-01-01T00:10:00Z"}}}))
        .unwrap()
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    #[test]
    fn each_request_is_a_value_never_asked_with_before() {
        let now = Timestamp::UNIX_EPOCH;
        assert_ne!(new(&asked("7", 1), now), new(&asked("8", 1), now), "two requests within one second");
        let longest = new(&asked(&u64::MAX.to_string(), i64::MAX), now);
        assert!(longest.len() <= 64, "the operator looks at 64 characters: {longest}");
    }

    #[test]
    fn a_code_that_waits_is_gone_on_with_while_it_is_worth_it() {
        let mut connection = asked("7", 3);
        let request = new(&connection, at("00:00:00"));
        connection.annotations_mut().insert(ANNOTATION_AUTHORIZE_REQUESTED.to_owned(), request.clone());
        assert_eq!(waiting(&connection, at("00:05:00")), None, "the code shown is of an earlier request");
        connection.status.as_mut().unwrap().last_handled_authorization = Some(request.clone());
        assert_eq!(waiting(&connection, at("00:05:00")), Some(request));
        assert_eq!(waiting(&connection, at("00:09:00")), None, "it ends too soon");
        connection.metadata.generation = Some(4);
        assert_eq!(waiting(&connection, at("00:05:00")), None, "it asks for what the spec said before");
    }

    #[test]
    fn a_code_that_somebody_asked_for_by_hand_is_not_taken_for_ours() {
        let mut connection = asked("7", 1);
        connection.annotations_mut().insert(ANNOTATION_AUTHORIZE_REQUESTED.to_owned(), "1".to_owned());
        connection.status.as_mut().unwrap().last_handled_authorization = Some("1".to_owned());
        assert_eq!(waiting(&connection, at("00:05:00")), None);
    }
}
