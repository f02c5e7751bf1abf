//! Every action against every kind of peer.
use super::*;

fn person(groups: &[&str]) -> Peer {
    Peer::Person {
        name: "ada".to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

/// Anonymous, cluster, person without groups, administrator, sre: who is let through.
fn check<A: Action>(make: impl Fn() -> A, expected: [bool; 5]) {
    let peers = [
        Peer::Anonymous,
        Peer::Cluster("prod-eu".to_owned()),
        person(&[]),
        person(&[ADMINS_GROUP]),
        person(&["sre"]),
    ];
    for (peer, expected) in peers.iter().zip(expected) {
        let words = make().words();
        assert_eq!(
            authorize(peer, make()).is_ok(),
            expected,
            "{peer:?} to {words}"
        );
    }
}

#[test]
fn who_may_do_what() {
    check(|| Read, [false, false, true, true, true]);
    check(|| Apply, [false, false, false, true, false]);
    check(|| MakeToken, [false, false, false, true, false]);
    check(|| StartRelease, [false, false, false, true, false]);
    check(|| Recover, [false, false, false, true, false]);
    check(|| Act, [false, false, false, true, false]);
    check(|| Stop, [false, false, false, true, false]);
    check(|| OpenLink, [false, true, false, false, false]);
    check(
        || ApproveWave { groups: Vec::new() },
        [false, false, false, true, false],
    );
    check(
        || ApproveWave {
            groups: vec!["sre".to_owned()],
        },
        [false, false, false, false, true],
    );
}

#[test]
fn a_refusal_says_what_is_needed() {
    let denied = authorize(
        &person(&["dev"]),
        ApproveWave {
            groups: vec!["sre".to_owned()],
        },
    )
    .unwrap_err();
    assert_eq!(
        denied.to_string(),
        "ada may not approve this wave: it needs a member of sre"
    );
}

#[test]
fn names() {
    for good in ["prod-eu", "a", "0"] {
        assert!(check_cluster(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a b", "a/b"] {
        assert!(check_cluster(bad).is_err(), "{bad}");
    }
    for bad in ["", "hub", "agent:x", "a b", "a,b"] {
        assert!(check_person(bad).is_err(), "{bad}");
    }
}
