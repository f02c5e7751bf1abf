//! The write tracker without an API server. In: writes and what watches show. Out: whether a cache is behind.

use super::*;

fn uid(text: &str) -> Uid {
    Uid(text.to_owned())
}

#[test]
fn behind_until_the_own_write_is_seen() {
    let written = Written::default();
    let rollout = uid("rollout");
    assert!(!written.is_behind(&rollout, None));
    written.wrote(Kind::Rollout, &rollout, &rollout, "100");
    written.seen(&rollout, "99");
    assert!(
        written.is_behind(&rollout, None),
        "an older version is not enough"
    );
    written.seen(&rollout, "100");
    assert!(!written.is_behind(&rollout, None));
}

#[test]
fn versions_are_compared_as_numbers() {
    let written = Written::default();
    let rollout = uid("rollout");
    written.wrote(Kind::Rollout, &rollout, &rollout, "999");
    written.seen(&rollout, "1000");
    assert!(!written.is_behind(&rollout, None));
}

#[test]
fn a_created_child_is_expected_until_seen() {
    let written = Written::default();
    let (rollout, set) = (uid("rollout"), uid("set"));
    written.wrote(Kind::ReplicaSet, &set, &rollout, "5");
    assert!(written.is_behind(&rollout, None));
    assert!(!written.is_behind(&uid("other"), None));
    written.seen(&set, "6");
    assert!(!written.is_behind(&rollout, None));
}

#[test]
fn a_deleted_child_is_awaited_and_one_deleted_by_others_is_forgotten() {
    let written = Written::default();
    let (rollout, set) = (uid("rollout"), uid("set"));
    written.seen(&set, "1");
    written.deleted(Kind::ReplicaSet, &set, &rollout);
    written.seen(&set, "900");
    assert!(written.is_behind(&rollout, None), "deletion takes its time");
    written.gone(&set);
    assert!(!written.is_behind(&rollout, None));
    written.wrote(Kind::ReplicaSet, &set, &rollout, "5");
    written.gone(&set);
    assert!(!written.is_behind(&rollout, None));
}

#[test]
fn a_new_list_clears_what_was_written_before_it_began() {
    let written = Written::default();
    let (before, during) = (uid("before"), uid("during"));
    written.wrote(Kind::Rollout, &before, &before, "5000");
    written.wrote(Kind::ReplicaSet, &uid("set"), &during, "5000");
    written.list_begins(Kind::Rollout);
    written.wrote(Kind::Rollout, &during, &during, "5001");
    written.list_ends(Kind::Rollout);
    assert!(
        !written.is_behind(&before, None),
        "a restored cluster has lower versions for ever"
    );
    assert!(
        written.is_behind(&during, None),
        "the list may be older than this write"
    );
    written.seen(&during, "5001");
    assert!(
        written.is_behind(&during, None),
        "the list of another kind clears nothing"
    );
    written.seen(&uid("set"), "5000");
    assert!(!written.is_behind(&during, None));
}

#[test]
fn the_last_of_several_writes_counts() {
    let written = Written::default();
    let rollout = uid("rollout");
    written.wrote(Kind::Rollout, &rollout, &rollout, "1");
    written.wrote(Kind::Rollout, &rollout, &rollout, "2");
    written.seen(&rollout, "1");
    assert!(written.is_behind(&rollout, None));
    written.wrote(Kind::Rollout, &rollout, &rollout, "not a number");
    assert!(written.is_behind(&rollout, None));
    written.seen(&rollout, "2");
    assert!(!written.is_behind(&rollout, None));
}

#[test]
fn one_object_is_waited_for_by_two() {
    let written = Written::default();
    let (rollout, run) = (uid("rollout"), uid("run"));
    written.wrote(Kind::AnalysisRun, &run, &rollout, "5");
    written.wrote(Kind::AnalysisRun, &run, &run, "6");
    written.seen(&run, "5");
    assert!(!written.is_behind(&rollout, None));
    assert!(written.is_behind(&run, None));
    written.seen(&run, "6");
    assert!(!written.is_behind(&run, None));
    assert!(written.lock().entries.is_empty() && written.lock().waits.is_empty());
}

#[test]
fn a_watch_can_be_faster_than_the_answer() {
    let written = Written::default();
    let (rollout, set) = (uid("rollout"), uid("set"));
    written.seen(&rollout, "7");
    written.wrote(Kind::Rollout, &rollout, &rollout, "7");
    assert!(!written.is_behind(&rollout, None));
    written.seen(&set, "8");
    written.wrote(Kind::ReplicaSet, &set, &rollout, "8");
    assert!(!written.is_behind(&rollout, None));
    written.gone(&set);
    written.deleted(Kind::ReplicaSet, &set, &rollout);
    assert!(!written.is_behind(&rollout, None));
    written.seen(&rollout, "3");
    written.wrote(Kind::Rollout, &rollout, &rollout, "4");
    assert!(
        written.is_behind(&rollout, None),
        "versions of a restored cluster count as they are"
    );
}

#[test]
fn what_others_do_because_of_us_is_awaited_for_a_while() {
    let (rollout, set) = (uid("rollout"), uid("set"));
    let written = Written::default();
    let long = Duration::from_secs(3600);
    written.seen(&set, "7");
    written.moves(Kind::ReplicaSet, &set, &rollout, "7", long);
    assert!(written.is_behind(&rollout, None), "it has not moved");
    written.seen(&set, "8");
    assert!(!written.is_behind(&rollout, None));
    // The watch was faster than the answer.
    written.moves(Kind::ReplicaSet, &set, &rollout, "7", long);
    assert!(!written.is_behind(&rollout, None));
    written.moves(Kind::ReplicaSet, &set, &rollout, "8", Duration::ZERO);
    assert!(!written.is_behind(&rollout, None), "nobody waits for ever");
}

/// Read, then brought by the watch, then asked whether anything is awaited: nothing is, and what was read is old.
#[test]
fn what_was_read_before_the_watch_brought_more_is_old() {
    let (written, rollout) = (Written::default(), uid("rollout"));
    assert!(
        !written.is_behind(&rollout, Some("5")),
        "nothing was brought"
    );
    written.seen(&rollout, "5");
    written.wrote(Kind::Rollout, &rollout, &rollout, "6");
    written.seen(&rollout, "6");
    assert!(!written.is_behind(&rollout, None));
    assert!(written.is_behind(&rollout, Some("5")));
    assert!(!written.is_behind(&rollout, Some("6")));
    assert!(!written.is_behind(&rollout, None));
}
