//! A judgement that Kayenta is working on.
//!
//! In: an answer about it, the thresholds, the time. Out: when to look again, or the verdict. It must not build requests.

use agent_api::AnalysisPhase;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Memory, NAME, Threshold};
use crate::question::{Asked, Next, Reading};
use crate::reply;
use crate::transport::Answer;
use crate::value::MetricValue;

/// The name of the execution, in the measurement's metadata.
pub(super) const ID: &str = "canaryExecutionId";
/// When it was begun, beside it.
const BEGUN: &str = "canaryBegunAt";
/// Time between two looks: a judgement takes minutes.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// Longest time that a judgement may take; one that hangs is not to hold a rollout for ever.
const MAX_WORK: SignedDuration = SignedDuration::from_hours(24);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// It does not say whether it is complete.
    #[error("kayenta's answer about {0:?} does not say whether it is complete")]
    NoState(String),
    /// It ended without a score.
    #[error("kayenta's execution {id:?} ended without a score: {reason}")]
    NoScore {
        /// The execution.
        id: String,
        /// Its status or what it failed of.
        reason: String,
    },
    /// It does not end.
    #[error("kayenta's execution {0:?} has not ended within {hours} hours: look at Kayenta", hours = MAX_WORK.as_hours())]
    TooLong(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    complete: Option<bool>,
    status: Option<Value>,
    exception: Option<Value>,
    result: Option<Value>,
}

/// The first look is to come.
pub(super) fn begun(id: &str, asked: &Asked<'_>) -> Next {
    later(
        Memory::from([
            (ID.to_owned(), id.to_owned()),
            (BEGUN.to_owned(), asked.now.to_string()),
        ]),
        asked.now,
    )
}

fn later(memory: Memory, now: Timestamp) -> Next {
    Next::Later {
        resume_at: now.saturating_add(LOOK_EVERY).unwrap_or(now),
        memory,
    }
}

/// What an answer says: not yet, or the verdict.
pub(super) fn look(
    answer: &Answer,
    threshold: Threshold,
    asked: &Asked<'_>,
) -> Result<Next, Error> {
    let id = asked.memory.get(ID).cloned().unwrap_or_default();
    let read: State = reply::json(NAME, answer.status, &answer.body)?;
    match read.complete {
        None => return Err(Error::NoState(id)),
        Some(false) if late(asked) => return Err(Error::TooLong(id)),
        Some(false) => return Ok(later(asked.memory.clone(), asked.now)),
        Some(true) => {}
    }
    let score = read
        .result
        .as_ref()
        .and_then(|result| result.pointer("/judgeResult/score/score"))
        .and_then(Value::as_f64);
    let Some(score) = score else {
        let told = read.exception.or(read.status);
        let reason = told.map_or_else(|| "it says no more".to_owned(), |told| reply::spoken(&told));
        return Err(Error::NoScore { id, reason });
    };
    // Fractions do not count, as in Argo Rollouts: 89.9 does not pass 90.
    #[expect(clippy::cast_precision_loss, reason = "thresholds are 0 to 100")]
    let (pass, marginal) = (threshold.pass as f64, threshold.marginal as f64);
    let score = score.trunc();
    let phase = if score >= pass {
        AnalysisPhase::Successful
    } else if score >= marginal {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Failed
    };
    Ok(Next::Done(Reading {
        value: MetricValue::Scalar(score),
        phase: Some(phase),
        metadata: Memory::from([(ID.to_owned(), id)]),
    }))
}

fn late(asked: &Asked<'_>) -> bool {
    let begun = asked.memory.get(BEGUN);
    let begun: Option<Timestamp> = begun.and_then(|text| text.parse().ok());
    begun.is_some_and(|begun| asked.now.duration_since(begun) > MAX_WORK)
}
