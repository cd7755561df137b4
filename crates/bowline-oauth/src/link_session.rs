//! Carries out the calls of a link session ([`LinkSession`](crate::catalog::link_session::LinkSession)): opening it, fetching what
//! came of it, and what follows with the grant.
//!
//! Each call is sent once. None of them rotates anything: calls that broke off may be begun again.

mod course;
mod signing;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use self::course::SessionCourse;
pub use self::course::{LinkRequest, OpenedSession};
use self::values::PlaceholderValues;
use super::app::App;
use super::classify::{self, Failure};
use super::endpoint::Granted;
use super::http::Http;
use super::tokens::Tokens;
use crate::catalog::Description;

/// Opens a session: one that repairs the grant in use if there is one, or a new one if the provider knows that no more.
pub async fn open(
    http: &dyn Http,
    description: &Description,
    app: &App,
    request: LinkRequest<'_>,
    now: Timestamp,
) -> Result<OpenedSession, Failure> {
    let course = SessionCourse::of(http, description, app, now)?;
    let repairs = request.held.is_some() && !course.session.repair.is_empty();
    match course.opened(&request, repairs).await {
        Err(failure) if repairs && is_gone(description, &failure) => course.opened(&request, false).await,
        outcome => outcome,
    }
}

/// Fetches what came of a session, when the person is back with these parameters. What somebody else linked is given back.
pub async fn fetch(
    http: &dyn Http,
    description: &Description,
    app: &App,
    kept: &SecretString,
    came_with: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Granted, Failure> {
    let course = SessionCourse::of(http, description, app, now)?;
    let (repairs, mut values) = PlaceholderValues::kept(kept)?;
    let (_, calls) = course.session.following(repairs);
    let told = course.run(calls, &mut values).await?;
    let mut compared = course.session.callback.iter();
    if compared.all(|(name, value)| came_with.get(name).is_some_and(|came| values.get(value) == Some(came))) {
        return course.granted(told, &values);
    }
    let mut failure = classify::of_another_request();
    if !repairs && course.run(&course.session.revoke, &mut values).await.is_err() {
        failure.summary += ", and what was linked there could not be removed";
    }
    Err(failure)
}

/// Gets another access token. Nothing is spent, so it may be repeated.
pub(crate) async fn refresh(
    http: &dyn Http,
    description: &Description,
    app: &App,
    refresh_token: &SecretString,
    scopes: &[String],
    now: Timestamp,
) -> Result<Granted, Failure> {
    let course = SessionCourse::of(http, description, app, now)?;
    let mut values =
        PlaceholderValues::of_grant(Tokens { refresh: Some(refresh_token), ..Tokens::default() });
    values.want(description, scopes);
    let told = course.run(&course.session.refresh, &mut values).await?;
    course.granted(told, &values)
}

/// Checks the access token in use, and what it stands for.
pub(crate) async fn check(
    http: &dyn Http,
    description: &Description,
    app: &App,
    token: &SecretString,
    now: Timestamp,
) -> Result<(), Failure> {
    let course = SessionCourse::of(http, description, app, now)?;
    let mut values = PlaceholderValues::of_grant(Tokens { access: Some(token), ..Tokens::default() });
    course.run(&course.session.check, &mut values).await.map(drop)
}

/// Withdraws a grant. Returns whether there was anything to withdraw.
pub(crate) async fn withdraw(
    http: &dyn Http,
    description: &Description,
    app: &App,
    held: Tokens<'_>,
    now: Timestamp,
) -> Result<bool, Failure> {
    let course = SessionCourse::of(http, description, app, now)?;
    match course.run(&course.session.revoke, &mut PlaceholderValues::of_grant(held)).await {
        Ok(_) => Ok(true),
        Err(failure) if is_gone(description, &failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The calls as text, with their placeholders: for people who describe a provider. Ends with a line break.
pub(crate) fn outline(description: &Description) -> String {
    let mut text = String::new();
    let Some((session, url)) = description.link_session.as_ref().and_then(|it| Some((it, it.url.as_ref()?)))
    else {
        return text;
    };
    for (name, calls) in session.named_calls().into_iter().filter(|(_, calls)| !calls.is_empty()) {
        _ = writeln!(text, "\n{name}");
        for call in calls {
            _ = writeln!(
                text,
                "  {} {}{}",
                http::Method::from(call.method),
                url.as_str().trim_end_matches('/'),
                call.path
            );
            let body = call.json.clone().or_else(|| serde_json::to_value(&call.form).ok());
            let body = body.filter(|body| body.as_object().is_some_and(|fields| !fields.is_empty()));
            if let Some(body) = body {
                _ = writeln!(text, "    {body}");
            }
            let taken: Vec<&str> =
                call.take.keys().chain(call.take_if_there.keys()).map(String::as_str).collect();
            if !taken.is_empty() {
                _ = writeln!(text, "    takes {}", taken.join(", "));
            }
        }
    }
    text
}

/// Whether the provider says that there is nothing left of a grant.
fn is_gone(description: &Description, failure: &Failure) -> bool {
    let revoke = &description.revoke;
    failure.status.is_some_and(|status| revoke.gone_status.contains(&status))
        || failure.code.as_ref().is_some_and(|code| revoke.gone_codes.contains(code))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::super::http::{Received, Sent};
    use super::*;
    use crate::catalog::errors::Class;
    use crate::fixtures::{Script, answer, app};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const NONE: BTreeMap<String, String> = BTreeMap::new();
    const BACK: &str = "https://portal.example.com/callback/bank";

    fn plaid() -> Description {
        let parameters = json!({"client_name": "Acme", "countries": "US, CA"});
        described("plaid", json!({"type": "plaid", "parameters": parameters}))
    }

    async fn opened(script: &Script, held: Option<Tokens<'_>>) -> Result<OpenedSession, Failure> {
        let (state, scopes) = (SecretString::from("the-state"), ["auth".to_owned(), "identity".to_owned()]);
        let request =
            LinkRequest { redirect_uri: BACK, state: &state, scopes: &scopes, connection: "uid", held };
        open(script, &plaid(), &app(), request, NOW).await
    }

    fn page(address: &str) -> Value {
        json!({"link_token": "link-1", "hosted_link_url": address})
    }

    fn told(status: u16, body: &Value) -> Received {
        answer(status, &[], &body.to_string())
    }

    fn body(script: &Script, number: usize) -> Value {
        serde_json::from_slice(script.requests()[number].body()).unwrap()
    }

    #[tokio::test]
    async fn a_session_is_opened_for_what_is_wanted_and_its_end_is_fetched() {
        let script = Script::answering([told(200, &page("https://secure.example.com/hl/1"))]);
        let session = opened(&script, None).await.unwrap();
        assert_eq!(session.page.as_str(), "https://secure.example.com/hl/1");
        assert!(!format!("{session:?}").contains("link-1"));
        let (sent, request) = (body(&script, 0), &script.requests()[0]);
        assert_eq!(sent["products"], json!(["auth", "identity"]));
        assert_eq!(sent["country_codes"], json!(["US", "CA"]));
        assert_eq!(sent["hosted_link"]["completion_redirect_uri"], format!("{BACK}?state=the-state"));
        assert_eq!(request.uri(), "https://production.plaid.com/link/token/create");
        assert!(request.headers()["plaid-secret"].is_sensitive());
        let result = json!({"link_sessions": [{"results": null}, {"results": {"item_add_results": [{"public_token": "p-1"}]}}]});
        let item = json!({"item": {"item_id": "i", "consent_expiration_time": "2027-01-02T03:04:05.678Z"}});
        let script = Script::answering([
            told(200, &result),
            told(200, &json!({"access_token": "access-1", "item_id": "item-1"})),
            told(200, &item),
        ]);
        let granted = fetch(&script, &plaid(), &app(), &session.kept, &NONE, NOW).await.unwrap().answer;
        assert_eq!(granted.access_token.unwrap().expose_secret(), "access-1");
        assert_eq!(granted.account.unwrap().id, "item-1");
        assert_eq!(granted.consent_ends_at.unwrap().to_string(), "2027-01-02T03:04:05Z");
        assert_eq!(body(&script, 1)["public_token"], "p-1");
    }

    #[tokio::test]
    async fn a_person_who_did_not_finish_has_declined_and_a_token_is_not_lost() {
        let script = Script::answering([told(200, &page("https://secure.example.com/hl/1"))]);
        let session = opened(&script, None).await.unwrap();
        let script = Script::answering([told(200, &json!({"link_sessions": []}))]);
        let failure = fetch(&script, &plaid(), &app(), &session.kept, &NONE, NOW).await.unwrap_err();
        assert_eq!((failure.class, script.requests().len()), (Class::Cancelled, 1));
        let result = json!({"link_sessions": [{"results": {"item_add_results": [{"public_token": "p-1"}]}}]});
        let exchanged = json!({"access_token": "access-1", "item_id": "item-1"});
        let script = Script::answering([told(200, &result), told(200, &exchanged), told(503, &json!({}))]);
        let granted = fetch(&script, &plaid(), &app(), &session.kept, &NONE, NOW).await.unwrap().answer;
        assert_eq!((granted.account.unwrap().id.as_str(), granted.consent_ends_at), ("item-1", None));
    }

    #[tokio::test]
    async fn a_repair_keeps_the_token_and_what_is_gone_is_linked_again() {
        let token = SecretString::from("access-0");
        let held = Tokens { access: Some(&token), account: Some("item-0"), ..Tokens::default() };
        let script = Script::answering([told(200, &page("https://secure.example.com/hl/1"))]);
        let session = opened(&script, Some(held)).await.unwrap();
        assert_eq!(body(&script, 0)["access_token"], "access-0");
        let script = Script::answering([told(200, &json!({"item": {"item_id": "item-0", "error": null}}))]);
        let granted = fetch(&script, &plaid(), &app(), &session.kept, &NONE, NOW).await.unwrap().answer;
        assert_eq!(granted.access_token.unwrap().expose_secret(), "access-0");
        assert_eq!(granted.account.unwrap().id, "item-0");
        let gone = told(400, &json!({"error_code": "ITEM_NOT_FOUND"}));
        let script = Script::answering([gone, told(200, &page("https://secure.example.com/hl/2"))]);
        opened(&script, Some(held)).await.unwrap();
        assert_eq!(body(&script, 1).get("access_token"), None);
        assert_eq!(body(&script, 1)["products"], json!(["auth", "identity"]));
    }

    fn described(entry: &str, spec: Value) -> Description {
        let spec = serde_json::from_value(spec).unwrap();
        crate::catalog::resolve(crate::catalog::get(entry).unwrap(), &spec, "bank", &[].into()).unwrap()
    }

    /// What is kept of a session at Salt Edge.
    fn salt_edge_session() -> SecretString {
        json!({"repairs": false, "values": {"customer_id": "c-1"}}).to_string().into()
    }

    #[tokio::test]
    async fn all_that_is_taken_is_of_one_item_and_a_former_one_does_not_count() {
        let description = described("salt-edge", json!({"type": "salt-edge"}));
        let connections = json!({"data": [
            {"id": "1", "provider_code": "tried_in_vain", "provider_name": "Vain", "status": "inactive"},
            {"id": "2", "provider_name": "Without a code", "status": "active"},
            {"id": "3", "provider_code": "third", "status": "active"},
            {"id": "4", "provider_code": "fourth", "provider_name": "Fourth", "status": "active"}]});
        let consents = json!({"data": [
            {"status": "expired", "expires_at": "1970-01-01T00:00:01Z"},
            {"status": "active", "expires_at": "2027-01-02T03:04:05Z"}]});
        let script = Script::answering([told(200, &connections), told(200, &consents)]);
        let came = [("connection_id".to_owned(), "3".to_owned())].into();
        let granted = fetch(&script, &description, &app(), &salt_edge_session(), &came, NOW).await.unwrap();
        let (answer, account) = (&granted.answer, granted.answer.account.as_ref().unwrap());
        assert_eq!(answer.access_token.as_ref().unwrap().expose_secret(), "3");
        assert_eq!((account.id.as_str(), account.name.as_deref()), ("c-1/third", None));
        assert_eq!(answer.consent_ends_at.unwrap().to_string(), "2027-01-02T03:04:05Z");
        let lost = json!({"data": [{"id": "1", "provider_code": "x", "status": "disabled"}]});
        for (connections, class) in [(lost, Class::Reauth), (json!({"data": []}), Class::Cancelled)] {
            let script = Script::answering([told(200, &connections)]);
            let fetched = fetch(&script, &description, &app(), &salt_edge_session(), &came, NOW).await;
            assert_eq!(fetched.unwrap_err().class, class, "{connections}");
        }
    }

    #[tokio::test]
    async fn what_another_browser_linked_is_refused_and_given_back() {
        let description = described("salt-edge", json!({"type": "salt-edge"}));
        let connections = json!({"data": [{"id": "3", "provider_code": "third", "status": "active"}]});
        let of = |id: &str| BTreeMap::from([("connection_id".to_owned(), id.to_owned())]);
        for came in [NONE, of(""), of("4")] {
            for (status, is_told) in [(200, false), (503, true)] {
                let answers = [(200, &connections), (200, &json!({"data": []})), (status, &json!({}))];
                let script = Script::answering(answers.map(|(status, body)| told(status, body)));
                let kept = salt_edge_session();
                let failure = fetch(&script, &description, &app(), &kept, &came, NOW).await.unwrap_err();
                assert!(failure.summary.contains("another attempt to connect"), "{failure}");
                assert_eq!(failure.summary.contains("could not be removed"), is_told, "{failure}");
                let last =
                    script.requests().last().map(|sent| (sent.method().clone(), sent.uri().to_string()));
                let removed = "https://www.saltedge.com/api/v6/connections/3".to_owned();
                assert_eq!(last, Some((http::Method::DELETE, removed)));
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_sent_to_a_page_without_tls() {
        for address in ["http://secure.example.com/hl/1", "javascript:alert(1)", "no address"] {
            let script = Script::answering([told(200, &page(address))]);
            assert_eq!(opened(&script, None).await.unwrap_err().sent, Sent::NotSent);
        }
    }

    #[tokio::test]
    async fn an_item_that_is_not_well_is_refused_by_a_success_too_and_no_echo_is_shown() {
        let token = SecretString::from("access-production-0000");
        let rows = [
            (200, json!({"item": {"error": {"error_code": "ITEM_LOGIN_REQUIRED"}}}), Class::Reauth, false),
            (400, json!({"error_code": "USER_PERMISSION_REVOKED"}), Class::Reauth, true),
            (400, json!({"error_code": "INSTITUTION_DOWN"}), Class::Transient, false),
            (400, json!({"error_code": "access-production-0000"}), Class::Bug, false),
        ];
        for (status, body, class, revoked) in rows {
            let script = Script::answering([told(status, &body)]);
            let failure = check(&script, &plaid(), &app(), &token, NOW).await.unwrap_err();
            assert_eq!((failure.class, failure.proves_revoked), (class, revoked), "{body}");
            assert!(!format!("{failure:?}").contains("access-production"));
        }
    }
}
