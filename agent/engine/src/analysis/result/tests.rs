//! Every sequence of outcomes up to seven long, under many limits, against the rules stated a second time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use AnalysisPhase::{Error, Failed, Inconclusive, Running, Successful};
use serde_json::json;

use super::*;
use crate::analysis::conditions::BadConditions;
use crate::analysis::prepared::prepared;

/// Longest sequence.
const LONGEST: usize = 7;
const OUTCOMES: [AnalysisPhase; 4] = [Successful, Failed, Inconclusive, Error];

/// Limits as written; `None` is not written.
#[derive(Debug, Clone, Copy)]
struct Written {
    count: Option<i32>,
    failure: Option<i32>,
    inconclusive: Option<i32>,
    error: Option<i32>,
    success: Option<i32>,
}

fn metric(written: Written) -> Option<Prepared> {
    let metric = json!({
        "name": "m", "interval": "10s", "provider": {"prometheus": {"query": "q"}}, "count": written.count,
        "failureLimit": written.failure, "inconclusiveLimit": written.inconclusive,
        "consecutiveErrorLimit": written.error, "consecutiveSuccessLimit": written.success,
    });
    let run = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "run"},
        "spec": {"metrics": [metric]},
    }));
    prepared(&run.unwrap(), &BadConditions::new()).ok()?.pop()
}

/// The rules in the words of the contract, on the whole sequence: more failures than borne, outweighed by more inconclusive
/// ones than borne, outweighed by more errors in a row than borne; else enough successes in a row; else the count, to which
/// errors do not add.
fn stated(written: Written, sequence: &[AnalysisPhase]) -> AnalysisPhase {
    let all = |phase| sequence.iter().filter(|one| **one == phase).count() as i32;
    let tail = |phase| {
        sequence
            .iter()
            .rev()
            .take_while(|one| **one == phase)
            .count() as i32
    };
    let failure_limit = written.failure.unwrap_or(0);
    let mut bad = None;
    if failure_limit != -1 && all(Failed) > failure_limit {
        bad = Some(Failed);
    }
    if all(Inconclusive) > written.inconclusive.unwrap_or(0) {
        bad = Some(Inconclusive);
    }
    if tail(Error) > written.error.unwrap_or(4) {
        bad = Some(Error);
    }
    if let Some(bad) = bad {
        return bad;
    }
    let wanted = written.success.unwrap_or(0);
    if wanted > 0 && tail(Successful) >= wanted {
        return Successful;
    }
    let judged = sequence.len() as i32 - all(Error);
    match written.count {
        None | Some(0) => Running,
        Some(count) if judged < count => Running,
        Some(_) if wanted == 0 => Successful,
        Some(_) if failure_limit == -1 => Failed,
        Some(_) => Inconclusive,
    }
}

fn outcome(phase: AnalysisPhase) -> Finished {
    Finished {
        metric: "m".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        resume_at: None,
        phase,
        value: None,
        message: None,
        metadata: BTreeMap::new(),
    }
}

/// Goes on with every outcome until there is a verdict.
fn walk(
    written: Written,
    metric: &Prepared,
    sequence: &mut Vec<AnalysisPhase>,
    status: &AnalysisRunStatus,
) -> usize {
    let mut seen = 0;
    for phase in OUTCOMES {
        sequence.push(phase);
        let mut status = status.clone();
        fold(&[outcome(phase)], &mut status, metric);
        let result = &status.metric_results[0];
        let expected = stated(written, sequence);
        assert_eq!(result.phase, Some(expected), "{written:?} {sequence:?}");
        assert_eq!(
            result.message.is_some(),
            expected != Running && expected != Successful
        );
        let counts = [
            result.successful,
            result.failed,
            result.inconclusive,
            result.error,
        ];
        for (count, phase) in counts.into_iter().zip(OUTCOMES) {
            let all = sequence.iter().filter(|one| **one == phase).count();
            assert_eq!(count.unwrap_or(0), all as i32, "{sequence:?}");
        }
        seen += 1;
        if expected == Running && sequence.len() < LONGEST {
            seen += walk(written, metric, sequence, &status);
        }
        sequence.pop();
    }
    seen
}

#[test]
fn every_sequence_has_the_verdict_that_the_rules_state() {
    let mut seen = 0;
    for count in [None, Some(0), Some(1), Some(3), Some(5)] {
        for failure in [None, Some(-1), Some(1), Some(2)] {
            for inconclusive in [None, Some(1)] {
                for error in [None, Some(0), Some(1)] {
                    for success in [None, Some(1), Some(2)] {
                        let written = Written {
                            count,
                            failure,
                            inconclusive,
                            error,
                            success,
                        };
                        let least = failure.unwrap_or(0).max(0) + success.unwrap_or(0);
                        let possible = count.is_none_or(|count| count == 0 || count >= least);
                        let metric = metric(written);
                        assert_eq!(metric.is_some(), possible, "{written:?}");
                        let Some(metric) = metric else { continue };
                        let status = AnalysisRunStatus::default();
                        seen += walk(written, &metric, &mut Vec::new(), &status);
                    }
                }
            }
        }
    }
    assert!(seen > 100_000, "{seen}");
}
