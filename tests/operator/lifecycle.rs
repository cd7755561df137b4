//! The main job: applied, authorized, a fresh Secret, refreshed in time, ended when its owner says so.
//!
//! Unit tests show each decision. Only here do the parts work together, in real time and with the shipped rights.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_testbed::sandbox::{Account, ApiKey, BasicUser, Endpoint, GrantType, Rotation};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::looking::{Keys, condition, holds, is, until, words};
use crate::scene::{Scene, scene};

/// The provider accepts the token of the Secret.
fn assert_alive(it: &Scene, keys: &Keys) {
    assert!(it.realm.is_alive(&keys["access_token"]), "the published token is dead");
    let ends: Timestamp = keys["expires_at"].parse().expect("RFC 3339");
    assert!(ends > Timestamp::now(), "the published token expired at {ends}");
}

/// Each refresh is one request, and no token is sent twice.
fn assert_careful(it: &Scene, grant: &str) {
    let ledger = it.realm.ledger();
    assert_eq!(ledger.spent_twice(), Vec::<&bowline_testbed::sandbox::Entry>::new());
    assert_eq!(ledger.refresh_attempts_of(grant).len(), ledger.refreshes_of(grant).len());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_waits_for_its_owner_and_then_has_a_fresh_secret() {
    let it = scene("first").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("github-work").spec(json!({"scopes": ["read", "write"]})).apply().await;

    let waiting = it.until_phase("github-work", "Pending").await;
    assert!(is(&waiting, "Authorized", "AwaitingAuthorization"), "{waiting:?}");
    assert!(words(&waiting, "Authorized").contains("alice"), "{waiting:?}");
    assert!(it.secret_now(&it.namespace, "github-work").await.is_none());

    let minted = it.mint();
    let intake = it.import_keys("github-work", &[("refresh_token", &minted.refresh_token)]).await;
    let active = it.until_phase("github-work", "Active").await;
    for type_ in ["Ready", "Authorized", "TokenFresh", "SecretPublished"] {
        assert!(holds(&active, type_), "{type_}: {active:?}");
    }
    assert_eq!(active.account.as_ref().map(|account| account.id.as_str()), Some("alice"));
    assert_eq!(active.connected_by.as_deref(), Some("alice"));
    assert_eq!(active.id, Some(format!("{}.github-work", it.namespace)));

    let keys = it.secret("github-work").await;
    assert_alive(&it, &keys);
    let names: BTreeSet<_> = keys.keys().map(String::as_str).collect();
    let raw = ["access_token", "token_type", "expires_at", "scopes", "account_id", "account_name"];
    assert_eq!(names, BTreeSet::from(raw));
    assert_eq!((keys["token_type"].as_str(), keys["account_name"].as_str()), ("Bearer", "ALICE"));
    assert!(!keys.values().any(|value| *value == minted.refresh_token));

    let intake = intake.metadata.name.unwrap();
    it.until_no_secret(&it.namespace, &intake).await;
    until("the announcement is gone", async || {
        it.get("github-work").await.metadata.annotations.unwrap_or_default().is_empty().then_some(())
    })
    .await;
    assert_careful(&it, &minted.grant_id);
}

async fn keeps_fresh(name: &str, rotation: Rotation) {
    let it = scene(name).await;
    let minted = it.connected("mail", rotation, 6).await;
    let mut tokens = BTreeSet::new();
    // Four tokens one after the other, each of them valid whenever somebody reads it.
    until("four tokens", async || {
        let keys = it.secret("mail").await;
        assert_alive(&it, &keys);
        tokens.insert(keys["access_token"].clone());
        (tokens.len() >= 4).then_some(())
    })
    .await;
    assert_careful(&it, &minted.grant_id);
    let status = it.status("mail").await;
    assert!(holds(&status, "Ready"), "{status:?}");
    let told = it.events(&it.namespace).await;
    assert!(
        !told.iter().any(|(reason, _)| reason == "Refreshed"),
        "an ordinary refresh causes no Event: {told:?}"
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_of_single_use_is_refreshed_before_it_expires() {
    keeps_fresh("single-use", Rotation::SingleUse).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_that_may_rotate_is_refreshed_before_it_expires() {
    keeps_fresh("optional", Rotation::Optional).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_that_slides_is_refreshed_before_it_expires() {
    keeps_fresh("sliding", Rotation::Sliding).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_token_that_never_rotates_is_refreshed_before_it_expires() {
    keeps_fresh("unrotated", Rotation::None).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_refresh_on_request_is_one_refresh_and_is_told() {
    let it = scene("request").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let before = it.secret("mail").await;
    let refreshes = it.realm.ledger().refreshes_of(&minted.grant_id).len();

    it.ask_for_refresh("mail", "one").await;
    it.until_secret("mail", "a new token", |keys| keys["access_token"] != before["access_token"]).await;
    it.until_status("mail", "the request is answered", |status| {
        status.last_handled_refresh.as_deref() == Some("one")
    })
    .await;
    it.until_event(&it.namespace, "Refreshed").await;
    assert_eq!(it.realm.ledger().refreshes_of(&minted.grant_id).len(), refreshes + 1);
    assert_careful(&it, &minted.grant_id);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_suspended_connection_sends_nothing_and_goes_on_afterwards() {
    let it = scene("suspend").await;
    // Long enough that it is suspended before its first refresh, which would be finished all the same.
    let minted = it.connected("mail", Rotation::SingleUse, 20).await;
    it.change("mail", json!({"spec": {"suspend": true}})).await;
    it.until_phase("mail", "Suspended").await;
    let before = it.secret("mail").await;
    let refreshes = it.realm.ledger().refresh_attempts_of(&minted.grant_id).len();
    // What is published stays until it expires and is not replaced. Waiting for the expiry takes longer than a refresh
    // would.
    until("the token's expiry", async || (!it.realm.is_alive(&before["access_token"])).then_some(())).await;
    assert_eq!(it.secret("mail").await, before);
    assert_eq!(it.realm.ledger().refresh_attempts_of(&minted.grant_id).len(), refreshes);

    it.change("mail", json!({"spec": {"suspend": null}})).await;
    it.until_phase("mail", "Active").await;
    let after = it.until_secret("mail", "a new token", |keys| keys != &before).await;
    assert_alive(&it, &after);
    assert_careful(&it, &minted.grant_id);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn disconnecting_revokes_and_withdraws_and_the_owner_connects_again() {
    let it = scene("disconnect").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let uid = it.get("mail").await.metadata.uid.unwrap();

    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(&minted.grant_id).then_some(())).await;
    let gone = it.until_phase("mail", "Disconnected").await;
    assert!(is(&gone, "Authorized", "Disconnected") && is(&gone, "SecretPublished", "Withdrawn"), "{gone:?}");
    it.until_no_secret("bowline-system", &format!("record-{uid}")).await;

    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    it.authorized("mail").await;
    let keys = it.secret("mail").await;
    assert_alive(&it, &keys);
    assert_eq!(it.get("mail").await.metadata.uid, Some(uid), "id and settings stay");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_deleted_connection_takes_its_secret_along_and_its_grant_is_revoked() {
    let it = scene("delete").await;
    let minted = it.connected("mail", Rotation::SingleUse, 3600).await;
    let record = format!("record-{}", it.get("mail").await.metadata.uid.unwrap());
    it.delete("mail").await;
    it.until_gone(Duration::from_secs(10), "mail").await;
    it.until_no_secret(&it.namespace, "mail").await;
    it.until_ledger("revoked", |ledger| ledger.is_grant_revoked(&minted.grant_id).then_some(())).await;
    it.until_no_secret("bowline-system", &record).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn client_credentials_need_nobody_and_are_minted_again() {
    let it = scene("machine").await;
    it.minting_provider().lifetime(6).apply().await;
    it.connection("billing").apply().await;
    it.until_phase("billing", "Active").await;
    let first = it.secret("billing").await;
    assert_alive(&it, &first);
    assert_eq!(first["scopes"], "read");
    let second = it.until_secret("billing", "another token", |keys| keys != &first).await;
    assert_alive(&it, &second);
    let ledger = it.realm.ledger();
    assert!(
        ledger
            .requests_to(Endpoint::Token)
            .all(|request| request.grant_type == Some(GrantType::ClientCredentials))
    );
}

/// A provider of keys that are checked at the sandbox's `/api/me`.
pub async fn key_provider(it: &Scene, type_: &str) {
    let account = |sub: &str| Account {
        sub: sub.into(),
        name: sub.to_uppercase(),
        email: format!("{sub}@example.com"),
    };
    let key = |key: &str, forbidden| ApiKey { key: key.into(), account: "alice".into(), forbidden };
    it.provider_of_type(type_)
        .habit(|config| {
            config.accounts = vec![account("alice")];
            config.api_keys = vec![key("good-key-0123456789", false), key("shy-key-0123456789", true)];
            config.basic_users = vec![BasicUser {
                user: "alice".into(),
                password: "pass word:ü".into(),
                account: "alice".into(),
                forbidden: false,
            }];
        })
        .spec(json!({"parameters": {"validate_url": it.realm.url("api/me"), "account_id": "/id", "account_name": "/name"}}))
        .apply()
        .await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_api_key_is_checked_before_it_is_published() {
    let it = scene("api-key").await;
    key_provider(&it, "generic-api-key").await;
    it.connection("weather").apply().await;
    it.until_reason("weather", "Authorized", "AwaitingAuthorization").await;

    it.import_keys("weather", &[("api_key", "wrong-key-0123456789")]).await;
    let refused = it.until_reason("weather", "Authorized", "IntakeRefused").await;
    assert!(!words(&refused, "Authorized").contains("wrong-key"), "{refused:?}");
    assert!(it.secret_now(&it.namespace, "weather").await.is_none());

    it.import_keys("weather", &[("api_key", "good-key-0123456789")]).await;
    let active = it.until_phase("weather", "Active").await;
    assert!(is(&active, "TokenFresh", "NeverExpires"), "{active:?}");
    let keys = it.secret("weather").await;
    assert_eq!((keys["api_key"].as_str(), keys["account_id"].as_str()), ("good-key-0123456789", "alice"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_that_may_not_read_its_account_is_alive_all_the_same() {
    let it = scene("shy-key").await;
    key_provider(&it, "generic-api-key").await;
    it.connection("weather").apply().await;
    it.import_keys("weather", &[("api_key", "shy-key-0123456789")]).await;
    it.until_phase("weather", "Active").await;
    assert_eq!(it.secret("weather").await["api_key"], "shy-key-0123456789");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn values_that_belong_to_a_key_come_with_it_and_are_published_with_it() {
    let it = scene("key-values").await;
    key_provider(&it, "generic-api-key").await;
    let values = json!({"token": {"label": "API token", "pattern": "t-[0-9]+", "looks": "begins with t-"},
        "hook": {"label": "signing secret", "optional": true}});
    it.change_provider(json!({"spec": {"overlay": {"key": {"values": values}}}})).await;
    let template = json!({"data": {"both": "{{ token }}:{{ extras.token }}", "mine": "{{ extras.hook }}"}});
    it.connection("boards").apply().await;
    let key = ("api_key", "good-key-0123456789");
    let rows: [(&str, &[(&str, &str)]); 4] = [
        ("token is missing, the API token", &[key]),
        ("It needs the key api_key, ", &[key, ("token", "t-1"), ("tokn", "t-1")]),
        ("which begins with t-", &[key, ("token", "canary")]),
        (
            "contradict each other",
            &[key, ("token", "t-1"), ("expires_in", "60"), ("expires_at", "2040-01-01T00:00:00Z")],
        ),
    ];
    for (said, pairs) in rows {
        it.import_keys("boards", pairs).await;
        let refused =
            it.until_status("boards", said, |status| words(status, "Authorized").contains(said)).await;
        assert!(is(&refused, "Authorized", "IntakeRefused") && !format!("{refused:?}").contains("canary"));
    }
    it.import_keys("boards", &[key, ("token", "t-1"), ("hook", "whsec")]).await;
    it.until_phase("boards", "Active").await;
    let keys = it.secret("boards").await;
    assert_eq!([&keys["api_key"], &keys["token"], &keys["hook"]], ["good-key-0123456789", "t-1", "whsec"]);
    it.change("boards", json!({"spec": {"secret": {"template": template}}})).await;
    let rendered = it.until_secret("boards", "the template's keys", |keys| keys.contains_key("both")).await;
    assert_eq!([&rendered["both"], &rendered["mine"]], ["good-key-0123456789:t-1", "whsec"]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_key_is_over_at_the_time_that_came_with_it() {
    let it = scene("key-end").await;
    key_provider(&it, "generic-api-key").await;
    it.connection("weather").apply().await;
    let end = Timestamp::now() + std::time::Duration::from_mins(1);
    let end = Timestamp::from_second(end.as_second()).expect("whole seconds").to_string();
    it.import_keys("weather", &[("api_key", "good-key-0123456789"), ("expires_at", &end)]).await;
    let active = it.until_phase("weather", "Active").await;
    assert!(is(&active, "TokenFresh", "ValidUntilExpiry"), "{active:?}");
    assert_eq!(it.secret("weather").await["expires_at"], end);
    let within = std::time::Duration::from_mins(3);
    let is_over = |status: &_| is(status, "Authorized", "GrantExpired");
    let over = it.until_status_within(within, "weather", "GrantExpired", is_over).await;
    assert!(words(&over, "Authorized").contains(&end) && !holds(&over, "Ready"), "{over:?}");
    it.import_keys("weather", &[("api_key", "good-key-0123456789")]).await;
    let again = it.until_phase("weather", "Active").await;
    assert!(is(&again, "TokenFresh", "NeverExpires"), "{again:?}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn user_and_password_are_checked_and_published() {
    let it = scene("basic").await;
    key_provider(&it, "generic-basic-auth").await;
    it.connection("registry").apply().await;
    it.import_keys("registry", &[("username", "alice"), ("password", "pass word:ü")]).await;
    it.until_phase("registry", "Active").await;
    let secret = it.secret_now(&it.namespace, "registry").await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    let keys = it.secret("registry").await;
    assert_eq!((keys["username"].as_str(), keys["password"].as_str()), ("alice", "pass word:ü"));
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_kept_credential_is_read_if_it_is_of_our_type_and_again_when_it_changes() {
    let it = scene("kept").await;
    key_provider(&it, "generic-api-key").await;
    it.keep_secret("not-for-us", "weather", "Opaque", &[("api_key", "good-key-0123456789")]).await;
    it.connection("weather").spec(json!({"credentials": {"secretName": "not-for-us"}})).apply().await;
    it.until_reason("weather", "Authorized", "CredentialsNotFound").await;

    it.change("weather", json!({"spec": {"credentials": {"secretName": "weather-key"}}})).await;
    it.until_reason("weather", "Authorized", "CredentialsNotFound").await;
    it.keep_secret("weather-key", "weather", "bowline.dev/credential", &[("api_key", "good-key-0123456789")])
        .await;
    it.until_phase("weather", "Active").await;
    assert_eq!(it.secret("weather").await["api_key"], "good-key-0123456789");

    it.keep_secret("weather-key", "weather", "bowline.dev/credential", &[("api_key", "shy-key-0123456789")])
        .await;
    it.until_secret("weather", "the new key", |keys| keys["api_key"] == "shy-key-0123456789").await;
    it.keep_secret(
        "weather-key",
        "weather",
        "bowline.dev/credential",
        &[("api_key", "wrong-key-0123456789")],
    )
    .await;
    let refused = it.until_attempt("weather", "IntakeRefused").await;
    assert!(holds(&refused, "Ready"), "the key that worked is kept: {refused:?}");
    assert_eq!(it.secret("weather").await["api_key"], "shy-key-0123456789");
    assert!(it.secret_now(&it.namespace, "weather-key").await.is_some(), "it is read, never deleted");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn format_template_metadata_and_name_of_the_secret_follow_the_spec() {
    let it = scene("format").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let first = it.secret("mail").await;

    it.change("mail", json!({"spec": {"secret": {"format": "Env"}}})).await;
    // The old keys are removed a moment after the new ones are there, so one set is always present.
    let in_env = |keys: &Keys| keys.contains_key("ACCESS_TOKEN") && !keys.contains_key("access_token");
    let env = it.until_secret("mail", "keys in upper case alone", in_env).await;
    assert_eq!(env["ACCESS_TOKEN"], first["access_token"]);

    let template =
        json!({"data": {"header": "Authorization: Bearer {{ token }}", "who": "{{ account.name }}"}});
    it.change("mail", json!({"spec": {"secret": {"format": null, "template": template}}})).await;
    let rendered =
        it.until_secret("mail", "the template's keys alone", |keys| keys.keys().eq(["header", "who"])).await;
    assert_eq!(rendered["header"], format!("Authorization: Bearer {}", first["access_token"]));

    let data = json!({"header": null, "who": null,
        ".dockerconfigjson": r#"{"auths": {"registry.example.com": {"registrytoken": {{ token | tojson }}}}}"#});
    let template = json!({"type": "kubernetes.io/dockerconfigjson", "data": data});
    it.change("mail", json!({"spec": {"secret": {"template": template}}})).await;
    let login = it.until_secret("mail", "a login", |keys| keys.keys().eq([".dockerconfigjson"])).await;
    assert!(login[".dockerconfigjson"].contains(&first["access_token"]));
    let made_anew = it.secret_now(&it.namespace, "mail").await.unwrap();
    assert_eq!(made_anew.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));

    let metadata = json!({"labels": {"teams.example.com/name": "a"},
        "annotations": {"reloader.stakater.com/match": "true"}});
    let template = json!({"type": null, "data": null, "metadata": metadata});
    it.change("mail", json!({"spec": {"secret": {"name": "renamed", "template": template}}})).await;
    assert_eq!(it.secret("renamed").await["access_token"], first["access_token"]);
    it.until_no_secret(&it.namespace, "mail").await;
    let renamed = it.secret_now(&it.namespace, "renamed").await.unwrap();
    assert_eq!(renamed.metadata.labels.unwrap()["teams.example.com/name"], "a");
    assert_eq!(renamed.metadata.annotations.unwrap()["reloader.stakater.com/match"], "true");
    it.until_phase("mail", "Active").await;
    assert_eq!(
        it.realm.ledger().requests_to(Endpoint::Token).count(),
        0,
        "a change of format sends no request to the provider"
    );
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn metadata_that_is_not_allowed_and_a_template_that_goes_wrong_are_told() {
    let it = scene("misform").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    let first = it.secret("mail").await;
    let metadata = |metadata: Value| json!({"template": {"metadata": metadata}});
    let data = |template: &str| json!({"template": {"data": {"a": template}}});
    let rows = [
        (metadata(json!({"labels": {"app.kubernetes.io/part-of": "x"}})), "FormatFailed"),
        (
            metadata(
                json!({"labels": null, "annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}),
            ),
            "FormatFailed",
        ),
        (
            json!({"template": {"type": "kubernetes.io/dockerconfigjson", "metadata": null, "data": {".dockerconfigjson": "{"}}}),
            "FormatFailed",
        ),
        (
            json!({"template": {"type": null, "data": {".dockerconfigjson": null, "a": "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}"}}}),
            "TemplateFailed",
        ),
        (data("{{ refresh_token }}"), "TemplateFailed"),
        (data("{{ 'x' * 1048576 }}"), "TemplateFailed"),
        (data("{% for a in range(1100) %}{{ '0123456789' * 100 }}{% endfor %}"), "TemplateFailed"),
    ];
    for (change, reason) in rows {
        it.change("mail", json!({"spec": {"secret": change}})).await;
        let told = it.until_reason("mail", "SecretPublished", reason).await;
        assert!(!holds(&told, "Ready"), "{told:?}");
        assert!(!words(&told, "SecretPublished").contains(&first["access_token"]), "{told:?}");
        assert_eq!(it.secret("mail").await, first, "what worked stays");
    }
    it.change("mail", json!({"spec": {"secret": null}})).await;
    it.until_phase("mail", "Active").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn kubectl_get_shows_account_status_and_reason() {
    let it = scene("columns").await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it.connection("idle").apply().await;
    it.until_phase("idle", "Pending").await;
    let output =
        it.stage.access.kubectl_as("alice", &["get", "ic", "-n", &it.namespace, "-o", "wide"]).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let header = [
        "NAME",
        "PROVIDER",
        "ACCOUNT",
        "OWNER",
        "READY",
        "STATUS",
        "REASON",
        "SHARED",
        "REFRESHED",
        "AGE",
        "WORKSPACE",
        "EXPIRES",
        "DEPENDENTS",
        "LAST",
        "USED",
    ];
    assert_eq!(lines[0], header, "{text}");
    let mail = lines.iter().find(|line| line[0] == "mail").unwrap();
    assert_eq!(mail[1..7], [it.name.as_str(), "ALICE", "alice", "True", "Active", "Connected"], "{text}");
    assert!(text.contains("Pending") && text.contains("AwaitingAuthorization"), "{text}");
    assert!(!text.contains("<invalid>"), "{text}");
    let status = it.status("mail").await;
    assert!(condition(&status, "Shared").is_none());
}
