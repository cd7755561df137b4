//! Queries of the API server's audit log: who requested what, and how often.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;

use crate::error::Error;

/// The audit log of a control plane of ours.
///
/// The API server writes the line when it ends the response. The line may come a moment after the client has the response,
/// so wait for a line that you expect with [`crate::wait::wait_for`].
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the log: everything written before it is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// One request that was answered. Watches are left out: they end at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked; with impersonation, who was impersonated.
    pub user: String,
    /// `get`, `list`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural resource; empty for requests such as `/version`.
    pub resource: String,
    /// Such as `status`; mostly empty.
    pub subresource: String,
    /// Empty for cluster-scoped resources and lists across namespaces.
    pub namespace: String,
    /// Empty for lists, and for creates that leave the name to the server.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// What admission noted about it.
    pub annotations: BTreeMap<String, String>,
}

impl Request {
    /// Whether the request changes something if it is allowed.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list")
    }
}

impl Audit {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Result<Mark, Error> {
        Ok(Mark(complete_lines(&self.text()?).len()))
    }

    /// All requests.
    pub fn requests(&self) -> Result<Requests, Error> {
        self.requests_since(Mark(0))
    }

    /// The requests whose line was written after `mark` was taken.
    pub fn requests_since(&self, mark: Mark) -> Result<Requests, Error> {
        let text = self.text()?;
        let lines = complete_lines(&text).get(mark.0..).unwrap_or_default();
        let parsed: Result<Vec<_>, _> = lines.lines().map(parse).collect();
        let parsed = parsed.map_err(|source| Error::Parse { path: self.path.clone(), source })?;
        Ok(Requests(parsed.into_iter().flatten().collect()))
    }

    fn text(&self) -> Result<String, Error> {
        fs::read_to_string(&self.path).map_err(Error::io("read", &self.path))
    }
}

/// Without a last line that is still being written.
fn complete_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

/// Requests, to be narrowed down and counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests(Vec<Request>);

impl Requests {
    /// Requests of one user, such as `alice` or `system:serviceaccount:ns:name`.
    #[must_use]
    pub fn by(self, user: &str) -> Self {
        self.that(|request| request.user == user)
    }

    /// Requests with one verb.
    #[must_use]
    pub fn with_verb(self, verb: &str) -> Self {
        self.that(|request| request.verb == verb)
    }

    /// Requests that change something.
    #[must_use]
    pub fn writes(self) -> Self {
        self.that(Request::is_write)
    }

    /// Requests for one plural resource, including its subresources.
    #[must_use]
    pub fn on(self, resource: &str) -> Self {
        self.that(|request| request.resource == resource)
    }

    /// Requests for one subresource; `""` for the object itself.
    #[must_use]
    pub fn subresource(self, subresource: &str) -> Self {
        self.that(|request| request.subresource == subresource)
    }

    /// Requests in one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        self.that(|request| request.namespace == namespace)
    }

    /// Requests for one object name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.that(|request| request.name == name)
    }

    /// Requests that were allowed (2xx).
    #[must_use]
    pub fn allowed(self) -> Self {
        self.that(|request| (200..300).contains(&request.code))
    }

    /// Requests for which `claim` holds.
    #[must_use]
    pub fn that(mut self, claim: impl Fn(&Request) -> bool) -> Self {
        self.0.retain(claim);
        self
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In the order they were answered.
    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.0.iter()
    }

    /// How many of each user, verb and resource; a subresource counts as `resource/subresource`.
    pub fn tally(&self) -> BTreeMap<(String, String, String), usize> {
        let mut tally = BTreeMap::new();
        for request in &self.0 {
            let resource = match request.subresource.as_str() {
                "" => request.resource.clone(),
                subresource => format!("{}/{subresource}", request.resource),
            };
            *tally.entry((request.user.clone(), request.verb.clone(), resource)).or_default() += 1;
        }
        tally
    }
}

impl FromIterator<Request> for Requests {
    fn from_iter<T: IntoIterator<Item = Request>>(requests: T) -> Self {
        Self(requests.into_iter().collect())
    }
}

fn parse(line: &str) -> Result<Option<Request>, serde_json::Error> {
    let Event { stage, verb, user, impersonated_user, object, response, annotations } =
        serde_json::from_str(line)?;
    if stage != "ResponseComplete" || verb == "watch" {
        return Ok(None);
    }
    let ObjectReference { api_group, resource, subresource, namespace, name } = object;
    Ok(Some(Request {
        user: impersonated_user.unwrap_or(user).username,
        verb,
        group: api_group,
        resource,
        subresource,
        namespace,
        name,
        code: response.code,
        annotations,
    }))
}

/// The fields we read of `audit.k8s.io/v1` `Event`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(rename = "objectRef", default)]
    object: ObjectReference,
    #[serde(rename = "responseStatus", default)]
    response: Response,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct Response {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn line(user: &str, verb: &str, resource: &str, subresource: &str) -> String {
        serde_json::json!({
            "stage": "ResponseComplete", "verb": verb, "user": {"username": user},
            "objectRef": {"resource": resource, "subresource": subresource, "namespace": "lab", "name": "mail"},
            "responseStatus": {"code": 200},
        })
        .to_string()
            + "\n"
    }

    #[test]
    fn a_tally_counts_subresources_apart_and_leaves_watches_out() {
        let scratch = Scratch::create().unwrap();
        let path = scratch.path().join("audit.log");
        let text = [
            line("operator", "patch", "secrets", ""),
            line("operator", "patch", "integrationconnections", "status"),
            line("operator", "watch", "secrets", ""),
        ];
        fs::write(&path, text.concat()).unwrap();
        let requests = Audit::at(path).requests().unwrap();
        assert_eq!(requests.count(), 2);
        let key = ("operator".to_owned(), "patch".to_owned(), "integrationconnections/status".to_owned());
        assert_eq!(requests.tally()[&key], 1);
    }

    #[test]
    fn a_mark_hides_what_came_before_and_a_half_written_line_is_left_for_later() {
        let scratch = Scratch::create().unwrap();
        let path = scratch.path().join("audit.log");
        let (first, second) = (line("alice", "get", "secrets", ""), line("bob", "delete", "secrets", ""));
        let audit = Audit::at(path.clone());
        fs::write(&path, format!("{first}{}", &second[..20])).unwrap();
        let mark = audit.mark().unwrap();
        assert_eq!(audit.requests().unwrap().count(), 1);
        fs::write(&path, format!("{first}{second}")).unwrap();
        let fresh = audit.requests_since(mark).unwrap();
        assert_eq!(fresh.clone().by("bob").writes().named("mail").count(), 1);
        assert_eq!(fresh.by("alice").count(), 0);
    }

    #[test]
    fn an_impersonated_request_counts_for_the_impersonated_user() {
        let text = r#"{"stage":"ResponseComplete","verb":"get","user":{"username":"admin"},"impersonatedUser":{"username":"alice"}}"#;
        assert_eq!(parse(text).unwrap().unwrap().user, "alice");
    }
}
