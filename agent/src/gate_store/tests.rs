//! What becomes of a set, without an API server.

use super::*;

fn entry(name: &str, governance: v1::gate_entry::Governance) -> v1::GateEntry {
    v1::GateEntry {
        namespace: "shop".into(),
        name: name.into(),
        fleet_rollout: name.into(),
        version: 1,
        governance: Some(governance),
    }
}

fn taken(entries: Vec<v1::GateEntry>) -> Taken {
    Taken {
        before: None,
        fence: Fence {
            incarnation: 1,
            version: 4,
        },
        set_hash: "h".into(),
        fence_signature: Some("c2ln".into()),
        entries,
    }
}

fn names(status: &FleetMemberStatus) -> Vec<&str> {
    status
        .governed
        .iter()
        .map(|one| one.name.as_str())
        .collect()
}

#[test]
fn absence_never_frees_and_ungovern_does() {
    let governed = |name| {
        entry(
            name,
            v1::gate_entry::Governance::Governed(v1::Governed::default()),
        )
    };
    let first = member_status(None, &taken(vec![governed("b"), governed("a")]), 3);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first.first_contact_done);
    assert_eq!((first.fence.version, first.session), (4, 3));
    let second = member_status(Some(&first), &taken(vec![governed("c")]), 4);
    assert_eq!(names(&second), ["a", "b", "c"]);
    let ungovern = entry(
        "b",
        v1::gate_entry::Governance::Ungovern(v1::Ungovern { mode: 2 }),
    );
    let third = member_status(Some(&second), &taken(vec![ungovern]), 4);
    assert_eq!(names(&third), ["a", "c"]);
}

#[test]
fn what_the_hub_was_told_is_read_back() {
    let annotated = |text: &str| ObjectMeta {
        annotations: Some(BTreeMap::from([(
            ANNOTATION_REPORTED.to_owned(),
            text.to_owned(),
        )])),
        ..ObjectMeta::default()
    };
    assert_eq!(
        reported(&annotated("7 v1:abc")),
        Some(("v1:abc".to_owned(), 7))
    );
    assert_eq!(reported(&annotated("v1:abc")), None);
    assert_eq!(reported(&ObjectMeta::default()), None);
}

#[test]
fn a_record_from_before_it_was_let_go_is_not_believed() {
    let record = json!({
        "served": {"digest": "v1:a", "podHash": "a"}, "held": {"digest": "v1:b"},
        "effective": {"fence": {"incarnation": 1, "version": 7}, "digest": "v1:b", "generation": 2},
        "outcome": {"fence": {"incarnation": 1, "version": 7}, "digest": "v1:b", "result": "Failed"},
        "lease": {"grantedSeconds": 30, "deadline": "2026-01-01T00:00:00Z"},
        "localPermit": {"origin": "Adopted", "digest": "v1:b"}, "withoutHub": "waits"
    });
    let gate = |governed: bool| Gate {
        spec: GateSpec {
            governed,
            ..GateSpec::default()
        },
        status: Some(serde_json::from_value(record.clone()).unwrap()),
        ..Gate::default()
    };
    let spec = |governed: bool| gate(governed).spec;
    let after = |was: bool, is: bool| status_after(&gate(was), &spec(is)).unwrap();
    let kept = gate(true).status.unwrap();
    assert_eq!(after(true, true), kept);
    let let_go = after(true, false);
    assert_eq!((&let_go.served, &let_go.without_hub), (&kept.served, &None));
    let again = after(false, true);
    let left = GateStatus {
        outcome: kept.outcome.clone(),
        without_hub: kept.without_hub.clone(),
        ..GateStatus::default()
    };
    assert_eq!(again, left);
    assert!(is_governed_again(&gate(false), &spec(true)));
}
