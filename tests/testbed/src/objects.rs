//! Objects as plain JSON: the testbed shares no types with the operator.

use axum::http::{Method, Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use crate::error::Error;

/// Paths of the REST API.
pub mod path {
    use crate::stage::NAMESPACE;

    const GROUP: &str = "/apis/bowline.dev/v1alpha1";

    /// All connections of a namespace.
    pub fn connections(namespace: &str) -> String {
        format!("{GROUP}/namespaces/{namespace}/integrationconnections")
    }

    /// One connection.
    pub fn connection(namespace: &str, name: &str) -> String {
        format!("{}/{name}", connections(namespace))
    }

    /// All shares of a namespace.
    pub fn shares(namespace: &str) -> String {
        format!("{GROUP}/namespaces/{namespace}/connectionshares")
    }

    /// One share.
    pub fn share(namespace: &str, name: &str) -> String {
        format!("{}/{name}", shares(namespace))
    }

    /// All bindings of a namespace.
    pub fn bindings(namespace: &str) -> String {
        format!("{GROUP}/namespaces/{namespace}/connectionbindings")
    }

    /// All providers.
    pub fn providers() -> String {
        format!("{GROUP}/integrationproviders")
    }

    /// One workspace; with an empty name, all of them.
    pub fn workspace(name: &str) -> String {
        format!("{GROUP}/workspaces/{name}")
    }

    /// The Lease that says which replica of the operator leads.
    pub fn lease() -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/bowline")
    }

    /// All Secrets of a namespace.
    pub fn secrets(namespace: &str) -> String {
        format!("/api/v1/namespaces/{namespace}/secrets")
    }

    /// One Secret.
    pub fn secret(namespace: &str, name: &str) -> String {
        format!("{}/{name}", secrets(namespace))
    }
}

/// Requests an object's metadata only: the response to a write does not contain the object.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Reads and writes as one user.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    accept: &'static str,
}

impl Objects {
    /// With the client's user.
    pub fn new(client: Client) -> Self {
        Self { client, accept: "application/json" }
    }

    /// The same, with answers that hold metadata only.
    #[must_use]
    pub fn metadata_only(&self) -> Self {
        Self { client: self.client.clone(), accept: METADATA_ONLY }
    }

    /// The object, if it is there.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.send(Method::GET, path, "application/json", Vec::new()).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates an object in the collection at `path`.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, "application/json", object.to_string().into_bytes()).await
    }

    /// Deletes an object.
    pub async fn delete(&self, path: &str) -> Result<Value, kube::Error> {
        self.send(Method::DELETE, path, "application/json", Vec::new()).await
    }

    /// Replaces an object; its resourceVersion is a precondition.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value, kube::Error> {
        self.send(Method::PUT, path, "application/json", object.to_string().into_bytes()).await
    }

    /// Changes an object by a merge patch (RFC 7396).
    pub async fn merge(&self, path: &str, change: &Value) -> Result<Value, Error> {
        let body = change.to_string().into_bytes();
        Ok(self.send(Method::PATCH, path, "application/merge-patch+json", body).await?)
    }

    /// Applies an object with force, under a field manager.
    pub async fn apply(&self, path: &str, manager: &str, object: &Value) -> Result<Value, kube::Error> {
        let path = format!("{path}?fieldManager={manager}&force=true");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object.to_string().into_bytes()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, kube::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", self.accept)
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }
}

/// The condition of a type, in an object's status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Status and reason of a condition, such as `True Connected`; `unset` where there is none.
pub fn verdict(object: &Value, kind: &str) -> String {
    condition(object, kind).map_or_else(
        || "unset".to_owned(),
        |condition| {
            let text = |key: &str| condition[key].as_str().unwrap_or("?").to_owned();
            format!("{} {}", text("status"), text("reason"))
        },
    )
}

/// One value of a Secret, as text.
pub fn secret_text(secret: &Value, key: &str) -> Option<String> {
    let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// What a published Secret holds. It has no `Debug`: it holds a token.
pub struct Published {
    /// UID of the Secret.
    pub uid: String,
    /// The access token.
    pub token: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Revision of the grant.
    pub revision: i64,
}

impl Published {
    /// Reads it, or returns what is missing.
    pub fn read(secret: &Value) -> Result<Self, String> {
        let missing = |what: &str| format!("the Secret has no readable {what}");
        let token = secret_text(secret, "access_token").ok_or_else(|| missing("access_token"))?;
        let expires_at = secret_text(secret, "expires_at").and_then(|text| text.parse().ok());
        let revision = secret["metadata"]["annotations"]["bowline.dev/revision"].as_str();
        Ok(Self {
            uid: secret["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            token,
            expires_at: expires_at.ok_or_else(|| missing("expires_at"))?,
            revision: revision.and_then(|text| text.parse().ok()).ok_or_else(|| missing("revision"))?,
        })
    }

    /// The part of the token that may be shown.
    pub fn shown(&self) -> String {
        format!("{}…", self.token.chars().take(4).collect::<String>())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Value {
        json!({
            "metadata": {"uid": "u", "annotations": {"bowline.dev/revision": "7"}},
            "data": {"access_token": STANDARD.encode("abcdefgh"), "expires_at": STANDARD.encode("2026-01-31T12:00:00Z")},
        })
    }

    #[test]
    fn a_published_secret_shows_four_characters_of_its_token() {
        let published = Published::read(&secret()).unwrap();
        assert_eq!((published.revision, published.shown().as_str()), (7, "abcd…"));
    }

    #[test]
    fn a_secret_without_an_expiry_is_reported_as_such() {
        let mut secret = secret();
        secret["data"]["expires_at"] = json!("!");
        assert_eq!(Published::read(&secret).err().unwrap(), "the Secret has no readable expires_at");
    }

    #[test]
    fn a_verdict_is_status_and_reason() {
        let object =
            json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Connected"}]}});
        assert_eq!(verdict(&object, "Ready"), "True Connected");
        assert_eq!(verdict(&object, "Shared"), "unset");
    }
}
