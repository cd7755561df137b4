//! The error tables of the real entries against documented samples.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Class::{Alive, Ambiguous, Bug, Cancelled, Config, Consent, Policy, Reauth, StepUp, Transient};
use super::Operation::{Callback, Mint, Refresh};
use super::*;
use crate::catalog::get;

/// Name and value of a header, if there is one.
type Header = Option<(&'static str, &'static str)>;

/// Class and whether the code proves revocation.
fn token(entry: &str, operation: Operation, body: &Value) -> Option<(Class, bool)> {
    let finding = get(entry).unwrap().errors.token(operation, body)?;
    Some((finding.class, finding.revoked))
}

fn numeric(number: u32) -> Value {
    json!({"error": "invalid_grant", "error_description": format!("AADSTS{number}: text"), "error_codes": [number]})
}

#[test]
fn error_table_classifies_the_documented_samples() {
    let code = |code: &str| json!({"error": code});
    let slack = |code: &str| json!({"ok": false, "error": code});
    let rows = [
        ("google", code("invalid_grant"), Reauth, false),
        ("google", json!({"error": "invalid_grant", "error_subtype": "invalid_rapt"}), StepUp, false),
        ("google", code("admin_policy_enforced"), Consent, false),
        ("google", code("org_internal"), Config, false),
        ("google", code("deleted_client"), Config, false),
        ("google", code("internal_failure"), Transient, false),
        ("google", code("rate_limit_exceeded"), Transient, false),
        ("gmail", code("admin_policy_enforced"), Consent, false),
        ("google-calendar", code("invalid_client"), Config, false),
        ("microsoft", numeric(50173), Reauth, true),
        ("microsoft", numeric(700_082), Reauth, false),
        ("microsoft", numeric(90094), Consent, false),
        ("microsoft", numeric(65001), Consent, false),
        ("microsoft", numeric(700_016), Consent, false),
        ("microsoft", numeric(50076), StepUp, false),
        ("microsoft", numeric(70043), StepUp, false),
        ("microsoft", numeric(53003), Policy, false),
        ("microsoft", numeric(50105), Policy, false),
        ("microsoft", numeric(7_000_222), Config, false),
        ("microsoft", numeric(50196), Transient, false),
        ("microsoft", numeric(1), Reauth, false),
        ("microsoft", code("interaction_required"), StepUp, false),
        ("outlook", numeric(90094), Consent, false),
        ("slack", slack("invalid_refresh_token"), Reauth, false),
        ("slack", slack("token_revoked"), Reauth, true),
        ("slack", slack("team_access_not_granted"), Consent, false),
        ("slack", slack("ekm_access_denied"), Policy, false),
        ("slack", slack("bad_client_secret"), Config, false),
        ("slack", slack("ratelimited"), Transient, false),
        ("slack", slack("org_login_required"), Transient, false),
        ("github", code("incorrect_client_credentials"), Config, false),
        ("github", code("application_suspended"), Config, false),
        ("github-app-user", code("bad_refresh_token"), Reauth, false),
        ("github-app-user", code("redirect_uri_mismatch"), Config, false),
        ("notion", code("invalid_grant"), Reauth, false),
        ("notion", code("invalid_client"), Config, false),
        ("linear", code("invalid_grant"), Reauth, false),
        ("linear", code("invalid_scope"), Config, false),
        ("dropbox", code("invalid_grant"), Reauth, false),
        ("dropbox", code("unsupported_grant_type"), Config, false),
        ("dropbox", code("invalid_request"), Bug, false),
        ("generic-oauth2", code("access_denied"), Ambiguous, false),
        ("generic-oauth2", code("unauthorized_client"), Ambiguous, false),
        ("generic-oauth2-refresh", code("temporarily_unavailable"), Transient, false),
        ("sandbox", code("invalid_grant"), Reauth, false),
        ("sandbox-grace", code("invalid_target"), Config, false),
    ];
    for (entry, body, class, revoked) in rows {
        assert_eq!(token(entry, Refresh, &body), Some((class, revoked)), "{entry}: {body}");
    }
}

#[test]
fn the_same_code_means_something_else_without_a_grant_or_on_return() {
    let code = |code: &str| json!({"error": code});
    let rows = [
        (Mint, "invalid_grant", Config),
        (Mint, "interaction_required", Policy),
        (Mint, "invalid_client", Config),
        (Mint, "unauthorized_client", Config),
        (Mint, "access_denied", Policy),
        (Callback, "access_denied", Cancelled),
        (Callback, "server_error", Transient),
    ];
    for (exchange, text, class) in rows {
        assert_eq!(
            token("generic-oauth2", exchange, &code(text)),
            Some((class, false)),
            "{exchange:?} {text}"
        );
    }
    let declined = json!({"error": "access_denied", "error_description": "AADSTS65004: declined"});
    assert_eq!(token("microsoft", Callback, &declined), Some((Cancelled, false)));
}

#[test]
fn the_number_in_the_text_counts_only_without_a_list_of_numbers() {
    let only_text = json!({"error": "invalid_grant", "error_description": "AADSTS50076: more is needed"});
    assert_eq!(token("microsoft", Refresh, &only_text), Some((StepUp, false)));
    let both =
        json!({"error": "invalid_grant", "error_description": "AADSTS50076: x", "error_codes": [50173]});
    assert_eq!(token("microsoft", Refresh, &both), Some((Reauth, true)));
}

#[test]
fn an_unknown_code_and_a_body_without_one_say_nothing() {
    for body in
        [json!({"error": "never_seen"}), json!({}), json!([]), json!("text"), json!({"error": {"a": 1}})]
    {
        assert_eq!(token("generic-oauth2", Refresh, &body), None, "{body}");
    }
}

#[test]
fn some_codes_ask_for_a_longer_wait() {
    let loops = get("microsoft").unwrap().errors.token(Refresh, &numeric(50196)).unwrap();
    assert_eq!(loops.wait, Some(std::time::Duration::from_mins(5)));
    let moving =
        get("slack").unwrap().errors.token(Refresh, &json!({"error": "org_login_required"})).unwrap();
    assert_eq!(moving.wait, Some(std::time::Duration::from_hours(1)));
}

#[test]
fn answers_of_an_api_are_classified_by_status_code_and_header() {
    let google = |reason: &str| json!({"error": {"code": 403, "errors": [{"reason": reason}]}});
    let graph = |code: &str| json!({"error": {"code": code}});
    let linear = |code: &str| json!({"errors": [{"extensions": {"code": code}}]});
    let dropbox = |tag: &str| json!({"error": {".tag": tag}});
    let rows: [(&str, u16, Header, Value, Option<Class>); 22] = [
        ("google", 403, None, google("rateLimitExceeded"), Some(Transient)),
        ("google", 403, None, google("insufficientPermissions"), Some(Consent)),
        ("google", 401, None, json!({"error": {"status": "UNAUTHENTICATED"}}), Some(Reauth)),
        ("microsoft", 403, None, graph("ErrorAccessDenied"), Some(Consent)),
        ("outlook", 404, None, graph("MailboxNotEnabledForRESTAPI"), Some(Alive)),
        ("slack", 200, None, json!({"ok": false, "error": "account_inactive"}), Some(Reauth)),
        ("slack", 200, None, json!({"ok": false, "error": "missing_scope"}), Some(Consent)),
        ("slack", 200, None, json!({"ok": true}), None),
        ("github", 401, None, json!({"message": "Bad credentials"}), Some(Reauth)),
        ("github", 403, Some(("x-github-sso", "required; url=x")), json!({}), Some(Consent)),
        ("github", 403, Some(("x-ratelimit-remaining", "0")), json!({}), Some(Transient)),
        ("github", 403, Some(("x-ratelimit-remaining", "9")), json!({}), Some(Alive)),
        ("github", 403, Some(("retry-after", "60")), json!({}), Some(Transient)),
        ("notion", 403, None, json!({"code": "restricted_resource"}), Some(Consent)),
        ("notion", 503, None, json!({"code": "service_overload"}), Some(Transient)),
        ("linear", 400, None, linear("RATELIMITED"), Some(Transient)),
        ("linear", 200, None, linear("AUTHENTICATION_ERROR"), Some(Reauth)),
        ("dropbox", 401, None, dropbox("expired_access_token"), Some(Transient)),
        ("dropbox", 401, None, dropbox("missing_scope"), Some(Consent)),
        ("dropbox", 401, None, dropbox("invalid_access_token"), Some(Reauth)),
        ("generic-api-key", 403, None, json!({}), Some(Alive)),
        ("generic-api-key", 404, None, json!({}), None),
    ];
    for (entry, status, header, body, class) in rows {
        let headers: HeaderMap = header
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let finding = get(entry).unwrap().errors.api(status, &headers, Some(&body));
        assert_eq!(finding.map(|finding| finding.class), class, "{entry} {status} {header:?} {body}");
    }
}

#[test]
fn a_refusal_that_a_code_does_not_tell_apart_is_ruled_by_status_and_text() {
    let rules = json!({"refusals": [
        {"code": "access_denied", "text": "Rate limit exceeded", "class": "Transient"},
        {"status": 403, "code": "unauthorized_client", "class": "Reauth"},
    ], "code": "/error", "text": "/error_description"});
    let table: ErrorTable = serde_json::from_value(rules).unwrap();
    let class =
        |status, body: &Value| table.refusal(status, &HeaderMap::new(), Some(body)).map(|found| found.class);
    let denied = |text: &str| json!({"error": "access_denied", "error_description": text});
    assert_eq!(class(400, &denied("Rate limit exceeded: access_token not expired")), Some(Transient));
    assert_eq!(class(400, &denied("You may not")), None);
    assert_eq!(class(403, &json!({"error": "unauthorized_client"})), Some(Reauth));
    assert_eq!(class(400, &json!({"error": "unauthorized_client"})), None);
}

#[test]
fn a_rule_speaks_of_the_finer_code_too_and_says_that_the_client_was_refused() {
    let table: ErrorTable =
        serde_json::from_value(json!({"code": "/error", "subcode": "/status", "refusals": [
            {"code": "BAD_CLIENT_SECRET", "class": "Config", "client": true},
            {"code": "BAD_CLIENT_ID", "class": "Config"},
        ]}))
        .unwrap();
    let client = |body: &Value| table.refusal(400, &HeaderMap::new(), Some(body)).map(|found| found.client);
    assert_eq!(client(&json!({"error": "invalid_client", "status": "BAD_CLIENT_SECRET"})), Some(true));
    assert_eq!(client(&json!({"error": "BAD_CLIENT_ID"})), Some(false));
    assert_eq!(client(&json!({"error": "invalid_client"})), None);
}
