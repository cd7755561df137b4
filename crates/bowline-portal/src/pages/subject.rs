//! A connection, and what the reader may do with it.

use bowline_api::IntegrationConnection;
use kube::ResourceExt;

use super::super::App;
use super::super::access::Question;
use super::super::failure::Failure;
use super::super::session::Session;
use super::super::view::provider::Card;

/// How current the answers on rights must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Some seconds old will do.
    APage,
    /// Asked now.
    AChange,
}

/// A connection that the reader may see.
#[derive(Clone, Debug)]
pub struct Subject {
    /// It, as it is now.
    pub connection: IntegrationConnection,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its provider.
    pub card: Card,
    /// What the reader may do.
    pub may: May,
}

/// What a reader may do with a connection, as the API server says, and by being its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub struct May {
    /// Owns it.
    pub owns: bool,
    /// Verb `patch`.
    pub patch: bool,
    /// Verb `delete`.
    pub delete: bool,
    /// Verb `connect`.
    pub connect: bool,
    /// Verb `share`.
    pub share: bool,
}

impl May {
    /// Change its spec: the owner alone. Pipelines with `assign-owner` have their own way.
    pub fn edit(self) -> bool {
        self.patch && self.owns
    }

    /// Why the reader may not allow access; `None` if it may be done. The first consent is the owner's alone.
    pub fn refused_to_connect(self, connection: &IntegrationConnection) -> Option<String> {
        let was_connected = connection.status.as_ref().is_some_and(|status| status.connected_at.is_some());
        let owner = &connection.spec.owner;
        if !was_connected && !self.owns {
            return Some(format!(
                "Only {owner}, who owns this connection, can allow access for the first time."
            ));
        }
        if !self.connect {
            return Some(format!(
                "You may see this connection, but not connect it: that takes the right to `connect`, which {owner} or whoever manages the namespace can give."
            ));
        }
        None
    }
}

/// The connection, if the reader may see it. One that does not exist and one that may not be seen give the same answer.
pub async fn subject(
    app: &App,
    session: &Session,
    namespace: &str,
    name: &str,
    purpose: For,
) -> Result<Subject, Failure> {
    if !is_label(namespace) || !is_label(name) {
        return Err(Failure::not_found());
    }
    let ask = async |verb| {
        let question = Question::connection(verb, namespace, name);
        match purpose {
            For::APage => app.access.allows(session, question).await,
            For::AChange => app.access.allows_now(session, question).await,
        }
    };
    if !ask("get").await? {
        return Err(Failure::not_found());
    }
    let connection = app.writer.read(namespace, name).await?.ok_or_else(Failure::not_found)?;
    let (patch, delete, connect, share) =
        tokio::try_join!(ask("patch"), ask("delete"), ask("connect"), ask("share"))?;
    let owns = connection.spec.owner == session.user();
    let card = app.cluster.provider(&connection.spec.provider);
    let card = card.map_or_else(|| Card::unknown(&connection.spec.provider), |provider| Card::of(&provider));
    Ok(Subject {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.name_any(),
        connection,
        card,
        may: May { owns, patch, delete, connect, share },
    })
}

impl Subject {
    /// Its page.
    pub fn page(&self) -> String {
        format!("/connections/{}/{}", self.namespace, self.name)
    }

    /// Its name for people.
    pub fn title(&self) -> String {
        self.connection
            .spec
            .display_name
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| self.name.clone())
    }

    /// Its stable id.
    pub fn id(&self) -> String {
        bowline_api::names::connection_id(&self.namespace, &self.name)
    }
}

/// Whether a part of an address can be a name in Kubernetes (RFC 1123 label, as ours are).
pub fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

/// As [`is_label`], several joined by dots.
pub fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(status: &serde_json::Value) -> IntegrationConnection {
        serde_json::from_value(json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection", "metadata": {"name": "c"},
            "spec": {"provider": "p", "owner": "alice"}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_first_consent_is_the_owners_alone() {
        let new = connection(&json!({}));
        let owner = May { owns: true, connect: true, ..May::default() };
        let admin = May { connect: true, patch: true, ..May::default() };
        assert_eq!(owner.refused_to_connect(&new), None);
        assert!(admin.refused_to_connect(&new).unwrap().contains("Only alice"));
        let old = connection(&json!({"connectedAt": "2026-05-03T14:20:00Z"}));
        assert_eq!(admin.refused_to_connect(&old), None);
    }

    #[test]
    fn who_may_look_and_not_connect_reads_why() {
        let old = connection(&json!({"connectedAt": "2026-05-03T14:20:00Z"}));
        let viewer = May::default();
        assert!(viewer.refused_to_connect(&old).unwrap().contains("right to `connect`"));
        let owner = May { owns: true, ..May::default() };
        assert!(owner.refused_to_connect(&old).is_some());
    }

    #[test]
    fn only_names_of_kubernetes_are_looked_up() {
        assert!(is_label("team-a") && is_name("a.b-c.d"));
        for bad in ["", "-a", "A", "a/b", "..", "a..b", "a%2f", &"a".repeat(64)] {
            assert!(!is_label(bad) && !is_name(bad), "{bad}");
        }
    }
}
