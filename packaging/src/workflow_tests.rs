//! What the workflows must keep to beside their own language, which actionlint checks (`tests/testbed/tests/workflows.rs`).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::krew::PLATFORMS;

/// Text and content of each workflow, by file.
fn workflows() -> BTreeMap<String, (String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let content = serde_yaml::from_str(&text).unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), (text, content))
        })
        .collect()
}

#[test]
fn actions_of_others_are_pinned_by_digest_and_say_their_version() {
    let mut seen = 0;
    for (file, (text, _)) in workflows() {
        for (number, line) in (1..).zip(text.lines()) {
            let Some((_, used)) = line.split_once("uses: ") else { continue };
            if used.starts_with("./") {
                continue;
            }
            seen += 1;
            let (action, version) = used.split_once(" # v").unwrap_or((used, ""));
            let digest = action.split_once('@').unwrap_or_default().1;
            let is_digest = digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_digest && version.split('.').count() == 3, "{file}:{number}: {used}");
        }
    }
    assert!(seen > 10, "only {seen} actions were found");
}

#[test]
fn one_version_of_an_action_is_used_everywhere() {
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for (file, (text, _)) in workflows() {
        for used in text.lines().filter_map(|line| Some(line.split_once("uses: ")?.1)) {
            let Some((action, version)) = used.split_once('@') else { continue };
            let known = versions.entry(action.to_owned()).or_insert_with(|| version.to_owned());
            assert_eq!(known, version, "{file}: {action}");
        }
    }
}

#[test]
fn every_job_names_its_rights_and_its_limit() {
    for (file, (_, workflow)) in workflows() {
        assert!(workflow["permissions"].is_object(), "{file}: rights that jobs do not name are none");
        for right in workflow["permissions"].as_object().unwrap().values() {
            assert_eq!(right, "read", "{file}");
        }
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            assert!(job["permissions"].is_object(), "{file}: {name} names its rights");
            // A called workflow has limits of its own.
            assert!(job["timeout-minutes"].is_u64() || job["uses"].is_string(), "{file}: {name} has a limit");
        }
    }
}

#[test]
fn a_script_takes_no_text_of_others_into_its_commands() {
    for (file, (_, workflow)) in workflows() {
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            for step in job["steps"].as_array().into_iter().flatten() {
                let script = step["run"].as_str().unwrap_or_default();
                assert!(!script.contains("${{"), "{file}: {name}: pass it in a variable: {script}");
            }
        }
    }
}

#[test]
fn the_plug_in_is_built_for_every_platform_of_the_manifest() {
    let (_, release) = workflows().remove("release.yml").unwrap();
    let built = release["jobs"]["plugin"]["strategy"]["matrix"]["include"].as_array().unwrap().clone();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let built: Vec<_> =
        built.iter().map(|row| (text(row, "os"), text(row, "arch"), text(row, "target"))).collect();
    let named: Vec<_> = PLATFORMS
        .iter()
        .map(|(os, arch, target)| ((*os).to_owned(), (*arch).to_owned(), (*target).to_owned()))
        .collect();
    assert_eq!(built, named);
}
