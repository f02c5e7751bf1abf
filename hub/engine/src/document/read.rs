//! Being written.
use super::{Document, Problem};
pub(super) fn file(_text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    Ok(Vec::new())
}
