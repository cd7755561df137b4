//! Answers on disk: the successor of a token that was just spent, from when the provider's answer is understood until it is on
//! record. The API server may be away then, and the process may be killed.
//!
//! One sealed file per answer, on a disk that survives a restart of the container. No request is needed to replay it: it holds
//! the grant that the answer made.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::id::IntentId;
use super::record::{Grant, Slot};
use super::seal::{Place, SealPurpose, Sealer};

const SUFFIX: &str = "answer";
/// Of a file that is being written.
const UNFINISHED: &str = "new";
/// Each answer is written once, in a file of its own.
const REVISION: i64 = 0;

/// The answers of this pod. Without a directory nothing is kept.
#[derive(Clone)]
pub(crate) struct Journal {
    directory: Option<PathBuf>,
    sealer: Sealer,
}

/// An answer that is not on record yet, and what was spent for it.
#[derive(Debug)]
pub(crate) struct JournalEntry {
    pub(crate) place: Place,
    pub(crate) slot: Slot,
    /// The intent that the request was sent under.
    pub(crate) intent: IntentId,
    /// Says which sealed bytes held what was spent.
    pub(crate) spent: String,
    /// Whether the spent grant works for a while beside its successor.
    pub(crate) graced: bool,
    pub(crate) grant: Grant,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    place: Place,
    candidate: bool,
    intent: IntentId,
    spent: String,
    graced: bool,
    /// Hexadecimal, so that the file is text.
    sealed: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the answer cannot be sealed or written as JSON")]
    Seal,
}

impl Journal {
    pub(crate) fn new(directory: Option<PathBuf>, sealer: Sealer) -> Self {
        Self { directory, sealer }
    }

    /// Returns when the answer is on disk.
    pub(crate) async fn keep(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        let name = file_name(entry.intent);
        let text = self.sealed(entry)?;
        on_disk(move || write(&directory, &name, &text)).await
    }

    /// Forgets an answer that is on record, or for which there is no place any more.
    pub(crate) async fn forget(&self, intent: IntentId) {
        let Some(directory) = &self.directory else { return };
        let file = directory.join(file_name(intent));
        let removed = move || match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
        if let Err(error) = on_disk(removed).await {
            tracing::warn!(%error, "an answer that is on record is still on disk");
        }
    }

    /// The answers that an earlier process of this pod left. One that does not open stays where it is.
    pub(crate) async fn entries(&self) -> Vec<JournalEntry> {
        let Some(directory) = self.directory.clone() else { return Vec::new() };
        let files = match on_disk(move || read_all(&directory)).await {
            Ok(files) => files,
            Err(error) => {
                tracing::error!(%error, "the answers on disk cannot be read");
                return Vec::new();
            }
        };
        files.iter().filter_map(|(path, text)| {
            let opened = self.opened(text);
            if opened.is_none() {
                tracing::error!(file = %path.display(), "an answer on disk does not open and stays there");
            }
            opened
        }).collect()
    }

    fn sealed(&self, entry: &JournalEntry) -> Result<Vec<u8>, JournalError> {
        let JournalEntry { place, slot, intent, spent, graced, grant } = entry;
        let plaintext = grant.to_plaintext().map_err(|_| JournalError::Seal)?;
        let sealed = self.sealer.seal(place, SealPurpose::Answer, REVISION, &plaintext);
        let stored = Stored {
            place: place.clone(),
            candidate: *slot == Slot::Candidate,
            intent: *intent,
            spent: spent.clone(),
            graced: *graced,
            sealed: hex::encode(sealed.map_err(|_| JournalError::Seal)?),
        };
        serde_json::to_vec(&stored).map_err(|_| JournalError::Seal)
    }

    fn opened(&self, text: &[u8]) -> Option<JournalEntry> {
        let Stored { place, candidate, intent, spent, graced, sealed } = serde_json::from_slice(text).ok()?;
        let sealed = hex::decode(sealed).ok()?;
        let plaintext = self.sealer.open(&place, SealPurpose::Answer, REVISION, &sealed).ok()?;
        let grant = Grant::from_plaintext(&plaintext)?;
        let slot = if candidate { Slot::Candidate } else { Slot::InUse };
        Some(JournalEntry { place, slot, intent, spent, graced, grant })
    }
}

fn file_name(intent: IntentId) -> String {
    format!("{intent}.{SUFFIX}")
}

/// Runs what waits for a disk.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

/// The whole file is there under its name, or none.
fn write(directory: &Path, name: &str, text: &[u8]) -> Result<(), JournalError> {
    fs::create_dir_all(directory)?;
    let (unfinished, finished) = (directory.join(format!("{name}.{UNFINISHED}")), directory.join(name));
    let mut file = File::create(&unfinished)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unfinished, &finished)?;
    Ok(File::open(directory)?.sync_all()?)
}

/// One file that cannot be read hides no other. What was not finished is removed.
fn read_all(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, JournalError> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_owned();
        let read = if extension == SUFFIX {
            fs::read(&path).map(|text| files.push((path.clone(), text)))
        } else if extension == UNFINISHED {
            fs::remove_file(&path)
        } else {
            Ok(())
        };
        if let Err(error) = read {
            tracing::error!(file = %path.display(), %error, "an answer on disk cannot be read");
        }
    }
    Ok(files)
}
