//! Defaults.

use serde_json::json;

use super::Fenceposts;
use crate::analysis::Metric;
use crate::rollout::RolloutSpec;
use crate::strategy::CanaryStrategy;

#[test]
fn an_empty_spec_has_the_known_defaults() {
    let spec = RolloutSpec::default();
    let numbers = [
        spec.replicas(),
        spec.min_ready_seconds(),
        spec.revision_history_limit(),
        spec.progress_deadline_seconds(),
        spec.successful_run_history_limit(),
        spec.unsuccessful_run_history_limit(),
    ];
    assert_eq!(numbers, [1, 0, 10, 600, 5, 5]);
    assert!(!spec.is_paused() && !spec.progress_deadline_abort());
}

#[test]
fn fenceposts_always_leave_room_to_move() {
    // strategy, replicas, surge, unavailable
    let cases = [
        (json!({}), 5, 2, 1),
        (json!({}), 1, 1, 0),
        (json!({"maxSurge": 0, "maxUnavailable": "1%"}), 5, 0, 1),
        (json!({"maxSurge": "100%", "maxUnavailable": 0}), 3, 3, 0),
        (json!({"maxSurge": 1, "maxUnavailable": 9}), 3, 1, 3),
    ];
    for (written, replicas, surge, unavailable) in cases {
        let canary: CanaryStrategy = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(
            canary.fenceposts(replicas),
            Ok(Fenceposts { surge, unavailable }),
            "{written} × {replicas}"
        );
    }
}

#[test]
fn a_metric_ends_unless_it_says_otherwise() {
    for (written, count) in [
        (json!({}), Some(1)),
        (json!({"count": 0}), Some(1)),
        (json!({"count": "3", "interval": "5s"}), Some(3)),
        (json!({"interval": "5s"}), None),
        (json!({"interval": "5s", "count": 0}), None),
    ] {
        let metric: Metric = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(metric.effective_count(), Ok(count), "{written}");
    }
    let metric = Metric::default();
    assert_eq!(
        (metric.failure_limit(), metric.consecutive_error_limit()),
        (Ok(0), Ok(4))
    );
}
