//! Release notes are the section of CHANGELOG.md.

use anyhow::{Context, ensure};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// What the changelog says of this version. Links to files lead to the files of that version.
pub fn of(version: &str, changelog: &str) -> anyhow::Result<String> {
    let heading = format!("\n## [{version}]");
    let (_, after) = changelog.split_once(&heading).with_context(|| {
        format!("CHANGELOG.md has no heading \"## [{version}]\": move what is unreleased below one")
    })?;
    let (_, section) = after.split_once('\n').unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default().trim();
    ensure!(!section.is_empty(), "CHANGELOG.md says nothing of {version}");
    let here = format!("]({REPOSITORY}/blob/v{version}/");
    let mut parts = section.split("](");
    let mut notes = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let target = part.split(')').next().unwrap_or_default();
        let is_file = !target.contains("://") && !target.starts_with('#');
        notes += if is_file { &here } else { "](" };
        notes += part;
    }
    Ok(notes + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-31\n\n### Added\n\n- This ([how](docs/portal.md#x), \
                             [why](https://example.com/a)).\n\n## [0.1.0] - 2026-12-01\n\n- That.\n";

    #[test]
    fn notes_are_the_section_with_links_that_lead_somewhere() {
        let notes = of("0.2.0", CHANGELOG).unwrap();
        assert_eq!(
            notes,
            "### Added\n\n- This ([how](https://github.com/bowline-dev/bowline/blob/v0.2.0/docs/portal.md#x), \
             [why](https://example.com/a)).\n"
        );
        assert_eq!(of("0.1.0", CHANGELOG).unwrap(), "- That.\n");
    }

    #[test]
    fn a_version_without_a_section_is_not_released() {
        for version in ["0.3.0", "0.2", "Unreleased"] {
            let error = of(version, CHANGELOG).unwrap_err().to_string();
            assert!(error.contains(version), "{error}");
        }
    }

    #[test]
    fn the_changelog_has_one_unreleased_section_and_dates_the_others() {
        let changelog = include_str!("../../CHANGELOG.md");
        let headings: Vec<_> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings.first(), Some(&"[Unreleased]"));
        for heading in &headings[1..] {
            let date = heading.split(" - ").nth(1).unwrap_or_default();
            assert!(date.split('-').count() == 3 && date.len() == 10, "{heading}");
        }
    }
}
