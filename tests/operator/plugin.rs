//! `kubectl bowline` as alice runs it: her own kubeconfig, her own rights, and an operator that answers.
//!
//! Unit tests show pages and parsing. Only here do we see that it works with the rights of `edit`, and what it waits for.

use std::process::{Output, Stdio};
use std::time::Duration;

use bowline_testbed::sandbox::Rotation;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::scene::{Scene, scene};

/// Longer than anything that a test waits for takes.
const SOON: Duration = Duration::from_mins(5);

/// Runs the plug-in as a user in the scene's namespace, with this standard input.
pub async fn bowline(it: &Scene, user: &str, arguments: &[&str], input: &str) -> (i32, String, String) {
    let here = [arguments, &["-n", &it.namespace]].concat();
    bowline_as_is(it, user, &here, input).await
}

/// Like [`bowline`], with nothing added to the arguments.
pub async fn bowline_as_is(it: &Scene, user: &str, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = started(it, user, arguments);
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    ended(child).await
}

/// Starts the plug-in as a user.
pub fn started(it: &Scene, user: &str, arguments: &[&str]) -> Child {
    Command::new(&it.stage.release.binaries.plugin)
        .args(arguments)
        .env("KUBECONFIG", it.stage.access.kubeconfig_for(user).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the plug-in runs, once cargo build --workspace has built it")
}

/// Exit code, results and progress of a plug-in that ends.
pub async fn ended(child: Child) -> (i32, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A running plug-in whose results are read as they come. It is killed when dropped.
pub struct Running {
    child: Child,
    results: BufReader<ChildStdout>,
    /// The results so far.
    pub said: String,
}

impl Running {
    /// Starts a command as a user in the scene's namespace.
    pub fn start(it: &Scene, user: &str, arguments: &[&str]) -> Self {
        let mut child = started(it, user, &[arguments, &["-n", &it.namespace]].concat());
        let results = BufReader::new(child.stdout.take().unwrap());
        Self { child, results, said: String::new() }
    }

    /// The next line of its results; empty at their end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        self.results.read_line(&mut line).await.unwrap();
        self.said += &line;
        line
    }

    /// Reads until a line begins with this title, and returns its value.
    pub async fn value(&mut self, title: &str) -> String {
        loop {
            let line = timeout(SOON, self.line()).await;
            let line = line.unwrap_or_else(|_| panic!("there is no more output after {}", self.said));
            if let Some(value) = line.strip_prefix(title) {
                return value.trim().to_owned();
            }
            assert!(!line.is_empty(), "it ended without {title} {}", self.said);
        }
    }

    /// SIGKILL: it cannot clean up.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends: exit code, what it has written since, and progress.
    pub async fn ended(mut self) -> (i32, String, String) {
        let before = self.said.len();
        let all = async { while !self.line().await.is_empty() {} };
        if timeout(SOON, all).await.is_err() {
            self.child.kill().await.unwrap();
            let (_, _, errors) = ended(self.child).await;
            panic!("it does not end. It printed {}, and: {errors}", self.said);
        }
        let rest = self.said.split_off(before);
        let (code, _, errors) = ended(self.child).await;
        (code, rest, errors)
    }
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn alice_imports_lists_describes_and_refreshes() {
    let it = scene("plugin").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_phase("mail", "Pending").await;

    let (code, said, errors) = bowline(&it, "alice", &["list"], "").await;
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("mail") && said.contains("Pending"), "{said}");

    let minted = it.mint();
    let grant = json!({"access_token": minted.access_token, "refresh_token": minted.refresh_token,
        "expires_in": minted.expires_in, "scope": minted.scope, "token_type": "Bearer"});
    let (code, said, errors) = bowline(&it, "alice", &["import", "mail"], &grant.to_string()).await;
    assert_eq!(code, 0, "{said}{errors}");
    it.until_phase("mail", "Active").await;
    let first = it.secret("mail").await;
    assert_eq!(first["access_token"], minted.access_token);
    for text in [&said, &errors] {
        assert!(!text.contains(&minted.access_token) && !text.contains(&minted.refresh_token), "{text}");
    }

    let (code, said, errors) = bowline(&it, "alice", &["refresh", "mail", "--wait"], "").await;
    assert_eq!(code, 0, "{said}{errors}");
    assert_ne!(it.secret("mail").await["access_token"], first["access_token"]);

    let (code, said, errors) = bowline(&it, "alice", &["describe", "mail"], "").await;
    assert_eq!(code, 0, "{errors}");
    for expected in ["alice", "Active", it.name.as_str()] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
    let (_, said, _) = bowline(&it, "alice", &["list"], "").await;
    assert!(said.contains("Active"), "{said}");
    assert!(it.realm.ledger().spent_twice().is_empty());
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn nobody_imports_a_grant_for_somebody_else() {
    let it = scene("plugin-bob").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    it.until_phase("mail", "Pending").await;
    let minted = it.mint();
    let grant = json!({"refresh_token": minted.refresh_token}).to_string();
    let (code, _, errors) = bowline(&it, "bob", &["import", "mail"], &grant).await;
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("alice"), "{errors}");
    let (code, _, _) = bowline(&it, "carol", &["list"], "").await;
    assert_eq!(code, 1, "carol has no right here");
    let left = it.secrets(&it.namespace).list(&kube::api::ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "an intake that nobody announced was left behind");
    assert!(it.realm.ledger().requests_to(bowline_testbed::sandbox::Endpoint::Token).next().is_none());
}
