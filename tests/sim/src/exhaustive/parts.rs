//! Parts of states: each is kept once and named by its place. In: a part and the text of all that its future depends on.
//! Out: its place. It must not compare anything but the texts.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};

/// The first half of a hash: no two texts share it.
type Print = [u8; 16];

fn print(text: &str) -> Print {
    let whole = digest(&SHA256, text.as_bytes());
    let mut half = Print::default();
    half.copy_from_slice(&whole.as_ref()[..16]);
    half
}

/// Every part of one kind that was ever seen.
#[derive(Debug)]
pub(super) struct Parts<T> {
    all: Vec<T>,
    known: HashMap<Print, u32>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<T> Parts<T> {
    /// The place of a part; the first one with this text stands for all.
    pub(super) fn place(&mut self, text: &str, part: T) -> u32 {
        let next = u32::try_from(self.all.len()).expect("fewer parts than places");
        let place = *self.known.entry(print(text)).or_insert(next);
        if place == next {
            self.all.push(part);
        }
        place
    }

    pub(super) fn get(&self, place: u32) -> &T {
        &self.all[place as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
