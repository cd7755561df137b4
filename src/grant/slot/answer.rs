//! The grant that an answer of the provider makes. Pure.

use bowline_oauth::answer::{TokenAnswer, UNKNOWN_TYPE};
use bowline_runtime::clock::later;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::grant::schedule::lifetime;
use crate::vault::{Consent, Credential, Grant};

/// The least time between two answers whose expiries are compared.
const COMPARABLE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// The grant after a refresh. What the answer leaves out stays unchanged (RFC 6749 §5.1, §6).
pub(crate) fn renewed(old: &Grant, answer: TokenAnswer, asked_at: Timestamp) -> Grant {
    let old_refresh = refresh_token(old);
    let IssuedToken { access_token, token_type, obtained_at, expires_at } =
        IssuedToken::issued(old, &answer, asked_at).unwrap_or_else(|| IssuedToken::of(old));
    let expires = answer.refresh_expires_in.map(|lives| later(asked_at, lives));
    let replaced = answer
        .refresh_token
        .as_ref()
        .is_some_and(|new| old_refresh.is_none_or(|old| old.expose_secret() != new.expose_secret()));
    let consent_ends_at = answer.consent_ends_at.or(old.consent.ends_at);
    let mut claims = old.claims.clone();
    claims.extend(answer.claims);
    let mut published_extras = old.published_extras.clone();
    published_extras.extend(answer.extras.into_iter().map(|(key, value)| (key, SecretString::from(value))));
    Grant {
        credential: Credential::OAuth {
            refresh_token: answer.refresh_token.or(old_refresh.cloned()),
            access_token,
            token_type,
        },
        claims,
        scopes: answer.scopes.or_else(|| old.scopes.clone()),
        obtained_at,
        expires_at,
        refresh_expires_at: expires.or(old.refresh_expires_at),
        refresh_end_moves: expiry_moves(old, expires, asked_at),
        refresh_issued_at: if replaced { Some(asked_at) } else { old.refresh_issued_at },
        published_extras,
        bound_to: old.bound_to.clone(),
        source: old.source.clone(),
        consent: Consent { ends_at: consent_ends_at, ..old.consent.clone() },
    }
}

/// An access token with its times.
struct IssuedToken {
    access_token: Option<SecretString>,
    token_type: String,
    obtained_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl IssuedToken {
    /// The one in an answer; `None` if it was too long to be kept.
    fn issued(old: &Grant, answer: &TokenAnswer, asked_at: Timestamp) -> Option<Self> {
        let refreshable = answer.refresh_token.is_some() || refresh_token(old).is_some();
        let before = lifetime(old.obtained_at, old.expires_at);
        let lifetime = answer.lifetime.counted(refreshable, before);
        Some(Self {
            access_token: Some(answer.access_token.clone()?),
            token_type: answer.token_type.clone(),
            obtained_at: asked_at,
            expires_at: lifetime.map(|lives| later(asked_at, lives)),
        })
    }

    fn of(grant: &Grant) -> Self {
        let token_type = match &grant.credential {
            Credential::OAuth { token_type, .. } => token_type.clone(),
            Credential::ApiKey { .. } | Credential::Basic { .. } | Credential::IssuedKeys { .. } => {
                UNKNOWN_TYPE.to_owned()
            }
        };
        Self {
            access_token: access_token(grant).cloned(),
            token_type,
            obtained_at: grant.obtained_at,
            expires_at: grant.expires_at,
        }
    }
}

/// Whether each use of the refresh token moves its expiry, as this answer and the one before show.
fn expiry_moves(old: &Grant, expires: Option<Timestamp>, asked_at: Timestamp) -> Option<bool> {
    let passed = asked_at.duration_since(old.obtained_at);
    match (old.refresh_expires_at, expires) {
        (Some(before), Some(expires)) if passed >= COMPARABLE_AFTER => {
            Some(expires.duration_since(before) > passed / 2)
        }
        _ => old.refresh_end_moves,
    }
}

/// Whether two are the same answer of the provider.
pub(crate) fn is_same(one: &Grant, other: &Grant) -> bool {
    let tokens =
        |grant| [access_token(grant), refresh_token(grant)].map(|it| it.map(SecretString::expose_secret));
    (one.obtained_at, one.expires_at) == (other.obtained_at, other.expires_at) && tokens(one) == tokens(other)
}

/// Why a grant that was issued a moment ago is of no use.
pub(crate) fn useless(grant: &Grant, now: Timestamp) -> Option<&'static str> {
    if access_token(grant).is_none() {
        return Some("the access token that it gave was too long to be kept.");
    }
    let is_over = grant.consent.ends_at.is_some_and(|at| at <= now);
    is_over.then_some("the consent has ended already, as the provider says.")
}

pub(crate) fn access_token(grant: &Grant) -> Option<&SecretString> {
    match &grant.credential {
        Credential::OAuth { access_token, .. } => access_token.as_ref(),
        Credential::ApiKey { .. } | Credential::Basic { .. } | Credential::IssuedKeys { .. } => None,
    }
}

pub(crate) fn refresh_token(grant: &Grant) -> Option<&SecretString> {
    match &grant.credential {
        Credential::OAuth { refresh_token, .. } => refresh_token.as_ref(),
        Credential::ApiKey { .. } | Credential::Basic { .. } | Credential::IssuedKeys { .. } => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use bowline_oauth::answer::Lifetime;

    use super::*;
    use crate::grant::fixtures::{answer, at, oauth_grant};

    fn grant() -> Grant {
        Grant {
            scopes: Some(vec!["read".to_owned()]),
            expires_at: Some(at(60)),
            refresh_expires_at: Some(at(600)),
            ..oauth_grant("sandbox", "old")
        }
    }

    #[test]
    fn what_an_answer_leaves_out_stays_as_it_was() {
        let kept = renewed(&grant(), answer(None), at(30));
        assert_eq!(refresh_token(&kept).unwrap().expose_secret(), "old");
        assert_eq!(kept.scopes, Some(vec!["read".to_owned()]));
        assert_eq!((kept.obtained_at, kept.expires_at), (at(30), Some(at(120))));
        assert_eq!(kept.refresh_expires_at, Some(at(600)));
    }

    #[test]
    fn class_12_the_earlier_access_token_stays_where_the_new_one_is_too_long() {
        let too_long = TokenAnswer { access_token: None, ..answer(Some("new")) };
        let kept = renewed(&grant(), too_long, at(30));
        assert_eq!(access_token(&kept).unwrap().expose_secret(), "a");
        assert_eq!(refresh_token(&kept).unwrap().expose_secret(), "new");
        assert_eq!((kept.obtained_at, kept.expires_at), (at(0), Some(at(60))));
        assert!(!is_same(&kept, &grant()), "the refresh token is another one");
    }

    #[test]
    fn a_lifetime_that_an_answer_leaves_out_stays_as_it_was_and_zero_with_a_refresh_token_is_none() {
        for lifetime in [Lifetime::Untold(None), Lifetime::Zero(None)] {
            let kept = renewed(&grant(), TokenAnswer { lifetime, ..answer(None) }, at(30));
            assert_eq!(kept.expires_at, Some(at(90)), "{lifetime:?}: a minute, as before");
        }
        let nothing = Grant { expires_at: None, ..oauth_grant("sandbox", "old") };
        let endless = TokenAnswer { lifetime: Lifetime::Zero(Some(Duration::from_secs(9))), ..answer(None) };
        assert_eq!(renewed(&nothing, endless.clone(), at(30)).expires_at, Some(at(39)));
        let unrefreshable = Grant {
            credential: Credential::OAuth {
                refresh_token: None,
                access_token: None,
                token_type: "Bearer".into(),
            },
            ..nothing
        };
        assert_eq!(renewed(&unrefreshable, endless, at(30)).expires_at, None);
    }

    #[test]
    fn a_rotated_refresh_token_replaces_the_old_one() {
        let kept = renewed(&grant(), answer(Some("new")), at(30));
        assert_eq!(refresh_token(&kept).unwrap().expose_secret(), "new");
        assert_eq!(kept.refresh_issued_at, Some(at(30)));
    }

    #[test]
    fn two_answers_show_whether_the_expiry_moves() {
        let told = |lives: u64| TokenAnswer {
            refresh_expires_in: Some(Duration::from_secs(lives)),
            ..answer(Some("new"))
        };
        let after = |second: i64, lives| renewed(&grant(), told(lives), at(second)).refresh_end_moves;
        assert_eq!(after(100, 500), Some(false), "it counts down");
        assert_eq!(after(100, 502), Some(false), "and a second more or less is no news");
        assert_eq!(after(100, 600), Some(true), "it starts again");
        assert_eq!(after(3, 600), None, "too soon to tell");
        assert_eq!(renewed(&grant(), answer(None), at(100)).refresh_end_moves, None);
    }
}
