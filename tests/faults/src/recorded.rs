//! The database of an older hub, as it was recorded in the middle of releases. In: a file of SQL. Out: a database that holds
//! it. It must not change what was recorded.

use std::path::PathBuf;

use tests_fleet::programs::workspace;
use tests_fleet::{Error, Result};

use crate::database::Database;

/// Where they are.
pub fn folder() -> PathBuf {
    workspace().join("tests/fixtures/adjacent")
}

impl Database {
    /// Puts a recorded database into this empty one.
    pub async fn fill(&self, recorded: &str) -> Result<()> {
        let path = folder().join(recorded);
        let file = path
            .to_str()
            .ok_or_else(|| Error::Check(format!("{}: not in UTF-8", path.display())))?;
        self.file(file).await
    }

    /// Writes this one down.
    pub async fn record(&self, name: &str) -> Result<()> {
        let text = self.dump().await?;
        // What psql is told at both ends is new each time.
        let kept = text
            .lines()
            .filter(|line| !line.starts_with('\\') || *line == "\\.");
        let kept: Vec<&str> = kept.collect();
        let path = folder().join(name);
        std::fs::write(&path, kept.join("\n") + "\n").map_err(Error::io("write", &path))
    }
}
