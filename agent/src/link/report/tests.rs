//! The report queue without a hub. In: reports and acknowledgements. Out: batches.

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

fn state(phase: &str) -> v1::RolloutState {
    v1::RolloutState {
        phase: phase.to_owned(),
        ..v1::RolloutState::default()
    }
}

fn content(digest: &str) -> Option<v1::Content> {
    Some(v1::Content {
        digest: digest.to_owned(),
        ..v1::Content::default()
    })
}

fn change(was: &str, now: &str) -> v1::ContentChanged {
    v1::ContentChanged {
        rollout: None,
        was: content(was),
        now: content(now),
    }
}

fn outcome(message: &str) -> v1::Outcome {
    v1::Outcome {
        message: message.to_owned(),
        ..v1::Outcome::default()
    }
}

fn words(batch: Option<v1::ReportBatch>) -> Vec<String> {
    let body = |report: v1::Report| match report.body.unwrap() {
        Body::State(state) => format!("{} state {}", report.sequence, state.phase),
        Body::Changed(change) => {
            format!(
                "{} changed {} {}",
                report.sequence,
                change.was.unwrap().digest,
                change.now.unwrap().digest
            )
        }
        Body::Outcome(outcome) => format!("{} outcome {}", report.sequence, outcome.message),
        Body::Effect(_) => format!("{} effect", report.sequence),
        Body::Verb(verb) => format!("{} verb {}", report.sequence, verb.verb),
        Body::Removed(_) => format!("{} removed", report.sequence),
        Body::BrokenGlass(glass) => format!("{} glass {}", report.sequence, glass.id),
    };
    batch
        .into_iter()
        .flat_map(|batch| batch.reports)
        .map(body)
        .collect()
}

#[test]
fn states_replace_each_other_and_outcomes_do_not() {
    let reports = Reports::new(true);
    reports.state(&key("a"), state("Progressing"));
    reports.outcome(&key("a"), outcome("one"));
    reports.state(&key("b"), state("Progressing"));
    reports.state(&key("a"), state("Healthy"));
    reports.state(&key("a"), state("Healthy"));
    reports.outcome(&key("a"), outcome("two"));
    reports.outcome(&key("a"), outcome("one"));
    assert_eq!(
        words(reports.batch(1)),
        [
            "1 outcome one",
            "2 state Progressing",
            "3 state Healthy",
            "4 outcome two"
        ]
    );
    assert_eq!(words(reports.batch(1)), [""; 0]);
}

#[test]
fn changes_become_one_until_they_are_sent() {
    let reports = Reports::new(true);
    reports.content_changed(&key("a"), change("1", "2"));
    reports.content_changed(&key("a"), change("2", "3"));
    assert_eq!(words(reports.batch(1)), ["1 changed 1 3"]);
    reports.content_changed(&key("a"), change("3", "4"));
    assert_eq!(words(reports.batch(1)), ["2 changed 3 4"]);
    assert_eq!(reports.acknowledged(1).len(), 1);
    let told = reports.acknowledged(2);
    assert_eq!(
        told,
        [Told {
            rollout: key("a"),
            digest: "4".to_owned(),
            generation: 0
        }]
    );
}

#[test]
fn a_new_session_sends_again_what_was_not_acknowledged() {
    let reports = Reports::new(true);
    reports.outcome(&key("a"), outcome("one"));
    reports.outcome(&key("b"), outcome("two"));
    reports.state(&key("a"), state("Healthy"));
    assert_eq!(words(reports.batch(1)).len(), 3);
    reports.acknowledged(1);
    reports.outcome(&key("c"), outcome("three"));
    assert_eq!(reports.begin().len(), 1, "Hello carries the states");
    assert_eq!(
        words(reports.batch(2)),
        ["1 outcome two", "2 outcome three"]
    );
    reports.acknowledged(2);
    reports.begin();
    assert_eq!(words(reports.batch(3)), [""; 0]);
}

#[test]
fn a_removed_rollout_has_no_state() {
    let reports = Reports::new(true);
    reports.removed(&key("a"), "u");
    assert_eq!(words(reports.batch(1)), [""; 0], "it was never told of");
    reports.state(&key("a"), state("Healthy"));
    reports.removed(&key("a"), "u");
    assert_eq!(words(reports.batch(1)), ["1 removed"]);
    assert!(reports.begin().is_empty());
}

#[test]
fn what_is_kept_and_under_way_is_bounded() {
    let reports = Reports::new(true);
    for index in 0..(MAX_LOOSE + 10) {
        reports.verb(v1::LocalVerb {
            verb: index.to_string(),
            ..v1::LocalVerb::default()
        });
    }
    reports.outcome(&key("a"), outcome("kept"));
    assert_eq!(reports.lock().waiting.len(), MAX_LOOSE + 1);
    let mut sent = 0;
    while let Some(batch) = reports.batch(1) {
        assert!(batch.reports.len() <= BATCH);
        sent += batch.reports.len();
    }
    assert_eq!(sent, MAX_UNDER_WAY);
    reports.acknowledged(10);
    assert_eq!(reports.batch(1).unwrap().reports.len(), 10);
}

#[test]
fn a_word_for_held_content_is_told_once_a_session_and_kept_through_a_broken_stream() {
    let reports = Reports::new(true);
    let glass = v1::BrokenGlass {
        id: "ann".to_owned(),
        ..v1::BrokenGlass::default()
    };
    // Every pass says what the Gate remembers.
    for _ in 0..3 {
        reports.broken_glass(&key("web"), glass.clone());
    }
    assert_eq!(words(reports.batch(1)), ["1 glass ann"]);
    reports.begin();
    reports.broken_glass(&key("web"), glass.clone());
    assert_eq!(words(reports.batch(2)), ["1 glass ann"]);
    reports.acknowledged(1);
    reports.broken_glass(&key("web"), glass.clone());
    assert_eq!(words(reports.batch(2)), Vec::<String>::new());
    // The hub may have been put back from a copy since then.
    reports.begin();
    assert_eq!(words(reports.batch(3)), Vec::<String>::new());
    reports.broken_glass(&key("web"), glass);
    assert_eq!(words(reports.batch(3)), ["1 glass ann"]);
}

#[test]
fn what_hello_brings_has_the_end_of_a_permit_also_before_the_pass_is_through() {
    let reports = Reports::new(true);
    reports.state(&key("a"), state("Progressing"));
    reports.outcome(&key("a"), outcome("one"));
    let brought = reports.begin();
    assert_eq!(brought.len(), 1);
    assert_eq!(brought[0].outcome, Some(outcome("one")));
}
