//! A connection, and what the visitor may do with it; the argument of every handler of its pages.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::names::VERB_ASSIGN_OWNER;
use bowline_api::terms::ConnectionTerms;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider};
use kube::ResourceExt;

use crate::Portal;
use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::view::managed::keeper;
use crate::view::provider::Card;
use crate::view::{page_of, title};
use crate::visit::{Fields, Form, Visit};
use crate::write::ConnectionPatch;

/// A connection that the visitor may see. As an argument of a handler, its rights are at most some seconds old.
pub(crate) struct Subject {
    pub(crate) visit: Visit,
    pub(crate) connection: IntegrationConnection,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) card: Card,
    pub(crate) may: May,
}

/// What a visitor may do: whether they own the connection or are a member with role Admin, and the API server's answer for each
/// verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub(crate) struct May {
    pub(crate) owns: bool,
    /// By their own name: admission believes the portal who somebody is, and not which groups they are in.
    pub(crate) administers: bool,
    pub(crate) patch: bool,
    pub(crate) delete: bool,
    pub(crate) connect: bool,
    pub(crate) share: bool,
    /// Bind it.
    pub(crate) bind: bool,
    /// Transfer it, and act on it although it is somebody else's.
    pub(crate) assign: bool,
}

impl May {
    /// Change its spec: the owner and Admin members. What holders of `assign-owner` may do beside that, `offboarding` says.
    pub(crate) fn edit(self) -> bool {
        self.patch && (self.owns || self.administers)
    }

    /// Agree to something in the owner's name, such as an account: only they do.
    pub(crate) fn agree(self) -> bool {
        self.patch && self.owns
    }

    /// Delete it, which ends its owner's grant: the same as with the spec.
    pub(crate) fn end(self) -> bool {
        self.delete && (self.owns || self.administers)
    }

    /// Request a refresh: it may end the token that pods hold.
    pub(crate) fn refresh(self) -> bool {
        self.patch && (self.owns || self.connect)
    }

    /// Why the visitor may not allow access; `None` if they may. Only the owner can give the first consent.
    pub(crate) fn refused_to_connect(self, connection: &IntegrationConnection) -> Option<String> {
        let owner = &connection.spec.owner;
        if !connection.has_accepted_grant() && !self.owns {
            return Some(format!(
                "Only {owner}, who owns this connection, can allow access for the first time."
            ));
        }
        (!self.connect).then(|| {
            format!(
                "You may see this connection but not connect it. That needs the permission `connect`, which {owner} or whoever manages the namespace can grant."
            )
        })
    }
}

impl Subject {
    /// The connection at this address. One that does not exist and one that may not be seen get the same response; whether it
    /// can be read is said only to users who may see it.
    async fn of(visit: Visit, parts: &mut Parts, now: bool) -> Result<Self, PageError> {
        let address = Path::<(String, String)>::from_request_parts(parts, &()).await;
        let Path((namespace, name)) = address.map_err(|_| PageError::not_found())?;
        if !is_label(&namespace) || !is_label(&name) {
            return Err(PageError::not_found());
        }
        let ask = async |verb| {
            let permission = Permission::connection(verb, &namespace, &name);
            if now {
                return visit.app.access.allows_now(&visit.session, permission).await;
            }
            visit.allows(permission).await
        };
        if !ask("get").await? {
            return Err(PageError::not_found());
        }
        let connection = visit.read(&namespace, &name).await?;
        let (patch, delete, connect, share, bind, assign) = tokio::try_join!(
            ask("patch"),
            ask("delete"),
            ask("connect"),
            ask("share"),
            ask("use"),
            ask(VERB_ASSIGN_OWNER)
        )?;
        let user = visit.session.user();
        let (owns, administers) = (connection.spec.owner == user, connection.is_administered_by(user, &[]));
        let may = May { owns, administers, patch, delete, connect, share, bind, assign };
        let card = visit.card(&connection.spec.provider);
        Ok(Self { visit, connection, namespace, name, card, may })
    }

    pub(crate) fn page(&self) -> String {
        page_of(&self.namespace, &self.name)
    }

    pub(crate) fn title(&self) -> String {
        title(&self.connection)
    }

    pub(crate) fn provider(&self) -> Option<Arc<IntegrationProvider>> {
        self.visit.app.cluster.provider(&self.connection.spec.provider)
    }

    pub(crate) fn shares(&self) -> Vec<Arc<ConnectionShare>> {
        let uid = self.connection.uid().unwrap_or_default();
        let mut shares = self.visit.app.cluster.shares.state();
        shares.retain(|share| share.spec.connection.uid == uid);
        shares.sort_by_key(|share| share.namespace());
        shares
    }

    /// Where its token goes and what is asked for, as its spec and workspace say.
    pub(crate) fn terms(&self) -> ConnectionTerms {
        let spec = &self.connection.spec;
        let workspace = spec.workspace.as_deref().and_then(|name| self.visit.app.cluster.workspace(name));
        ConnectionTerms::of(spec, workspace.as_deref())
    }

    /// The terms under which this visitor connects. Whoever is not the owner renews what the owner agreed to.
    pub(crate) fn asked_terms(&self) -> ConnectionTerms {
        let agreed = self.connection.terms().filter(|_| !self.may.owns);
        agreed.map_or_else(|| self.terms(), |told| told.agreed.clone())
    }

    /// The tool that manages a field of its spec.
    pub(crate) fn keeper(&self, field: &str) -> Option<String> {
        keeper(&self.connection, field)
    }

    pub(crate) fn is_being_deleted(&self) -> bool {
        self.connection.metadata.deletion_timestamp.is_some()
    }

    /// Refuses unless the visitor may change these fields and no other tool manages them.
    pub(crate) fn need_to_edit(&self, fields: &[&str], refusal: &str) -> Result<(), PageError> {
        need(self.may.edit(), refusal)?;
        let Some(keeper) = fields.iter().find_map(|field| self.keeper(field)) else { return Ok(()) };
        let what = format!("{keeper} manages this part of the connection and would revert the change.");
        let todo = "Change it at its source, for example in a Git repository.";
        Err(PageError::conflict("Managed by another tool", &what, todo))
    }

    /// Refuses, with the reason, unless this visitor can connect it now.
    pub(crate) fn need_to_connect(&self) -> Result<(), PageError> {
        self.need_access()?;
        if self.card.connects_by_browser(&self.connection) {
            return Ok(());
        }
        Err(not_now("This connection cannot be made in a browser."))
    }

    /// Refuses, with the reason, unless this visitor can provide a key or a password now. It decides which account everybody uses,
    /// so only the owner can.
    pub(crate) fn need_to_provide(&self) -> Result<(), PageError> {
        need(self.may.owns, "Only its owner provides the key of a connection.")?;
        self.need_access()?;
        if self.card.key_method(&self.connection).is_some() {
            return Ok(());
        }
        Err(not_now("This connection takes no key or password."))
    }

    /// Refuses, with the reason, unless this visitor can have keys issued or revoked now.
    pub(crate) fn need_to_issue(&self) -> Result<(), PageError> {
        self.need_access()?;
        if self.card.issues_keys(&self.connection) {
            return Ok(());
        }
        Err(not_now("No keys are issued for this connection."))
    }

    /// Refuses, with the reason, unless a grant of this visitor can be taken in now.
    fn need_access(&self) -> Result<(), PageError> {
        let Self { connection, card, may, .. } = self;
        if let Some(why) = may.refused_to_connect(connection) {
            return Err(PageError::forbidden(&why, "Ask the owner of the connection."));
        }
        if self.is_being_deleted() {
            return Err(not_now("The connection is being deleted."));
        }
        if connection.is_disconnected() || connection.is_paused() {
            return Err(not_now("The connection is disconnected or paused."));
        }
        if !card.ready {
            return Err(not_now(&format!("{} cannot be used now: {}", card.title, card.message)));
        }
        Ok(())
    }
}

fn not_now(what: &str) -> PageError {
    let back = "Go back to the connection: its page says what is possible.";
    PageError::conflict("This cannot be connected now", what, back)
}

pub(crate) fn need(may: bool, refusal: &str) -> Result<(), PageError> {
    let ask = "Ask the owner of the connection, or whoever manages its namespace.";
    may.then_some(()).ok_or_else(|| PageError::forbidden(refusal, ask))
}

impl FromRequestParts<Portal> for Subject {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Portal) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, app).await?;
        Box::pin(Self::of(visit, parts, false)).await.map_err(IntoResponse::into_response)
    }
}

/// A form about a connection, with current rights.
pub(crate) struct SubjectForm {
    pub(crate) subject: Subject,
    pub(crate) fields: Fields,
}

impl FromRequest<Portal> for SubjectForm {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Portal) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let Form { visit, fields } = Form::from_request(request, app).await?;
        let subject = Box::pin(Subject::of(visit, &mut parts, true)).await?;
        Ok(Self { subject, fields })
    }
}

impl SubjectForm {
    /// Changes the connection and redirects to its page.
    pub(crate) async fn write(self, change: ConnectionPatch) -> Reply {
        self.subject.visit.change(&self.subject.connection, change).await?;
        Ok(Redirect::to(&self.subject.page()).into_response())
    }
}

/// Whether it is an RFC 1123 label, as names and namespaces of connections are.
pub(crate) fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether it is labels joined by dots, as other names are.
pub(crate) fn is_name(text: &str) -> bool {
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
        assert!(viewer.refused_to_connect(&old).unwrap().contains("permission `connect`"));
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
