//! A person at a terminal: the plug-in's own binary with her kubeconfig, while the shipped operator runs and a provider
//! answers. The tests check what she reads, and what is true at the provider then.

mod again;
mod attended;
mod killed;
mod link;
mod pty;
mod story;

use bowline_testbed::browser::Browser;

use crate::plugin::{Running, bowline};
use crate::scene::Scene;

/// A command line as alice types it in the scene's namespace, without `kubectl bowline`.
async fn alice(it: &Scene, line: &str) -> (i32, String, String) {
    bowline(it, "alice", &words(line), "").await
}

/// Like [`alice`], for commands that must succeed; returns the results.
async fn well(it: &Scene, line: &str) -> String {
    let (code, said, errors) = alice(it, line).await;
    assert_eq!(code, 0, "{line}: {said}{errors}");
    said
}

/// Starts `connect mail --device` and reads up to the code.
async fn code_shown(it: &Scene, line: &str) -> (Running, String, String) {
    let mut run = Running::start(it, "alice", &words(line));
    let address = run.value("Open:").await;
    let code = run.value("Code:").await;
    (run, address, code)
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn assert_says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

/// On another device, whose browser does not know alice: opens the printed address and types the code.
async fn type_code(address: &str, code: &str, account: Option<&str>) {
    let phone = Browser::new().unwrap();
    let page = phone.open(address.parse().unwrap()).await.unwrap();
    let form = page.form("/device/decision").unwrap().with("user_code", code);
    let form = match account {
        Some(account) => form.with("account", account),
        None => form.with("deny", "yes"),
    };
    let done = phone.submit(&page, &form).await.unwrap();
    assert!(done.says("Done."), "{}", done.lacks("a message that the code was accepted"));
}
