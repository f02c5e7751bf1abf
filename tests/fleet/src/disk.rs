//! A disk that a test fills, for one program and its children. In: a folder on it, the C compiler that Rust links with. Out: an
//! environment for the program. It needs no right to mount anything, and fills nothing: everybody else's disk stays as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// Preloaded, it makes the disk full.
const SOURCE: &str = include_str!("full_disk.c");

/// The disk.
#[derive(Debug)]
pub struct Disk {
    library: PathBuf,
    full: PathBuf,
}

impl Disk {
    /// The one that this folder is on; with room.
    pub fn of(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("full_disk.c"), folder.join("full_disk.so"));
        std::fs::write(&source, SOURCE).map_err(Error::io("write", &source))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        compiler.arg(&library).arg(&source).arg("-ldl");
        let output = compiler.output();
        let output = output.map_err(Error::io("run cc on", &source))?;
        if !output.status.success() {
            return Err(Error::Program {
                program: "cc".into(),
                message: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let full = folder.join("full");
        Ok(Self { library, full })
    }

    /// With it a program writes to this disk.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("GROUNDSWELL_DISK_FULL", &self.full),
        ]
    }

    /// No file gets larger from now on.
    pub fn fill(&self) -> Result<()> {
        std::fs::write(&self.full, "").map_err(Error::io("write", &self.full))
    }

    /// There is room again.
    pub fn make_room(&self) -> Result<()> {
        std::fs::remove_file(&self.full).map_err(Error::io("remove", &self.full))
    }
}
