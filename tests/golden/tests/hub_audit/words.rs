//! Bad plans about persons' words: what nobody said, what a stop or a pause forbids, what may not go back. In: nothing. Out: plans and what each breaks. They must not be taken from a planner.

use hub_engine::Action;
use hub_engine::observed::Observed;
use hub_engine::release::{Direction, ReleasePhase, TargetState};
use hub_engine::verb::{Back, By, Scope, Verb};

use crate::{Bad, NOTHING, end, forward, grant, set};

fn obey(observed: &Observed, verb: Verb) -> Action {
    let request = observed.requests.first().expect("a request");
    Action::Obey {
        request: request.id,
        release: 2,
        verb,
        by: By {
            person: request.person.clone(),
            reason: request.reason.clone(),
            at: observed.now,
        },
    }
}

fn start(wave: u32) -> Action {
    Action::StartWave { release: 2, wave }
}

pub const WORDS: [Bad; 12] = [
    (
        "nobody said so",
        "canary-in-flight",
        NOTHING,
        |observed| {
            let by = By {
                person: "ann".into(),
                reason: "because".to_owned(),
                at: observed.now,
            };
            vec![Action::Obey {
                request: 9,
                release: 2,
                verb: Verb::Pause,
                by,
            }]
        },
        "S19",
    ),
    (
        "said by another person",
        "paused-before-an-approved-wave",
        NOTHING,
        |observed| {
            let mut action = obey(observed, Verb::Pause);
            if let Action::Obey { by, .. } = &mut action {
                by.person = "bob".into();
            }
            vec![action]
        },
        "S19",
    ),
    (
        "a paused release starts a wave",
        "paused-before-an-approved-wave",
        NOTHING,
        |observed| vec![obey(observed, Verb::Pause), start(2)],
        "S19",
    ),
    (
        "a stopped one starts a wave",
        "everything-is-stopped",
        NOTHING,
        |_| vec![start(2)],
        "G30",
    ),
    (
        "a stopped one permits",
        "everything-is-stopped",
        NOTHING,
        |_| vec![start(2), forward("eu-1")],
        "G30",
    ),
    (
        "an aborted release starts a cluster",
        "aborted-and-everything-goes-back",
        NOTHING,
        |observed| {
            let scope = Some(Scope::Touched);
            vec![obey(observed, Verb::Abort { scope }), forward("us-1")]
        },
        "S1",
    ),
    (
        "what had finished goes back although it stays",
        "aborted-and-what-had-finished-stays",
        |observed| {
            let scope = Scope::Unfinished;
            let by = By {
                person: "ann".into(),
                reason: "because".to_owned(),
                at: observed.now,
            };
            observed.releases[0].word.back = Some(Back { scope, by });
            observed.releases[0].phase = ReleasePhase::RollingBack;
        },
        |_| vec![grant("staging", Direction::Rollback, "v1:v1")],
        "S20",
    ),
    (
        "aborted without a word",
        "canary-in-flight",
        NOTHING,
        |_| vec![end(ReleasePhase::Aborted)],
        "S19",
    ),
    (
        "back beneath a newer one",
        "rollback-beneath-a-newer-release",
        NOTHING,
        |observed| vec![obey(observed, Verb::Rollback)],
        "S20",
    ),
    (
        "back for the second time",
        "rollback-of-a-rollback",
        NOTHING,
        |observed| vec![obey(observed, Verb::Rollback)],
        "S20",
    ),
    (
        "retried without a word",
        "retried-within-the-budget",
        |observed| observed.requests.clear(),
        |_| vec![set("eu-1", TargetState::Held)],
        "S9",
    ),
    (
        "a wave is passed over in flight",
        "skip-of-what-is-in-flight",
        NOTHING,
        |observed| {
            let wave = "canary".to_owned();
            vec![obey(observed, Verb::SkipWave { wave })]
        },
        "S1",
    ),
];
