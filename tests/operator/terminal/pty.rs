//! A real terminal: `script` of util-linux puts a pseudo-terminal between us and a shell, so that typed characters go
//! through the line discipline. Ctrl-C is a signal there, and Ctrl-D the end of input.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::scene::Scene;
use crate::stage::binaries;

pub const CTRL_C: &str = "\u{3}";
pub const CTRL_D: &str = "\u{4}";

/// Longer than anything that a test waits for takes.
const SOON: Duration = Duration::from_mins(5);

/// A terminal in which one command line runs. Everything in it is killed when dropped.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: String,
    /// How far it was read.
    read: usize,
}

impl Terminal {
    /// Runs a line of `sh` in which `bowline` is the plug-in, as alice in the scene's namespace. The terminal's settings
    /// before and after it, and its exit code, are printed.
    pub fn start(it: &Scene, line: &str) -> Self {
        let plugin = format!("{} -n {}", binaries().plugin.display(), it.namespace);
        let line = line.replace("bowline", &plugin);
        // The shell continues after Ctrl-C; what it starts does not, unless it handles the signal.
        let script = format!("trap : INT; stty -g; {line}; printf '\\nexit %s\\n' $?; stty -g");
        // What runs in the background, tests for example, may have been told to ignore Ctrl-C. A terminal has not.
        let mut child = Command::new("env")
            .args(["--default-signal=INT", "script", "--quiet", "--flush", "--command", &script, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("KUBECONFIG", it.stage.access.kubeconfig_for("alice").unwrap())
            // There is no browser here.
            .env("CI", "true")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("env, of coreutils");
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, shown: String::new(), read: 0 }
    }

    /// Waits until this text is on the screen, after what was waited for before; returns everything up to it.
    pub async fn until(&mut self, text: &str) -> String {
        let found = async {
            loop {
                if let Some(at) = self.shown[self.read..].find(text) {
                    let end = self.read + at + text.len();
                    let before = self.shown[self.read..end].to_owned();
                    self.read = end;
                    return Some(before);
                }
                let mut bytes = [0; 4096];
                match self.screen.read(&mut bytes).await {
                    Ok(some @ 1..) => self.shown += &String::from_utf8_lossy(&bytes[..some]),
                    _ => return None,
                }
            }
        };
        match timeout(SOON, found).await {
            Ok(Some(before)) => before,
            _ => panic!("{text:?} does not come up; the screen shows:\n{}", self.shown),
        }
    }

    /// The value after a title, such as `Code:`.
    pub async fn value(&mut self, title: &str) -> String {
        self.until(&format!("\n{title}")).await;
        self.until("\r\n").await.trim().to_owned()
    }

    /// Presses keys. A line ends with `\n`.
    pub async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits for the end of the line: its exit code, and everything that was on the screen. The terminal's settings must be
    /// as before.
    pub async fn ended(mut self) -> (i32, String) {
        self.until("\nexit ").await;
        let code = self.until("\r\n").await.trim().parse().expect("an exit code");
        let after = self.until("\r\n").await.trim().to_owned();
        let before = self.shown.lines().next().unwrap_or_default().trim();
        assert!(before.contains(':') && before == after, "{before} and {after}, of:\n{}", self.shown);
        timeout(SOON, self.child.wait()).await.expect("script ends").unwrap();
        (code, self.shown)
    }
}
