//! A person sits at the terminal: questions, Ctrl-C, Ctrl-D, colours.

use bowline_testbed::sandbox::Rotation;
use serde_json::json;

use super::pty::{CTRL_C, CTRL_D, Terminal};
use super::{assert_says, type_code};
use crate::scene::{Scene, scene};

async fn connected(name: &str) -> Scene {
    let it = scene(name).await;
    it.connected("mail", Rotation::SingleUse, 3600).await;
    it
}

const SURE: &str = "Disconnect mail? [y/N] ";

/// Asked whether she is sure, alice presses these keys. Nothing may have changed.
async fn unsure(it: &Scene, keys: &str) -> (i32, String) {
    let before = (it.get("mail").await.spec, it.secret("mail").await);
    let mut terminal = Terminal::start(it, "bowline disconnect mail");
    let asked = terminal.until(SURE).await;
    assert_says(&asked, &["These Secrets are removed:", &format!("{}: Secret mail", it.namespace)]);
    terminal.press(keys).await;
    let ended = terminal.ended().await;
    assert_eq!((it.get("mail").await.spec, it.secret("mail").await), before);
    ended
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn whoever_is_not_sure_leaves_everything_as_it_was() {
    let it = connected("tty-no").await;
    for keys in ["n\n", "\n", "yes, please\n"] {
        let (exit, shown) = unsure(&it, keys).await;
        assert_eq!(exit, 1, "{keys:?}");
        assert_says(&shown, &["error: nothing was changed"]);
    }
    let (exit, shown) = unsure(&it, CTRL_D).await;
    assert_eq!(exit, 2);
    assert_says(&shown, &["\nerror: no answer: pass --yes"]);
    let (exit, _) = unsure(&it, CTRL_C).await;
    assert_eq!(exit, 130, "ended by the signal, as shells report it");
    let status = it.status("mail").await;
    assert!(status.secret.is_some() && it.realm.ledger().revoked().is_empty(), "{status:?}");
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn whoever_is_sure_is_asked_once() {
    let it = connected("tty-yes").await;
    let mut terminal = Terminal::start(&it, "bowline disconnect mail");
    terminal.until(SURE).await;
    terminal.press("y\n").await;
    let (exit, shown) = terminal.ended().await;
    assert_eq!(exit, 0, "{shown}");
    assert_says(&shown, &["mail is disconnected."]);
    it.until_no_secret(&it.namespace, "mail").await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn where_others_lose_it_its_name_has_to_be_typed() {
    let it = connected("tty-name").await;
    let jobs = it.another_namespace("jobs").await;
    it.workspace(&["alice"], &[&jobs]).apply().await;
    it.change("mail", json!({"spec": {"workspace": it.name, "shared": true}})).await;
    it.secret_in(&jobs, &format!("{}.mail", it.namespace)).await;
    for (answer, code) in [("y\n", 1), ("mail\n", 0)] {
        let mut terminal = Terminal::start(&it, "bowline disconnect mail");
        terminal.until("Others lose it too. Type the name mail to disconnect it: ").await;
        terminal.press(answer).await;
        let (exit, shown) = terminal.ended().await;
        assert_eq!(exit, code, "{shown}");
        assert_eq!(it.get("mail").await.spec.disconnect.is_some(), code == 0, "{answer:?}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn ctrl_c_ends_the_waiting_and_not_the_code() {
    let it = scene("tty-stop").await;
    it.with_device_flow().await;
    let mut terminal = Terminal::start(&it, "bowline connect mail --device");
    let code = terminal.value("Code:").await;
    terminal.press(CTRL_C).await;
    let (exit, _) = terminal.ended().await;
    assert_eq!(exit, 130);
    let mut again = Terminal::start(&it, "bowline connect mail --device");
    let address = again.value("Open:").await;
    assert_eq!(again.value("Code:").await, code, "she continues where she stopped");

    // Somebody else was faster, and she is asked whether it was her.
    type_code(&address, &code, Some("bob")).await;
    let asked = again.until("Is that the right account? [y/N] ").await;
    assert_says(&asked, &["mail was connected as BOB <bob@example.com> (id bob)."]);
    again.press("n\n").await;
    let said = again.until("Not accepted: nothing is published.").await;
    assert!(!said.contains("Accepted"), "{said}");
    let second = again.value("Code:").await;
    assert_ne!(second, code);
    type_code(&address, &second, Some("alice")).await;
    again.until("mail was connected as ALICE <alice@example.com> (id alice). Is that").await;
    assert!(it.secret_now(&it.namespace, "mail").await.is_none(), "nobody has agreed to anything");
    again.press("y\n").await;
    let (exit, shown) = again.ended().await;
    assert_eq!(exit, 0, "{shown}");
    assert_says(&shown, &["Accepted ALICE", "mail is ready, as ALICE <alice@example.com> (id alice)."]);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn an_account_is_accepted_by_nobodys_silence() {
    let it = scene("tty-silent").await;
    it.with_device_flow().await;
    let mut terminal = Terminal::start(&it, "bowline connect mail --device");
    let address = terminal.value("Open:").await;
    let code = terminal.value("Code:").await;
    type_code(&address, &code, Some("bob")).await;
    terminal.until("Is that the right account? [y/N] ").await;
    terminal.press(CTRL_D).await;
    let (exit, shown) = terminal.ended().await;
    assert_eq!(exit, 2, "{shown}");
    assert_says(&shown, &["error: no answer: pass --accept-account ID"]);
    assert!(it.secret_now(&it.namespace, "mail").await.is_none());

    // If input is no terminal, nobody is asked, whatever the screen is.
    let (exit, shown) = Terminal::start(&it, "bowline connect mail < /dev/null").ended().await;
    assert_eq!(exit, 1, "{shown}");
    assert!(!shown.contains("[y/N]"), "{shown}");
    assert_says(&shown, &["--accept-account bob\r\n"]);
    let (exit, shown) = Terminal::start(&it, "bowline disconnect mail < /dev/null").ended().await;
    assert_eq!(exit, 2, "{shown}");
    assert_eq!(it.get("mail").await.spec.disconnect, None);
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn colours_are_for_terminals_whose_owner_wants_them() {
    let it = connected("tty-colours").await;
    for (line, coloured) in [
        ("bowline list", true),
        ("bowline describe mail", true),
        ("bowline list | cat", false),
        ("NO_COLOR=1 bowline list", false),
        ("NO_COLOR=1 bowline describe mail", false),
        ("NO_COLOR= bowline list", true),
        ("bowline list -o json", false),
        ("bowline list -o name", false),
        ("bowline connect nobody", false),
    ] {
        let (_, shown) = Terminal::start(&it, line).ended().await;
        assert!(shown.contains("mail") || line.ends_with("nobody"), "{line}: {shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{line}: {shown:?}");
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_types_a_secret_where_it_would_be_shown() {
    let it = scene("tty-import").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_phase("mail", "Pending").await;
    let (exit, shown) = Terminal::start(&it, "bowline import mail").ended().await;
    assert_eq!(exit, 2, "{shown}");
    assert_says(&shown, &["--from-file"]);
}
