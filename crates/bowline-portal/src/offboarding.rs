//! What becomes of the connections of somebody who leaves: who may decide it, and carrying it out on exactly what was shown.
//!
//! A connection that is refused stops no other, and doing it again changes nothing that is done.

use axum::http::StatusCode;
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;
use bowline_api::names::VERB_ASSIGN_OWNER;
use bowline_api::opaque::Digest;
use kube::ResourceExt;

use crate::access::Permission;
use crate::error::PageError;
use crate::log::Deed;
use crate::visit::Visit;

/// How often a change is tried while the operator writes.
const TRIES: usize = 5;

/// What a visitor may do with a connection, whoever owns it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is the answer to one question")]
pub(crate) struct LeavingRights {
    patch: bool,
    delete: bool,
    share: bool,
    assign: bool,
    /// They own it, or are a member with role Admin.
    own: bool,
}

impl LeavingRights {
    /// `now`: for a change, with answers that are not cached.
    pub(crate) async fn of(
        visit: &Visit,
        connection: &IntegrationConnection,
        now: bool,
    ) -> Result<Self, PageError> {
        let ask = async |verb| {
            let permission = Permission::about(verb, &connection.metadata);
            if now {
                return visit.app.access.allows_now(&visit.session, permission).await;
            }
            visit.allows(permission).await
        };
        // Boxed: four requests at once are large.
        let answers = Box::pin(async {
            tokio::try_join!(ask("patch"), ask("delete"), ask("share"), ask(VERB_ASSIGN_OWNER))
        });
        let (patch, delete, share, assign) = answers.await?;
        let user = visit.session.user();
        let own = connection.spec.owner == user || connection.is_administered_by(user, &[]);
        Ok(Self { patch, delete, share, assign, own })
    }

    /// Why the visitor may not make this change; `None` if they may.
    pub(crate) fn refusal(
        self,
        change: &ConnectionChange,
        connection: &IntegrationConnection,
    ) -> Option<String> {
        let namespace = connection.namespace().unwrap_or_default();
        let needs = |verb: &str| {
            Some(format!(
                "It needs the permission `{verb}` on integrationconnections.bowline.dev in namespace {namespace}, which whoever manages the namespace can grant."
            ))
        };
        let transfers = matches!(change, ConnectionChange::Transfer(_));
        match change {
            _ if !self.assign && (transfers || !self.own) => needs(VERB_ASSIGN_OWNER),
            ConnectionChange::Delete if !self.delete => needs("delete"),
            ConnectionChange::Delete => None,
            _ if !self.patch => needs("patch"),
            _ if transfers && connection.wants_sharing() && !self.share => needs("share"),
            _ if transfers && names_a_secret(connection) => Some(format!(
                "It names a Secret, which the portal may not read: `kubectl bowline transfer {} -n {namespace} --to USER` does it, if you may read that Secret.",
                connection.name_any()
            )),
            _ => None,
        }
    }

    /// Whether the visitor acts on somebody else's connection.
    fn assigns(self, change: &ConnectionChange) -> bool {
        !self.own || matches!(change, ConnectionChange::Transfer(_))
    }
}

fn names_a_secret(connection: &IntegrationConnection) -> bool {
    connection.spec.credentials.is_some() || connection.spec.app.is_some()
}

/// What a page shows of a connection before it is given up: whose it is, its settings, and who depends on it.
pub(crate) fn shown(visit: &Visit, connection: &IntegrationConnection) -> String {
    let shares = visit.app.cluster.shares_of(connection);
    let mut places: Vec<String> = shares.iter().filter_map(|share| share.namespace()).collect();
    places.sort();
    let used = connection.dependents().map(|used| (used.count, &used.names));
    let what = format!(
        "{:?} {:?} {:?} {places:?} {used:?}",
        connection.uid(),
        connection.metadata.generation,
        connection.spec.owner
    );
    Digest::of(&what).short().to_owned()
}

/// Whether others lose the token.
pub(crate) fn affects_others(visit: &Visit, connection: &IntegrationConnection) -> bool {
    connection.dependents().is_some() || !visit.app.cluster.shares_of(connection).is_empty()
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    Done,
    /// It was so before.
    Unchanged,
}

/// Makes the change, if the connection is still as the page that was confirmed has `shown` it.
pub(crate) async fn carry_out(
    visit: &Visit,
    before: &IntegrationConnection,
    seen: &str,
    change: &ConnectionChange,
) -> Result<GivenUp, PageError> {
    let mut tries = 0;
    loop {
        let now = visit.read(&before.namespace().unwrap_or_default(), &before.name_any()).await?;
        if now.uid() != before.uid() || now.spec.owner != before.spec.owner {
            return Err(outdated("It is another one's now, or was made again."));
        }
        if !change.applies_to(&now) {
            return Ok(GivenUp::Unchanged);
        }
        if shown(visit, &now) != seen {
            return Err(outdated("It, or who depends on it, has changed since the page was shown."));
        }
        let rights = LeavingRights::of(visit, &now, true).await?;
        if let Some(refusal) = rights.refusal(change, &now) {
            return Err(PageError::forbidden(&refusal, "Ask whoever manages that namespace."));
        }
        tries += 1;
        match visit.give_up(&now, change, rights.assigns(change)).await {
            Err(error) if error.status == StatusCode::CONFLICT && tries < TRIES => {}
            result => return result.map(|()| GivenUp::Done),
        }
    }
}

fn outdated(what: &str) -> PageError {
    PageError::conflict(
        "Changed in the meantime",
        &format!("{what} Nothing was changed."),
        "Reload the page and look again.",
    )
}

/// The line of the audit log.
pub(crate) fn deed(
    connection: &IntegrationConnection,
    change: &ConnectionChange,
    result: &Result<GivenUp, PageError>,
) -> Deed {
    let action = match change {
        ConnectionChange::Transfer(_) => "transfer",
        ConnectionChange::Unshare => "unshare",
        ConnectionChange::Disconnect | ConnectionChange::Revoke => "disconnect",
        ConnectionChange::Delete => "delete",
        ConnectionChange::Adopt { .. } => "offboard",
    };
    let object = format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any());
    let status = result.as_ref().map_or_else(|error| error.status, |_| StatusCode::CREATED);
    Deed { action, object, status }
}
