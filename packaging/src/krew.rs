//! The manifest by which krew, kubectl's package manager, finds the archives of the plug-in.

use anyhow::Context;
use serde_json::json;

/// Operating system, architecture (as Go and krew name them), and Rust's target.
pub const PLATFORMS: &[(&str, &str, &str)] = &[
    ("linux", "amd64", "x86_64-unknown-linux-musl"),
    ("linux", "arm64", "aarch64-unknown-linux-musl"),
    ("darwin", "amd64", "x86_64-apple-darwin"),
    ("darwin", "arm64", "aarch64-apple-darwin"),
    ("windows", "amd64", "x86_64-pc-windows-msvc"),
    ("windows", "arm64", "aarch64-pc-windows-msvc"),
];

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
const DESCRIPTION: &str = "\
Bowline keeps connections to third parties (OAuth 2.0, keys) as Kubernetes objects: the owner consents once, and workloads find
a fresh access token in a Secret. This plug-in connects, explains, shares and withdraws them, with your own rights.
";
const CAVEATS: &str = "\
It needs the operator in the cluster. `kubectl bowline doctor` checks the installation.
";

/// The name of the archive that `packaging/archives.sh` makes.
pub fn archive(version: &str, os: &str, arch: &str) -> String {
    format!("kubectl-bowline_{version}_{os}_{arch}.tar.gz")
}

/// The manifest of a version. `checksums` is the output of `sha256sum`, with the archive of every platform.
pub fn manifest(version: &str, checksums: &str) -> anyhow::Result<String> {
    let mut platforms = Vec::new();
    for (os, arch, _) in PLATFORMS {
        let archive = archive(version, os, arch);
        let line = checksums.lines().find_map(|line| line.strip_suffix(&format!("  {archive}")));
        let sha256 = line.with_context(|| format!("the checksums lack {archive}"))?;
        let ending = if *os == "windows" { ".exe" } else { "" };
        platforms.push(json!({
            "selector": { "matchLabels": { "os": os, "arch": arch } },
            "uri": format!("{REPOSITORY}/releases/download/v{version}/{archive}"),
            "sha256": sha256,
            "bin": format!("kubectl-bowline{ending}"),
        }));
    }
    Ok(serde_yaml::to_string(&json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": { "name": "bowline" },
        "spec": {
            "version": format!("v{version}"),
            "homepage": REPOSITORY,
            "shortDescription": "Connect third-party accounts for workloads",
            "description": DESCRIPTION,
            "caveats": CAVEATS,
            "platforms": platforms,
        },
    }))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::process::Command;

    use bowline_testbed::scratch::Scratch;
    use serde_json::Value;

    use super::*;

    /// Archives of programs that are a line of text each, as the release workflow makes them. Its folder `out` has them,
    /// and their checksums.
    fn archives() -> Scratch {
        let scratch = Scratch::create().unwrap();
        let folder = scratch.path();
        for (os, arch, _) in PLATFORMS {
            let programs = folder.join("programs").join(format!("{os}-{arch}"));
            fs::create_dir_all(&programs).unwrap();
            let ending = if *os == "windows" { ".exe" } else { "" };
            fs::write(programs.join(format!("kubectl-bowline{ending}")), format!("{os} {arch}\n")).unwrap();
        }
        fs::create_dir_all(folder.join("man")).unwrap();
        fs::write(folder.join("man/kubectl-bowline.1"), "a page\n").unwrap();
        let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/archives.sh"))
            .arg("0.2.0")
            .args(["programs", "man", "out"].map(|part| folder.join(part)))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .status();
        assert!(status.unwrap().success());
        scratch
    }

    #[test]
    fn the_manifest_leads_to_an_archive_with_the_program_for_each_platform() {
        let scratch = archives();
        let out = scratch.path().join("out");
        let checksums = fs::read_to_string(out.join("checksums.txt")).unwrap();
        let manifest: Value = serde_yaml::from_str(&manifest("0.2.0", &checksums).unwrap()).unwrap();
        assert!(manifest["spec"]["shortDescription"].as_str().unwrap().len() <= 50);
        let platforms = manifest["spec"]["platforms"].as_array().unwrap();
        assert_eq!(platforms.len(), PLATFORMS.len());
        for platform in platforms {
            let archive = platform["uri"].as_str().unwrap().rsplit('/').next().unwrap();
            let mut tar = Command::new("tar");
            tar.arg("-xOzf").arg(out.join(archive)).arg(platform["bin"].as_str().unwrap());
            let said = String::from_utf8(tar.output().unwrap().stdout).unwrap();
            let labels = &platform["selector"]["matchLabels"];
            assert_eq!(
                said,
                format!("{} {}\n", labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap())
            );
            assert_eq!(platform["sha256"].as_str().unwrap().len(), 64);
        }
    }

    #[test]
    fn the_same_programs_make_the_same_archives() {
        let checksums = || fs::read_to_string(archives().path().join("out/checksums.txt")).unwrap();
        assert_eq!(checksums(), checksums());
    }

    #[test]
    fn no_manifest_is_made_while_an_archive_is_missing() {
        let error = manifest("0.2.0", "00  kubectl-bowline_0.2.0_linux_amd64.tar.gz\n").unwrap_err();
        assert_eq!(error.to_string(), "the checksums lack kubectl-bowline_0.2.0_linux_arm64.tar.gz");
    }
}
