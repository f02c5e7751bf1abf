//! How much memory a message takes once it is decoded, seen by its bytes. In: the bytes, and what the two `.proto` files say
//! of each part (`build.rs`). Out: a weight, or that it is above what is allowed. It must not decode, nor judge what prost
//! refuses: where bytes make no sense, it counts what came before.
//!
//! An empty part of a list is two bytes on the wire and has a whole place in memory, hundreds of times that.

use crate::v1;

/// A part of a message that takes memory besides its place in what it is a part of.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its number on the wire.
    pub number: u32,
    /// What each of a list, or of a map, takes by being there.
    pub place: usize,
    /// What is in it.
    pub content: Content,
}

/// What is in a part.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// As long as it is on the wire.
    Text,
    /// A message. None contains itself, or this would have no end at compile time.
    Parts(&'static [Part]),
}

impl Content {
    /// Key and value of a map of texts.
    const TEXTS: Self = Self::Parts(&[
        Part {
            number: 1,
            place: 0,
            content: Self::Text,
        },
        Part {
            number: 2,
            place: 0,
            content: Self::Text,
        },
    ]);
}

/// A message of this protocol.
pub trait Shaped: Sized {
    /// What in it takes more than its own place.
    const PARTS: &'static [Part];
    /// The most that a byte of it can become: a byte of text is one, and an empty part is two bytes.
    const A_BYTE: usize = dearest(2, Self::PARTS).div_ceil(2);
}

/// A message that one side sends to the other.
pub trait Word: Shaped {
    /// Whether it is said to a hub; else it comes from one, which is believed.
    const HUB_HEARS: bool;
}

/// Of everything within, what takes the most by being there.
const fn dearest(so_far: usize, parts: &[Part]) -> usize {
    let (mut most, mut rest) = (so_far, parts);
    while let [part, others @ ..] = rest {
        if part.place > most {
            most = part.place;
        }
        if let Content::Parts(within) = part.content {
            most = dearest(most, within);
        }
        rest = others;
    }
    most
}

/// What a message of so many bytes can take at most, without a look at them.
#[must_use]
pub fn at_most<T: Shaped>(bytes: usize) -> usize {
    bytes
        .saturating_mul(T::A_BYTE)
        .saturating_add(size_of::<T>())
}

/// What these bytes become. Lists grow by halves and maps have free places, so that memory is up to three times that.
///
/// # Errors
/// More than `most`.
pub fn of<T: Shaped>(bytes: &[u8], most: usize) -> Result<usize, TooHeavy> {
    let mut scale = Scale { weight: 0, most };
    scale.put(size_of::<T>())?;
    scale.message(bytes, T::PARTS)?;
    Ok(scale.weight)
}

/// It takes more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooHeavy;

struct Scale {
    weight: usize,
    most: usize,
}

impl Scale {
    fn put(&mut self, more: usize) -> Result<(), TooHeavy> {
        self.weight = self.weight.saturating_add(more);
        if self.weight > self.most {
            Err(TooHeavy)
        } else {
            Ok(())
        }
    }

    /// As deep as the types are.
    fn message(&mut self, mut bytes: &[u8], parts: &[Part]) -> Result<(), TooHeavy> {
        while let Some((number, content)) = field(&mut bytes) {
            let Some(part) = parts.iter().find(|part| part.number == number) else {
                continue;
            };
            let Some(content) = content else { continue };
            self.put(part.place)?;
            match part.content {
                Content::Text => self.put(content.len())?,
                Content::Parts(parts) => self.message(content, parts)?,
            }
        }
        Ok(())
    }
}

/// The next field and, where it has a length, its content; none at the end, and where prost will give up. What is in a group,
/// which nobody sends and prost passes over, is taken for fields.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    const NUMBER: u64 = 0;
    const EIGHT: u64 = 1;
    const LENGTH: u64 = 2;
    const GROUP: u64 = 3;
    const GROUP_END: u64 = 4;
    const FOUR: u64 = 5;
    let key = varint(bytes)?;
    let number = u32::try_from(key >> 3).ok()?;
    let content = match key & 7 {
        NUMBER => varint(bytes).map(|_| None),
        EIGHT => bytes.split_off(..8).map(|_| None),
        LENGTH => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            bytes.split_off(..length).map(Some)
        }
        GROUP | GROUP_END => Some(None),
        FOUR => bytes.split_off(..4).map(|_| None),
        _ => None,
    };
    content.map(|content| (number, content))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    /// So many sevens of bits are in 64.
    const LONGEST: u32 = 10;
    let mut value = 0_u64;
    for place in 0..LONGEST {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

include!(concat!(env!("OUT_DIR"), "/weights.rs"));

#[cfg(test)]
mod tests;
