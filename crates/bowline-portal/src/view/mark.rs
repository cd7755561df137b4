//! What a provider is shown by: its own mark, or else its initials, in white on its colour. It is drawn as SVG, because pages
//! allow no inline styles.

use bowline_oauth::catalog::CatalogEntry;
use bowline_oauth::catalog::look::Color;

/// Marks by catalogue entry, from `marks/`, which says where they come from.
const MARKS: &[(&str, &str)] = &[
    ("dropbox", include_str!("../../marks/dropbox.svg")),
    ("github", include_str!("../../marks/github.svg")),
    ("github-app-user", include_str!("../../marks/github.svg")),
    ("gmail", include_str!("../../marks/gmail.svg")),
    ("google", include_str!("../../marks/google.svg")),
    ("google-calendar", include_str!("../../marks/google-calendar.svg")),
    ("linear", include_str!("../../marks/linear.svg")),
    ("notion", include_str!("../../marks/notion.svg")),
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
    let (_, svg) = MARKS.iter().find(|(entry, _)| *entry == type_)?;
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
    use std::path::Path;

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

    #[test]
    fn every_picture_belongs_to_an_entry_and_is_one_outline() {
        for (entry, svg) in MARKS {
            assert!(catalog::get(entry).is_some(), "{entry}");
            assert_eq!(svg.matches("<path").count(), 1, "{entry}");
            let path = path(entry).unwrap();
            assert!(path.chars().all(|c| c.is_ascii_alphanumeric() || " .,-".contains(c)), "{entry}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("marks");
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_used = MARKS.iter().any(|(entry, _)| *entry == name);
            assert!(is_used || file.extension().unwrap() == "md", "{}", file.display());
        }
    }
}
