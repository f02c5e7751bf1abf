//! The table, the CRDs made from it, and whether our types keep every field of it.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{TABLE, documents, kinds, maximal_object, render_all, table};
use crate::analysis::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate};
use crate::experiment::Experiment;
use crate::gate::Gate;
use crate::member::FleetMember;
use crate::rollout::Rollout;

/// Reads a maximal object into its type and compares what is written back, field by field; returns what `rest` holds.
fn check<K: DeserializeOwned + Serialize>(kind: &str) -> K {
    let object = maximal_object(kind).unwrap_or_else(|| panic!("no maximal {kind}"));
    let read: K =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let written = serde_json::to_value(&read).unwrap();
    assert_same(kind, &object, &written);
    read
}

fn assert_same(path: &str, wanted: &Value, found: &Value) {
    if let (Value::Object(wanted), Value::Object(found)) = (wanted, found) {
        let keys: BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
        for key in keys {
            let none = Value::Null;
            assert_same(
                &format!("{path}.{key}"),
                wanted.get(key).unwrap_or(&none),
                found.get(key).unwrap_or(&none),
            );
        }
    } else {
        assert_eq!(wanted, found, "{path}");
    }
}

#[test]
fn maximal_objects_come_back_unchanged() {
    let rollout: Rollout = check("Rollout");
    assert!(rollout.rest.is_empty() && rollout.spec.rest.is_empty());
    // What the Rollout's status has beyond canary's needs stays as it came.
    let status = rollout.status.unwrap();
    assert_eq!(status.rest.keys().collect::<Vec<_>>(), ["alb", "albs"]);
    let run: AnalysisRun = check("AnalysisRun");
    assert!(run.spec.rest.is_empty() && run.status.unwrap().rest.is_empty());
    check::<AnalysisTemplate>("AnalysisTemplate");
    check::<ClusterAnalysisTemplate>("ClusterAnalysisTemplate");
    let experiment: Experiment = check("Experiment");
    assert!(experiment.spec.rest.is_empty() && experiment.status.unwrap().rest.is_empty());
    let gate: Gate = check("Gate");
    assert_eq!(
        gate.spec.rest.keys().collect::<Vec<_>>(),
        ["known-to-nobody"]
    );
    assert_eq!(
        gate.status.unwrap().rest.keys().collect::<Vec<_>>(),
        ["known-to-nobody"]
    );
    check::<FleetMember>("FleetMember");
    assert_eq!(kinds().len(), 7);
    assert!(maximal_object("Deployment").is_none());
}

/// Puts a field that nobody knows into every object, except where Kubernetes' own types or an ordered pair are read.
fn sprinkle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                // The keys of a map of headers are names, not fields.
                if !["metadata", "fence", "over", "headers"].contains(&key.as_str()) {
                    sprinkle(value);
                }
            }
            fields.insert("knownToNobodyYet".to_owned(), Value::from("kept"));
        }
        Value::Array(items) => items.iter_mut().for_each(sprinkle),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keeps_unknown_fields<K: DeserializeOwned + Serialize>(kind: &str) {
    let mut object = maximal_object(kind).unwrap();
    sprinkle(&mut object);
    let read: K =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert_same(kind, &object, &serde_json::to_value(&read).unwrap());
}

#[test]
fn unknown_fields_survive_at_every_depth() {
    keeps_unknown_fields::<Rollout>("Rollout");
    keeps_unknown_fields::<AnalysisRun>("AnalysisRun");
    keeps_unknown_fields::<AnalysisTemplate>("AnalysisTemplate");
    keeps_unknown_fields::<ClusterAnalysisTemplate>("ClusterAnalysisTemplate");
    keeps_unknown_fields::<Experiment>("Experiment");
    keeps_unknown_fields::<Gate>("Gate");
    keeps_unknown_fields::<FleetMember>("FleetMember");
}

#[test]
fn every_line_of_the_table_is_understood() {
    let mut fields = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells.as_slice() {
            ["kind", ..] => assert_eq!(cells.len(), 6, "{line}"),
            ["column", ..] => assert_eq!(cells.len(), 4, "{line}"),
            [_, kind] | [_, kind, _] => {
                assert!(table::field_type(kind).is_some(), "{line}");
                fields += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fields, 1107, "fields of the five kinds");
    assert_eq!(table::parse(TABLE).len(), 5);
}

#[test]
fn crds_say_what_clients_rely_on() {
    let all = documents();
    let find = |name: &str| {
        all.iter()
            .find(|one| one["metadata"]["name"] == name)
            .unwrap()
    };
    let rollout = &find("rollouts.argoproj.io")["spec"];
    assert_eq!(rollout["names"]["shortNames"][0], "ro");
    let version = &rollout["versions"][0];
    assert_eq!(
        version["subresources"]["scale"]["statusReplicasPath"],
        ".status.HPAReplicas"
    );
    assert!(version["subresources"]["status"].is_object());
    let schema = &version["schema"]["openAPIV3Schema"]["properties"];
    assert_eq!(
        schema["status"]["properties"]["observedGeneration"]["type"],
        "string"
    );
    let selector = &schema["spec"]["properties"]["selector"];
    assert_eq!(
        selector["x-kubernetes-validations"][0]["rule"],
        "self == oldSelf"
    );
    let template = &schema["spec"]["properties"]["template"];
    assert_eq!(template["x-kubernetes-preserve-unknown-fields"], true);
    for plural in [
        "analysisruns.argoproj.io",
        "experiments.argoproj.io",
        "gates.fleet.groundswell.dev",
    ] {
        let version = &find(plural)["spec"]["versions"][0];
        assert!(
            version["subresources"].get("status").is_none(),
            "{plural} has a status subresource"
        );
    }
    assert_eq!(
        find("clusteranalysistemplates.argoproj.io")["spec"]["scope"],
        "Cluster"
    );
}

#[test]
fn files_have_names_of_their_own() {
    let names: BTreeSet<String> = render_all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 7);
    assert!(names.contains("argoproj.io_rollouts.yaml"), "{names:?}");
}
