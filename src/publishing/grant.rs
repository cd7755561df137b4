//! What of a grant workloads get to see.

use bowline_oauth::answer::UNKNOWN_TYPE;

use super::content::{Account, Credential, Material};
use crate::vault;

/// Why a grant has nothing that could be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpublishable {
    /// It has no access token.
    #[error("there is no token to publish yet")]
    NoToken,
    /// Its access token must not be used (RFC 6749 §7.1).
    #[error(
        "the provider gave an access token of a type that nobody here can present; an administrator of the provider must mend it"
    )]
    TokenType,
}

/// The part of a grant that is published: never the refresh token.
pub(crate) fn material(grant: &vault::Grant) -> Result<Material<'_>, Unpublishable> {
    let credential = match &grant.credential {
        vault::Credential::OAuth { token_type, .. } if token_type == UNKNOWN_TYPE => {
            return Err(Unpublishable::TokenType);
        }
        vault::Credential::OAuth { access_token, token_type, refresh_token: _ } => {
            let access_token = access_token.as_ref().ok_or(Unpublishable::NoToken)?;
            Credential::OAuth { access_token, token_type }
        }
        vault::Credential::ApiKey { api_key } => Credential::ApiKey(api_key),
        vault::Credential::Basic { username, password } => Credential::Basic { username, password },
    };
    let account = grant.bound_to.account.as_ref();
    Ok(Material {
        credential,
        expires_at: grant.expires_at,
        scopes: grant.scopes.as_deref().unwrap_or_default(),
        account: account.map(|account| Account { id: &account.id, name: account.name.as_deref() }),
        extras: &grant.published_extras,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn grant(access_token: Option<&str>, token_type: &str) -> vault::Grant {
        vault::Grant {
            credential: vault::Credential::OAuth {
                refresh_token: Some("r".into()),
                access_token: access_token.map(Into::into),
                token_type: token_type.to_owned(),
            },
            claims: BTreeMap::new(),
            scopes: None,
            obtained_at: k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
            expires_at: None,
            refresh_expires_at: None,
            refresh_end_moves: None,
            refresh_issued_at: None,
            published_extras: BTreeMap::new(),
            bound_to: vault::Binding {
                owner: "alice".into(),
                authority: "x".into(),
                client_id: None,
                account: None,
            },
            source: None,
            consent: crate::vault::Consent::default(),
        }
    }

    #[test]
    fn a_token_of_a_type_nobody_can_present_is_not_published() {
        let refused = |grant: &vault::Grant| material(grant).err();
        assert_eq!(refused(&grant(Some("a"), "Bearer")), None);
        assert_eq!(refused(&grant(Some("a"), UNKNOWN_TYPE)), Some(Unpublishable::TokenType));
        assert_eq!(refused(&grant(None, "Bearer")), Some(Unpublishable::NoToken));
    }
}
