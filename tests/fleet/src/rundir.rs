//! The folder of one run: logs, sockets' data, witnesses. In: where it may be. Out: paths inside it. A temporary one goes
//! with its value unless the test failed; one that was named stays.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::guard;

/// A folder in which programs write.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    temporary: bool,
}

impl RunDir {
    /// A new folder in the system's temporary folder; short, because sockets are made below it.
    pub fn temporary(name: &str) -> Result<Self> {
        let kept = tempfile::Builder::new()
            .prefix(&format!("groundswell-{name}-"))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .map_err(Error::io("make a folder in", &std::env::temp_dir()))?;
        let path = kept.keep();
        guard::add_folder(&path)?;
        Ok(Self {
            path,
            temporary: true,
        })
    }

    /// This folder, emptied of what an earlier run left.
    pub fn named(path: &Path) -> Result<Self> {
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(Error::io("empty", path))?;
        }
        std::fs::create_dir_all(path).map_err(Error::io("make", path))?;
        let path = path.canonicalize().map_err(Error::io("find", path))?;
        Ok(Self {
            path,
            temporary: false,
        })
    }

    /// Somebody else's temporary folder, which goes with ours.
    pub(crate) fn adopted(path: &Path) -> Result<Self> {
        guard::add_folder(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            temporary: true,
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A folder inside it, made if need be.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.temporary {
            return;
        }
        guard::keep_folder(&self.path);
        if std::thread::panicking() {
            eprintln!("the logs of the failed run are in {}", self.path.display());
        } else {
            // A file that is still being written only leaves a folder in the temporary one.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
