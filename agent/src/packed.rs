//! JSON that is kept for later, in little room.
//!
//! In: what can be printed as JSON. Out: the same again. A status with many measurements repeats itself: packed it takes a
//! sixth. It must not change a byte of the text, and what is small is kept as it is.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// From so many bytes on a text is packed: below, most of it is said once, and keeping it is to cost nothing.
const LARGE: usize = 4 << 10;

/// Why kept text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what was packed.
    #[error("what was kept cannot be unpacked: {0}; report this as a bug")]
    Unpack(#[from] lz4_flex::block::DecompressError),
    /// It is not what is asked for.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Kept text; clones share it.
#[derive(Debug, Clone)]
pub struct Packed {
    bytes: Arc<[u8]>,
    packed: bool,
}

impl Packed {
    /// Keeps an object.
    ///
    /// # Errors
    /// It cannot be printed.
    pub fn of<T: Serialize>(object: &T) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_vec(object)?;
        let packed = text.len() >= LARGE;
        let bytes = match packed {
            true => lz4_flex::block::compress_prepend_size(&text).into(),
            false => text.into(),
        };
        Ok(Self { bytes, packed })
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is no such object.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.text()?)?)
    }

    fn text(&self) -> Result<Cow<'_, [u8]>, Error> {
        if self.packed {
            let text = lz4_flex::block::decompress_size_prepended(&self.bytes)?;
            return Ok(Cow::Owned(text));
        }
        Ok(Cow::Borrowed(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_what_repeats_itself_takes_little_room() {
        let measurement = |at: usize| {
            json!({"phase": "Successful", "value": "[0.0125]", "finishedAt": format!("2026-01-01T00:{at:02}:00Z"),
                "metadata": {"ResolvedPrometheusQuery": "sum(rate(http_requests_total{service=\"web\"}[1m]))"}})
        };
        for (count, share) in [(0, 1), (1, 1), (40, 4), (1000, 6)] {
            let status: Vec<Value> = (0..count).map(|at| measurement(at % 60)).collect();
            let kept = Packed::of(&status).unwrap();
            assert_eq!(kept.read::<Vec<Value>>().unwrap(), status);
            let plain = serde_json::to_vec(&status).unwrap().len();
            assert!(kept.bytes.len() <= plain / share, "{count} of {plain}");
        }
        let text = Packed::of(&"text").unwrap();
        assert!(text.read::<Vec<Value>>().is_err());
    }
}
