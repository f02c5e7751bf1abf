//! The data folder. In: a path. Out: a folder that only this hub uses, and the name under which this hub decides. It must
//! not know what else is kept there.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom as _;

/// Held by the running hub; its text says which process that is.
const LOCK_FILE: &str = "hub.lock";
/// The hub's name, the same over restarts: with it, a hub that was killed takes its own lease again at once.
const NAME_FILE: &str = "hub.name";
/// Others may pass through to files whose own mode lets them, none may list it.
const FOLDER_MODE: u32 = 0o711;
/// Public: it says nothing of use.
const NAME_MODE: u32 = 0o644;
/// So many random bytes that two hubs never have the same name.
const NAME_BYTES: usize = 8;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file system's answer.
    #[error("cannot use {path}: {source}; --data-dir names a folder that the hub's user can write")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another hub.
    #[error(
        "{path} is used by another hub, process {holder}; stop that one or choose another --data-dir"
    )]
    Taken {
        /// The folder.
        path: PathBuf,
        /// Its process id, as it wrote it.
        holder: String,
    },
    /// The hub's name.
    #[error(transparent)]
    Name(#[from] crate::authority::Error),
    /// The system gave no random bytes.
    #[error("cannot make a name for this hub: the system gives no random bytes")]
    Random,
}

/// A folder that this process has to itself until the value is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    name: String,
    _lock: File,
}

impl Folder {
    /// Makes it if it is not there and locks it. The lock ends with the process, however that ends.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |at: &Path| {
            let at = at.to_path_buf();
            move |source| Error::File { path: at, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(fail(path))?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(fail(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&lock_path).map_err(fail(&lock_path))?;
                return Err(Error::Taken {
                    path: path.to_path_buf(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::File {
                    path: lock_path,
                    source,
                });
            }
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(fail(&lock_path))?;
        let name = name(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            name,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which this hub holds the lease.
    #[must_use]
    pub fn hub_name(&self) -> &str {
        &self.name
    }
}

fn name(dir: &Path) -> Result<String, Error> {
    let path = dir.join(NAME_FILE);
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::File { path, source }),
    }
    let mut bytes = [0_u8; NAME_BYTES];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    let name = format!("hub-{}", hex::encode(bytes));
    crate::authority::write(&path, &format!("{name}\n"), NAME_MODE)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hub_a_folder_and_the_same_name_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();
        let name = first.hub_name().to_owned();
        let message = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains(&format!("process {}", std::process::id())),
            "{message}"
        );
        drop(first);
        assert_eq!(Folder::open(dir.path()).unwrap().hub_name(), name);
    }
}
