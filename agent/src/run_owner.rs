//! What a run's owner knows of it.
//!
//! In: the run, the stores. Out: what the status of the Rollout or Experiment that owns it says, as the cache has it, which
//! is what is stored. It must not ask the API server.

use agent_api::AnalysisRun;
use agent_engine::analysis::Told;
use agent_engine::analysis::told::{by_experiment, by_rollout};

use crate::cache::{Caches, Work, owner_work};
use crate::observe::uid_of;

/// Only a run that is deleted in its time has use for it: owners are decoded for this.
#[must_use]
pub fn told(caches: &Caches, run: &AnalysisRun) -> Told {
    let Some((owner, uid)) = owner_work(&run.metadata) else {
        return Told::NoOwner;
    };
    if run.spec.ttl_strategy.is_none() {
        return Told::Unnamed;
    }
    let name = run.metadata.name.as_deref().unwrap_or_default();
    let told = match owner {
        Work::Rollout(key) => caches.rollouts.get(&key).and_then(|found| {
            let rollout = found.object.ok()?;
            let same = uid_of(&rollout.metadata).as_str() == uid;
            let status = rollout.status.filter(|_| same)?;
            Some(by_rollout(&status, name))
        }),
        Work::Experiment(key) => caches.experiments.get(&key).and_then(|found| {
            let experiment = found.object.ok()?;
            let same = uid_of(&experiment.metadata).as_str() == uid;
            let status = experiment.status.filter(|_| same)?;
            Some(by_experiment(&status, name))
        }),
        Work::Run(_) | Work::Service(_) => None,
    };
    told.unwrap_or(Told::Unnamed)
}

#[cfg(test)]
mod tests {
    use agent_api::{AnalysisPhase, Decoded, Experiment, Rollout};
    use serde_json::{Value, json};

    use super::*;

    fn run(kind: &str, uid: &str) -> AnalysisRun {
        let owner = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "name": "web", "uid": uid, "controller": true,
        });
        let run = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [owner]},
            "spec": {"ttlStrategy": {"secondsAfterFailure": 0}},
        });
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn the_owner_is_the_one_that_made_the_run() {
        let caches = Caches::default();
        let metadata = json!({"name": "web", "namespace": "shop", "uid": "u"});
        let known = json!({"name": "web-1", "status": "Failed"});
        let rollout: Value = json!({
            "metadata": metadata, "spec": {},
            "status": {"canary": {"currentStepAnalysisRunStatus": known}},
        });
        let experiment: Value = json!({
            "metadata": metadata, "spec": {},
            "status": {"analysisRuns": [{"name": "a", "analysisRun": "web-1", "phase": "Running"}]},
        });
        assert_eq!(told(&caches, &run("Rollout", "u")), Told::Unnamed);
        let rollout: Decoded<Rollout> = serde_json::from_value(rollout).unwrap();
        caches.rollouts.show(rollout);
        let experiment: Decoded<Experiment> = serde_json::from_value(experiment).unwrap();
        caches.experiments.show(experiment);
        let named = |phase| Told::Named(Some(phase));
        assert_eq!(
            told(&caches, &run("Rollout", "u")),
            named(AnalysisPhase::Failed)
        );
        assert_eq!(
            told(&caches, &run("Experiment", "u")),
            named(AnalysisPhase::Running)
        );
        assert_eq!(told(&caches, &run("Rollout", "another")), Told::Unnamed);
        assert_eq!(told(&caches, &run("Deployment", "u")), Told::NoOwner);
    }
}
