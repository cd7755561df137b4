//! A connection in a list.

use bowline_api::IntegrationConnection;
use bowline_api::names::connection_id;
use bowline_runtime::follow::Unreadable;

use super::mark::ProviderMark;
use super::provider::Card;
use super::status::{Chip, chip, standing};
use super::words::{Moment, Reader};
use super::{foreign, key_of, page_of, title};

#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionRow {
    pub(crate) page: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) card: Card,
    pub(crate) chip: Chip,
    /// Empty if the connection cannot be read.
    pub(crate) owner: String,
    pub(crate) account: Option<String>,
    /// The workspace that it names, and the one that it is shared with.
    pub(crate) workspace: Option<String>,
    pub(crate) shared_with: Option<String>,
    pub(crate) refreshed: Option<Moment>,
    /// The published one.
    pub(crate) secret: Option<String>,
    /// Why the connection cannot be read.
    pub(crate) fault: Option<String>,
}

impl ConnectionRow {
    pub(crate) fn of(connection: &IntegrationConnection, card: Card, reader: Reader<'_>) -> Self {
        let (namespace, name) = key_of(&connection.metadata);
        let status = connection.status.clone().unwrap_or_default();
        Self {
            title: title(connection),
            chip: standing(connection, &card.title, reader).chip,
            owner: connection.spec.owner.clone(),
            account: status.account.map(|account| foreign(account.word())),
            workspace: connection.spec.workspace.clone(),
            shared_with: status.sharing.map(|sharing| sharing.workspace),
            refreshed: Moment::of(status.token.and_then(|it| it.last_refreshed_at).as_ref(), reader.now),
            secret: status.secret.map(|secret| secret.name),
            card,
            ..Self::named(namespace, name)
        }
    }

    /// A connection that exists and does not parse: nothing is known but its name and the field at fault.
    pub(crate) fn unreadable(connection: &Unreadable) -> Self {
        let (namespace, name) = key_of(&connection.metadata);
        Self {
            title: name.to_owned(),
            chip: chip("bad", "!", "Cannot be read"),
            fault: Some(foreign(&format!("{}: {}", connection.field, connection.problem))),
            card: Card { mark: ProviderMark::letters("?"), ..Card::default() },
            ..Self::named(namespace, name)
        }
    }

    fn named(namespace: &str, name: &str) -> Self {
        Self {
            page: page_of(namespace, name),
            id: connection_id(namespace, name),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Sorts by the names for people.
pub(crate) fn sort(rows: &mut [ConnectionRow]) {
    rows.sort_by_cached_key(|row| (row.title.to_lowercase(), row.page.clone()));
}
