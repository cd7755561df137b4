//! Reads the data files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::data::{EmulatedApp, Family, Says};
use super::template::{as_text, fill};

/// A data file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be read.
    #[error("{}", .file.display())]
    Unreadable {
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what the schema says.
    #[error("{}", .file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: serde_yaml::Error,
    },
    /// It names something that it does not have.
    #[error("{}: {flaw}", .file.display())]
    Flawed {
        /// The file.
        file: PathBuf,
        /// What is missing.
        flaw: String,
    },
}

impl Family {
    /// All families, by the names of their files.
    pub fn all() -> Result<BTreeMap<String, Self>, DataError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator");
        let unreadable = |source| DataError::Unreadable { file: folder.clone(), source };
        let files = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let files = files.map_err(unreadable)?.into_iter().map(|file| file.path());
        let named = |file: PathBuf| Some((file.file_stem()?.to_str()?.to_owned(), file));
        files.filter_map(named).map(|(name, file)| Ok((name, Self::read(&file)?))).collect()
    }

    fn read(file: &Path) -> Result<Self, DataError> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(source) => Err(DataError::Unreadable { file: file.to_owned(), source }),
        }
    }

    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, DataError> {
        let file = file.to_owned();
        match serde_yaml::from_str::<Self>(text).map(|family| (family.flaw(), family)) {
            Err(source) => Err(DataError::Shape { file, source }),
            Ok((Some(flaw), _)) => Err(DataError::Flawed { file, flaw }),
            Ok((None, family)) => Ok(family),
        }
    }

    /// A name that refers to nothing.
    fn flaw(&self) -> Option<String> {
        let Says { client, request, code, refresh, access, gone } = &self.says;
        let said = [client, request, code, refresh, access].into_iter().chain(gone);
        let refusal =
            said.filter(|name| !self.refusals.contains_key(*name)).map(|name| format!("no refusal {name}"));
        let app = self.proves.iter().filter(|run| !self.apps.contains_key(&run.app));
        let app = app.map(|run| format!("no app {}", run.app));
        let shapeless = self.refusals.iter().filter(|(_, refusal)| {
            refusal.body.is_none() && refusal.on.iter().any(|on| !self.shapes.contains_key(on))
        });
        let few = (self.accounts.len() < 2).then(|| "fewer than two accounts".to_owned());
        let shapeless = shapeless.map(|(name, _)| format!("the refusal {name} has no shape"));
        refusal.chain(app).chain(shapeless).chain(few).next()
    }

    /// A text with placeholders, as it is for an account; `None` if a placeholder has no value.
    pub fn expected(&self, template: &str, account: &str) -> Option<String> {
        fill(&template.into(), self.accounts.get(account)?).map(|value| as_text(&value))
    }

    /// Whether a revocation of what is gone already is told from one that did something.
    pub fn tells_gone(&self) -> bool {
        self.says.gone.is_some()
    }

    /// The app with this client id, and its name.
    pub(super) fn app_of(&self, client_id: &str) -> Option<(&str, &EmulatedApp)> {
        let app = self.apps.iter().find(|(_, app)| app.client_id == client_id)?;
        Some((app.0.as_str(), app.1))
    }
}
