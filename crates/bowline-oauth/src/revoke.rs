//! Revokes a grant at the provider (RFC 7009, and what providers do instead).

use http::Method;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::answer::Document;
use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::ClientRequest;
use super::http::{Http, Received, Request};
use super::link_session;
use super::request::{self, Client, RequestError};
pub use super::tokens::Tokens;
use crate::catalog::Description;
use crate::catalog::calls::{Revoke, RevokeScope, RevokeStyle};
use crate::catalog::pointer::Pointer;
use crate::catalog::protocol::Encoding;

/// The result of a revocation that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The provider revoked it. RFC 7009 requires the same answer for tokens that it does not know.
    Revoked,
    /// There was nothing left to revoke.
    AlreadyGone,
    /// No request can do it with what we have; a person can, as `by_hand` says.
    Unsupported { by_hand: Option<String> },
}

/// Whether [`revoke`] needs a valid access token: refresh first if it has expired.
pub fn needs_live_access_token(description: &Description) -> bool {
    matches!(description.revoke.style, RevokeStyle::BearerCall | RevokeStyle::GithubDeleteGrant)
}

/// Revokes a grant. You may repeat this until it succeeds; after a failure the grant counts as alive.
///
/// The refresh token first. The access token follows only if a revocation ends one token and not the grant.
pub async fn revoke(
    http: &dyn Http,
    description: &Description,
    app: &App,
    tokens: Tokens<'_>,
    now: Timestamp,
) -> Result<Revocation, Failure> {
    let unsupported = Revocation::Unsupported { by_hand: description.revoke.by_hand.clone() };
    let Some(url) = description.revocation_url(&app.client_id) else { return Ok(unsupported) };
    if description.revoke.style == RevokeStyle::LinkSession {
        let was_there = link_session::withdraw(http, description, app, tokens, now).await?;
        return Ok(if was_there { Revocation::Revoked } else { Revocation::AlreadyGone });
    }
    let asked = ClientRequest { http, description, app, operation: Operation::Revoke, now };
    if description.revoke.style == RevokeStyle::StripeDeauthorize {
        let Some(account) = tokens.account else { return Ok(unsupported) };
        return deauthorize(&asked, &url, account).await;
    }
    let mut done = None;
    for (hint, token) in usable(description, tokens).into_iter().flatten() {
        let outcome =
            asked.ask(|client| request(client, &url, hint, token), |received| judge(&asked, &received));
        let (outcome, _) = outcome.await.map_err(|failure| failure.without_echo(token.expose_secret()))?;
        // Gone and revoked together mean revoked.
        done = if done == Some(Revocation::Revoked) { done } else { Some(outcome) };
    }
    Ok(done.unwrap_or(unsupported))
}

/// The tokens to send, each with what it is (RFC 7009 §2.1).
fn usable<'a>(
    description: &Description,
    tokens: Tokens<'a>,
) -> [Option<(&'static str, &'a SecretString)>; 2] {
    let refresh = tokens.refresh.map(|token| ("refresh_token", token));
    let access = tokens.access.map(|token| ("access_token", token));
    match description.revoke.style {
        // These take only access tokens.
        RevokeStyle::BearerCall
        | RevokeStyle::BearerDelete
        | RevokeStyle::GithubDelete
        | RevokeStyle::GithubDeleteGrant => [access, None],
        _ if description.revoke.scope == RevokeScope::Token => [refresh, access],
        RevokeStyle::JsonBasic => [access.or(refresh), None],
        _ => [refresh.or(access), None],
    }
}

/// Withdraws all that an account gave the app.
async fn deauthorize(asked: &ClientRequest<'_>, url: &Url, account: &str) -> Result<Revocation, Failure> {
    let request = |client: &Client<'_>| {
        let mut request = request::form(url, &[("client_id", client.id), ("stripe_user_id", account)])?;
        request::bear(&mut request, client.secret.ok_or(RequestError::NoClientAuth)?)?;
        request::add_headers(&mut request, &client.description.revoke.headers)?;
        Ok(request)
    };
    asked.ask(request, |received| judge(asked, &received)).await.map(|(outcome, _)| outcome)
}

/// `hint` is the `token_type_hint` of RFC 7009, and a field's name elsewhere.
fn request(
    client: &Client<'_>,
    url: &Url,
    hint: &str,
    token: &SecretString,
) -> Result<Request, RequestError> {
    let text = token.expose_secret();
    let with_basic = |mut request: Request| client.prove_by_header(&mut request).map(|()| request);
    let mut request = match client.description.revoke.style {
        RevokeStyle::Rfc7009 => {
            client.proven(url, &[("token", text), ("token_type_hint", hint)], Encoding::Form)
        }
        RevokeStyle::FormTokenOnly => request::form(url, &[("token", text)]),
        RevokeStyle::BearerOrNamedForm => request::form(url, &[(hint, text)]),
        RevokeStyle::JsonBasic => with_basic(request::json(Method::POST, url, &json!({ "token": text }))?),
        RevokeStyle::GithubDelete | RevokeStyle::GithubDeleteGrant => {
            with_basic(request::json(Method::DELETE, url, &json!({ "access_token": text }))?)
        }
        style @ (RevokeStyle::BearerCall | RevokeStyle::BearerDelete) => {
            let method = if style == RevokeStyle::BearerCall { Method::POST } else { Method::DELETE };
            let mut request = request::bare(method, url)?;
            request::bear(&mut request, token)?;
            Ok(request)
        }
        RevokeStyle::None | RevokeStyle::StripeDeauthorize | RevokeStyle::LinkSession => {
            Err(RequestError::Unbuildable)
        }
    }?;
    request::add_headers(&mut request, &client.description.revoke.headers)?;
    Ok(request)
}

fn judge(asked: &ClientRequest<'_>, received: &Received) -> Result<Revocation, Failure> {
    let Revoke { style, success, success_path, gone_status, .. } = &asked.description.revoke;
    let document = Document::read(received);
    let (status, data) = (received.status.as_u16(), document.data());
    let page = matches!(document, Document::Html);
    if !page && (gone_status.contains(&status) || says_gone(asked.description, data)) {
        return Ok(Revocation::AlreadyGone);
    }
    let operation = match style {
        RevokeStyle::BearerCall | RevokeStyle::GithubDelete | RevokeStyle::GithubDeleteGrant => {
            Operation::Identity
        }
        _ => Operation::Revoke,
    };
    let listed = if success.is_empty() { received.status.is_success() } else { success.contains(&status) };
    let is_true = |path: &Pointer| data.and_then(|data| path.get(data)) == Some(&Value::Bool(true));
    let confirmed = listed && success_path.as_ref().is_none_or(is_true);
    match classify::answered(operation, asked.description, received, &document, asked.now) {
        // A success status in the list needs no body.
        Err(_) if confirmed && !page && data.is_none() => Ok(Revocation::Revoked),
        Err(failure) => Err(failure),
        Ok(()) if confirmed => Ok(Revocation::Revoked),
        Ok(()) => Err(classify::unconfirmed(received)),
    }
}

fn says_gone(description: &Description, data: Option<&Value>) -> bool {
    let (errors, gone) = (&description.errors, &description.revoke.gone_codes);
    let codes = |data| [errors.code.text(data), errors.api_code.text(data)];
    data.is_some_and(|data| codes(data).iter().flatten().any(|code| gone.contains(code)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::errors::Class;
    use crate::fixtures::{Script, answer, app, description, pointer};

    fn styled(style: RevokeStyle) -> Description {
        let mut description = description();
        description.core.revoke.style = style;
        description.core.revoke.by_hand = Some("the settings page".to_owned());
        description
    }

    async fn withdraw(script: &Script, description: &Description) -> Result<Revocation, Failure> {
        let (refresh, access) = (SecretString::from("rt-canary"), SecretString::from("at-canary"));
        let tokens = Tokens { refresh: Some(&refresh), access: Some(&access), account: Some("acct_7") };
        let outcome = revoke(script, description, &app(), tokens, Timestamp::UNIX_EPOCH).await;
        assert!(!format!("{outcome:?} {tokens:?}").contains("canary"));
        outcome
    }

    #[tokio::test]
    async fn each_style_makes_its_own_request() {
        use RevokeStyle::{
            BearerCall, BearerOrNamedForm, FormTokenOnly, GithubDelete, GithubDeleteGrant, JsonBasic,
            Rfc7009, StripeDeauthorize,
        };
        let revoke = "https://provider.example.com/revoke";
        let rows = [
            (Rfc7009, "POST", revoke, "token=rt-canary&token_type_hint=refresh_token", "Basic "),
            (FormTokenOnly, "POST", revoke, "token=rt-canary", ""),
            (BearerOrNamedForm, "POST", revoke, "refresh_token=rt-canary", ""),
            (JsonBasic, "POST", revoke, r#"{"token":"at-canary"}"#, "Basic "),
            (BearerCall, "POST", revoke, "", "Bearer at-canary"),
            (StripeDeauthorize, "POST", revoke, "client_id=client&stripe_user_id=acct_7", "Bearer s:e+c%r t"),
            (
                GithubDelete,
                "DELETE",
                "https://provider.example.com/revoke/client/token",
                r#"{"access_token":"at-canary"}"#,
                "Basic ",
            ),
            (
                GithubDeleteGrant,
                "DELETE",
                "https://provider.example.com/revoke/client/grant",
                r#"{"access_token":"at-canary"}"#,
                "Basic ",
            ),
        ];
        for (style, method, url, body, authorization) in rows {
            let script = Script::of(200, "");
            assert_eq!(withdraw(&script, &styled(style)).await.unwrap(), Revocation::Revoked, "{style:?}");
            let request = &script.requests()[0];
            assert_eq!(
                (request.method().as_str(), request.uri().to_string().as_str()),
                (method, url),
                "{style:?}"
            );
            assert_eq!(script.body(), body, "{style:?}");
            let sent = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
            assert!(
                sent.starts_with(authorization) && sent.is_empty() == authorization.is_empty(),
                "{style:?}"
            );
        }
    }

    #[tokio::test]
    async fn both_tokens_are_withdrawn_where_a_revocation_ends_only_one() {
        let mut single = styled(RevokeStyle::Rfc7009);
        single.core.revoke.scope = RevokeScope::Token;
        let script = Script::new([Ok(answer(200, &[], "")), Ok(answer(200, &[], ""))]);
        assert_eq!(withdraw(&script, &single).await.unwrap(), Revocation::Revoked);
        let bodies: Vec<_> =
            script.requests().iter().map(|sent| sent.body().starts_with(b"token=rt")).collect();
        assert_eq!(bodies, [true, false]);
    }

    #[tokio::test]
    async fn what_cannot_be_withdrawn_by_a_request_is_left_to_a_person() {
        let by_hand = Revocation::Unsupported { by_hand: Some("the settings page".to_owned()) };
        assert_eq!(withdraw(&Script::new([]), &styled(RevokeStyle::None)).await.unwrap(), by_hand);
        let mut nowhere = styled(RevokeStyle::Rfc7009);
        nowhere.core.endpoints.revocation = None;
        assert_eq!(withdraw(&Script::new([]), &nowhere).await.unwrap(), by_hand);
        let (script, standard, app) = (Script::new([]), styled(RevokeStyle::Rfc7009), app());
        let nothing = revoke(&script, &standard, &app, Tokens::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(nothing.await.unwrap(), by_hand);
        let by_account = styled(RevokeStyle::StripeDeauthorize);
        let unknown = revoke(&script, &by_account, &app, Tokens::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(unknown.await.unwrap(), by_hand, "an account that is not known cannot be named");
    }

    #[tokio::test]
    async fn a_grant_that_is_gone_already_is_no_failure() {
        let mut description = styled(RevokeStyle::FormTokenOnly);
        description.core.revoke.gone_status = vec![404];
        description.core.revoke.gone_codes = vec!["invalid_token".to_owned()];
        for (status, body) in
            [(404, ""), (400, r#"{"error":"invalid_token"}"#), (200, r#"{"error":"invalid_token"}"#)]
        {
            let outcome = withdraw(&Script::of(status, body), &description).await.unwrap();
            assert_eq!(outcome, Revocation::AlreadyGone, "{status}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_confirm_leaves_the_grant_alive() {
        let busy = Script::new([Ok(answer(503, &[("retry-after", "30")], ""))]);
        let failure = withdraw(&busy, &styled(RevokeStyle::Rfc7009)).await.unwrap_err();
        assert_eq!((failure.class, failure.retry_after), (Class::Transient, Some(Duration::from_secs(30))));

        let unsupported = Script::of(400, r#"{"error":"unsupported_token_type"}"#);
        let failure = withdraw(&unsupported, &styled(RevokeStyle::Rfc7009)).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_deref()), (Class::Bug, Some("unsupported_token_type")));

        for body in ["<html>sign in", r#"{"ok":false,"error":"x"}"#] {
            assert!(withdraw(&Script::of(200, body), &styled(RevokeStyle::Rfc7009)).await.is_err(), "{body}");
        }
        let mut slack = styled(RevokeStyle::BearerCall);
        slack.core.revoke.success_path = Some(pointer("/revoked"));
        for (body, done) in
            [(r#"{"ok":true,"revoked":true}"#, true), (r#"{"ok":true,"revoked":false}"#, false), ("", false)]
        {
            assert_eq!(withdraw(&Script::of(200, body), &slack).await.is_ok(), done, "{body}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_as_the_entry_says() {
        use Revocation::{AlreadyGone, Revoked};
        let rows = [
            ("google", 200, "", Some(Revoked)),
            ("google", 400, r#"{"error":"invalid_token"}"#, Some(AlreadyGone)),
            ("google", 400, r#"{"error":"invalid_request"}"#, None),
            ("slack", 200, r#"{"ok":true,"revoked":true}"#, Some(Revoked)),
            ("slack", 200, r#"{"ok":true,"revoked":false}"#, None),
            ("slack", 200, r#"{"ok":false,"error":"token_revoked"}"#, Some(AlreadyGone)),
            ("stripe-connect", 200, r#"{"stripe_user_id":"acct_7"}"#, Some(Revoked)),
            ("stripe-connect", 401, r#"{"error":"invalid_client"}"#, Some(AlreadyGone)),
            ("stripe-connect", 401, r#"{"error":{"type":"invalid_request_error"}}"#, None),
            ("github", 204, "", Some(Revoked)),
            ("github", 404, "", Some(AlreadyGone)),
            ("github", 200, "{}", None),
            ("linear", 401, "", Some(AlreadyGone)),
            ("dropbox", 401, r#"{"error":{".tag":"invalid_access_token"}}"#, Some(AlreadyGone)),
            ("dropbox", 401, r#"{"error":{".tag":"expired_access_token"}}"#, None),
        ];
        for (entry, status, body, want) in rows {
            let spec = serde_json::from_value(json!({ "type": entry })).unwrap();
            let entry_of = crate::catalog::get(entry).unwrap();
            let description = crate::catalog::resolve(entry_of, &spec, entry, &[].into()).unwrap();
            // Both tokens are sent where a revocation ends only one.
            let script = Script::new([(); 2].map(|()| Ok(answer(status, &[], body))));
            let outcome = withdraw(&script, &description).await.ok();
            assert_eq!(outcome, want, "{entry} {status} {body}");
        }
    }

    #[tokio::test]
    async fn the_previous_secret_is_tried_when_the_client_is_refused() {
        let rotating = App { client_secret_previous: Some(SecretString::from("old")), ..app() };
        let refresh = SecretString::from("rt");
        let tokens = Tokens { refresh: Some(&refresh), ..Tokens::default() };
        let script =
            Script::new([Ok(answer(401, &[], r#"{"error":"invalid_client"}"#)), Ok(answer(200, &[], ""))]);
        let description = styled(RevokeStyle::Rfc7009);
        let outcome = revoke(&script, &description, &rotating, tokens, Timestamp::UNIX_EPOCH).await;
        assert_eq!((outcome.unwrap(), script.requests().len()), (Revocation::Revoked, 2));
    }
}
