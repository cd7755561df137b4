//! Sign-in with a token that the API server accepts (`TokenReview`). The token is used once and not stored.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{PageError, answered};
use crate::session::{Groups, Session};

const LONGEST: usize = 12 * 1024;

/// The session of the token's user.
pub(crate) async fn sign_in(
    client: &Client,
    audience: Option<&str>,
    token: &SecretString,
    now: Timestamp,
) -> Result<Session, PageError> {
    let text = token.expose_secret();
    if text.is_empty() || text.len() > LONGEST {
        return Err(not_accepted());
    }
    let audiences = audience.map(|audience| vec![audience.to_owned()]);
    let spec = TokenReviewSpec { audiences, token: Some(text.to_owned()) };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = answered(reviews.create(&PostParams::default(), &review)).await?;
    judged(audience, answer.status.unwrap_or_default(), now)
}

fn judged(audience: Option<&str>, status: TokenReviewStatus, now: Timestamp) -> Result<Session, PageError> {
    let named = status.audiences.unwrap_or_default();
    // A server without support for audiences returns none, and has not checked ours.
    let for_us = audience.is_none_or(|audience| named.iter().any(|name| name == audience));
    let user =
        status.user.filter(|_| status.authenticated == Some(true) && for_us).ok_or_else(not_accepted)?;
    let groups = Groups::OfTheApiServer(user.groups.unwrap_or_default());
    Ok(Session::begin(&user.username.unwrap_or_default(), groups, now)?)
}

fn not_accepted() -> PageError {
    PageError::sign_in(
        "The cluster does not accept this token: it may be incomplete, expired or issued for another audience.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(user: &str, audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(audiences.iter().map(ToString::to_string).collect()),
            user: Some(UserInfo { username: Some(user.into()), ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn only_an_authenticated_person_is_signed_in() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(judged(None, status("alice", &[]), now).unwrap().user(), "alice");
        assert!(
            judged(None, TokenReviewStatus { authenticated: Some(false), ..status("alice", &[]) }, now)
                .is_err()
        );
        assert!(judged(None, TokenReviewStatus::default(), now).is_err());
        let account = status("system:serviceaccount:bowline-system:bowline", &[]);
        assert!(judged(None, account, now).unwrap_err().what.contains("belongs to Kubernetes"));
    }

    #[test]
    fn a_token_for_somebody_else_is_none() {
        let ours = Some("bowline-portal");
        let now = Timestamp::UNIX_EPOCH;
        assert!(judged(ours, status("alice", &["bowline-portal"]), now).is_ok());
        assert!(judged(ours, status("alice", &["https://kubernetes.default.svc"]), now).is_err());
        assert!(judged(ours, status("alice", &[]), now).is_err());
    }
}
