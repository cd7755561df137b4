//! What a person sees who runs `bowline` for the first time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use bowline_testbed::stage::Binaries;

const OPERATOR: &str = env!("CARGO_BIN_EXE_bowline");

/// Runs a program in an environment without a cluster and with these `variables`.
fn run(program: impl AsRef<OsStr>, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", "/nonexistent").envs(variables.iter().copied());
    command.output().expect("a program that runs, once cargo build --workspace has built it")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn broken_kubeconfig() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken-kubeconfig");
    fs::write(&path, "users:\n- user: {token: s3cret}\n broken").unwrap();
    path
}

#[test]
fn an_operator_without_a_cluster_says_in_one_line_what_to_do() {
    let broken = broken_kubeconfig();
    for kubeconfig in [None, Some("/nonexistent/config"), Some(broken.to_str().unwrap())] {
        let variables: Vec<_> = kubeconfig.iter().map(|path| ("KUBECONFIG", *path)).collect();
        for format in ["text", "json"] {
            let output =
                run(OPERATOR, &["operator", "--instance", "one", "--log-format", format], &variables);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains("set KUBECONFIG") && said.contains("ServiceAccount"), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
            assert_eq!(text(&output.stdout), "");
        }
    }
}

#[test]
fn an_error_is_told_even_where_logs_are_off() {
    let output = run(OPERATOR, &["operator", "--instance", "one", "--log-filter", "off"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("bowline: no API server is configured"));
}

#[test]
fn a_plug_in_without_a_cluster_says_in_one_line_what_to_do() {
    let broken = broken_kubeconfig();
    for kubeconfig in ["/nonexistent/config", broken.to_str().unwrap()] {
        for arguments in [&["list"][..], &["list", "--kubeconfig", kubeconfig]] {
            let output = run(Binaries::beside(OPERATOR).plugin, arguments, &[("KUBECONFIG", kubeconfig)]);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains("KUBECONFIG"), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}

#[test]
fn a_gate_waits_for_files_and_says_what_it_waits_for() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gate");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let gate =
        |timeout: &str| run(OPERATOR, &["gate", directory.to_str().unwrap(), "--timeout", timeout], &[]);
    let closed = gate("0s");
    assert_eq!(closed.status.code(), Some(1));
    assert!(text(&closed.stderr).contains("has no files yet"), "{}", text(&closed.stderr));
    fs::write(directory.join("access_token"), "t").unwrap();
    fs::write(directory.join("expires_at"), "2026-01-01T00:00:00Z").unwrap();
    let over = gate("0s");
    assert_eq!(over.status.code(), Some(1));
    assert!(text(&over.stderr).contains("too soon: it must be valid for 1m"), "{}", text(&over.stderr));

    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gate("5m"));
        fs::write(directory.join("expires_at"), "2999-01-01T00:00:00Z").unwrap();
        waiting.join().unwrap()
    });
    assert!(waiting.status.success(), "{}", text(&waiting.stderr));
    assert_eq!(text(&waiting.stdout), "");
}
