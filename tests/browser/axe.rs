//! axe-core checks a page for accessibility: contrast, names of controls, order of headings, landmarks.

use std::fs;
use std::path::Path;

use bowline_testbed::npm;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::person::Person;

/// The script, installed once.
async fn script() -> &'static str {
    static SCRIPT: OnceCell<String> = OnceCell::const_new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/axe");
    SCRIPT
        .get_or_init(|| async {
            npm::install(&folder).await.expect("axe-core");
            fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).expect("its script")
        })
        .await
}

/// What axe finds wrong on the page, one line each: the rule, what it requires, and where it is broken.
pub async fn violations(person: &Person) -> Vec<String> {
    let driver = person.browser.driver();
    driver.execute(script().await, vec![]).await.expect("axe-core");
    let run = "const done = arguments[0];
        axe.run(document, { resultTypes: ['violations'] })
            .then((found) => done({ violations: found.violations, passes: found.passes.length }))
            .catch((error) => done({ error: String(error) }));";
    let found = driver.execute_async(run, vec![]).await.expect("axe-core runs").json().clone();
    assert!(found["passes"].as_u64().is_some_and(|passes| passes > 5), "axe checked nothing: {found}");
    let violations = found["violations"].as_array().expect("a list").iter();
    violations.map(line).collect()
}

fn line(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().into_iter().flatten();
    let nodes: Vec<_> =
        nodes.map(|node| format!("{} {}", node["target"], node["any"][0]["message"])).collect();
    let text = |key: &str| violation[key].as_str().unwrap_or_default().to_owned();
    format!("{}: {} at {}", text("id"), text("help"), nodes.join(", "))
}
