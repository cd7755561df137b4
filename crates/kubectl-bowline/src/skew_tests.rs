//! Objects of a later version, and unreadable objects, on an API server that has no others.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bowline_runtime::clock::Clock;
use clap::Parser;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::{Cli, Screen, UserSession, exit_code, run_in};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Conditions that are no conditions: this object cannot be read.
fn broken(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "team-a", "uid": name}, "spec": {"type": "x", "provider": "p",
        "owner": "alice", "connection": {"namespace": "team-a", "name": name, "uid": name}, "workspace": "w"},
        "status": {"conditions": "none"}})
}

/// A connection in whose status every open value is one of a later version.
fn later() -> Value {
    let condition = |kind: &str| {
        json!({"type": kind, "status": "False", "reason": "SunTooFar", "message": "It is night.",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let at = "2026-01-01T00:00:00Z";
    let conditions = ["Ready", "Authorized", "TokenFresh", "SecretPublished", "Shared", "Moonlit"];
    json!({"metadata": {"name": "later", "namespace": "team-a", "uid": "u", "generation": 1},
        "spec": {"provider": "p", "owner": "alice", "method": "Telepathy", "shared": true, "workspace": "w",
            "ofALaterVersion": true},
        "status": {"phase": "Hibernating", "observedGeneration": 1, "connectedAt": at, "ofALaterVersion": {},
            "secret": {"name": "later"},
            "ruling": {"reason": "Eclipsed", "since": at, "final": true},
            "token": {"lastFailure": {"at": at, "reason": "Drowsy", "message": "It yawned."}},
            "lastAttempt": {"id": "a", "method": "Telepathy", "startedAt": at, "endedAt": at, "result": "Postponed",
                "reason": "Daylight", "message": "It waits."},
            "conditions": conditions.map(condition)}})
}

fn provider() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"type": "x"},
        "status": {"methods": ["Telepathy"], "rotation": "Backwards", "conditions": []}})
}

fn share() -> Value {
    json!({"metadata": {"name": "team-a.later", "namespace": "team-a"},
        "spec": {"connection": {"namespace": "team-a", "name": "later", "uid": "u"}, "workspace": "w"},
        "status": {"sharedBy": "alice", "secretName": "team-a.later", "conditions": [{"type": "Ready",
            "status": "False", "reason": "SunTooFar", "message": "It is night.",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn pod() -> Value {
    let env =
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "later", "key": "access_token"}}}]);
    json!({"metadata": {"name": "mailer", "namespace": "team-a"},
        "spec": {"containers": [{"name": "app", "env": env}]}})
}

/// What the API server answers: single objects by name, and lists in which one object cannot be read.
fn answer(path: &str, query: &str) -> Option<Value> {
    let (kind, name) = path.rsplit_once('/')?;
    let single = match (kind.rsplit('/').next()?, name) {
        ("integrationconnections", "later") => Some(later()),
        ("integrationconnections", "broken") => Some(broken("broken")),
        ("integrationproviders", "p") => Some(provider()),
        ("pods", "mailer") => Some(pod()),
        ("customresourcedefinitions", name) => {
            let ours =
                bowline_api::definitions().into_iter().find(|it| it.metadata.name.as_deref() == Some(name));
            Some(serde_json::to_value(ours.unwrap()).unwrap())
        }
        (_, "selfsubjectreviews") => {
            Some(json!({"metadata": {}, "spec": {}, "status": {"userInfo": {"username": "alice"}}}))
        }
        _ => None,
    };
    let wanted = |item: &Value| {
        let name = item["metadata"]["name"].as_str().unwrap();
        !query.contains("metadata.name") || query.contains(&format!("metadata.name%3D{name}"))
    };
    let list = |items: Vec<Value>| {
        let items: Vec<_> = items.into_iter().filter(wanted).collect();
        json!({"metadata": {"resourceVersion": "1"}, "items": items})
    };
    single.or_else(|| match name {
        "integrationconnections" => Some(list(vec![broken("broken"), later()])),
        "integrationproviders" => Some(list(vec![broken("broken-provider"), provider()])),
        "connectionshares" => Some(list(vec![broken("broken-share"), share()])),
        "connectionbindings" => Some(list(vec![broken("broken-binding")])),
        "pods" => Some(list(vec![pod()])),
        "deployments"
        | "statefulsets"
        | "cronjobs"
        | "secrets"
        | "validatingadmissionpolicies"
        | "validatingadmissionpolicybindings" => Some(list(Vec::new())),
        _ => None,
    })
}

fn client() -> Client {
    let service = service_fn(async |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let (code, body) = match answer(&path, request.uri().query().unwrap_or_default()) {
            // A change is answered with the unchanged object.
            Some(found) => (200, found),
            None => (
                404,
                json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": path,
                    "details": {"name": path}}),
            ),
        };
        let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        Ok::<_, Infallible>(response.unwrap())
    });
    Client::new(service, "team-a")
}

/// Runs a command line: exit code, results, and everything on stderr.
async fn bowline(line: &str) -> (u8, String, String) {
    let (out, err) = (Captured::default(), Captured::default());
    let mut screen = Screen::piped(io::empty(), out.clone(), err.clone());
    let session = UserSession::new(client(), "team-a".into(), Clock::System);
    let cli = Cli::try_parse_from(["kubectl-bowline"].into_iter().chain(line.split(' '))).unwrap();
    let outcome = run_in(&session, cli.command, &mut screen).await;
    if let Err(error) = &outcome {
        writeln!(err.clone(), "{error:#}").unwrap();
    }
    let code = outcome.as_ref().map_or_else(exit_code, |()| 0);
    (code, out.text(), err.text())
}

#[tokio::test]
async fn one_object_that_cannot_be_read_hides_no_other() {
    for (line, found, unreadable) in [
        ("list", "later", "IntegrationConnection team-a/broken"),
        ("list -A -o wide", "Hibernating", "IntegrationConnection team-a/broken"),
        ("list -o name", "integrationconnection.bowline.dev/later", "IntegrationConnection team-a/broken"),
        ("list -o json", "\"phase\": \"Hibernating\"", "IntegrationConnection team-a/broken"),
        ("list --usable", "team-a.later", "ConnectionShare team-a/broken-share"),
        ("providers", "Telepathy", "IntegrationProvider team-a/broken-provider"),
        ("why pod/mailer", "SunTooFar", "IntegrationConnection team-a/broken"),
        ("impact later", "mailer", "ConnectionShare team-a/broken-share"),
        ("impact later", "mailer", "ConnectionBinding team-a/broken-binding"),
    ] {
        let (code, said, errors) = bowline(line).await;
        assert_eq!(code, 0, "{line}: {errors}");
        assert!(said.contains(found) && !said.contains("broken"), "{line}: {said}");
        let warning = format!("warning: {unreadable} cannot be read and is left out: ");
        assert_eq!(errors.matches(&warning).count(), 1, "{line}: {errors}");
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_no_outage() {
    let (code, _, errors) = bowline("describe broken").await;
    assert_eq!(code, 1);
    assert!(
        errors.contains("the answer cannot be read") && errors.contains("older than the operator"),
        "{errors}"
    );
}

#[tokio::test]
async fn values_of_a_later_version_are_shown_as_they_are_by_every_command() {
    for (line, code, words) in [
        ("list", 0, &["Hibernating", "SunTooFar"][..]),
        ("list --usable", 0, &["SunTooFar"]),
        ("list -o yaml", 0, &["phase: Hibernating", "method: Telepathy", "result: Postponed"]),
        (
            "describe later",
            0,
            &[
                "Status:         Hibernating",
                "Ruling:         Eclipsed",
                "Postponed",
                "(Telepathy): Daylight: It waits.",
                "Drowsy: It yawned.",
                "Moonlit",
                "unknown reason SunTooFar: This plug-in is older than the operator",
            ],
        ),
        ("providers", 0, &["Telepathy"]),
        ("why pod/mailer", 0, &["SunTooFar: It is night.", "unknown reason SunTooFar"]),
        ("token later", 0, &["team-a: Secret later"]),
        ("impact later", 0, &["later"]),
        ("share later --workspace w", 1, &["later: SunTooFar: It is night.", "unknown reason SunTooFar"]),
        ("refresh later --wait=false", 0, &["Requested a refresh of later."]),
        ("connect later --no-browser --wait=false", 1, &["no portal is known here"]),
        ("disconnect later --yes --wait=false", 0, &["Secret later", "Disconnecting later."]),
        ("portal", 1, &["no portal is known here"]),
        ("doctor", 1, &["broken: 1 SunTooFar"]),
    ] {
        let (exit, said, errors) = bowline(line).await;
        assert_eq!(exit, code, "{line}: {said}{errors}");
        for word in words {
            assert!(format!("{said}{errors}").contains(word), "{line}: {word} is missing in\n{said}{errors}");
        }
    }
}
