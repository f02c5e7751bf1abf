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
