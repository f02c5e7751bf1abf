//! Bad canaries with and without a router, as data: fields of the canary, and the paths that must be named.
#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};

use crate::rollout::Rollout;
use crate::validate::{Routers, validate_with};

fn problems(canary: Value, routers: Routers) -> Vec<(String, String)> {
    let rollout: Rollout = serde_json::from_value(json!({
        "metadata": {"name": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "main", "image": "shop:v1"}]},
            },
            "strategy": {"canary": canary},
        },
    }))
    .unwrap();
    let found = validate_with(&rollout, routers);
    found
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}

fn compare(canary: &Value, found: &[(String, String)], paths: &[&str], word: &str) {
    let named: Vec<&str> = found
        .iter()
        .map(|(path, _)| path.trim_start_matches("spec.strategy.canary."))
        .collect();
    assert_eq!(named, paths, "{canary}: {found:?}");
    if let Some((_, message)) = found.first() {
        assert!(
            message.contains(word),
            "{canary}: {message:?} lacks {word:?}"
        );
    }
}

/// A good canary with a router, with these fields over it.
fn routed(fields: Value, paths: &[&str], word: &str) {
    let good = json!({
        "canaryService": "canary", "stableService": "stable",
        "trafficRouting": {"istio": {"virtualService": {"name": "web"}}, "managedRoutes": [{"name": "beta"}]},
    });
    let mut canary: Map<String, Value> = serde_json::from_value(good).unwrap();
    canary.extend(serde_json::from_value::<Map<String, Value>>(fields).unwrap());
    let canary = Value::Object(canary);
    let found = problems(canary.clone(), Routers::Observed);
    compare(&canary, &found, paths, word);
}

/// A canary without a router.
fn plain(canary: Value, paths: &[&str], word: &str) {
    let found = problems(canary.clone(), Routers::NotBuilt);
    compare(&canary, &found, paths, word);
}

#[test]
fn good_ones() {
    routed(json!({}), &[], "");
    routed(
        json!({"dynamicStableScale": true, "abortScaleDownDelaySeconds": 0}),
        &[],
        "",
    );
    routed(
        json!({"scaleDownDelaySeconds": 30, "scaleDownDelayRevisionLimit": 2, "minPodsPerReplicaSet": 2}),
        &[],
        "",
    );
    routed(
        json!({"steps": [
            {"setCanaryScale": {"replicas": 3}}, {"setCanaryScale": {"weight": 25}}, {"setCanaryScale": {"matchTrafficWeight": true}},
            {"setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "y"}}]}},
            {"setMirrorRoute": {"name": "beta", "percentage": 100, "match": [{"path": {"prefix": "/"}}]}},
            {"setHeaderRoute": {"name": "beta"}}, {"setWeight": 100},
        ]}),
        &[],
        "",
    );
    routed(
        json!({"trafficRouting": {"nginx": {}, "maxTrafficWeight": 1000}, "steps": [{"setWeight": 1000}]}),
        &[],
        "",
    );
    routed(
        json!({"canaryService": null, "trafficRouting": {"istio": {"destinationRule": {"name": "web"}}}}),
        &[],
        "",
    );
    plain(
        json!({"canaryService": "canary", "stableService": "stable"}),
        &[],
        "",
    );
    plain(
        json!({"analysis": {"templates": [{"templateName": "rate"}], "startingStep": 1}, "steps": [{"pause": {}}, {"pause": {}}]}),
        &[],
        "",
    );
}

#[test]
fn what_goes_only_with_a_router() {
    plain(
        json!({"trafficRouting": {"nginx": {}}}),
        &["trafficRouting"],
        "not supported by this version",
    );
    plain(
        json!({"scaleDownDelaySeconds": 30}),
        &["scaleDownDelaySeconds"],
        "only with trafficRouting",
    );
    plain(
        json!({"dynamicStableScale": true}),
        &["dynamicStableScale"],
        "only with trafficRouting",
    );
    for step in [
        json!({"setCanaryScale": {"replicas": 1}}),
        json!({"setHeaderRoute": {"name": "beta"}}),
        json!({"setMirrorRoute": {"name": "beta"}}),
    ] {
        let key = step.as_object().unwrap().keys().next().unwrap().clone();
        plain(
            json!({"steps": [step]}),
            &[&format!("steps[0].{key}")],
            "only with trafficRouting",
        );
    }
}

#[test]
fn routing() {
    routed(
        json!({"trafficRouting": {}}),
        &["trafficRouting"],
        "names no router",
    );
    routed(
        json!({"canaryService": null}),
        &["canaryService"],
        "missing",
    );
    routed(json!({"stableService": ""}), &["stableService"], "missing");
    routed(
        json!({"stableService": "canary"}),
        &["stableService"],
        "of its own",
    );
    plain(
        json!({"canaryService": "one", "stableService": "one"}),
        &["stableService"],
        "of its own",
    );
    routed(
        json!({"dynamicStableScale": true, "scaleDownDelaySeconds": 10}),
        &["scaleDownDelaySeconds"],
        "dynamicStableScale",
    );
    routed(
        json!({"trafficRouting": {"nginx": {}, "maxTrafficWeight": 0}}),
        &["trafficRouting.maxTrafficWeight"],
        "at least 1",
    );
    routed(
        json!({"trafficRouting": {"smi": {}, "maxTrafficWeight": 10}}),
        &["trafficRouting.maxTrafficWeight"],
        "nginx and plugins",
    );
    routed(
        json!({"trafficRouting": {"istio": {}, "managedRoutes": [{}]}}),
        &["trafficRouting.managedRoutes[0].name"],
        "missing",
    );
    for field in [
        "scaleDownDelaySeconds",
        "scaleDownDelayRevisionLimit",
        "abortScaleDownDelaySeconds",
        "minPodsPerReplicaSet",
    ] {
        routed(json!({field: -1}), &[field], "at least 0");
    }
}

#[test]
fn steps() {
    let step = |step: Value, paths: &[&str], word: &str| {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| format!("steps[0].{path}"))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        routed(json!({"steps": [step]}), &paths, word);
    };
    step(
        json!({"setWeight": 101}),
        &["setWeight"],
        "between 0 and 100",
    );
    step(
        json!({"setCanaryScale": {"replicas": -1}}),
        &["setCanaryScale.replicas"],
        "at least 0",
    );
    step(
        json!({"setCanaryScale": {"weight": 101}}),
        &["setCanaryScale.weight"],
        "between 0 and 100",
    );
    step(
        json!({"setCanaryScale": {"weight": 1, "replicas": 1}}),
        &["setCanaryScale"],
        "write one",
    );
    step(
        json!({"setHeaderRoute": {"name": "other"}}),
        &["setHeaderRoute.name"],
        "managedRoutes",
    );
    step(
        json!({"setHeaderRoute": {"name": "beta", "match": [{"headerValue": {"exact": "a", "regex": "b"}}]}}),
        &[
            "setHeaderRoute.match[0].headerName",
            "setHeaderRoute.match[0].headerValue",
        ],
        "missing",
    );
    step(
        json!({"setMirrorRoute": {"name": "beta", "percentage": 101}}),
        &["setMirrorRoute.percentage"],
        "between 0 and 100",
    );
    step(
        json!({"setMirrorRoute": {"name": "beta", "match": [{}, {"method": {}}, {"headers": {"x": {}}}]}}),
        &[
            "setMirrorRoute.match[0]",
            "setMirrorRoute.match[1].method",
            "setMirrorRoute.match[2].headers[x]",
        ],
        "empty",
    );
    routed(
        json!({"trafficRouting": {"nginx": {}, "managedRoutes": [{"name": "beta"}]}, "steps": [{"setHeaderRoute": {"name": "beta"}}, {"setMirrorRoute": {"name": "beta"}}]}),
        &["steps[0].setHeaderRoute", "steps[1].setMirrorRoute"],
        "only with the routers alb, apisix, istio, plugins",
    );
}

#[test]
fn background() {
    let good = json!({"templates": [{"templateName": "rate"}]});
    plain(json!({"analysis": good}), &[], "");
    plain(json!({"analysis": {}}), &[], "");
    let mut late = good.clone();
    late["startingStep"] = json!(2);
    plain(
        json!({"analysis": late, "steps": [{"pause": {}}, {"pause": {}}]}),
        &["analysis.startingStep"],
        "the last step is 1",
    );
    let mut early = good;
    early["startingStep"] = json!(-1);
    plain(
        json!({"analysis": early}),
        &["analysis.startingStep"],
        "at least 0",
    );
}
