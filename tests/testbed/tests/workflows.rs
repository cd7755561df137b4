//! The workflows in .github are what GitHub takes: actionlint reads them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use bowline_testbed::tools::{self, Tool};

#[test]
#[ignore = "builds a Go program: make test"]
fn actionlint_finds_nothing_in_the_workflows() {
    let lint = |files: &[&Path]| {
        let mut actionlint = Command::new(tools::path(Tool::Actionlint).unwrap());
        // What else is on this machine's PATH must not decide.
        actionlint.args(["-no-color", "-shellcheck=", "-pyflakes="]).args(files);
        actionlint.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).output().unwrap()
    };
    let clean = lint(&[]);
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stdout));

    let scratch = bowline_testbed::scratch::Scratch::create().unwrap();
    let wrong = scratch.path().join("wrong.yml");
    std::fs::write(&wrong, "on: push\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    step: []\n").unwrap();
    assert!(!lint(&[&wrong]).status.success(), "it notices what is wrong");
}
