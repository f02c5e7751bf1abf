//! A PostgreSQL of our own, for trying things out and for tests. In: a folder. Out: a URL, until it is stopped. It must not
//! be used by two hubs at once.

use std::path::Path;

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Embedded {
    url: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What and what to do.
    pub message: String,
}

impl Embedded {
    /// Finds the installed PostgreSQL, makes or adopts its cluster in `data_dir` and waits until it answers.
    ///
    /// # Errors
    /// One sentence: nothing installed, another hub has the folder, what the server logged.
    pub async fn start(_data_dir: &Path) -> Result<Self, Error> {
        Err(Error { message: "not built yet".to_owned() })
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it and waits until it has stopped.
    ///
    /// # Errors
    /// One sentence, when it does not stop.
    pub async fn stop(self) -> Result<(), Error> {
        Ok(())
    }
}
