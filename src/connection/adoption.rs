//! The record of a former object: the connection was restored from a backup, or moved here from another cluster.
//!
//! A record belongs to the UID of its connection, and the restored object has another one. Somebody agrees to the adoption: the
//! owner, or who may assign owners. It must be of the same owner and account, at the same provider; admission says who set the
//! annotation.

use bowline_api::IntegrationConnection;
use bowline_api::names::{ADOPT_EVEN_IF_SPENT, ADOPT_RECORD, ANNOTATION_ADOPT};
use kube::ResourceExt;

use super::observed::{Adoptable, RecordState};
use crate::context::Context;
use crate::vault::{Credential, Grant, Loaded};

/// What somebody agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// To adopt a record that is certainly the last one.
    Record,
    /// To adopt it in any case.
    EvenIfSpent,
}

impl Agreed {
    pub(crate) fn by(connection: &IntegrationConnection) -> Option<Self> {
        match connection.annotations().get(ANNOTATION_ADOPT)?.as_str() {
            ADOPT_RECORD => Some(Self::Record),
            ADOPT_EVEN_IF_SPENT => Some(Self::EvenIfSpent),
            _ => None,
        }
    }
}

/// The record that can be adopted, or that is left of an adoption. Tokens that are minted and keys of a Secret are obtained again.
pub(super) fn adoptable(
    ctx: &Context,
    connection: &IntegrationConnection,
    record: &RecordState,
) -> Option<Adoptable> {
    let adopted = match record {
        RecordState::Missing => None,
        // After a crash between the two writes of an adoption.
        RecordState::Present(present) if Agreed::by(connection).is_some() => Some(present.version?),
        RecordState::Present(_)
        | RecordState::Unreadable
        | RecordState::Tampered
        | RecordState::RolledBack(_) => return None,
    };
    if connection.spec.credentials.is_some() {
        return None;
    }
    ctx.store.formers(&ctx.world.place(connection)).into_iter().find_map(|Loaded { record, .. }| {
        let grant = record.open_grant(&ctx.sealer).ok()??;
        let is_it = adopted.is_none_or(|version| record.grant_version() == Some(version));
        (is_it && is_of(&grant, connection)).then(|| Adoptable {
            former: record.uid().to_owned(),
            expires_at: grant.expires_at.filter(|_| is_refreshed(&grant)),
        })
    })
}

fn is_refreshed(grant: &Grant) -> bool {
    matches!(&grant.credential, Credential::OAuth { refresh_token: Some(_), .. })
}

/// Whether the grant is the owner's, and of the account that is expected.
fn is_of(grant: &Grant, connection: &IntegrationConnection) -> bool {
    let expected = connection.spec.account.as_ref().map(|account| &account.id);
    let account = grant.bound_to.account.as_ref().map(|account| &account.id);
    grant.bound_to.owner == connection.spec.owner && expected.is_none_or(|expected| account == Some(expected))
}
