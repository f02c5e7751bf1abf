//! Errors as gRPC statuses. In: the store's errors. Out: a code that clients can act on and the sentence. It must not hide a
//! sentence: each was written for whoever reads it.

use hub_store::Error;
use tonic::Status;

/// What a caller is told. `Unavailable` means: nothing is lost, ask again.
#[must_use]
pub fn of(error: &Error) -> Status {
    let sentence = error.to_string();
    match error {
        Error::Unavailable { .. } | Error::Fenced { .. } => Status::unavailable(sentence),
        Error::Busy { .. } => Status::aborted(sentence),
        Error::NotFound { .. } => Status::not_found(format!(
            "{sentence}; `groundswell get` lists clusters, fleetrollouts and releases"
        )),
        Error::Refused { .. } => Status::failed_precondition(sentence),
        Error::Corrupt { .. }
        | Error::Astray { .. }
        | Error::Audit { .. }
        | Error::Database { .. }
        | Error::Migrate { .. } => {
            tracing::error!(error = %sentence, "a call failed");
            Status::internal(sentence)
        }
    }
}
