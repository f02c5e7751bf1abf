//! What is wrong with a blue-green strategy.
//!
//! In: the strategy as written. Out: problems with their paths. Must not touch: the Services and templates that it names.

use crate::blue_green::BlueGreenStrategy;
use crate::intstr::IntOrString;
use crate::validate::Findings;
use crate::validate_steps::{MAX_PERCENT, amount, analysis_problems};

const BLUE_GREEN: &str = "spec.strategy.blueGreen";

/// Everything that is wrong with a blue-green strategy.
pub(crate) fn blue_green_problems(blue_green: &BlueGreenStrategy, findings: &mut Findings) {
    let at = |field: &str| format!("{BLUE_GREEN}.{field}");
    services(blue_green, findings);
    let numbers = [
        ("previewReplicaCount", blue_green.preview_replica_count),
        ("autoPromotionSeconds", blue_green.auto_promotion_seconds),
        ("scaleDownDelaySeconds", blue_green.scale_down_delay_seconds),
        (
            "scaleDownDelayRevisionLimit",
            blue_green.scale_down_delay_revision_limit,
        ),
        (
            "abortScaleDownDelaySeconds",
            blue_green.abort_scale_down_delay_seconds,
        ),
    ];
    for (field, value) in numbers {
        findings.at_least(&at(field), value, 0);
    }
    let path = at("maxUnavailable");
    let unavailable = blue_green.max_unavailable.as_ref();
    amount(&path, unavailable, findings);
    if let Some(percent) = unavailable
        .and_then(IntOrString::as_percent)
        .filter(|percent| *percent > MAX_PERCENT)
    {
        let message = format!("is {percent}%: must not be above {MAX_PERCENT}%");
        findings.add(&path, message);
    }
    let analyses = [
        ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
        ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
    ];
    for (field, analysis) in analyses {
        if let Some(analysis) = analysis {
            analysis_problems(&at(field), analysis, findings);
        }
    }
}

fn services(blue_green: &BlueGreenStrategy, findings: &mut Findings) {
    let active = blue_green.active_service.as_deref().unwrap_or_default();
    let preview = blue_green.preview_service.as_deref().unwrap_or_default();
    if active.is_empty() {
        findings.add(
            &format!("{BLUE_GREEN}.activeService"),
            "is missing: name the Service of the version that users get",
        );
    } else if active == preview {
        findings.add(
            &format!("{BLUE_GREEN}.previewService"),
            format!("is {preview:?} as activeService is: name another Service, or leave it out"),
        );
    }
}
