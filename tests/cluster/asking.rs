//! One request to the API server in a user's name, and its answer.

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The user name under which the operator runs, as the shipped policies know it.
pub const OPERATOR: &str = "system:serviceaccount:bowline-system:bowline";
/// The user name under which the portal runs, as the shipped policies know it.
pub const PORTAL: &str = "system:serviceaccount:bowline-portal:bowline-portal";
/// A user who may do everything that RBAC alone decides.
pub const ADMIN: &str = "admin";

/// A user who sends requests.
#[derive(Clone)]
pub struct Person {
    client: Client,
    name: String,
    group: Option<&'static str>,
}

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    content_type: &'static str,
    body: String,
}

/// What the API server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Person {
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), group: None }
    }

    /// As a member of this group as well.
    pub fn in_group(self, group: &'static str) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Sends the request in this person's name. In every cluster an administrator may impersonate, so this also works where
    /// alice is unknown.
    pub async fn ask(&self, ask: &Ask) -> Answer {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header("content-type", ask.content_type)
            .header("accept", "application/json");
        if self.name != ADMIN {
            request = request
                .header("impersonate-user", &self.name)
                .header("impersonate-group", "system:authenticated");
        }
        if let Some(group) = self.group {
            request = request.header("impersonate-group", group);
        }
        let request = request.body(Body::from(ask.body.clone().into_bytes())).unwrap();
        let response = self.client.send(request).await.expect("the API server answers");
        let (head, body) = response.into_parts();
        let warnings = head
            .headers
            .get_all("warning")
            .iter()
            .map(|warning| warning.to_str().unwrap().to_owned())
            .collect();
        let bytes = body.collect_bytes().await.expect("a whole answer");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), body, warnings }
    }

    /// Like `ask`, for requests that must succeed.
    pub async fn must(&self, ask: &Ask) -> Value {
        let answer = self.ask(ask).await;
        assert!(answer.is_accepted(), "{} {ask:?}: {}", self.name, answer.words());
        answer.body
    }
}

impl Answer {
    pub fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn words(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Ask {
    fn new(method: Method, path: &str, content_type: &'static str, body: String) -> Self {
        Self { method, path: path.to_owned(), content_type, body }
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path, "application/json", String::new())
    }

    pub fn post(path: &str, object: &Value) -> Self {
        Self::post_text(path, object.to_string())
    }

    /// Like `post`, byte for byte: JSON that no serializer would write.
    pub fn post_text(path: &str, body: String) -> Self {
        Self::new(Method::POST, path, "application/json", body)
    }

    pub fn replace(path: &str, object: &Value) -> Self {
        Self::new(Method::PUT, path, "application/json", object.to_string())
    }

    pub fn merge(path: &str, change: &Value) -> Self {
        Self::merge_text(path, change.to_string())
    }

    pub fn merge_text(path: &str, body: String) -> Self {
        Self::new(Method::PATCH, path, "application/merge-patch+json", body)
    }

    pub fn json_patch(path: &str, steps: &[Value]) -> Self {
        Self::new(Method::PATCH, path, "application/json-patch+json", json!(steps).to_string())
    }

    pub fn apply(path: &str, object: &Value) -> Self {
        Self::new(Method::PATCH, path, "application/apply-patch+yaml", object.to_string())
            .with("fieldManager=somebody&force=true")
    }

    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path, "application/json", String::new())
    }

    /// Only this version.
    pub fn delete_at(path: &str, version: &str) -> Self {
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": version}});
        Self::new(Method::DELETE, path, "application/json", options.to_string())
    }

    pub fn dry(self) -> Self {
        self.with("dryRun=All")
    }

    pub fn with(mut self, parameter: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(parameter);
        self
    }
}

/// RFC 7396.
pub fn merged(mut target: Value, change: &Value) -> Value {
    let Value::Object(fields) = change else { return change.clone() };
    if !target.is_object() {
        target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            let present = target[key].take();
            target[key] = merged(present, value);
        }
    }
    target
}

/// The same change to a stored object, in each way that the API server supports.
pub fn every_way(path: &str, stored: &Value, change: &Value) -> Vec<(&'static str, Ask)> {
    let wanted = merged(stored.clone(), change);
    let mut ways = vec![
        ("merge patch", Ask::merge(path, change)),
        ("JSON patch", Ask::json_patch(path, &steps(stored, &wanted))),
        ("replace", Ask::replace(path, &wanted)),
    ];
    // An apply leaves alone what it does not name, so it cannot remove what another manager set.
    if !takes_away(stored, &wanted) {
        ways.push(("forced apply", Ask::apply(path, &applicable(&wanted))));
    }
    let dry: Vec<_> = ways.iter().map(|(_, ask)| ("dry run", ask.clone().dry())).collect();
    ways.extend(dry);
    ways
}

/// The parts of an object that requests in these tests change.
const PARTS: &[&str] = &[
    "/spec",
    "/status",
    "/data",
    "/metadata/annotations",
    "/metadata/labels",
    "/metadata/finalizers",
    "/metadata/ownerReferences",
];

/// What may be sent in an apply: nothing that the server fills in.
pub fn applicable(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for filled in ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp"] {
        metadata.remove(filled);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

fn steps(stored: &Value, wanted: &Value) -> Vec<Value> {
    let mut steps = Vec::new();
    for pointer in PARTS {
        match (stored.pointer(pointer), wanted.pointer(pointer)) {
            (before, Some(after)) if before != Some(after) => {
                steps.push(json!({"op": "add", "path": pointer, "value": after}));
            }
            (Some(_), None) => steps.push(json!({"op": "remove", "path": pointer})),
            _ => {}
        }
    }
    steps
}

fn takes_away(stored: &Value, wanted: &Value) -> bool {
    let size = |object: &Value, pointer: &str| match object.pointer(pointer) {
        Some(Value::Object(fields)) => fields.len(),
        Some(Value::Array(entries)) => entries.len(),
        _ => 0,
    };
    PARTS.iter().any(|pointer| size(wanted, pointer) < size(stored, pointer))
}
