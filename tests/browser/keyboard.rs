//! Make a connection, connect, share and disconnect with nothing but a keyboard.

use bowline_testbed::sandbox::Rotation;
use thirtyfour::Key;

use crate::person::Person;
use crate::portal;
use crate::scene::scene;

impl Person {
    /// Goes to it by Tab and presses Enter.
    async fn enters(&self, selector: &str) {
        self.tabs_to(selector).await;
        self.keys(Key::Enter.value().to_string()).await;
    }
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn a_keyboard_is_enough_to_make_connect_share_and_disconnect() {
    let it = scene("keys").await;
    let other = it.another_namespace("other").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.workspace(&["alice"], &[&other]).apply().await;
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let page = format!("/connections/{}/mail", it.namespace);

    alice.opens("/sign-in").await;
    alice.tabs_to("#token").await;
    alice.keys(portal::token(&it.stage.access, "alice")).await;
    alice.keys(Key::Enter.value().to_string()).await;
    alice.reads("#signed-in-as", "alice").await;
    alice.tabs_to(".skip").await;
    alice.enters("#connect-another").await;
    alice.tabs_to("input[name=q]").await;
    alice.keys(it.name.clone()).await;
    alice.keys(Key::Enter.value().to_string()).await;
    alice.enters(&format!("a.tile[href='/new/{}']", it.name)).await;
    alice.tabs_to("#title").await;
    alice.keys("Mail").await;
    alice.tabs_to("#namespace").await;
    alice.keys(it.namespace.clone()).await;
    alice.enters("#make button[type=submit]").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Not connected").await;
    alice.enters(".crumbs a").await;
    alice.enters(&format!("a.title[href='{page}']")).await;
    alice.is_at(&page).await;

    alice.enters("#connect").await;
    alice.enters("#start button").await;
    alice.reads("h1", "Sandbox provider").await;
    alice.enters("button[value=alice]").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Connected").await;

    alice.tabs_to("#share-with").await;
    alice.keys(it.name.clone()).await;
    alice.enters("#share button").await;
    alice.reads("#sharing", &other).await;

    alice.enters("#disconnect").await;
    alice.tabs_to("#name").await;
    alice.keys("mail").await;
    alice.enters("#confirm button").await;
    alice.is_at(&page).await;
    alice.reads("#status", "Disconnected").await;
}
