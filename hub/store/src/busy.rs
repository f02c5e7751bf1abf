//! Transactions that others were in the way of. In: one attempt, as often as it is wanted. Out: the answer of the first that got
//! through. It must not try anything again that may have been done: `Error::Busy` says that nothing was.

use std::future::Future;

use crate::{Error, Result};

/// Makes up to so many attempts while others are in the way.
///
/// # Errors
/// `Busy`: they always were; and what an attempt says.
pub(crate) async fn again<T, F>(tries: usize, attempt: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut last = Error::Busy {
        message: String::new(),
    };
    for _ in 0..tries {
        match attempt().await {
            Err(error @ Error::Busy { .. }) => last = error,
            answer => return answer,
        }
    }
    Err(last)
}
