//! Which account a grant is for, by the user info (`OpenID` Connect Core §5.3) or a provider's own call.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::answer::{self, Document};
use super::app::App;
use super::claims;
use super::classify::{self, Failure, Operation};
use super::http::{Http, Received};
use super::request;
use crate::catalog::Description;
use crate::catalog::calls::ApiCall;
use crate::catalog::protocol::ProviderAccount;
use crate::catalog::publish::PublishedFrom;

/// What the user info says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The account; `None` if the description has no call for it.
    pub account: Option<ProviderAccount>,
    /// Values to publish beside the token.
    pub extras: BTreeMap<String, String>,
}

/// What calls say of the account that an access token is for: the user info, and the description's call for further values
/// to publish. Empty: the description has no such calls. `app` is needed where such calls present its certificate.
pub async fn user_info(
    http: &dyn Http,
    description: &Description,
    app: Option<&App>,
    access_token: &SecretString,
    now: Timestamp,
) -> Result<UserInfo, Failure> {
    let asked = Asked { http, description, app, access_token, now };
    let mut info = asked.account().await?;
    info.extras.extend(asked.further_values().await?);
    Ok(info)
}

/// Calls with an access token.
pub(crate) struct Asked<'a> {
    pub(crate) http: &'a dyn Http,
    pub(crate) description: &'a Description,
    pub(crate) app: Option<&'a App>,
    pub(crate) access_token: &'a SecretString,
    pub(crate) now: Timestamp,
}

impl Asked<'_> {
    /// The account, and what the same answer has to publish.
    pub(crate) async fn account(&self) -> Result<UserInfo, Failure> {
        let description = self.description;
        let (Some(identity), Some(url)) = (&description.identity, description.identity_url()) else {
            return Ok(UserInfo::default());
        };
        let (received, data) = self.send(&identity.call, url).await?;
        let account = identity.account.read(&data)?.ok_or_else(|| classify::unconfirmed(&received))?;
        let extras = answer::extras_of_call(description, PublishedFrom::UserInfo, &data);
        Ok(UserInfo { account: Some(account), extras })
    }

    /// Values to publish that a call of their own tells. One that the token may not make tells none.
    async fn further_values(&self) -> Result<BTreeMap<String, String>, Failure> {
        let call = self.description.publish_call.as_ref();
        let Some((call, url)) = call.and_then(|call| Some((call, call.url.as_ref()?))) else {
            return Ok(BTreeMap::new());
        };
        match self.send(call, url).await {
            Ok((_, data)) => Ok(answer::extras_of_call(self.description, PublishedFrom::Call, &data)),
            Err(failure) if matches!(failure.status, Some(401 | 403)) => Ok(BTreeMap::new()),
            Err(failure) => Err(failure),
        }
    }

    async fn send(&self, call: &ApiCall<Option<Url>>, url: &Url) -> Result<(Received, Value), Failure> {
        let Self { http, description, app, access_token, now } = *self;
        let mut request = request::api_call(call.method, url, &call.headers, call.json.as_ref())?;
        request::bear(&mut request, access_token)?;
        App::present_in_call(app, description, request.extensions_mut(), now)?;
        let received = http.send(request).await?;
        let document = read(&received);
        classify::answered(Operation::Identity, description, &received, &document, now)?;
        let data = document.data().cloned().ok_or_else(|| classify::unconfirmed(&received))?;
        Ok((received, data))
    }
}

/// User info may be a signed JWT (`OpenID` Connect Core §5.3.2), and says so: JSON with dots in it is none. It came from the
/// provider itself over TLS, so the signature need not be checked.
pub(super) fn read(received: &Received) -> Document {
    let kind = received.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_jwt = kind.is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("application/jwt"));
    let text = std::str::from_utf8(&received.body).ok().filter(|_| is_jwt);
    let claims = text.and_then(|text| claims::payload(text.trim()));
    claims.map_or_else(|| Document::read(received), Document::Data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::calls::{Identity, IdentitySource};
    use crate::catalog::errors::Class;
    use crate::catalog::protocol::AccountPaths;
    use crate::fixtures::{Script, description, pointers};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn told_by(from: IdentitySource) -> Description {
        let path = pointers;
        let account = AccountPaths { id: vec![path("/sub")], name: path("/name"), email: path("/email") };
        let mut description = description();
        description.core.identity = Some(Identity { from: vec![from], call: ApiCall::default(), account });
        description
    }

    async fn asked(script: &Script, from: IdentitySource) -> Result<Option<ProviderAccount>, Failure> {
        let asked = user_info(script, &told_by(from), None, &SecretString::from("at"), NOW).await;
        asked.map(|info| info.account)
    }

    #[tokio::test]
    async fn the_user_info_is_asked_with_the_access_token() {
        let script = Script::of(200, r#"{"sub":"8","name":"Ann"}"#);
        let account = asked(&script, IdentitySource::Call).await.unwrap().unwrap();
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
        let found = user_info(&script, &description, None, &SecretString::from("at"), NOW).await.unwrap();
        assert_eq!(found.account.unwrap().id, "8");
        assert_eq!(script.requests()[0].uri(), "https://id.example.com/me");
    }

    #[tokio::test]
    async fn a_refusal_and_a_silent_answer_are_failures() {
        let rows = [
            (403, "{}", Class::Alive),
            (200, "{}", Class::Bug),
            (503, "", Class::Transient),
            (401, "", Class::Reauth),
        ];
        for (status, body, class) in rows {
            let failure = asked(&Script::of(status, body), IdentitySource::Call).await.unwrap_err();
            assert_eq!(failure.class, class, "{status}");
        }
    }

    #[tokio::test]
    async fn class_12_an_account_id_that_is_too_long_is_a_failure_that_says_so() {
        let body = json!({"sub": "8".repeat(300), "name": "Ann"}).to_string();
        let failure = asked(&Script::of(200, &body), IdentitySource::Call).await.unwrap_err();
        assert!(failure.summary.contains("an account id of 300 characters"), "{}", failure.summary);
        let body = json!({"sub": "8", "name": "n".repeat(300), "email": "e".repeat(300)}).to_string();
        let account = asked(&Script::of(200, &body), IdentitySource::Call).await.unwrap().unwrap();
        assert_eq!((account.id.as_str(), account.name, account.email), ("8", None, None));
    }

    #[tokio::test]
    async fn nobody_is_asked_where_the_id_token_names_the_account() {
        assert_eq!(asked(&Script::new([]), IdentitySource::IdToken).await, Ok(None));
    }

    #[tokio::test]
    async fn a_call_of_its_own_tells_values_to_publish_and_its_refusal_costs_only_those() {
        let mut description = told_by(IdentitySource::Call);
        let url = "https://provider.example.com/sites".parse().unwrap();
        description.core.publish_call = Some(ApiCall { url: Some(url), ..ApiCall::default() });
        description.core.publish = [("site".to_owned(), crate::fixtures::pointer("/call/0/id"))].into();
        let answer = |status, body| Ok(crate::fixtures::answer(status, &[], body));
        let told = || answer(200, r#"{"sub":"8"}"#);
        let rows = [
            (200, r#"[{"id":"cloud-7"}]"#, Ok(Some("cloud-7"))),
            (200, "[]", Ok(None)),
            (403, "{}", Ok(None)),
            (503, "", Err(Class::Transient)),
        ];
        for (status, body, want) in rows {
            let script = Script::new([told(), answer(status, body)]);
            let info = user_info(&script, &description, None, &SecretString::from("at"), NOW).await;
            let found = info.map(|info| {
                assert_eq!(info.account.unwrap().id, "8");
                info.extras.get("site").cloned()
            });
            let found = found.map_err(|failure| failure.class);
            assert_eq!(found, want.map(|site| site.map(str::to_owned)), "{status} {body}");
            assert_eq!(script.requests()[1].uri(), "https://provider.example.com/sites");
            assert_eq!(script.requests()[1].headers()["authorization"], "Bearer at");
        }
    }

    #[tokio::test]
    async fn the_user_info_may_be_a_signed_jwt_and_has_values_to_publish() {
        let mut description = told_by(IdentitySource::Call);
        let path = |text: &str| crate::fixtures::pointer(text);
        description.core.publish =
            [("site", "/userInfo/site/url"), ("none", "/userInfo/none"), ("other", "/answer/site")]
                .map(|(key, at)| (key.to_owned(), path(at)))
                .into();
        let claims = json!({"sub": "8", "name": "Ann", "site": {"url": "https://a.example.com"}});
        for (kind, body) in [
            ("application/jwt", crate::fixtures::id_token(&claims)),
            ("application/json", claims.to_string()),
        ] {
            let script = Script::new([Ok(crate::fixtures::answer(200, &[("content-type", kind)], &body))]);
            let info = user_info(&script, &description, None, &SecretString::from("at"), NOW).await.unwrap();
            assert_eq!(info.account.unwrap().id, "8");
            assert_eq!(info.extras, [("site".to_owned(), "https://a.example.com".to_owned())].into());
        }
        // A name that looks like a JWT is a name.
        let forged = json!({"sub": "8", "name": crate::fixtures::id_token(&json!({"sub": "9"}))}).to_string();
        for kind in ["application/json", "application/jwt"] {
            let script = Script::new([Ok(crate::fixtures::answer(200, &[("content-type", kind)], &forged))]);
            let info = user_info(&script, &description, None, &SecretString::from("at"), NOW).await;
            assert!(info.is_err() || info.unwrap().account.unwrap().id == "8", "{kind}");
        }
    }
}
