//! What happened. In: lines. Out: their hash, and the lines themselves. It must not hold anything that differs between two
//! runs of one seed.

use std::hash::Hasher as _;

use fnv::FnvHasher;

/// The story of one life.
#[derive(Default)]
pub struct Trace {
    hash: FnvHasher,
    lines: Vec<String>,
}

impl Trace {
    /// Something happened.
    pub fn add(&mut self, line: String) {
        self.hash.write(line.as_bytes());
        self.hash.write_u8(b'\n');
        self.lines.push(line);
    }

    /// Of everything that happened: two runs of one seed have the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// In order.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
