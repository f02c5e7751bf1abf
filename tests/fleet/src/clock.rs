//! A wall clock that a test sets while a program runs; its monotonic clock stays right. In: libfaketime, seconds. Out: an
//! environment for the program. The machine's clock is never touched.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::rundir::RunDir;

/// Where Debian and others keep it.
const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib",
    "/usr/local/lib",
];

/// libfaketime, for programs with threads.
pub fn library() -> Result<String> {
    let paths = FOLDERS.map(|folder| format!("{folder}/faketime/libfaketimeMT.so.1"));
    let found = paths.into_iter().find(|path| Path::new(path).is_file());
    found.ok_or_else(|| {
        Error::Check("libfaketime is not installed: run deploy/install-prerequisites.sh".into())
    })
}

/// The clock of one program.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    /// It is right.
    pub fn right(run: &RunDir, name: &str) -> Result<Self> {
        let file = run.folder("clocks")?.join(name);
        let library = library()?;
        let clock = Self { file, library };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it, so far from the right time.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // By a new file of the same name: nobody reads half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).map_err(Error::io("write", &new))?;
        std::fs::rename(&new, &self.file).map_err(Error::io("move", &new))
    }

    /// With it a program has this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let all = [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        all.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}
