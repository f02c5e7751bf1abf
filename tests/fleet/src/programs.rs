//! Where the workspace's programs are. In: a program's name. Out: its path, or the command that builds it. It builds
//! nothing: a test that built what it tests could test something else than what the others do.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folder of the workspace's Cargo.toml.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The folder of what was built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

fn built(path: PathBuf) -> Result<PathBuf> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::NotBuilt { path })
    }
}

/// A program of ours, in the profile that this one was built in.
pub fn program(name: &str) -> Result<PathBuf> {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    built(target().join(profile).join(name))
}

/// The sandbox.
pub fn sandbox() -> Result<PathBuf> {
    built(target().join("sandbox/sandbox"))
}

/// The published kubectl plugin of Argo Rollouts.
pub fn plugin() -> Result<PathBuf> {
    built(target().join("plugin/kubectl-argo-rollouts"))
}

/// Argo Rollouts' controller, as published.
pub fn peer() -> Result<PathBuf> {
    built(target().join("peer/rollouts-controller"))
}

/// The agent whose gate check is switched off.
pub fn gate_off_agent() -> Result<PathBuf> {
    built(target().join("gate-off/groundswell-agent"))
}
