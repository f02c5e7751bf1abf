//! The engine's values and the wire's, one into the other. In: messages of agents, rows of the store. Out: the other form.
//! It must not decide, and it takes nothing from a message that the sender's certificate should say.

pub mod fleet;
pub mod report;
pub mod set;

use hub_engine::{Digest, Fence};

/// A digest or name longer than this is not one of ours.
const MAX_TEXT: usize = 1024;
/// A message for people; the rest is cut.
const MAX_MESSAGE: usize = 4096;

/// A message that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field that must be there.
    #[error("{message} has no {field}; the agent and the hub do not fit together")]
    Missing {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field that is too long.
    #[error(
        "{field} is {length} bytes long, more than {MAX_TEXT}; the agent and the hub do not fit together"
    )]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
    },
}

/// A fence from the wire; an absent one is the lowest.
#[must_use]
pub fn fence(fence: Option<&proto::v1::Fence>) -> Fence {
    fence.map_or_else(Fence::default, |fence| Fence {
        incarnation: fence.incarnation,
        version: fence.version,
    })
}

/// A fence for the wire.
#[must_use]
pub fn wire_fence(fence: Fence) -> proto::v1::Fence {
    proto::v1::Fence {
        incarnation: fence.incarnation,
        version: fence.version,
    }
}

pub(crate) fn text(field: &'static str, text: String) -> Result<String, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::TooLong {
            field,
            length: text.len(),
        });
    }
    // PostgreSQL cannot store a zero byte in a text.
    Ok(text.replace('\0', "\u{fffd}"))
}

fn message(text: &str) -> String {
    text.chars()
        .take(MAX_MESSAGE)
        .map(|letter| if letter == '\0' { '\u{fffd}' } else { letter })
        .collect()
}

fn digest(field: &'static str, value: String) -> Result<Option<Digest>, Error> {
    let value = text(field, value)?;
    Ok(if value.is_empty() {
        None
    } else {
        Some(Digest(value))
    })
}

#[cfg(test)]
mod tests;
