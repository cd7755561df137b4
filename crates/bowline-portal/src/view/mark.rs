//! What a provider is shown by: its own mark, or else its initials, in white on its colour. It is drawn as SVG, because pages
//! allow no inline styles.

use bowline_oauth::catalog::CatalogEntry;
use bowline_oauth::catalog::look::Color;

/// Marks, from `marks/`, which says where they come from. One also stands for entries whose names continue its own: `github`
/// for `github-app-user`, which has none.
const MARKS: &[(&str, &str)] = &[
    ("atlassian", include_str!("../../marks/atlassian.svg")),
    ("discord", include_str!("../../marks/discord.svg")),
    ("dropbox", include_str!("../../marks/dropbox.svg")),
    ("figma", include_str!("../../marks/figma.svg")),
    ("github", include_str!("../../marks/github.svg")),
    ("gitlab", include_str!("../../marks/gitlab.svg")),
    ("gmail", include_str!("../../marks/gmail.svg")),
    ("google", include_str!("../../marks/google.svg")),
    ("google-calendar", include_str!("../../marks/google-calendar.svg")),
    ("google-service-account", include_str!("../../marks/google-service-account.svg")),
    ("hubspot", include_str!("../../marks/hubspot.svg")),
    ("linear", include_str!("../../marks/linear.svg")),
    ("mcp", include_str!("../../marks/mcp.svg")),
    ("notion", include_str!("../../marks/notion.svg")),
    ("quickbooks", include_str!("../../marks/quickbooks.svg")),
    ("sentry", include_str!("../../marks/sentry.svg")),
    ("stripe", include_str!("../../marks/stripe.svg")),
    ("trello", include_str!("../../marks/trello.svg")),
    ("zapier", include_str!("../../marks/zapier.svg")),
    ("zoho", include_str!("../../marks/zoho.svg")),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProviderMark {
    /// `#rrggbb`, on which white is readable.
    pub(crate) color: String,
    /// The outline in a square of 24; empty for initials.
    pub(crate) path: &'static str,
    pub(crate) initials: String,
}

impl ProviderMark {
    pub(crate) fn of(type_: &str, entry: Option<&CatalogEntry>, title: &str) -> Self {
        let color = entry.map_or_else(|| Color::default().to_string(), |entry| entry.color.to_string());
        Self { color, path: path(type_).unwrap_or_default(), initials: initials(title) }
    }

    /// Initials in grey.
    pub(crate) fn letters(initials: &str) -> Self {
        Self { color: Color::default().to_string(), path: "", initials: initials.to_owned() }
    }
}

/// The outline of an entry's mark.
fn path(type_: &str) -> Option<&'static str> {
    let continues =
        |name: &str| type_.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let fitting = MARKS.iter().filter(|(name, _)| continues(name));
    let (_, svg) = fitting.max_by_key(|(name, _)| name.len())?;
    let (_, after) = svg.split_once("<path d=\"")?;
    Some(after.split_once('"')?.0)
}

pub(crate) fn initials(title: &str) -> String {
    let letters = |word: &str| word.chars().find(|c| c.is_alphanumeric());
    let mut words = title.split(|c: char| c.is_whitespace() || c == '(' || c == '-').filter_map(letters);
    let both: String = words.by_ref().take(2).collect();
    both.to_uppercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use bowline_oauth::catalog;

    use super::*;

    #[test]
    fn a_mark_without_a_picture_has_one_or_two_letters() {
        for (title, letters) in
            [("GitHub", "G"), ("Google Calendar", "GC"), ("slack", "S"), ("Trello (EU) x", "TE"), ("…", "")]
        {
            assert_eq!(initials(title), letters);
        }
    }

    /// Providers of which Simple Icons has no mark, by the first words of their entries' names; and entries without a provider.
    const LETTERS: &[&str] = &[
        "entra",
        "generic",
        "microsoft",
        "oidc",
        "openai",
        "outlook",
        "plaid",
        "ponto",
        "salesforce",
        "salt-edge",
        "sandbox",
        "slack",
        "tink",
    ];

    #[test]
    fn an_entry_is_shown_by_the_mark_of_its_provider_unless_there_is_none() {
        for name in catalog::entries().keys() {
            let has_none = LETTERS.iter().any(|provider| name.starts_with(provider));
            assert_eq!(path(name).is_none(), has_none, "{name}");
        }
        assert_eq!(path("github-app-user"), path("github"));
        assert_ne!(path("google-calendar"), path("google"));
        assert_eq!((path("githubby"), path("git")), (None, None));
    }

    #[test]
    fn every_picture_is_used_and_one_outline() {
        for (name, svg) in MARKS {
            assert_eq!(svg.matches("<path").count(), 1, "{name}");
            let path = path(name).unwrap();
            assert!(path.chars().all(|c| c.is_ascii_alphanumeric() || " .,-".contains(c)), "{name}");
        }
        for file in files("marks") {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_used = MARKS.iter().any(|(mark, _)| *mark == name);
            assert!(is_used || file.extension().unwrap() == "md", "{}", file.display());
        }
    }

    /// Files of a folder, as seen from this crate.
    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
    }

    /// The mark as a picture for pages: as in the portal.
    fn picture(mark: &ProviderMark) -> String {
        let ProviderMark { color, path, initials } = mark;
        let inner = if path.is_empty() {
            format!(
                r##"<text x="20" y="26" text-anchor="middle" font-family="sans-serif" font-weight="600" font-size="16" fill="#ffffff">{initials}</text>"##
            )
        } else {
            format!(r##"<path transform="translate(9.2 9.2) scale(.9)" fill="#ffffff" d="{path}"/>"##)
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 40\"><rect width=\"40\" height=\"40\" rx=\"8\" fill=\"{color}\"/>{inner}</svg>\n"
        )
    }

    /// `make docs` writes them.
    #[test]
    fn the_marks_of_the_pages_are_up_to_date() {
        let folder = "../../docs/providers/marks";
        let entries = || catalog::entries().iter().filter(|(name, _)| !name.starts_with("sandbox"));
        for (name, entry) in entries() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.svg"));
            let text = picture(&ProviderMark::of(name, Some(entry), &entry.display_name));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &text).unwrap();
            }
            assert!(
                fs::read_to_string(&path).unwrap_or_default() == text,
                "{}: run make docs",
                path.display()
            );
        }
        for file in files(folder) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(entries().any(|(entry, _)| *entry == name) || name == "README", "{}", file.display());
        }
    }
}
