//! Runs that cannot be carried out: an error with its path, before anything is measured.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use agent_api::AnalysisPhase;
use serde_json::json;

use super::BadConditions;
use crate::analysis::tests::{at, live, metric, run};
use crate::analysis::{Action, Observed, reconcile};

#[test]
fn what_cannot_be_carried_out_is_an_error() {
    let table = [
        (json!([metric(json!({"count": "many"}))]), "count"),
        (json!([metric(json!({"interval": "soon"}))]), "interval"),
        (json!([metric(json!({"count": 2}))]), "interval"),
        (
            json!([metric(
                json!({"successCondition": "result < {{args.limit}}"})
            )]),
            "args.limit",
        ),
        (json!([]), "spec.metrics: is missing"),
    ];
    for (metrics, word) in table {
        let observed = Observed {
            now: at(0),
            clock_set: <_>::default(),
            run: run(metrics.clone(), json!({})),
            finished: Vec::new(),
            in_flight: BTreeMap::new(),
            bad_conditions: BadConditions::new(),
            told: crate::analysis::Told::NoOwner,
        };
        let plan = reconcile(&observed);
        assert_eq!(plan.status.phase, Some(AnalysisPhase::Error), "{metrics}");
        assert!(
            plan.status.message.clone().unwrap().contains(word),
            "{word}: {:?}",
            plan.status.message
        );
    }
}

#[test]
fn rules_by_name_that_are_wrong() {
    let table = [
        (
            json!({"dryRun": [{"metricName": "("}]}),
            "spec.dryRun[0].metricName: is \"(\"",
        ),
        (
            json!({"dryRun": [{"metricName": "m"}, {"metricName": "n"}]}),
            "spec.dryRun[1].metricName: is \"n\"",
        ),
        (
            json!({"measurementRetention": [{"metricName": "[", "limit": 3}]}),
            "spec.measurementRetention[0].metricName",
        ),
        (
            json!({"measurementRetention": [{"metricName": "m", "limit": 0}]}),
            "spec.measurementRetention[0].limit: is 0",
        ),
    ];
    for (rules, words) in table {
        let (run, _, measured) = live(run(json!([metric(json!({}))]), rules.clone()), "s");
        let status = run.status.unwrap();
        let message = status.message.unwrap();
        assert_eq!(
            (status.phase, measured),
            (Some(AnalysisPhase::Error), 0),
            "{rules}"
        );
        assert!(message.contains(words), "{message}");
    }
    let kept = json!({"measurementRetention": [{"metricName": "^m$", "limit": 3}]});
    let letters = "s".repeat(5);
    let (run, _, _) = live(
        run(json!([metric(json!({"count": 5, "interval": "1s"}))]), kept),
        &letters,
    );
    assert_eq!(run.status.unwrap().metric_results[0].measurements.len(), 3);
}

#[test]
fn a_run_is_an_error_before_its_first_measurement() {
    let table = [
        (
            json!([metric(json!({"successCondition": "result >"}))]),
            "spec.metrics[0].successCondition: ends too soon",
        ),
        (
            json!([metric(json!({})), metric(json!({}))]),
            "spec.metrics[1].name: is \"m\" a second time",
        ),
        (
            json!([{"name": "m", "provider": {}}]),
            "spec.metrics[0].provider: is missing",
        ),
        (
            json!([{"name": "m", "provider": {"nagios": {}}}]),
            "spec.metrics[0].provider.nagios",
        ),
        (
            json!([{"name": "m", "provider": {"job": {}}}]),
            "spec.metrics[0].provider.job.spec: is missing",
        ),
        (
            json!([metric(json!({"failureLimit": "{{args.n}}"}))]),
            "spec.metrics[0]: metric \"m\" uses {{args.n}} in failureLimit",
        ),
    ];
    for (metrics, words) in table {
        let observed = Observed {
            now: at(0),
            clock_set: <_>::default(),
            told: crate::analysis::Told::NoOwner,
            run: run(metrics.clone(), json!({})),
            finished: Vec::new(),
            in_flight: BTreeMap::new(),
            bad_conditions: BadConditions::from([(
                "result >".to_owned(),
                "ends too soon".to_owned(),
            )]),
        };
        let plan = reconcile(&observed);
        assert_eq!(plan.status.phase, Some(AnalysisPhase::Error), "{metrics}");
        assert_eq!(plan.actions, [], "{metrics}");
        let message = plan.status.message.unwrap();
        assert!(message.starts_with(words), "{message}");
    }
}

#[test]
fn a_strict_run_hands_out_strict_metrics() {
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run: run(json!([metric(json!({}))]), json!({})),
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: crate::analysis::Told::NoOwner,
    };
    for (value, strict) in [("true", Some(true)), ("false", None)] {
        let annotation = (
            agent_api::names::ANNOTATION_STRICT.to_owned(),
            value.to_owned(),
        );
        observed.run.metadata.annotations = Some(BTreeMap::from([annotation]));
        let plan = reconcile(&observed);
        let [Action::Measure { resolved, .. }] = plan.actions.as_slice() else {
            panic!("{plan:?}");
        };
        assert_eq!(resolved.strict, strict, "{value}");
    }
}
