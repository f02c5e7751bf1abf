//! What a person who watches the demo reads. In: sentences. Out: lines with the time since the beginning. It decides nothing.

use std::time::Instant;

use tests_demo::scenario::Version;

/// Prints lines.
#[derive(Debug)]
pub struct Progress {
    begin: Instant,
}

impl Progress {
    /// From now on.
    pub fn begin() -> Self {
        Self {
            begin: Instant::now(),
        }
    }

    /// A part of the story begins.
    pub fn part(&self, version: Version) {
        println!("\n({}) {}", version.number(), version.told());
    }

    /// One line.
    pub fn say(&self, words: &str) {
        let seconds = self.begin.elapsed().as_secs();
        println!("[{}:{:02}] {words}", seconds / 60, seconds % 60);
    }

    /// Somebody else's page, as it came.
    pub fn page(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("       {line}");
        }
    }
}
