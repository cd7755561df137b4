//! A keyring from a directory of files (`--keyring-dir`): a mount that a key management service fills.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Keyring, KeyringError, KeyringFault, SharedKeyring};

/// How often the files are read again. Mounts change seldom, and a notification would miss a replaced symbolic link.
const READ_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error("the keyring's directory cannot be read")]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] KeyringError),
}

impl From<DirectoryError> for KeyringFault {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => Self::Gone,
            DirectoryError::Unreadable(error) => Self::Unreadable(error.kind()),
            DirectoryError::Refused(error) => Self::Refused(error),
        }
    }
}

/// Reads the keyring from the files of `directory`. Names that begin with a dot belong to the mount and are skipped.
pub(crate) fn load(directory: &Path) -> Result<Keyring, DirectoryError> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            files.insert(name, Zeroizing::new(std::fs::read(entry.path())?));
        }
    }
    Ok(Keyring::parse(files.iter().map(|(name, value)| (name.as_str(), value.as_slice())))?)
}

/// Reads the directory repeatedly until `shutdown`, and offers what it finds after each change.
pub(crate) async fn follow(directory: PathBuf, keyring: &SharedKeyring, shutdown: CancellationToken) {
    let mut seen = None;
    while shutdown.run_until_cancelled(tokio::time::sleep(READ_AGAIN)).await.is_some() {
        // On a separate thread: a mount that hangs must not delay anything else.
        let loading = tokio::task::spawn_blocking({
            let directory = directory.clone();
            move || load(&directory)
        });
        let loaded = loading.await.unwrap_or_else(|error| Err(io::Error::other(error).into()));
        let offered = loaded.map_err(KeyringFault::from);
        let found = offered.as_ref().map(Keyring::to_entries).map_err(Clone::clone);
        if seen.as_ref() != Some(&found) {
            if let Some(fault) = keyring.offer(offered) {
                tracing::error!(%fault, "the keyring's directory is not as it should be");
            }
            seen = Some(found);
        }
    }
}

#[allow(clippy::unwrap_used)]
#[cfg(test)]
mod tests {
    use super::super::fixtures::{FIRST, SECOND, entries};
    use super::*;

    /// A directory that is removed when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bowline-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_mount_as_kubelet_makes_it_is_read() {
        let scratch = Scratch::new("keyring-mount");
        std::fs::create_dir_all(scratch.0.join("..2026_03_01")).unwrap();
        for (name, value) in entries(&[FIRST]) {
            std::fs::write(scratch.0.join("..2026_03_01").join(&name), value).unwrap();
            std::os::unix::fs::symlink(format!("..2026_03_01/{name}"), scratch.0.join(&name)).unwrap();
        }
        assert_eq!(load(&scratch.0).unwrap().primary().id().to_string(), FIRST);
    }

    #[test]
    fn a_directory_that_is_not_there_counts_as_gone() {
        let scratch = Scratch::new("keyring-gone");
        let fault = KeyringFault::from(load(&scratch.0.join("nowhere")).unwrap_err());
        assert_eq!(fault, KeyringFault::Gone);
    }

    #[test]
    fn an_empty_directory_is_refused() {
        let scratch = Scratch::new("keyring-empty");
        let fault = KeyringFault::from(load(&scratch.0).unwrap_err());
        assert_eq!(fault, KeyringFault::Refused(KeyringError::NoKey));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_directory_is_in_force_without_a_restart() {
        let scratch = Scratch::new("keyring-changed");
        let write = |ids: &[&str]| {
            for (name, value) in entries(ids) {
                std::fs::write(scratch.0.join(name), value).unwrap();
            }
        };
        write(&[FIRST]);
        let keyring = SharedKeyring::new(load(&scratch.0).unwrap());
        write(&[SECOND, FIRST]);

        let following = follow(scratch.0.clone(), &keyring, CancellationToken::new());
        tokio::time::timeout(READ_AGAIN * 2, following).await.unwrap_err();
        assert_eq!(keyring.current().primary().id().to_string(), SECOND);
        assert_eq!(keyring.fault(), None);
    }
}
