//! What is wrong with traffic routing and the steps that speak of it.
//!
//! In: the strategy as written. Out: problems with their paths. Must not touch: the objects that routers write.

use crate::strategy::CanaryStrategy;
use crate::traffic::{
    MAX_TRAFFIC_WEIGHT, ROUTERS, ROUTERS_WITH_HEADERS, ROUTERS_WITH_MIRRORS,
    ROUTERS_WITH_OWN_TOTAL, SetCanaryScale, SetHeaderRoute, SetMirrorRoute, StringMatch,
    TrafficRouting,
};
use crate::validate::{Findings, Routers};

const CANARY: &str = "spec.strategy.canary";
/// The whole of mirrored requests, in percent.
const MAX_PERCENT: i32 = 100;

/// The fields of a canary that have to do with routing.
pub(crate) fn routing_problems(canary: &CanaryStrategy, routers: Routers, findings: &mut Findings) {
    let at = |field: &str| format!("{CANARY}.{field}");
    services(canary, findings);
    match (&canary.traffic_routing, routers) {
        (Some(_), Routers::NotBuilt) => {
            findings.unsupported(&at("trafficRouting"), "traffic routing")
        }
        (Some(routing), Routers::Observed) => routed(canary, routing, findings),
        (None, Routers::NotBuilt | Routers::Observed) => {
            if canary.scale_down_delay_seconds.is_some() {
                findings.add(
                    &at("scaleDownDelaySeconds"),
                    "works only with trafficRouting: leave it out, old pods go as new ones become available",
                );
            }
            if canary.dynamic_stable_scale == Some(true) {
                findings.add(
                    &at("dynamicStableScale"),
                    "works only with trafficRouting: leave it out, without a router the stable version shrinks by itself",
                );
            }
        }
    }
    for (field, value) in [
        ("scaleDownDelaySeconds", canary.scale_down_delay_seconds),
        (
            "scaleDownDelayRevisionLimit",
            canary.scale_down_delay_revision_limit,
        ),
        (
            "abortScaleDownDelaySeconds",
            canary.abort_scale_down_delay_seconds,
        ),
        ("minPodsPerReplicaSet", canary.min_pods_per_replica_set),
    ] {
        findings.at_least(&at(field), value, 0);
    }
}

fn services(canary: &CanaryStrategy, findings: &mut Findings) {
    let (canary_service, stable_service) = (&canary.canary_service, &canary.stable_service);
    if let (Some(one), Some(other)) = (canary_service, stable_service)
        && one == other
        && !one.is_empty()
    {
        findings.add(
            &format!("{CANARY}.stableService"),
            format!("is {one:?} as canaryService is: each version needs a Service of its own"),
        );
    }
}

fn routed(canary: &CanaryStrategy, routing: &TrafficRouting, findings: &mut Findings) {
    let at = |field: &str| format!("{CANARY}.{field}");
    if !routing.routes_by_any(&ROUTERS) {
        findings.add(
            &at("trafficRouting"),
            format!("names no router: write one of {}", ROUTERS.join(", ")),
        );
    }
    let needs_services = !routing.splits_by_subset() && canary.ping_pong.is_none();
    for (field, service) in [
        ("canaryService", &canary.canary_service),
        ("stableService", &canary.stable_service),
    ] {
        if needs_services && service.as_ref().is_none_or(String::is_empty) {
            findings.add(
                &at(field),
                "is missing: trafficRouting splits between two Services",
            );
        }
    }
    if canary.dynamic_stable_scale == Some(true) && canary.scale_down_delay_seconds.is_some() {
        findings.add(
            &at("scaleDownDelaySeconds"),
            "does not go with dynamicStableScale, which scales the old version down as its traffic goes: leave one out",
        );
    }
    let path = at("trafficRouting.maxTrafficWeight");
    findings.at_least(&path, routing.max_traffic_weight, 1);
    if routing.max_traffic_weight.is_some() && !routing.routes_by_any(&ROUTERS_WITH_OWN_TOTAL) {
        findings.add(
            &path,
            format!(
                "works only with {}: leave it out",
                ROUTERS_WITH_OWN_TOTAL.join(" and ")
            ),
        );
    }
    for (index, route) in routing.managed_routes.iter().enumerate() {
        if route.name.is_empty() {
            findings.add(
                &at(&format!("trafficRouting.managedRoutes[{index}].name")),
                "is missing: name the route",
            );
        }
    }
}

/// A share of traffic.
pub(crate) fn weight_problems(
    path: &str,
    weight: i32,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    within(&format!("{path}.setWeight"), weight, most(canary), findings);
}

fn most(canary: &CanaryStrategy) -> i32 {
    canary
        .traffic_routing
        .as_ref()
        .map_or(MAX_TRAFFIC_WEIGHT, TrafficRouting::max_weight)
}

fn within(path: &str, value: i32, most: i32, findings: &mut Findings) {
    if !(0..=most).contains(&value) {
        findings.add(path, format!("is {value}: must be between 0 and {most}"));
    }
}

/// Pods apart from traffic.
pub(crate) fn scale_problems(
    path: &str,
    scale: &SetCanaryScale,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    let path = format!("{path}.setCanaryScale");
    if canary.traffic_routing.is_none() {
        findings.add(
            &path,
            "works only with trafficRouting: without a router the pods are the weight",
        );
        return;
    }
    findings.at_least(&format!("{path}.replicas"), scale.replicas, 0);
    if let Some(weight) = scale.weight {
        within(&format!("{path}.weight"), weight, most(canary), findings);
    }
    let ways = [
        scale.replicas.is_some(),
        scale.weight.is_some(),
        scale.match_traffic_weight == Some(true),
    ];
    if ways.into_iter().filter(|given| *given).count() > 1 {
        findings.add(
            &path,
            "has more than one of replicas, weight and matchTrafficWeight: write one",
        );
    }
}

/// Whether a route can be made: by a router that can, and under a name that is the controller's.
fn route_problems(
    path: &str,
    name: &str,
    able: &[&str],
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    let Some(routing) = &canary.traffic_routing else {
        findings.add(
            path,
            "works only with trafficRouting: a router makes the route",
        );
        return;
    };
    if !routing.routes_by_any(able) {
        findings.add(
            path,
            format!("works only with the routers {}", able.join(", ")),
        );
    }
    let managed = routing
        .managed_routes
        .iter()
        .any(|route| route.name == name);
    if name.is_empty() || !managed {
        findings.add(
            &format!("{path}.name"),
            format!("is {name:?}, which is not in trafficRouting.managedRoutes: add it there"),
        );
    }
}

/// Requests with a header.
pub(crate) fn header_problems(
    path: &str,
    route: &SetHeaderRoute,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    let path = format!("{path}.setHeaderRoute");
    route_problems(&path, &route.name, &ROUTERS_WITH_HEADERS, canary, findings);
    for (index, one) in route.r#match.iter().enumerate() {
        let path = format!("{path}.match[{index}]");
        if one.header_name.is_empty() {
            findings.add(&format!("{path}.headerName"), "is missing: name the header");
        }
        let ways = one.header_value.as_ref().map_or(0, StringMatch::ways);
        compared(&format!("{path}.headerValue"), ways, findings);
    }
}

/// Copies of requests.
pub(crate) fn mirror_problems(
    path: &str,
    route: &SetMirrorRoute,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    let path = format!("{path}.setMirrorRoute");
    route_problems(&path, &route.name, &ROUTERS_WITH_MIRRORS, canary, findings);
    if let Some(percentage) = route.percentage {
        within(
            &format!("{path}.percentage"),
            percentage,
            MAX_PERCENT,
            findings,
        );
    }
    for (index, one) in route.r#match.iter().enumerate() {
        let path = format!("{path}.match[{index}]");
        if one.method.is_none() && one.path.is_none() && one.headers.is_empty() {
            findings.add(&path, "is empty: write method, path or headers");
        }
        let parts = [("method", &one.method), ("path", &one.path)];
        for (part, way) in parts
            .into_iter()
            .filter_map(|(part, way)| Some((part, way.as_ref()?)))
        {
            compared(&format!("{path}.{part}"), way.ways(), findings);
        }
        for (header, way) in &one.headers {
            compared(&format!("{path}.headers[{header}]"), way.ways(), findings);
        }
    }
}

fn compared(path: &str, ways: usize, findings: &mut Findings) {
    if ways != 1 {
        findings.add(
            path,
            format!("has {ways} of exact, prefix and regex: write exactly one"),
        );
    }
}

#[cfg(test)]
mod tests;
