//! docs/tutorial.md as a newcomer runs it: one block after the other, with the shipped rights and the real kubectl.
//!
//! Other tests check that its commands parse and its objects are taken. Only here do we see that they lead to what the page
//! shows.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use bowline_testbed::access::ADMIN;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stage::{Stage, binaries};

/// The blocks of this page that are commands, each with what the page says that it prints.
fn steps(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for block in page.split("```").skip(1).step_by(2) {
        match block.split_once('\n').expect("a block of lines") {
            ("sh", commands) => steps.push((commands, Vec::new())),
            ("text", lines) => steps.last_mut().expect("commands before").1.extend(lines.lines()),
            (language, _) => panic!("a block in {language}"),
        }
    }
    steps
}

/// Runs commands as a reader of the page does, except that the first one that fails ends them.
async fn run(stage: &Stage, commands: &str) -> Output {
    let kubectl = stage.access.kubectl_path().parent().expect("a folder").to_owned();
    let plugin = binaries().plugin.parent().expect("a folder").to_owned();
    let mut path = vec![kubectl, plugin];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]).kill_on_drop(true);
    shell.env("PATH", env::join_paths(path).unwrap()).env("CI", "true");
    shell.env("KUBECONFIG", stage.access.kubeconfig_for(ADMIN).unwrap());
    timeout(Duration::from_mins(5), shell.output()).await.expect("a block that ends").unwrap()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_tutorial_works_as_it_is_written() {
    let stage = Stage::shared().await;
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial.md")).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= 7, "only {} blocks of commands", steps.len());
    for (commands, shown) in steps {
        let output = run(&stage, commands).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{commands}\n{said}\n{errors}");
        for line in shown {
            assert!(said.contains(line), "{commands}\nshould print {line:?}, and printed:\n{said}\n{errors}");
        }
    }
}
