//! A connection in a list.

use bowline_api::IntegrationConnection;
use bowline_api::names::connection_id;
use kube::ResourceExt;

use super::provider::Card;
use super::status::{Chip, standing};
use super::time::Moment;
use super::words::Reader;
use super::{foreign, page_of, title};

/// A connection in a list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) page: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) card: Card,
    pub(crate) chip: Chip,
    pub(crate) owner: String,
    /// The account at the provider.
    pub(crate) account: Option<String>,
    /// The workspace that it names, and the one that it is shared with.
    pub(crate) workspace: Option<String>,
    pub(crate) shared_with: Option<String>,
    /// When the provider last gave a token.
    pub(crate) refreshed: Option<Moment>,
    /// Where the token is published.
    pub(crate) secret: Option<String>,
}

impl Row {
    pub(crate) fn of(connection: &IntegrationConnection, card: Card, reader: Reader<'_>) -> Self {
        let (namespace, name) = (connection.namespace().unwrap_or_default(), connection.name_any());
        let status = connection.status.clone().unwrap_or_default();
        Self {
            page: page_of(&namespace, &name),
            id: connection_id(&namespace, &name),
            title: title(connection),
            chip: standing(connection, &card.title, reader).chip,
            owner: connection.spec.owner.clone(),
            account: status.account.map(|account| foreign(&account.name.unwrap_or(account.id))),
            workspace: connection.spec.workspace.clone(),
            shared_with: status.sharing.map(|sharing| sharing.workspace),
            refreshed: Moment::of(status.token.and_then(|it| it.last_refreshed_at).as_ref(), reader.now),
            secret: status.secret.map(|secret| secret.name),
            namespace,
            name,
            card,
        }
    }
}

/// Sorts by the names for people.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_cached_key(|row| (row.title.to_lowercase(), row.page.clone()));
}
