//! What can go wrong in the harness. In: causes. Out: one line that names the object and the next step. It prints nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The harness's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the harness could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A condition that did not come true.
    #[error("{what}: not within {} s; last seen: {last}", after.as_secs())]
    Timeout {
        /// The condition.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// Why the last look said no.
        last: String,
    },
    /// A program that is not there.
    #[error("{} is not built: run `make build plugin`", path.display())]
    NotBuilt {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A program that ended badly.
    #[error("{program}: {message}")]
    Program {
        /// Its name.
        program: String,
        /// How it ended, with its last words.
        message: String,
    },
    /// The Kubernetes API.
    #[error("{what}: {source}")]
    Kube {
        /// What was asked.
        what: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// Something that was read and could not be understood.
    #[error("{what}: {message}")]
    Parse {
        /// What was read, with its place.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// A check of the harness that failed.
    #[error("{0}")]
    Check(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let what = format!("{what} {}", path.display());
        move |source| Error::Io { what, source }
    }

    /// For `map_err` on the Kubernetes API.
    pub fn kube(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let what = what.into();
        move |source| Error::Kube {
            what,
            source: Box::new(source),
        }
    }

    /// For `map_err` on parsers.
    pub fn parse<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Error {
        let what = what.into();
        move |error| Error::Parse {
            what,
            message: error.to_string(),
        }
    }
}
