//! Work that several share. In: its pieces. Out: each piece once, to whoever is free next.

use std::sync::{Mutex, PoisonError};

/// What is left of it.
#[derive(Debug)]
pub struct Turns<T>(Mutex<std::vec::IntoIter<T>>);

impl<T> Turns<T> {
    /// All of it.
    pub fn of(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces: Vec<T> = pieces.into_iter().collect();
        Self(Mutex::new(pieces.into_iter()))
    }

    /// The next piece.
    pub fn next(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}
