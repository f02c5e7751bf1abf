//! Whether the fleet has a say, out of the records that are there.

use serde_json::json;

use super::*;

fn gate(governed: bool, mode: &str, held: &str) -> Gate {
    let mut gate = Gate::default();
    gate.spec.governed = governed;
    gate.spec.rest.insert(UNGOVERN.to_owned(), json!(mode));
    let status = json!({"held": {"digest": held}});
    gate.status = Some(serde_json::from_value(status).unwrap());
    gate
}

#[test]
fn a_lost_or_spoilt_member_record_frees_nothing() {
    let spec = ContentDigest("v1:b".into());
    let of = |named, gate: Option<&Gate>, unread| governance(named, gate, &spec, unread);
    let governed = gate(true, "", "");
    assert_eq!(of(true, None, false), Governance::Governed);
    assert_eq!(of(false, Some(&governed), false), Governance::Governed);
    assert_eq!(of(false, Some(&governed), true), Governance::Governed);
    assert_eq!(of(false, None, true), Governance::Unknown);
    assert_eq!(of(false, None, false), Governance::Free);
}

#[test]
fn what_was_let_go_is_held_as_long_as_git_says_what_was_held() {
    let spec = ContentDigest("v1:b".into());
    let of = |mode, held, named| governance(named, Some(&gate(false, mode, held)), &spec, false);
    assert_eq!(of("KeepServing", "v1:b", false), Governance::Governed);
    assert_eq!(of("KeepServing", "v1:a", false), Governance::Free);
    assert_eq!(of("ReleaseHeld", "v1:b", false), Governance::Free);
    // The Gate is written before the member record.
    assert_eq!(of("ReleaseHeld", "v1:b", true), Governance::Governed);
}
