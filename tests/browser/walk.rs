//! From signing in to disconnecting, with the sandbox as provider.

use bowline_testbed::sandbox::Rotation;
use serde_json::json;

use crate::person::Person;
use crate::portal;
use crate::scene::{Scene, scene};

/// Allows access on the sandbox's page, as this account.
pub async fn agrees_as(person: &Person, account: &str) {
    person.reads("h1", "Sandbox provider").await;
    person.clicks(&format!("button[name=account][value={account}]")).await;
}

/// Searches for the scene's provider and creates a connection of this name; returns its page.
pub async fn finds_and_names(person: &Person, it: &Scene, title: &str, page: &str) {
    person.clicks("#connect-another").await;
    person.types("input[name=q]", &it.name).await;
    person.presses("Search").await;
    person.clicks(&format!("a.tile[href='/new/{}']", it.name)).await;
    person.types("#title", title).await;
    person.chooses("namespace", &it.namespace).await;
    person.clicks("#make button[type=submit]").await;
    person.is_at(page).await;
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn a_person_connects_shares_reconnects_and_disconnects() {
    let it = scene("walk").await;
    let other = it.another_namespace("other").await;
    let scopes = json!({"scopes": {"default": ["openid", "email", "read", "write"]}});
    it.provider(Rotation::SingleUse).spec(scopes).apply().await;
    it.workspace(&["alice"], &[&other]).apply().await;
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let page = format!("/connections/{}/work-mail", it.namespace);

    alice.signs_in(&it, "alice").await;
    finds_and_names(&alice, &it, "Work mail", &page).await;
    alice.reads("#status", "Not connected").await;
    alice.clicks("#connect").await;
    alice.reads("#review", "Bowline will ask Sandbox for").await;
    alice.reads("#review", "Read what the sandbox holds").await;
    alice.presses("Continue to Sandbox").await;
    agrees_as(&alice, "alice").await;
    alice.is_at(&page).await;
    alice.marks_the_page().await;
    alice.reads("#status", "Connected").await;
    alice.reads("#account", "ALICE · alice@example.com").await;

    alice.types("#title", "Team mail").await;
    alice.clicks("#edit button").await;
    alice.reads("h1", "Team mail").await;

    alice.chooses("share-with", &it.name).await;
    alice.clicks("#share button").await;
    alice.reads("#sharing", &other).await;
    it.until_secret_in(&other, &format!("{}.work-mail", it.namespace), "a token", |keys| {
        keys.contains_key("access_token")
    })
    .await;

    let before = it.secret("work-mail").await["access_token"].clone();
    alice.marks_the_page().await;
    alice.clicks("#refresh button").await;
    it.until_secret("work-mail", "another token", |keys| keys["access_token"] != before).await;

    alice.clicks("#connect").await;
    alice.presses("Continue to Sandbox").await;
    agrees_as(&alice, "bob").await;
    alice.is_at(&page).await;
    alice.reads("#progress", "belongs to the account BOB").await;
    it.until_attempt("work-mail", "AccountMismatch").await;
    alice.reads("#status", "Connected").await;

    alice.clicks("#disconnect").await;
    alice.reads("#impact", &other).await;
    alice.types("#name", "work-mail").await;
    alice.clicks("#confirm button").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Disconnected").await;
    it.until_no_secret(&other, &format!("{}.work-mail", it.namespace)).await;
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn a_page_follows_its_connection_without_being_loaded_again() {
    let it = scene("live").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    alice.signs_in(&it, "alice").await;
    alice.opens(&format!("/connections/{}/mail", it.namespace)).await;
    alice.reads("#status", "Not connected").await;
    alice.marks_the_page().await;
    it.authorized("mail").await;
    alice.reads("#status", "Connected").await;
    it.change("mail", json!({"spec": {"disconnect": true}})).await;
    alice.reads("#status", "Disconnected").await;
    assert!(alice.stayed().await, "the page was loaded again");
}
