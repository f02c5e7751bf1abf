//! Every fixture of the engine of Experiments through `reconcile`, as text; and a model cluster in which Experiments run to
//! their end. `UPDATE=1` rewrites the texts: read each changed one as prose before keeping it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agent_api::{AnalysisPhase, AnalysisRun, ReplicaSet, ReplicaSetStatus};
use agent_engine::experiment::{Action, Observed, Plan, Reason, audit, reconcile};
use jiff::SignedDuration;
use serde_json::json;
use tests_golden::experiment_fixture::{named, observed};

/// Cases that there have to be at least.
const LEAST: usize = 30;

fn cases() -> BTreeMap<String, PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/experiment");
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.map(|path| (name(&path), path)).collect()
}

fn read(path: &std::path::Path) -> Observed {
    let text = std::fs::read_to_string(path.join("observed.yaml")).unwrap();
    observed(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_experiment_gives_its_plan() {
    let cases = cases();
    assert!(cases.len() >= LEAST, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for (name, path) in cases {
        let observed = read(&path);
        let plan = reconcile(&observed);
        let violations = audit(&observed, &plan);
        assert!(violations.is_empty(), "{name}: {violations:?}");
        let text = named(&plan.to_string());
        let file = path.join("plan.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The word of an action and of a reason; a new variant does not compile until it has one, and then needs a case.
fn words(plan: &Plan) -> BTreeSet<&'static str> {
    let actions = plan.actions.iter().map(|action| match action {
        Action::CreateReplicaSet { .. } => "CreateReplicaSet",
        Action::ScaleReplicaSet { .. } => "ScaleReplicaSet",
        Action::CreateService { .. } => "CreateService",
        Action::DeleteService { .. } => "DeleteService",
        Action::CreateAnalysisRun { .. } => "CreateAnalysisRun",
        Action::TerminateAnalysisRun { .. } => "TerminateAnalysisRun",
        Action::Event(_) => "Event",
    });
    let reasons = plan.reasons.iter().map(|reason| match reason {
        Reason::InvalidSpec { .. } => "InvalidSpec",
        Reason::WaitsForLeave { .. } => "WaitsForLeave",
        Reason::TemplatePending { .. } => "TemplatePending",
        Reason::SetRefused { .. } => "SetRefused",
        Reason::NameTaken { .. } => "NameTaken",
        Reason::RunsUntil { .. } => "RunsUntil",
        Reason::WaitsForRun { .. } => "WaitsForRun",
        Reason::RunsUntilTerminated => "RunsUntilTerminated",
        Reason::Terminated => "Terminated",
        Reason::Over { .. } => "Over",
        Reason::StaysUntil { .. } => "StaysUntil",
    });
    actions.chain(reasons).collect()
}
const WORDS: usize = 18;

#[test]
fn every_action_and_reason_of_experiments_has_a_case() {
    let plans = cases().into_values().map(|path| reconcile(&read(&path)));
    let seen: BTreeSet<_> = plans.flat_map(|plan| words(&plan)).collect();
    assert_eq!(seen.len(), WORDS, "{seen:?}");
}

/// A cluster that does what plans say; runs end as they are told to, `slow` only when they are asked.
struct Cluster {
    observed: Observed,
    verdict: AnalysisPhase,
    slow: bool,
}

impl Cluster {
    /// One pass and what the cluster makes of it. Returns whether anything was written.
    fn pass(&mut self) -> (bool, Plan) {
        let plan = reconcile(&self.observed);
        let violations = audit(&self.observed, &plan);
        assert!(violations.is_empty(), "{violations:?}\n{plan}");
        for action in &plan.actions {
            self.act(action);
        }
        let status = Some(plan.status.clone());
        let wrote = self.observed.experiment.status != status
            || plan
                .actions
                .iter()
                .any(|one| !matches!(one, Action::Event(_)));
        self.observed.experiment.status = status;
        (wrote, plan)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::CreateReplicaSet { replica_set, .. } => {
                self.observed.replica_sets.push((**replica_set).clone());
            }
            Action::ScaleReplicaSet { name, to, .. } => {
                let mut sets = self.observed.replica_sets.iter_mut();
                let set = sets.find(|set| set.metadata.name.as_ref() == Some(name));
                set.unwrap().spec.replicas = Some(*to);
            }
            Action::CreateService { service } => self.observed.services.push((**service).clone()),
            Action::DeleteService { name } => {
                let all = &mut self.observed.services;
                all.retain(|one| one.metadata.name.as_ref() != Some(name));
            }
            Action::CreateAnalysisRun { run } => {
                self.observed.analysis_runs.push((**run).clone());
            }
            Action::TerminateAnalysisRun { name } => {
                let mut runs = self.observed.analysis_runs.iter_mut();
                let run = runs.find(|run| run.metadata.name.as_ref() == Some(name));
                run.unwrap().spec.terminate = Some(true);
            }
            Action::Event(_) => {}
        }
    }

    /// The other controllers: pods become available, runs go on.
    fn others(&mut self) {
        let available = |set: &mut ReplicaSet| {
            let count = set.desired();
            set.status = Some(ReplicaSetStatus {
                replicas: count,
                ready_replicas: Some(count),
                available_replicas: Some(count),
                ..ReplicaSetStatus::default()
            });
        };
        self.observed.replica_sets.iter_mut().for_each(available);
        let (verdict, slow) = (self.verdict, self.slow);
        let goes_on = |run: &mut AnalysisRun| {
            let status = run.status.get_or_insert_default();
            let ends = status.phase.is_some() && (!slow || run.spec.terminate == Some(true));
            if !status.phase.is_some_and(AnalysisPhase::is_completed) {
                status.phase = Some(if ends {
                    verdict
                } else {
                    AnalysisPhase::Running
                });
            }
        };
        self.observed.analysis_runs.iter_mut().for_each(goes_on);
    }

    /// Runs until nothing is to be done any more.
    fn settle(&mut self) -> AnalysisPhase {
        for _ in 0..200 {
            let (wrote, plan) = self.pass();
            let before = self.observed.clone();
            self.others();
            let moved = before != self.observed;
            if !wrote && !moved {
                let Some(wake) = plan.wake else {
                    return self
                        .observed
                        .experiment
                        .status
                        .clone()
                        .unwrap()
                        .phase
                        .unwrap();
                };
                assert!(wake > self.observed.now, "{plan}");
                self.observed.now = wake;
                continue;
            }
            self.observed.now += SignedDuration::from_secs(1);
        }
        panic!("it does not come to rest: {}", reconcile(&self.observed));
    }
}

const PHASES: [AnalysisPhase; 4] = [
    AnalysisPhase::Successful,
    AnalysisPhase::Inconclusive,
    AnalysisPhase::Error,
    AnalysisPhase::Failed,
];

#[test]
fn every_experiment_comes_to_rest_with_the_verdict_of_its_runs_and_without_pods() {
    let path = cases().remove("begins").unwrap();
    for (duration, required, slow) in [
        (Some("60s"), true, false),
        (Some("60s"), false, false),
        (Some("60s"), false, true),
        (None, true, false),
        (None, false, false),
    ] {
        for verdict in PHASES {
            let mut observed = read(&path);
            observed.experiment.spec.duration = duration.map(ToOwned::to_owned);
            observed.experiment.spec.analyses[0].required_for_completion = Some(required);
            let mut cluster = Cluster {
                observed,
                verdict,
                slow,
            };
            assert_eq!(cluster.settle(), verdict, "{duration:?} {required} {slow}");
            let mut sets = cluster.observed.replica_sets.iter();
            assert!(sets.all(|set| set.desired() == 0) && cluster.observed.services.is_empty());
            assert_eq!(cluster.observed.analysis_runs.len(), 1);
        }
    }
}

#[test]
fn a_status_that_is_cleared_begins_anew_with_another_run() {
    let path = cases().remove("begins").unwrap();
    let mut cluster = Cluster {
        observed: read(&path),
        verdict: AnalysisPhase::Failed,
        slow: false,
    };
    assert_eq!(cluster.settle(), AnalysisPhase::Failed);
    cluster.observed.experiment.status = None;
    cluster.verdict = AnalysisPhase::Successful;
    assert_eq!(cluster.settle(), AnalysisPhase::Successful);
    let names: Vec<_> = cluster
        .observed
        .analysis_runs
        .iter()
        .map(|run| run.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["compare-p95", "compare-p95.1"]);
    assert_eq!(cluster.observed.replica_sets.len(), 2);
}

#[test]
fn a_pass_that_is_cut_off_after_any_write_makes_nothing_twice() {
    let path = cases().remove("begins").unwrap();
    for cut in 0..12 {
        let mut cluster = Cluster {
            observed: read(&path),
            verdict: AnalysisPhase::Successful,
            slow: false,
        };
        let mut writes = 0;
        for _ in 0..8 {
            let plan = reconcile(&cluster.observed);
            let mut whole = true;
            for action in &plan.actions {
                cluster.act(action);
                writes += 1;
                if writes == cut {
                    whole = false;
                    break;
                }
            }
            if whole {
                cluster.observed.experiment.status = Some(plan.status);
            }
            cluster.others();
            cluster.observed.now += SignedDuration::from_secs(1);
        }
        assert_eq!(cluster.settle(), AnalysisPhase::Successful, "cut {cut}");
        assert_eq!(cluster.observed.replica_sets.len(), 2, "cut {cut}");
        assert_eq!(cluster.observed.analysis_runs.len(), 1, "cut {cut}");
        let run = json!(cluster.observed.analysis_runs[0].spec.args);
        assert!(run.to_string().contains("compare-baseline"), "{run}");
    }
}
