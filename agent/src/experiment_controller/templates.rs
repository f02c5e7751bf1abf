//! Analysis templates that the cache does not show.
//!
//! In: an Experiment that names them, the API server. Out: those that are there after all. It must not decide what a missing
//! one means.

use std::collections::BTreeSet;

use agent_api::{AnalysisPhase, AnalysisTemplate, AnalysisTemplateSpec, ClusterAnalysisTemplate};
use agent_engine::TemplateKey;
use agent_engine::experiment::Observed;
use kube::Api;

use super::ExperimentController;
use crate::apply::Error;

/// One that names more, nested ones too, is looked at as the cache shows it: no pass asks without end.
const TEMPLATES_MAX: usize = 50;

impl ExperimentController {
    /// A template may have come a moment ago, with the Experiment in one `apply`, and each kind has a watch of its own: that
    /// it is not there, which ends the Experiment for good, only the API server can say. What is there and cannot be decoded
    /// stays missing.
    pub(super) async fn look_for_templates(
        &self,
        observed: &mut Observed,
        namespace: &str,
    ) -> Result<(), Error> {
        let (mut wanted, mut seen) = (not_run(observed), BTreeSet::new());
        while let Some(key) = wanted.pop() {
            if seen.len() >= TEMPLATES_MAX || !seen.insert(key.clone()) {
                continue;
            }
            if !observed.templates.contains_key(&key)
                && self.caches.template(namespace, &key).is_none()
                && let Some(spec) = self.read_template(namespace, &key).await?
            {
                observed.templates.insert(key.clone(), spec);
            }
            let nested = observed.templates.get(&key).into_iter();
            wanted.extend(nested.flat_map(|spec| spec.templates.iter().map(TemplateKey::of)));
        }
        Ok(())
    }

    async fn read_template(
        &self,
        namespace: &str,
        key: &TemplateKey,
    ) -> Result<Option<AnalysisTemplateSpec>, Error> {
        let client = self.client.clone();
        let found = if key.cluster_scope {
            let api: Api<ClusterAnalysisTemplate> = Api::all(client);
            let found = api.get_opt(&key.name).await;
            found.map(|found| found.map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec)))
        } else {
            let api: Api<AnalysisTemplate> = Api::namespaced(client, namespace);
            let found = api.get_opt(&key.name).await;
            found.map(|found| found.map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec)))
        };
        match found {
            // An agent of one namespace may not read those of the cluster.
            Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(None),
            found => found.map_err(|source| Error::Template {
                template: key.to_string(),
                source: Box::new(source),
            }),
        }
    }
}

/// The templates of analyses that no run was made for yet, while something can come of them.
fn not_run(observed: &Observed) -> Vec<TemplateKey> {
    let status = observed.experiment.status.as_ref();
    let phase = status.and_then(|status| status.phase);
    if phase.is_some_and(AnalysisPhase::is_completed) {
        return Vec::new();
    }
    let made = |name: &str| {
        let mut runs = status.into_iter().flat_map(|status| &status.analysis_runs);
        runs.any(|run| run.name == name)
    };
    let analyses = observed.experiment.spec.analyses.iter();
    let wanted = analyses.filter(|analysis| !made(&analysis.name));
    wanted.map(TemplateKey::of_experiment).collect()
}
