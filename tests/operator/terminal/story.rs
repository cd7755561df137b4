//! The whole life of a connection from a terminal only, by device code (R13, R16, R18, R19).

use bowline_testbed::sandbox::{Event, GrantType, Reason};
use serde_json::json;

use super::{alice, assert_says, code_shown, type_code, well};
use crate::plugin::bowline_as_is;
use crate::plugin_sharing::pod;
use crate::scene::{Scene, scene};

/// From a code to a connection that is ready.
async fn connected(it: &Scene) {
    let (run, address, code) = code_shown(it, "connect mail --device").await;
    let id = format!("{}.mail ({})", it.namespace, it.name);
    assert_says(&run.said, &[&id, "alice", "whichever signs in there; you confirm it afterwards"]);
    type_code(&address, &code, Some("alice")).await;
    let (exit, _, errors) = run.ended().await;
    assert_eq!(exit, 1, "it is not ready yet: {errors}");
    let accept = format!("kubectl bowline connect mail -n {} --accept-account alice\n", it.namespace);
    assert_says(&errors, &["mail was connected as ALICE <alice@example.com> (id alice)", &accept]);
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nothing is published before she agrees");

    let (exit, _, errors) = alice(it, "connect mail --accept-account bob").await;
    assert_eq!(exit, 1);
    assert_says(&errors, &["ALICE", "not bob: nothing is accepted"]);
    let said = well(it, "connect mail --accept-account alice").await;
    assert_eq!(said, "mail is ready, as ALICE <alice@example.com> (id alice).\n");
}

/// What she can look at.
async fn looked_at(it: &Scene) {
    let listed = well(it, "list").await;
    assert_says(&listed, &["NAME", "mail", &it.name, "ALICE", "alice", "Active", "Connected"]);
    assert_eq!(well(it, "list -o name").await.lines().count(), 1);
    let described = well(it, "describe mail").await;
    assert_says(
        &described,
        &["Account:        ALICE", "Status:         Active", "The Secret holds a valid token."],
    );
    assert!(!described.contains("Device code"), "the code is spent: {described}");

    let mounted = json!({"containers": [{"name": "app", "image": "app",
            "volumeMounts": [{"name": "token", "mountPath": "/token"}]}],
        "volumes": [{"name": "token", "secret": {"secretName": "mail"}}]});
    pod(it, &it.namespace, mounted).await;
    let why = well(it, "why pod/mailer").await;
    assert_says(&why, &["Secret mail, by volume", "from connection", "works: it holds a valid token."]);

    let token = well(it, "token mail").await;
    assert_says(&token, &["The token expires in", &format!("{}: Secret mail", it.namespace)]);
    let shown = well(it, "token mail --show").await;
    assert!(it.realm.is_alive(shown.trim()), "what is shown works at the provider");
    assert!(!token.contains(shown.trim()), "the token is shown to nobody who did not ask");
}

/// She shares it, stops sharing it, and requests a refresh.
async fn used(it: &Scene) {
    let jobs = it.another_namespace("jobs").await;
    it.workspace(&["alice", "bob"], &[&jobs]).apply().await;
    let id = format!("{}.mail", it.namespace);
    let shared = well(it, &format!("share mail --workspace {}", it.name)).await;
    assert_says(&shared, &["mail is shared with", &it.name, &format!("Secret {id}")]);
    it.secret_in(&jobs, &id).await;
    let (_, usable, _) = bowline_as_is(it, "bob", &["list", "--usable", "-n", &jobs], "").await;
    assert_says(&usable, &[&id]);
    assert_eq!(well(it, "unshare mail").await, "mail is yours alone.\n");
    it.until_no_secret(&jobs, &id).await;

    let before = it.secret("mail").await;
    let refreshed = well(it, "refresh mail").await;
    assert_says(&refreshed, &["mail refreshed; the token expires in"]);
    it.until_secret("mail", "a new token", |keys| keys["access_token"] != before["access_token"]).await;
}

/// She disconnects: here, and at the provider.
async fn ended(it: &Scene) {
    let token = it.secret("mail").await["access_token"].clone();
    let (exit, said, errors) = alice(it, "disconnect mail --yes").await;
    assert_eq!((exit, said.as_str()), (0, "mail is disconnected.\n"), "{errors}");
    assert_says(&errors, &["These Secrets are removed:", "Pod mailer, by volume"]);
    it.until_no_secret(&it.namespace, "mail").await;
    let grant = it
        .until_ledger("the grant by device code is revoked", |ledger| {
            let issued = ledger.of(Event::Issued).find(|it| it.grant_type == Some(GrantType::DeviceCode));
            let grant = issued.and_then(|entry| entry.grant.clone())?;
            let asked = ledger.of(Event::Revoked).any(|it| it.reason == Some(Reason::Client));
            (asked && ledger.is_grant_revoked(&grant)).then_some(grant)
        })
        .await;
    assert!(!it.realm.is_alive(&token), "the token of {grant} is dead");
    assert!(it.realm.ledger().spent_twice().is_empty());

    let (exit, _, errors) = alice(it, "token mail --show").await;
    assert_eq!(exit, 1);
    assert_says(&errors, &["nothing is published for mail", "kubectl bowline describe mail"]);
    let (exit, _, errors) = alice(it, "connect mail --device").await;
    assert_eq!(exit, 1);
    assert_says(&errors, &["spec.disconnect is true; to continue, first: kubectl patch ic mail"]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_connection_lives_and_ends_from_a_terminal_alone_r13_r16_r18_r19() {
    let it = scene("shell").await;
    it.with_device_flow().await;
    connected(&it).await;
    looked_at(&it).await;
    used(&it).await;
    ended(&it).await;
    // Once more, under the same name; the account needs no second confirmation only while it is pinned.
    it.change("mail", json!({"spec": {"disconnect": false}})).await;
    it.until_reason("mail", "Authorized", "AwaitingAuthorization").await;
    let (run, address, code) = code_shown(&it, "connect mail --device --accept-account bob").await;
    type_code(&address, &code, Some("bob")).await;
    let (exit, said, errors) = run.ended().await;
    assert_eq!(exit, 0, "{errors}");
    assert!(said.ends_with("mail is ready, as BOB <bob@example.com> (id bob).\n"), "{said}");
}
