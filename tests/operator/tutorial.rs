//! docs/tutorial.md and README.md as a newcomer runs them: one block after the other in one shell, with the shipped rights
//! and the real kubectl.
//!
//! Other tests check that their commands parse and their objects are taken. Only here do we see that they lead to what the
//! page shows.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bowline_testbed::access::ADMIN;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stage::{Stage, binaries};

/// Stands between the results of two blocks.
const NEXT: &str = "-- next block --";

/// The blocks of commands of this text, each with what the page shows that it prints.
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

/// Runs all blocks, until a command fails, and looks for what the page shows.
async fn follow(stage: &Stage, page: &str) {
    let steps = steps(page);
    let blocks: Vec<_> = steps.iter().map(|(commands, _)| *commands).collect();
    let script = blocks.join(&format!("\necho '{NEXT}'\n"));
    let kubectl = stage.access.kubectl_path().parent().expect("a folder").to_owned();
    let plugin = binaries().plugin.parent().expect("a folder").to_owned();
    let path: Vec<_> =
        [kubectl, plugin].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())).collect();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).kill_on_drop(true);
    shell.env("PATH", env::join_paths(path).unwrap()).env("CI", "true");
    shell.env("KUBECONFIG", stage.access.kubeconfig_for(ADMIN).unwrap());
    let output = timeout(Duration::from_mins(10), shell.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}\n{errors}");
    for ((commands, shown), said) in steps.iter().zip(said.split(NEXT)) {
        for line in shown {
            assert!(said.contains(line), "{commands}\nshould print {line:?}, and printed:\n{said}\n{errors}");
        }
    }
}

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_tutorial_works_as_it_is_written() {
    let page = read("docs/tutorial.md");
    let steps = steps(&page);
    assert!(steps.len() >= 7 && steps.iter().all(|(_, shown)| !shown.is_empty()), "{steps:?}");
    follow(&*Stage::shared().await, &page).await;
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn the_first_connection_of_the_readme_works_as_it_is_written() {
    let page = read("README.md");
    let section = |title: &str| {
        let rest = page.split_once(&format!("\n## {title}\n")).expect("the section").1;
        rest.split("\n## ").next().unwrap().to_owned()
    };
    let both = section("The first connection") + &section("Share it, withdraw it");
    assert!(both.matches("```sh").count() >= 4, "{both}");
    follow(&*Stage::shared().await, &both).await;
}
