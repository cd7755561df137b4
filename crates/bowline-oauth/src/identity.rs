//! Whose account a grant is for.

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::answer::{Document, TokenAnswer};
use super::classify::{self, Failure, Operation};
use super::http::{Http, Request};
use super::request::{self, RequestError};
use super::{claims, http::Received};
use crate::catalog::Description;
use crate::catalog::calls::Call;
use crate::catalog::errors::Class;
pub(crate) use crate::catalog::protocol::Account;

/// The account of a token answer, by the description's way: from the answer itself, or by a call with its access
/// token. Where the call is refused for good or there is no address to call, the id token's claims stand in, read by
/// the same paths. `None`: the provider does not tell.
pub(crate) async fn identify(
    http: &dyn Http,
    description: &Description,
    answer: &TokenAnswer,
    now: Timestamp,
) -> Result<Option<Account>, Failure> {
    if answer.account.is_some() {
        return Ok(answer.account.clone());
    }
    let claimed = || description.identity.as_ref()?.account.read(&claims::document(&answer.claims));
    match account(http, description, &answer.access_token, now).await {
        Ok(Some(account)) => Ok(Some(account)),
        Ok(None) => Ok(claimed()),
        Err(failure) if matches!(failure.class, Class::Alive | Class::Consent | Class::Bug) => {
            claimed().map_or(Err(failure), |account| Ok(Some(account)))
        }
        Err(failure) => Err(failure),
    }
}

/// The account that an access token is for, by a call. `None`: the description has no such call.
pub async fn account(
    http: &dyn Http,
    description: &Description,
    access_token: &SecretString,
    now: Timestamp,
) -> Result<Option<Account>, Failure> {
    let Some(identity) = &description.identity else { return Ok(None) };
    let Some(url) = description.identity_url() else { return Ok(None) };
    let request = bearer(&identity.call, url, access_token).map_err(|error| classify::unbuilt(&error))?;
    let (received, document) = call_api(http, description, request, now).await?;
    let account = document.data().and_then(|data| identity.account.read(data));
    account.map(Some).ok_or_else(|| classify::unconfirmed(&received))
}

/// Whether an access token works, by the description's cheap call or else the identity call. `None`: there is no call
/// that could tell. [`Class::Alive`] in the failure: it works, but may not do this.
pub(crate) async fn probe(
    http: &dyn Http,
    description: &Description,
    access_token: &SecretString,
    now: Timestamp,
) -> Result<Option<()>, Failure> {
    let own = description.probe.as_ref().and_then(|call| Some((call, call.url.as_ref()?)));
    let identity = || Some((&description.identity.as_ref()?.call, description.identity_url()?));
    let Some((call, url)) = own.or_else(identity) else { return Ok(None) };
    let request = bearer(call, url, access_token).map_err(|error| classify::unbuilt(&error))?;
    call_api(http, description, request, now).await.map(|_| Some(()))
}

fn bearer(
    call: &Call<url::Url>,
    url: &url::Url,
    access_token: &SecretString,
) -> Result<Request, RequestError> {
    let mut request = match &call.json {
        Some(json) => request::json(call.method.into(), url, json)?,
        None => request::bare(call.method.into(), url)?,
    };
    request::add_headers(&mut request, &call.headers)?;
    request::bear(&mut request, access_token)?;
    Ok(request)
}

async fn call_api(
    http: &dyn Http,
    description: &Description,
    request: Request,
    now: Timestamp,
) -> Result<(Received, Document), Failure> {
    let received = http.send(request).await.map_err(|error| classify::unanswered(&error))?;
    let document = Document::read(&received);
    match classify::answered(Operation::Identity, description, &received, &document, now) {
        Some(failure) => Err(failure),
        None => Ok((received, document)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer;
    use crate::catalog::calls::{Identity, IdentitySource, Verb};
    use crate::catalog::protocol::AccountPaths;
    use crate::fixtures::{Script, description, id_token};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn told_by(from: IdentitySource) -> Description {
        let path = |text: &str| text.parse::<crate::catalog::pointer::Pointer>().unwrap().into();
        let call = Call { method: Verb::Get, url: None, headers: [].into(), json: None };
        let account = AccountPaths { id: vec![path("/sub")], name: path("/name"), email: path("/email") };
        Description { identity: Some(Identity { from, call, account }), ..description() }
    }

    fn granted(description: &Description) -> TokenAnswer {
        let token = id_token(&json!({"aud": "client", "sub": "7", "email": "a@example.com"}));
        answer::read(&json!({"access_token": "at", "id_token": token}), description, "client", None, NOW)
            .unwrap()
    }

    async fn identified(script: &Script) -> Result<Option<Account>, Failure> {
        let description = told_by(IdentitySource::Call);
        identify(script, &description, &granted(&description), NOW).await
    }

    #[tokio::test]
    async fn the_user_info_is_asked_with_the_access_token() {
        let script = Script::of(200, r#"{"sub":"8","name":"Ann"}"#);
        let account = identified(&script).await.unwrap().unwrap();
        assert_eq!((account.id.as_str(), account.name.as_deref(), account.email), ("8", Some("Ann"), None));
        let request = &script.requests()[0];
        assert_eq!(request.uri(), "https://provider.example.com/me");
        assert_eq!(request.headers()["authorization"], "Bearer at");
        assert!(!format!("{request:?}").contains("Bearer"));
    }

    #[tokio::test]
    async fn an_entry_that_says_no_more_than_call_asks_the_user_info_too() {
        let spec = json!({"type": "sandbox", "endpoints": {
            "token": "https://id.example.com/token", "userinfo": "https://id.example.com/me"}});
        let spec = serde_json::from_value(spec).unwrap();
        let entry = crate::catalog::get("sandbox").unwrap();
        let description = crate::catalog::resolve(entry, &spec, "sandbox", &[].into()).unwrap();
        let script = Script::of(200, r#"{"sub":"8","name":"Ann"}"#);
        let found = account(&script, &description, &SecretString::from("at"), NOW).await.unwrap();
        assert_eq!(found.unwrap().id, "8");
        assert_eq!(script.requests()[0].uri(), "https://id.example.com/me");
    }

    #[tokio::test]
    async fn claims_stand_in_when_the_call_is_refused_but_not_when_it_fails() {
        for (status, body) in [(403, "{}"), (200, "{}"), (404, "")] {
            let account = identified(&Script::of(status, body)).await.unwrap().unwrap();
            assert_eq!(account.id, "7", "{status}");
        }
        let failure = identified(&Script::of(503, "")).await.unwrap_err();
        assert_eq!(failure.class, Class::Transient);
        let failure = identified(&Script::of(401, "")).await.unwrap_err();
        assert_eq!(failure.class, Class::Reauth);
    }

    #[tokio::test]
    async fn claims_alone_are_enough_where_the_description_says_so() {
        let description = told_by(IdentitySource::IdToken);
        let account = identify(&Script::new([]), &description, &granted(&description), NOW).await.unwrap();
        assert_eq!(account.unwrap().email.unwrap(), "a@example.com");
    }

    #[tokio::test]
    async fn a_probe_tells_live_from_dead_and_says_when_it_cannot() {
        let description = told_by(IdentitySource::Call);
        let token = SecretString::from("at");
        let live = probe(&Script::of(200, "{}"), &description, &token, NOW).await;
        assert_eq!(live, Ok(Some(())));
        let alive = probe(&Script::of(403, ""), &description, &token, NOW).await.unwrap_err();
        assert_eq!(alive.class, Class::Alive);
        assert_eq!(probe(&Script::new([]), &crate::fixtures::description(), &token, NOW).await, Ok(None));
    }
}
