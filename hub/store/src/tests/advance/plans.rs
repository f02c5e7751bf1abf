//! Random plans: every action that a state allows. In: a state and a seed. Out: a plan that could be applied to it.

use std::collections::BTreeSet;

use hub_engine::action::MemberChange;
use hub_engine::document::Enforcement;
use hub_engine::member::LetGo;
use hub_engine::name::Digest;
use hub_engine::observed::{Request, Terms, Waiting};
use hub_engine::plan::{FleetRolloutStatus, Plan};
use hub_engine::release::{Cause, Content, Direction, Release, ReleasePhase, Stage, TargetState};
use hub_engine::verb::{By, Scope, Verb};
use hub_engine::{Action, ClusterName, Decision, Observed};

/// SplitMix64.
pub(in crate::tests) struct Random(pub(in crate::tests) u64);

impl Random {
    pub(in crate::tests) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % end.max(1)
    }
    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
    pub(super) fn digest(&mut self) -> Digest {
        Digest(format!("v1:{}", self.below(5)))
    }
    pub(super) fn text(&mut self) -> String {
        self.pick(&["", "one", "two \u{1F30A} \"quoted\""])
            .to_owned()
    }
    pub(super) fn content(&mut self, digest: Digest) -> Content {
        Content {
            digest,
            delivery: self.digest(),
            revision: Some("abc".into()),
            images: vec![format!("shop/checkout:{}", self.below(3))],
            generation: 7,
        }
    }
}

/// Everything that could be done to this state.
fn possible(state: &Observed, random: &mut Random) -> Vec<Action> {
    let mut all = Vec::new();
    for cluster in &state.clusters {
        let (name, digest) = (cluster.name.clone(), random.digest());
        let terms = Terms {
            barred: vec![digest],
            first_deploy_free: random.below(2) == 0,
            stopped: (random.below(2) == 0).then(|| "stopped by ann: alarm".to_owned()),
            window_closed: (random.below(2) == 0).then(|| "closed until then".to_owned()),
            window_opened: (random.below(2) == 0).then_some(state.now),
            enforcement: if random.below(2) == 0 {
                Enforcement::Observe
            } else {
                Enforcement::Enforce
            },
            ..Terms::default()
        };
        all.push(Action::Govern {
            cluster: name.clone(),
            terms,
        });
        if cluster.gate.is_some() {
            all.extend(of_member(state, &name, random));
            let waiting = Waiting {
                release: None,
                wave: 1,
                waves: 2,
                wave_name: "canary".into(),
                message: random.text(),
                next: String::new(),
            };
            all.push(Action::SetWaiting {
                cluster: name,
                waiting: (random.below(3) > 0).then_some(waiting),
            });
        }
    }
    let number = state.newest_number() + 1;
    for change in &state.changes {
        let fate = hub_engine::action::ChangeFate::NotNewer;
        all.push(Action::SettleChange {
            cluster: change.cluster.clone(),
            change: change.id,
            fate,
        });
        let cause = Cause::Change {
            cluster: change.cluster.clone(),
            change: change.id,
        };
        all.extend(open(state, random, number, cause));
    }
    for request in &state.requests {
        of_request(state, request, random, &mut all);
    }
    for release in &state.releases {
        of_release(state, release, random, &mut all);
    }
    all
}

fn of_request(state: &Observed, request: &Request, random: &mut Random, all: &mut Vec<Action>) {
    all.push(Action::RefuseRequest {
        request: request.id,
        why: random.text(),
    });
    all.push(Action::Unbar {
        request: request.id,
        digest: random.digest(),
    });
    if matches!(request.verb, Verb::Start { .. }) {
        let cause = Cause::Person {
            person: request.person.clone(),
            reason: request.reason.clone(),
            request: request.id,
            expedite: random.below(2) == 0,
        };
        all.extend(open(state, random, state.newest_number() + 1, cause));
        return;
    }
    let by = By {
        person: request.person.clone(),
        reason: random.text(),
        at: state.now,
    };
    let answer = MemberChange::Answer {
        request: request.id,
        verb: Verb::Govern { cluster: None },
        by,
    };
    all.push(Action::Member { change: answer });
    for release in &state.releases {
        let by = By {
            person: request.person.clone(),
            reason: random.text(),
            at: state.now,
        };
        let obey = |verb| Action::Obey {
            request: request.id,
            release: release.id.number,
            verb,
            by: by.clone(),
        };
        all.extend(verbs(state, release, random).into_iter().map(obey));
    }
}

/// What a person could say about a release.
fn verbs(state: &Observed, one: &Release, random: &mut Random) -> Vec<Verb> {
    if one.phase.ended() {
        // One that is aborted while it waits has ended before the word takes effect.
        let mut all = vec![Verb::Abort { scope: None }];
        if state.active().is_none() {
            all.push(Verb::Rollback);
        }
        return all;
    }
    let mut all = vec![Verb::Pause, Verb::Resume];
    if one.phase == ReleasePhase::Waiting {
        return all;
    }
    all.push(Verb::Abort {
        scope: random.pick(&[None, Some(Scope::Touched), Some(Scope::Unfinished)]),
    });
    for wave in &one.waves {
        let wave = wave.name.clone();
        all.push(Verb::SkipWave { wave: wave.clone() });
        all.push(Verb::Promote { wave: Some(wave) });
        all.push(Verb::Expedite);
    }
    for target in &one.targets {
        let cluster = target.cluster.clone();
        all.push(Verb::Retry {
            cluster: cluster.clone(),
        });
        all.push(Verb::SkipTarget { cluster });
    }
    all
}

fn open(state: &Observed, random: &mut Random, release: u64, cause: Cause) -> Option<Action> {
    let phase = match (state.active(), state.waiting()) {
        (None, None) => ReleasePhase::Progressing,
        (Some(_), None) => ReleasePhase::Waiting,
        (_, Some(_)) => return None,
    };
    let wave = |name: &str, clusters: &[&str]| {
        serde_json::json!({
            "name": name, "clusters": clusters, "approval": {"required": 1, "groups": ["sre"]},
            "approvalAfter": {"required": 2, "groups": ["sre"]},
        })
    };
    // Two join late.
    let waves = serde_json::json!({"waves": [wave("canary", &["a"]), wave("rest", &["b"])]});
    let plan = serde_json::from_value(waves).unwrap();
    Some(Action::OpenRelease {
        release,
        revision: (random.below(2) == 0).then(|| "abc".into()),
        images: vec!["i".into()],
        cause,
        plan,
        phase,
        overtook: 1,
    })
}

fn of_release(state: &Observed, one: &Release, random: &mut Random, all: &mut Vec<Action>) {
    let release = one.id.number;
    let why = random.text();
    if one.phase == ReleasePhase::RolledBackPartially {
        all.push(Action::EndRelease {
            release,
            phase: ReleasePhase::RolledBack,
            verdict: why,
        });
        return;
    }
    if one.phase.ended() {
        return;
    }
    // Nothing happens to a release that waits, until it starts.
    if one.phase == ReleasePhase::Waiting {
        if state.active().is_none() {
            all.push(Action::StartRelease { release });
        }
        return;
    }
    let phase = random.pick(&[
        ReleasePhase::Succeeded,
        ReleasePhase::Failed,
        ReleasePhase::RolledBack,
        ReleasePhase::RolledBackPartially,
        ReleasePhase::Superseded,
        ReleasePhase::Withdrawn,
        ReleasePhase::Aborted,
    ]);
    all.push(Action::EndRelease {
        release,
        phase,
        verdict: why.clone(),
    });
    all.push(Action::HaltRelease {
        release,
        why: "halted".into(),
    });
    all.push(Action::StartRollback {
        release,
        why: "back".into(),
    });
    all.push(Action::Bar {
        release,
        digest: random.digest(),
    });
    of_waves(state, one, random, all);
    for cluster in &state.clusters {
        of_target(state, one, &cluster.name, random, all);
    }
}

fn of_waves(state: &Observed, one: &Release, random: &mut Random, all: &mut Vec<Action>) {
    let (release, why) = (one.id.number, random.text());
    for wave in &one.waves {
        let wave = wave.number;
        all.push(Action::RequestApproval {
            release,
            wave,
            stage: random.pick(&[Stage::Before, Stage::After]),
        });
        all.push(Action::StartWave { release, wave });
        all.push(Action::StartBake {
            release,
            wave,
            until: state.now,
        });
        all.push(Action::PassWave { release, wave });
        all.push(Action::FailWave {
            release,
            wave,
            why: why.clone(),
        });
        let approvals: Vec<u64> = one.approvals.iter().map(|one| one.id).collect();
        if !approvals.is_empty() {
            all.push(Action::VoidApprovals {
                release,
                wave,
                approvals,
                why: "other images".into(),
            });
        }
    }
}

fn of_target(
    state: &Observed,
    one: &Release,
    name: &ClusterName,
    random: &mut Random,
    all: &mut Vec<Action>,
) {
    let (release, cluster) = (one.id.number, name.clone());
    let Some(target) = one.target(name) else {
        all.push(Action::JoinTarget {
            release,
            cluster,
            wave: u32::try_from(1 + random.below(2)).unwrap(),
        });
        return;
    };
    all.push(match &target.content {
        None => Action::BindContent {
            release,
            cluster: cluster.clone(),
            content: {
                let d = random.digest();
                random.content(d)
            },
        },
        Some(content) => {
            let content = random.content(content.digest.clone());
            Action::BindDelivery {
                release,
                cluster: cluster.clone(),
                content,
            }
        }
    });
    let next = random.pick(&[
        TargetState::WaitingForContent,
        TargetState::Held,
        TargetState::Permitted,
        TargetState::Progressing,
        TargetState::Paused,
        TargetState::Succeeded,
        TargetState::Failed,
        TargetState::RollingBack,
        TargetState::RolledBack,
        TargetState::Skipped,
        TargetState::Removed,
        TargetState::Behind,
        TargetState::Unknown,
    ]);
    all.push(Action::Member {
        change: MemberChange::Restart {
            release,
            cluster: cluster.clone(),
            keep: random.below(2) == 0,
            why: random.text(),
        },
    });
    all.push(Action::SetTargetState {
        release,
        cluster: cluster.clone(),
        state: next,
        message: random.text(),
    });
    of_permit(state, one, name, random, all);
}

fn of_permit(
    state: &Observed,
    one: &Release,
    name: &ClusterName,
    random: &mut Random,
    all: &mut Vec<Action>,
) {
    let (release, cluster) = (one.id.number, name.clone());
    let Some(gate) = state.cluster(name).and_then(|one| one.gate.as_ref()) else {
        return;
    };
    all.push(Action::GrantPermit {
        release,
        cluster: cluster.clone(),
        direction: random.pick(&[Direction::Forward, Direction::Rollback]),
        digest: random.digest(),
        delivery: random.digest(),
        start_by: (random.below(2) == 0).then_some(state.now),
        max_step: None,
        why: random.text(),
        steps_backwards: random.below(2) == 0,
    });
    if gate.permit.is_some() {
        all.push(Action::RevokePermit {
            release,
            cluster,
            why: random.text(),
        });
    }
}

pub(super) fn kind(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap();
    let name = value["action"].as_str().unwrap();
    if let Action::Member { change } = action {
        let change = serde_json::to_value(change).unwrap();
        return format!(
            "{name} {}",
            change.as_object().unwrap().keys().next().unwrap()
        );
    }
    let more = value.pointer("/verb/verb").or_else(|| value.get("stage"));
    match more {
        Some(more) => format!("{name} {}", more.as_str().unwrap()),
        None => name.to_owned(),
    }
}

pub(super) fn nothing() -> Plan {
    Plan {
        actions: Vec::new(),
        status: FleetRolloutStatus::default(),
        reasons: Vec::new(),
        wake: None,
    }
}

/// A plan of one to four actions, each possible after those before it; kinds in turn, so that none drowns in the others.
pub(super) fn plan(state: &Observed, random: &mut Random) -> Plan {
    let mut after = state.clone();
    let mut plan = nothing();
    for _ in 0..=random.below(4) {
        let all = possible(&after, random);
        let kinds: Vec<String> = all
            .iter()
            .map(kind)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let chosen = random.pick(&kinds);
        let of_kind: Vec<Action> = all.into_iter().filter(|one| kind(one) == chosen).collect();
        // A release lives long enough for something to happen in it.
        if chosen == "EndRelease" && random.below(3) > 0 {
            continue;
        }
        let action = random.pick(&of_kind);
        after.advance(&action);
        plan.actions.push(Decision {
            action,
            evidence: serde_json::json!({"number": 1e16, "b": [1.5, -0.0]}),
        });
    }
    plan
}

/// Governance ends, begins again, and permits of another cluster are forgotten.
fn of_member(
    state: &Observed,
    cluster: &hub_engine::ClusterName,
    random: &mut Random,
) -> Vec<Action> {
    let (request, cluster) = (0, cluster.clone());
    let by = By {
        person: "ann".into(),
        reason: random.text(),
        at: state.now,
    };
    let mode = random.pick(&[LetGo::KeepServing, LetGo::ReleaseHeld]);
    let all = [
        MemberChange::Ungovern {
            request,
            cluster: cluster.clone(),
            mode,
            by: by.clone(),
        },
        MemberChange::Govern {
            request,
            cluster: cluster.clone(),
            by,
        },
        MemberChange::Forget {
            cluster,
            why: random.text(),
        },
    ];
    all.into_iter()
        .map(|change| Action::Member { change })
        .collect()
}
