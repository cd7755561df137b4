//! What of a grant workloads get to see.

use super::content::{Account, Credential, Material};
use crate::vault;

/// The part of a grant that is published: never the refresh token. `None` while it has no access token.
pub fn material(grant: &vault::Grant) -> Option<Material<'_>> {
    let credential = match &grant.credential {
        vault::Credential::OAuth { access_token, token_type, refresh_token: _ } => {
            Credential::OAuth { access_token: access_token.as_ref()?, token_type }
        }
        vault::Credential::ApiKey { api_key } => Credential::ApiKey(api_key),
        vault::Credential::Basic { username, password } => Credential::Basic { username, password },
    };
    let account = grant.bound_to.account.as_ref();
    Some(Material {
        credential,
        expires_at: grant.expires_at,
        scopes: grant.scopes.as_deref().unwrap_or_default(),
        account: account.map(|account| Account { id: &account.id, name: account.name.as_deref() }),
        extras: &grant.published_extras,
    })
}
