//! What is wrong with the parts of a strategy that change pods: metadata of roles, anti-affinity.
//!
//! In: the spec as written. Out: problems with their paths. Must not touch: steps and services.

use crate::names::LABEL_POD_HASH;
use crate::rollout::RolloutSpec;
use crate::selector::LabelSelector;
use crate::strategy::{AntiAffinity, PodMetadata};
use crate::validate::Findings;

/// The API's bounds of a preferred term's weight.
const WEIGHTS: std::ops::RangeInclusive<i32> = 1..=100;

/// Everything that is wrong with them, whichever strategy is written.
pub(crate) fn pod_problems(spec: &RolloutSpec, findings: &mut Findings) {
    role_problems(spec, &spec.selector, findings);
    let canary = spec.strategy.canary.as_ref();
    let blue_green = spec.strategy.blue_green.as_ref();
    let written = [
        ("canary", canary.and_then(|one| one.anti_affinity.as_ref())),
        (
            "blueGreen",
            blue_green.and_then(|one| one.anti_affinity.as_ref()),
        ),
    ];
    for (strategy, written) in written {
        let path = format!("spec.strategy.{strategy}.antiAffinity");
        affinity(&path, written, findings);
    }
}

/// Labels of a part that would take pods away from a selector, which a workload may bring.
pub(crate) fn role_problems(spec: &RolloutSpec, selector: &LabelSelector, findings: &mut Findings) {
    if let Some(canary) = &spec.strategy.canary {
        let at = |field: &str| format!("spec.strategy.canary.{field}");
        let roles = [
            ("canaryMetadata", &canary.canary_metadata),
            ("stableMetadata", &canary.stable_metadata),
        ];
        for (field, metadata) in roles {
            labels(&at(field), metadata.as_ref(), selector, findings);
        }
    }
    if let Some(blue_green) = &spec.strategy.blue_green {
        let at = |field: &str| format!("spec.strategy.blueGreen.{field}");
        let roles = [
            ("previewMetadata", &blue_green.preview_metadata),
            ("activeMetadata", &blue_green.active_metadata),
        ];
        for (field, metadata) in roles {
            labels(&at(field), metadata.as_ref(), selector, findings);
        }
    }
}

/// A label by which pods are found belongs to them for life: changing it would leave them without an owner.
fn labels(
    path: &str,
    metadata: Option<&PodMetadata>,
    selector: &LabelSelector,
    findings: &mut Findings,
) {
    for key in metadata
        .into_iter()
        .flat_map(|metadata| metadata.labels.keys())
    {
        let selected = selector.match_labels.contains_key(key)
            || selector.match_expressions.iter().any(|one| one.key == *key);
        if selected || key == LABEL_POD_HASH {
            findings.add(
                &format!("{path}.labels.{key}"),
                "is a label by which the pods are selected: use another key",
            );
        }
    }
}

fn affinity(path: &str, written: Option<&AntiAffinity>, findings: &mut Findings) {
    let Some(written) = written else {
        return;
    };
    match (&written.required, &written.preferred) {
        (Some(_), None) => {}
        (None, Some(preferred)) => {
            let weight = preferred.weight.unwrap_or(0);
            if !WEIGHTS.contains(&weight) {
                let path =
                    format!("{path}.preferredDuringSchedulingIgnoredDuringExecution.weight");
                let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
                findings.add(
                    &path,
                    format!("is {weight}: must be between {least} and {most}"),
                );
            }
        }
        (None, None) => findings.add(
            path,
            "is empty: write requiredDuringSchedulingIgnoredDuringExecution or preferredDuringSchedulingIgnoredDuringExecution",
        ),
        (Some(_), Some(_)) => findings.add(
            path,
            "has both a required and a preferred form: write one of them",
        ),
    }
}
