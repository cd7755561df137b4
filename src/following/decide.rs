//! What becomes of a Secret that follows a connection's grant: pure. Only what the connection's own controller has judged is
//! published.

use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::reason::Reason;
use bowline_api::view::Publication;
use bowline_runtime::follow::ObjectVersion;

use crate::publishing::PublishedVersion;
use crate::secret_plan::{GrantInUse, SecretPlan};
use crate::vault::record::GrantVersion;

/// The object that owns the Secret, and what is known of it.
pub(crate) struct SecretFollower<'a> {
    /// UID of the object.
    pub(crate) uid: &'a str,
    pub(crate) namespace: &'a str,
    /// Name of its Secret.
    pub(crate) name: &'a str,
    /// The Secret under that name, if there is one.
    pub(crate) seen: Option<&'a ObjectVersion>,
    /// The one that was written last.
    pub(crate) written: Option<&'a PublishedVersion>,
    /// Whether what was written last has the content that is wanted now, but for the token.
    pub(crate) has_content: bool,
    /// The reason where the API server refuses the Secret as it is.
    pub(crate) refused: Reason,
}

impl SecretFollower<'_> {
    /// What to do. `grant` is the one on record; `may_write` is false while it is not known whether it may be published here.
    pub(crate) fn plan(
        &self,
        connection: &IntegrationConnection,
        grant: Option<&GrantInUse>,
        may_write: bool,
    ) -> SecretPlan {
        let said = connection.reason_of(ConditionType::SecretPublished);
        let may = connection.may_be_published();
        let owner_differs = |held: &GrantInUse| held.grant.bound_to.owner != connection.spec.owner;
        if said == Some(Reason::Withdrawn) || may == Publication::Nothing || grant.is_some_and(owner_differs)
        {
            return SecretPlan::Withdraw;
        }
        let Some(grant) = grant.filter(|grant| judged(connection, grant.version)) else {
            return SecretPlan::Nothing;
        };
        if self.is_as_it_should_be(grant.version) {
            SecretPlan::Keep
        } else if !may_write {
            SecretPlan::Nothing
        } else if said == Some(Reason::Withheld) || may == Publication::NothingNewer {
            SecretPlan::Withhold
        } else {
            SecretPlan::Write
        }
    }

    /// Whether the Secret is the one last written, of this revision, with this content, and unchanged since.
    fn is_as_it_should_be(&self, version: GrantVersion) -> bool {
        let (Some(written), Some(seen)) = (self.written, self.seen) else { return false };
        self.has_content && written.grant == Some(version) && written.is_untouched(seen, self.name)
    }
}

/// Whether the connection's controller has judged this revision under the present spec: only it judges scopes and terms.
fn judged(connection: &IntegrationConnection, version: GrantVersion) -> bool {
    let judged = connection.grant().map(|grant| (grant.id.clone(), grant.revision));
    connection.status.as_ref().is_some_and(|status| {
        status.observed_generation == connection.metadata.generation
            && judged == Some((version.id.to_string(), version.revision))
    })
}
