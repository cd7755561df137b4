//! `bowline gate`: an init container that ends once the mounted files of a Secret hold a token that lasts long enough.
//!
//! A pod whose Secret does not exist yet is tried again by kubelet after a minute or more. With an optional volume it starts, waits
//! here, and goes on as soon as kubelet writes the files: within seconds if the binding nudges.
#![allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use bowline_api::duration::Duration;
use bowline_runtime::clock::Clock;
use clap::Args;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

/// The key of the token's end, in each format.
const ENDS: [&str; 2] = ["expires_at", "EXPIRES_AT"];
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Flags of `bowline gate`.
#[derive(Args, Debug)]
pub struct GateFlags {
    /// Where the Secret is mounted: a volume with optional: true, so that the pod starts without it.
    directory: PathBuf,
    /// How long the token must be valid from now on. Ask for less than half of its lifetime: it is renewed only then.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    valid_for: Duration,
    /// End with 1 after this time; kubelet then starts the init container again.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Duration,
}

/// Why the gate is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Closed {
    #[error("{0} has no files yet: the Secret does not exist, or kubelet has not written it")]
    Empty(String),
    #[error("the token expires at {at}, too soon: it must be valid for {needed}")]
    TooShort { at: Timestamp, needed: Duration },
    #[error("the file {name} holds no time")]
    NoTime { name: &'static str },
}

/// Returns once the gate is open. Each reason to wait is printed once, to standard error.
pub async fn run(flags: GateFlags, clock: &Clock) -> anyhow::Result<()> {
    let until = Instant::now() + flags.timeout.get();
    let mut said = None;
    loop {
        let Err(closed) = look(&flags.directory, flags.valid_for, clock.now()) else { return Ok(()) };
        if Instant::now() >= until {
            bail!("{closed}");
        }
        if said.as_ref() != Some(&closed) {
            eprintln!("bowline gate waits: {closed}");
        }
        said = Some(closed);
        sleep(LOOK_AGAIN).await;
    }
}

fn look(directory: &Path, valid_for: Duration, now: Timestamp) -> Result<(), Closed> {
    // Names that begin with a dot are kubelet's own.
    let is_published = |entry: fs::DirEntry| !entry.file_name().to_string_lossy().starts_with("..");
    let mut files = fs::read_dir(directory).into_iter().flatten().flatten();
    if !files.any(is_published) {
        return Err(Closed::Empty(directory.display().to_string()));
    }
    let end = ENDS.into_iter().find_map(|name| Some((name, fs::read_to_string(directory.join(name)).ok()?)));
    // What has no such file never expires, as far as is known.
    let Some((name, end)) = end else { return Ok(()) };
    let at: Timestamp = end.trim().parse().map_err(|_| Closed::NoTime { name })?;
    let left = SignedDuration::try_from(valid_for.get()).unwrap_or(SignedDuration::MAX);
    if at.duration_since(now) < left { Err(Closed::TooShort { at, needed: valid_for }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_testbed::scratch::Scratch;

    use super::*;

    #[test]
    fn it_opens_for_files_whose_token_lasts() {
        let scratch = Scratch::create().unwrap();
        let (now, directory) = ("2026-03-01T00:00:00Z".parse().unwrap(), scratch.path());
        let look = |valid_for: &str| look(directory, valid_for.parse().unwrap(), now);
        assert!(matches!(look("5m"), Err(Closed::Empty(_))));
        fs::create_dir(directory.join("..data")).unwrap();
        assert!(matches!(look("5m"), Err(Closed::Empty(_))), "kubelet has begun");
        fs::write(directory.join("api_key"), "k").unwrap();
        assert_eq!(look("5m"), Ok(()), "a key never expires");
        for (name, end, open) in [
            ("EXPIRES_AT", "2026-03-01T00:05:00Z\n", true),
            ("EXPIRES_AT", "2026-03-01T00:04:59Z", false),
            ("expires_at", "2026-03-01T01:00:00Z", true),
            ("expires_at", "2026-02-28T00:00:00Z", false),
            ("expires_at", "soon", false),
        ] {
            fs::write(directory.join(name), end).unwrap();
            assert_eq!(look("5m").is_ok(), open, "{name} {end}");
        }
    }
}
