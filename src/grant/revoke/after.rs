//! What a revocation left: whether the provider still takes the access token.

use bowline_oauth::app::App;
use bowline_oauth::probe::{refuses, token, token_probes};
use k8s_openapi::jiff::Timestamp;

use crate::grant::Engine;
use crate::grant::slot::access_token;
use crate::grant::work::Job;
use crate::metrics::Operation;
use crate::vault::Grant;

/// What the provider says of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenCheck {
    Taken,
    Refused,
    /// It cannot be asked, or its answer says nothing.
    Unknown,
}

/// Asks the provider about the access token, with calls that spend nothing, at addresses that the grant is bound to.
pub(super) async fn check(engine: &Engine, job: &Job, app: Option<&App>, grant: &Grant) -> TokenCheck {
    let (http, description, now) = (job.target.http(), job.target.description(), engine.records.clock.now());
    let is_live = grant.expires_at.is_none_or(|at| at > now);
    let Some(access) = access_token(grant).filter(|_| is_live) else { return TokenCheck::Unknown };
    for probe in token_probes(description) {
        if !grant.bound_to.names(probe.place, probe.url.as_str()) {
            continue;
        }
        let checked = token(http, description, app, probe, access, now);
        match engine.gate.timed(Operation::Probe, checked).await {
            Ok(()) => return TokenCheck::Taken,
            Err(failure) if refuses(&failure) => return TokenCheck::Refused,
            Err(_) => {}
        }
    }
    TokenCheck::Unknown
}

/// What still works after the revocation of a grant, in a sentence. Empty if its access token has expired anyway.
pub(super) fn words(after: TokenCheck, grant: &Grant, now: Timestamp) -> String {
    let end = match grant.expires_at {
        Some(at) => format!("until {at}"),
        None => "for a time that the provider does not tell".to_owned(),
    };
    let is_over = access_token(grant).is_none() || grant.expires_at.is_some_and(|at| at <= now);
    match after {
        TokenCheck::Refused => "Its access token is not accepted there any more.".to_owned(),
        TokenCheck::Taken => format!("Its access token is still accepted there, {end}."),
        TokenCheck::Unknown if is_over => String::new(),
        TokenCheck::Unknown => {
            format!("Whether its access token still works is not known; it is valid {end}.")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grant::fixtures::{at, oauth_grant};

    #[test]
    fn only_what_was_seen_is_said() {
        let grant = Grant { expires_at: Some(at(60)), ..oauth_grant("sandbox", "r") };
        let said = |after, now| words(after, &grant, at(now));
        assert_eq!(said(TokenCheck::Refused, 0), "Its access token is not accepted there any more.");
        assert!(said(TokenCheck::Taken, 0).contains("still accepted there, until "));
        assert!(said(TokenCheck::Unknown, 0).contains("not known; it is valid until "));
        assert_eq!(said(TokenCheck::Unknown, 60), "");
    }
}
