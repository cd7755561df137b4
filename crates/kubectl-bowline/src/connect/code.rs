//! A code to type on another device: the annotation that requests it, whose value is the id of the attempt, and the text
//! that is shown with it. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::age::relative;
use crate::refresh;
use crate::table::{account_in_full, lines, printable};
use bowline_api::IntegrationConnection;
use bowline_api::connection::AuthorizationStatus;
use bowline_api::names::ANNOTATION_AUTHORIZE_REQUESTED;

/// A code that expires sooner than this is not worth using on another device.
const WORTH_TYPING: SignedDuration = SignedDuration::from_mins(1);

/// A value that was never used before; it ends with the generation of the spec that the code is for.
pub(super) fn request(connection: &IntegrationConnection, now: Timestamp) -> String {
    format!("{}/{}", refresh::request(connection, now), generation(connection))
}

/// The request whose code still waits to be typed, if it was made for the present spec: an interrupted command continues
/// with it, because somebody may be typing that code now.
pub(super) fn waiting_request(connection: &IntegrationConnection, now: Timestamp) -> Option<String> {
    let request = connection.annotations().get(ANNOTATION_AUTHORIZE_REQUESTED)?;
    let (open, _) = open_code(connection)?;
    let expires = open.expires_at.as_ref()?.0;
    let is_handled = connection.status.as_ref()?.last_handled_authorization.as_ref() == Some(request);
    let is_shown =
        is_handled && connection.last_attempt().is_some_and(|last| last.id == *request && last.is_running());
    let is_of_this_spec =
        request.rsplit_once('/').is_some_and(|(_, of)| of == generation(connection).to_string());
    (is_shown && is_of_this_spec && expires.duration_since(now) > WORTH_TYPING).then(|| request.clone())
}

fn generation(connection: &IntegrationConnection) -> i64 {
    connection.metadata.generation.unwrap_or_default()
}

pub(super) fn open_code(connection: &IntegrationConnection) -> Option<(&AuthorizationStatus, &str)> {
    let open = connection.status.as_ref()?.authorization.as_ref()?;
    Some((open, open.user_code.as_deref()?))
}

pub(super) fn what(connection: &IntegrationConnection) -> String {
    format!("{} ({})", connection.id(), connection.spec.provider)
}

/// What is going to be connected, where, and the code: whoever types it should see what they agree to.
pub(super) fn shown(
    connection: &IntegrationConnection,
    open: &AuthorizationStatus,
    code: &str,
    now: Timestamp,
) -> String {
    let spec = &connection.spec;
    let expected = spec.account.as_ref().map(|account| printable(&account.id));
    let account = expected.or_else(|| connection.account().map(account_in_full));
    let account = account.map(|account| format!("{account} only"));
    let scopes = connection.scopes().map(|scopes| scopes.requested.join(" "));
    let or = |value: Option<String>, general: &str| Some(value.unwrap_or_else(|| general.to_owned()));
    lines([
        ("Connection", Some(what(connection))),
        ("Name", spec.display_name.clone()),
        ("Owner", Some(spec.owner.clone())),
        ("Account", or(account, "whichever signs in there; you confirm it afterwards")),
        ("Requests", scopes.filter(|scopes| !scopes.is_empty())),
        ("Open", or(open.verification_uri.clone(), "the provider's page for devices")),
        ("or, filled in", open.verification_uri_complete.clone()),
        ("Code", Some(code.to_owned())),
        ("Code expires", open.expires_at.as_ref().map(|at| relative(at, now))),
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requested(version: &str, generation: i64) -> IntegrationConnection {
        serde_json::from_value(json!({
            "metadata": {"name": "github", "resourceVersion": version, "generation": generation},
            "spec": {"provider": "github", "owner": "alice"},
            "status": {"authorization": {"userCode": "WDJB-MJHT", "expiresAt": "2026-01-01T00:10:00Z"}}}))
        .unwrap()
    }

    fn taken_up(mut connection: IntegrationConnection, request: &str) -> IntegrationConnection {
        let last = json!({"id": request, "method": "DeviceCode", "startedAt": "2026-01-01T00:00:00Z",
            "result": "Running"});
        let status = connection.status.as_mut().unwrap();
        status.last_attempt = Some(serde_json::from_value(last).unwrap());
        status.last_handled_authorization = Some(request.to_owned());
        connection
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    #[test]
    fn each_request_is_a_value_never_used_before() {
        let now = Timestamp::UNIX_EPOCH;
        assert_ne!(
            request(&requested("7", 1), now),
            request(&requested("8", 1), now),
            "two requests within one second"
        );
        let longest = request(&requested(&u64::MAX.to_string(), i64::MAX), now);
        assert!(longest.len() <= 64, "the operator looks at 64 characters: {longest}");
    }

    #[test]
    fn a_code_that_waits_is_used_while_it_is_worth_it() {
        let mut connection = requested("7", 3);
        let request = request(&connection, at("00:00:00"));
        connection.annotations_mut().insert(ANNOTATION_AUTHORIZE_REQUESTED.to_owned(), request.clone());
        assert_eq!(waiting_request(&connection, at("00:05:00")), None, "nobody has taken it up");
        connection = taken_up(connection, "another");
        assert_eq!(
            waiting_request(&connection, at("00:05:00")),
            None,
            "the code shown is of another attempt"
        );
        connection = taken_up(connection, &request);
        assert_eq!(waiting_request(&connection, at("00:05:00")), Some(request));
        assert_eq!(waiting_request(&connection, at("00:09:00")), None, "it expires too soon");
        connection.metadata.generation = Some(4);
        assert_eq!(waiting_request(&connection, at("00:05:00")), None, "it is for what the spec said before");
    }

    #[test]
    fn a_code_that_somebody_requested_by_hand_is_not_taken_for_ours() {
        let mut connection = requested("7", 1);
        connection.annotations_mut().insert(ANNOTATION_AUTHORIZE_REQUESTED.to_owned(), "1".to_owned());
        assert_eq!(waiting_request(&taken_up(connection, "1"), at("00:05:00")), None);
    }

    #[test]
    fn the_code_is_shown_with_what_is_agreed_to() {
        let connection: IntegrationConnection = serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github-com", "owner": "alice", "account": {"id": "583231"}},
            "status": {"scopes": {"requested": ["repo"]}, "authorization": {"userCode": "WDJB-MJHT",
                "verificationURI": "https://github.com/login/device", "expiresAt": "2026-01-01T00:15:00Z"}},
        }))
        .unwrap();
        let (open, code) = open_code(&connection).unwrap();
        assert_eq!(
            shown(&connection, open, code, "2026-01-01T00:05:00Z".parse().unwrap()),
            "Connection:     team-a.github (github-com)\nOwner:          alice\nAccount:        583231 only\n\
             Requests:       repo\nOpen:           https://github.com/login/device\nCode:           WDJB-MJHT\n\
             Code expires:   in 10m\n"
        );
    }
}
