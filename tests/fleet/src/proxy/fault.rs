//! What an API server does on a bad day. In: a sort of fault, and how often. Out: for each write, whether it goes wrong and
//! how. It changes nothing of a write that it lets through.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::Response;
use serde_json::json;

/// One sort of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 409: somebody else is said to have written. The write does not happen.
    Conflict,
    /// 429, to be tried again after a second. The write does not happen.
    TooMany,
    /// 500. The write does not happen.
    Internal,
    /// 503 without a body that says anything. The write does not happen.
    Unavailable,
    /// The write happens, and the connection breaks before its reply.
    LostReply,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Conflict,
        Self::TooMany,
        Self::Internal,
        Self::Unavailable,
        Self::LostReply,
    ];

    /// The answer in the place of the server's; `None`: the server is asked.
    pub(crate) fn answer(self) -> Option<Response<String>> {
        let (code, reason, after) = match self {
            Self::Conflict => (409, "Conflict", None),
            Self::TooMany => (429, "TooManyRequests", Some(1)),
            Self::Internal => (500, "InternalError", None),
            Self::Unavailable => {
                let mut answer = Response::new("down".to_owned());
                *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
                return Some(answer);
            }
            Self::LostReply => return None,
        };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("the proxy says {reason}"), "reason": reason, "code": code,
            "details": {"retryAfterSeconds": after},
        });
        let mut builder = Response::builder()
            .status(code)
            .header("content-type", "application/json");
        if let Some(after) = after {
            builder = builder.header("retry-after", after.to_string());
        }
        builder.body(status.to_string()).ok()
    }
}

/// Which writes go wrong.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sort: Option<(Fault, u64)>,
    seen: u64,
    made: u64,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the first of every `every` writes goes wrong; `None`: none does.
    pub fn set(&self, sort: Option<(Fault, u64)>) {
        *self.lock() = State {
            sort,
            ..State::default()
        };
    }

    /// How many went wrong since.
    pub fn made(&self) -> u64 {
        self.lock().made
    }

    pub(crate) fn next(&self) -> Option<Fault> {
        let mut state = self.lock();
        let (fault, every) = state.sort?;
        let hit = state.seen.is_multiple_of(every.max(1));
        state.seen += 1;
        state.made += u64::from(hit);
        hit.then_some(fault)
    }
}
