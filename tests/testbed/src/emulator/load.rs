//! Reads the data files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::data::{EmulatedApp, Family, Reply, Violation};
use super::template::{as_text, fill};

/// A data file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .file.display())]
pub struct DataError {
    /// The file or folder.
    pub file: PathBuf,
    /// What is wrong with it.
    pub source: DataFlaw,
}

/// What is wrong with a data file.
#[derive(Debug, thiserror::Error)]
pub enum DataFlaw {
    /// The system cannot read it.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// It is not what the schema says.
    #[error(transparent)]
    Shape(#[from] serde_yaml::Error),
    /// It names something that it does not have.
    #[error("there is no {0}")]
    Missing(String),
}

impl Family {
    /// All families, by the names of their files.
    pub fn all() -> Result<BTreeMap<String, Self>, DataError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator");
        let files = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let files = files.map_err(|error| DataError { file: folder, source: error.into() })?;
        let named = |file: PathBuf| Some((file.file_stem()?.to_str()?.to_owned(), file));
        let files = files.into_iter().filter_map(|file| named(file.path()));
        let read = |file: &Path| {
            fs::read_to_string(file).map_err(DataFlaw::from).and_then(|text| Self::parse(&text))
        };
        let family = |file: PathBuf| read(&file).map_err(|source| DataError { file, source });
        files.map(|(name, file)| Ok((name, family(file)?))).collect()
    }

    pub(super) fn parse(text: &str) -> Result<Self, DataFlaw> {
        let family: Self = serde_yaml::from_str(text)?;
        family.missing().map_or(Ok(family), |name| Err(DataFlaw::Missing(name)))
    }

    /// A name that refers to nothing.
    fn missing(&self) -> Option<String> {
        let said = self.says.values().filter(|name| !self.refusals.contains_key(*name));
        let said = said.map(|name| format!("refusal {name}"));
        let replies = self.token.iter().flat_map(|token| token.exchange.iter().chain(&token.refresh));
        let replies = replies.chain(self.session_replies());
        let replies = replies.chain(self.mints.iter().flat_map(|mint| &mint.replies));
        let replies = replies.chain(self.account.iter().flat_map(|call| &call.replies));
        let mut replies = replies.chain(self.revoke.iter().map(|revoke| &revoke.reply));
        let unsourced = replies.any(|reply| reply.source.is_none()).then(|| "source of a reply".to_owned());
        let app = self.proves.iter().filter(|run| !self.apps.contains_key(&run.app));
        let app = app.map(|run| format!("app {}", run.app));
        let shapeless = self.refusals.iter().filter(|(_, refusal)| {
            refusal.body.is_none() && refusal.on.iter().any(|on| !self.shapes.contains_key(on))
        });
        let shapeless = shapeless.map(|(name, _)| format!("shape for the refusal {name}"));
        let host = self.certificate_hosts.iter().find(|host| !self.hosts.contains(host));
        let host = host.map(|host| format!("host {host}"));
        let second = (self.accounts.len() < 2).then(|| "second account".to_owned());
        said.chain(app).chain(host).chain(shapeless).chain(second).chain(unsourced).next()
    }

    /// A text with placeholders, as it is for an account; `None` if a placeholder has no value.
    pub fn expected(&self, template: &str, account: &str) -> Option<String> {
        fill(&template.into(), self.accounts.get(account)?).map(|value| as_text(&value))
    }

    /// What is played for this app although no document says so.
    pub fn believed(&self, app: &str) -> Vec<String> {
        let app =
            self.apps.get(app).filter(|app| app.believed).map(|_| "what happens to its tokens".to_owned());
        let replies = |operation: &'static str, replies: &[Reply]| {
            replies.iter().any(|reply| reply.believed).then(|| format!("the answer to {operation}"))
        };
        let (codes, refreshes) =
            self.token.as_ref().map_or((&[][..], &[][..]), |token| (&token.exchange, &token.refresh));
        let session: Vec<_> = self.session_replies().cloned().collect();
        let account: Vec<_> = self.account.iter().flat_map(|call| call.replies.clone()).collect();
        let revoke: Vec<_> = self.revoke.iter().map(|revoke| revoke.reply.clone()).collect();
        let minted: Vec<_> = self.mints.iter().flat_map(|mint| mint.replies.clone()).collect();
        let refusals = self.refusals.iter().filter(|(_, refusal)| refusal.believed);
        app.into_iter()
            .chain(replies("a code", codes))
            .chain(replies("a refresh", refreshes))
            .chain(replies("calls of a link session", &session))
            .chain(replies("a request to mint", &minted))
            .chain(replies("the call for the account", &account))
            .chain(replies("a revocation", &revoke))
            .chain(refusals.map(|(name, _)| format!("the refusal `{name}`")))
            .collect()
    }

    /// Whether a revocation of what is gone already is told from one that did something.
    pub fn tells_gone(&self) -> bool {
        self.says.contains_key(&Violation::Gone)
    }

    /// The app with this client id.
    pub(super) fn app_of(&self, client_id: &str) -> Option<&EmulatedApp> {
        self.apps.values().find(|app| app.client_id == client_id)
    }
}
