//! Whether a token or key in use is still honored: one cheap call with it, which spends nothing.
//!
//! A failure says so only if [`refuses`]; every other failure says nothing about the token.

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::answer::Document;
use super::app::App;
use super::classify::{self, Failure, Operation};
use super::endpoint::ClientRequest;
use super::http::{Http, Received, Sent};
use super::key::{self, KeyOrPassword, KeyVerdict};
use super::{identity, link_session, request};
use crate::catalog::Description;
use crate::catalog::calls::ApiCall;
use crate::catalog::errors::Class;
use crate::catalog::protocol::Encoding;

/// A way to check a live access token.
#[derive(Clone, Copy, Debug)]
pub struct TokenProbe<'a> {
    /// Where the address is in an entry.
    pub place: &'static str,
    pub url: &'a Url,
    way: ProbeWay<'a>,
}

#[derive(Clone, Copy, Debug)]
enum ProbeWay<'a> {
    /// A call with the token as bearer.
    Bearer(&'a ApiCall<Option<Url>>),
    /// RFC 7662.
    Introspection,
    /// The calls of `linkSession.check`.
    LinkSession,
}

/// The ways that a description has, the best first: the calls of a link session or its own call alone, or introspection and the call for the account. Empty
/// where it has no probe.
pub fn token_probes(description: &Description) -> Vec<TokenProbe<'_>> {
    let Some(probe) = &description.probe else { return Vec::new() };
    if let Some(session) = description.link_session.as_ref().filter(|session| !session.check.is_empty()) {
        let (place, way) = ("/linkSession/url", ProbeWay::LinkSession);
        return session.url.iter().map(|url| TokenProbe { place, url, way }).collect();
    }
    let user_info = description.endpoints.userinfo.as_ref();
    let beside = |own: Option<&'_ Url>, place| match own {
        Some(_) => place,
        None => "/endpoints/userinfo",
    };
    if let Some(call) = &probe.call {
        let place = beside(call.url.as_ref(), "/probe/call/url");
        let url = call.url.as_ref().or(user_info);
        return url.map(|url| TokenProbe { place, url, way: ProbeWay::Bearer(call) }).into_iter().collect();
    }
    let introspection = description.endpoints.introspection.as_ref();
    let introspection = introspection.map(|url| TokenProbe {
        place: "/endpoints/introspection",
        url,
        way: ProbeWay::Introspection,
    });
    let account = description.identity.as_ref().zip(description.identity_url()).map(|(identity, url)| {
        let place = beside(identity.call.url.as_ref(), "/identity/call/url");
        TokenProbe { place, url, way: ProbeWay::Bearer(&identity.call) }
    });
    introspection.into_iter().chain(account).collect()
}

/// Whether a failed check says that the provider does not honor the token or key any more.
pub fn refuses(failure: &Failure) -> bool {
    failure.class == Class::Reauth && failure.sent == Sent::Refused
}

/// Checks a live access token. `app` is needed for introspection, link sessions, and where calls present its certificate.
pub async fn token(
    http: &dyn Http,
    description: &Description,
    app: Option<&App>,
    probe: TokenProbe<'_>,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Failure> {
    let checked = match probe.way {
        ProbeWay::Bearer(call) => {
            let mut request = request::api_call(call.method, probe.url, &call.headers, call.json.as_ref())?;
            request::bear(&mut request, token)?;
            App::present_in_call(app, description, request.extensions_mut(), now)?;
            accepted(description, &http.send(request).await?, now)
        }
        ProbeWay::Introspection => introspect(http, description, app, probe.url, token, now).await,
        ProbeWay::LinkSession => {
            let app = app.ok_or(request::RequestError::NoClientAuth)?;
            link_session::check(http, description, app, token, now).await
        }
    };
    checked.map_err(|failure| failure.without_echo(token.expose_secret()))
}

/// A success needs no body: a provider's own call may return none.
fn accepted(description: &Description, received: &Received, now: Timestamp) -> Result<(), Failure> {
    let document = identity::read(received);
    if received.status.is_success() && matches!(document, Document::Empty) {
        return Ok(());
    }
    classify::answered(Operation::Identity, description, received, &document, now)
}

/// RFC 7662 §2. Only `active` says something about the token: a refusal is about the client, which may not ask everywhere.
async fn introspect(
    http: &dyn Http,
    description: &Description,
    app: Option<&App>,
    url: &Url,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Failure> {
    let app = app.ok_or(request::RequestError::NoClientAuth)?;
    let asked = ClientRequest { http, description, app, operation: Operation::Introspect, now };
    let fields = [("token", token.expose_secret()), ("token_type_hint", "access_token")];
    let answered = asked.send(|client| client.proven(url, &fields, Encoding::Form)).await;
    let answered = answered.map_err(|failure| match failure.class {
        Class::Reauth => Failure { class: Class::Bug, proves_revoked: false, ..failure },
        _ => failure,
    })?;
    match answered.document.data().and_then(|data| data.get("active")).and_then(Value::as_bool) {
        Some(true) => Ok(()),
        Some(false) => Err(classify::not_honored(&answered.received)),
        None => Err(classify::unconfirmed(&answered.received)),
    }
}

/// Where a key, or a user name and password, is checked. `None`: nowhere, or the description has no probe.
pub fn key_probe(description: &Description) -> Option<(&'static str, &Url)> {
    description.probe.as_ref()?;
    Some(("/key/validate/url", description.key.as_ref()?.validate.as_ref()?.url.as_ref()?))
}

/// Checks a key, or a user name and password, at [`key_probe`].
pub async fn credential(
    http: &dyn Http,
    description: &Description,
    credential: &KeyOrPassword,
    now: Timestamp,
) -> Result<(), Failure> {
    match key::check(http, description, credential, now).await? {
        KeyVerdict::Good(_) | KeyVerdict::Alive(_) | KeyVerdict::Unverified => Ok(()),
        KeyVerdict::Bad => Err(classify::key_not_honored()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::calls::{Identity, IdentitySource, Probe};
    use crate::catalog::protocol::AccountPaths;
    use crate::fixtures::{Script, answer, app, description};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn probed(introspection: bool) -> Description {
        let mut description = description();
        let probe: Probe<Option<Url>> = serde_json::from_value(json!({"every": "15m"})).unwrap();
        description.core.probe = Some(probe);
        let url = introspection.then(|| "https://provider.example.com/introspect".parse().unwrap());
        description.core.endpoints.introspection = url;
        let (call, account) = (ApiCall::default(), AccountPaths::default());
        description.core.identity = Some(Identity { from: vec![IdentitySource::Call], call, account });
        description
    }

    /// Asks as the first of the description's ways says.
    async fn asked(script: &Script, description: &Description) -> Result<(), Failure> {
        let probe = token_probes(description)[0];
        token(script, description, Some(&app()), probe, &SecretString::from("at"), NOW).await
    }

    #[test]
    fn a_probe_of_its_own_comes_alone_and_introspection_before_the_call_for_the_account() {
        let places = |it: &Description| token_probes(it).iter().map(|it| it.place).collect::<Vec<_>>();
        let both = probed(true);
        assert_eq!(places(&both), ["/endpoints/introspection", "/endpoints/userinfo"]);
        assert_eq!(places(&probed(false)), ["/endpoints/userinfo"]);
        let mut own = probed(true);
        own.core.probe.as_mut().unwrap().call = Some(ApiCall::default());
        assert_eq!(places(&own), ["/endpoints/userinfo"]);
        let url = Some("https://provider.example.com/ping".parse().unwrap());
        own.core.probe.as_mut().unwrap().call = Some(ApiCall { url, ..ApiCall::default() });
        assert_eq!(places(&own), ["/probe/call/url"]);
        own.core.probe = None;
        assert!(places(&own).is_empty());
    }

    #[tokio::test]
    async fn only_a_refusal_of_the_token_says_that_it_is_over() {
        let rows = [
            (200, r#"{"sub":"8"}"#, None),
            (204, "", None),
            (401, "", Some(true)),
            (401, r#"{"error":"invalid_token"}"#, Some(true)),
            (401, "<html>", Some(false)),
            (403, "{}", Some(false)),
            (404, "{}", Some(false)),
            (429, "{}", Some(false)),
            (503, r#"{"error":"invalid_token"}"#, Some(false)),
            (302, "", Some(false)),
        ];
        for (status, body, refused) in rows {
            let checked = asked(&Script::of(status, body), &probed(false)).await;
            assert_eq!(checked.err().as_ref().map(refuses), refused, "{status} {body}");
        }
        let description = probed(false);
        let script = Script::of(200, r#"{"sub":"8"}"#);
        asked(&script, &description).await.unwrap();
        assert_eq!(script.requests()[0].headers()["authorization"], "Bearer at");
    }

    #[tokio::test]
    async fn introspection_says_whether_a_token_is_active_and_nothing_else_counts() {
        let rows = [
            (200, r#"{"active":true}"#, None),
            (200, r#"{"active":false}"#, Some(true)),
            (200, "{}", Some(false)),
            (400, r#"{"error":"invalid_grant"}"#, Some(false)),
            (401, r#"{"error":"invalid_client"}"#, Some(false)),
            (403, "", Some(false)),
            (404, "", Some(false)),
            (503, "", Some(false)),
        ];
        for (status, body, refused) in rows {
            let script = Script::new([Ok(answer(status, &[], body)), Ok(answer(status, &[], body))]);
            let checked = asked(&script, &probed(true)).await;
            assert_eq!(checked.err().as_ref().map(refuses), refused, "{status} {body}");
            let sent = &script.requests()[0];
            assert_eq!(sent.body(), b"token=at&token_type_hint=access_token");
            assert!(sent.headers()["authorization"].to_str().unwrap().starts_with("Basic "));
        }
    }

    #[tokio::test]
    async fn a_key_is_checked_as_when_it_came() {
        let spec = json!({"type": "generic-api-key",
            "parameters": {"validate_url": "https://api.example.com/me"}});
        let spec = serde_json::from_value(spec).unwrap();
        let entry = crate::catalog::get("generic-api-key").unwrap();
        let description = crate::catalog::resolve(entry, &spec, "p", &[].into()).unwrap();
        assert_eq!(key_probe(&description).unwrap().1.as_str(), "https://api.example.com/me");
        let key = KeyOrPassword::key("k", &key::KeyValues::new(), description.key.as_ref()).unwrap();
        for (status, expected) in [(200, None), (403, None), (401, Some(true)), (500, Some(false))] {
            let script = Script::of(status, "{}");
            let checked = credential(&script, &description, &key, NOW).await;
            assert_eq!(checked.err().as_ref().map(refuses), expected, "{status}");
        }
    }
}
