//! Jobs elsewhere that outlived their runs.
//!
//! In: the Jobs that this cluster's runs made where no garbage collector ends them. Out: those are deleted whose run is gone,
//! or over: the agent may have died, or the other cluster have hung, when they were to end. It must not touch a Job of
//! another cluster's run, nor take a question without an answer for a run that is gone.

use std::sync::Arc;
use std::time::Duration;

use agent_api::{AnalysisPhase, AnalysisRun, Job};
use agent_providers::job::{
    ANNOTATION_NAMESPACE, ANNOTATION_RUN, LABEL_CLUSTER, LABEL_RUN_UID, Standing, standing,
};
use kube::api::{ApiResource, DynamicObject, ListParams, ObjectMeta};
use kube::{Api, Client};

use super::{Error, Jobs, TIMEOUT};
use crate::key::ObjectKey;

/// Between two sweeps: what is left over is rare, and costs a pod's place.
const EVERY: Duration = Duration::from_secs(1_800);
/// Jobs in one answer.
const PAGE: u32 = 250;

/// Ends what is left over.
pub struct Sweep {
    jobs: Arc<Jobs>,
    /// The cluster of the runs.
    runs: Client,
    cluster: String,
}

impl Sweep {
    /// None where the garbage collector does it, or where Jobs do not bear whose they are.
    #[must_use]
    pub fn of(jobs: &Arc<Jobs>, runs: Client) -> Option<Self> {
        let cluster = jobs.cluster.clone()?;
        let elsewhere = jobs.watched.is_none();
        elsewhere.then(|| Self {
            jobs: Arc::clone(jobs),
            runs,
            cluster,
        })
    }

    /// At the start and from time to time, for ever.
    pub async fn keep(self) {
        loop {
            match self.once().await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(ended, "Jobs had outlived their runs"),
                Err(error) => {
                    tracing::warn!(%error, "cannot look for Jobs that outlived their runs")
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Returns how many it ended.
    async fn once(&self) -> Result<usize, Error> {
        let jobs = &self.jobs;
        let api: Api<Job> = match &jobs.namespace {
            Some(namespace) => Api::namespaced(jobs.client.clone(), namespace),
            None => Api::all(jobs.client.clone()),
        };
        let selector = format!("{LABEL_RUN_UID},{LABEL_CLUSTER}={}", self.cluster);
        let mut parameters = ListParams::default().labels(&selector).limit(PAGE);
        let mut ended = 0_usize;
        loop {
            let what = || "to list the Jobs of runs".to_owned();
            let page = tokio::time::timeout(TIMEOUT, api.list(&parameters)).await;
            let page = page.map_err(|_| Error::silent(what()))?;
            let page = page.map_err(|error| Error::of(what(), error))?;
            for job in page.items {
                if !matches!(standing(&job), Standing::Over(_)) && self.is_left(&job.metadata).await
                {
                    jobs.end(&ObjectKey::of(&job.metadata)).await?;
                    ended = ended.saturating_add(1);
                }
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(ended),
            }
        }
    }

    /// Its run is gone, or over; not when that cannot be asked.
    async fn is_left(&self, job: &ObjectMeta) -> bool {
        let label = job.labels.as_ref().and_then(|all| all.get(LABEL_RUN_UID));
        let annotation = |name| job.annotations.as_ref().and_then(|all| all.get(name));
        let (Some(uid), Some(namespace), Some(name)) = (
            label,
            annotation(ANNOTATION_NAMESPACE),
            annotation(ANNOTATION_RUN),
        ) else {
            return false;
        };
        let kind = ApiResource::erase::<AnalysisRun>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.runs.clone(), namespace, &kind);
        match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(None)) => true,
            Ok(Ok(Some(run))) => run.metadata.uid.as_ref() != Some(uid) || is_over(&run),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

fn is_over(run: &DynamicObject) -> bool {
    let phase = run.data.pointer("/status/phase").cloned();
    let phase: Option<AnalysisPhase> = phase.and_then(|phase| serde_json::from_value(phase).ok());
    phase.is_some_and(AnalysisPhase::is_completed)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use agent_api::Uid;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn job(name: &str, run: &str, status: Value) -> Value {
        json!({
            "metadata": {
                "name": name, "namespace": "jobs", "labels": {LABEL_RUN_UID: format!("uid-{run}"), LABEL_CLUSTER: "here"},
                "annotations": {ANNOTATION_RUN: run, ANNOTATION_NAMESPACE: "shop"},
            },
            "status": status,
        })
    }

    /// Both clusters in one; says what it deletes.
    fn answer(path: &str, query: &str) -> (u16, Value) {
        let run = |uid: &str, phase: &str| {
            (
                200,
                json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": {"uid": uid}, "status": {"phase": phase}}),
            )
        };
        let failed = |code: u16, reason: &str| {
            (
                code,
                json!({"kind": "Status", "code": code, "message": "", "reason": reason}),
            )
        };
        match path.rsplit('/').next().unwrap() {
            "jobs" if query.contains("continue=more") => (
                200,
                json!({"metadata": {}, "items": [
                    job("of-one-made-again", "again", json!({})),
                ]}),
            ),
            "jobs" => {
                assert!(query.contains("run-cluster%3Dhere"), "{query}");
                let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
                let mut strange = job("strange", "gone", json!({}));
                strange["metadata"]["annotations"] = json!({});
                (
                    200,
                    json!({"metadata": {"continue": "more"}, "items": [
                        job("of-one-gone", "gone", json!({"active": 1})), job("done", "gone", done), strange,
                        job("of-one-over", "over", json!({})), job("needed", "runs", json!({})), job("unknown", "secret", json!({})),
                    ]}),
                )
            }
            "runs" => run("uid-runs", "Running"),
            "over" => run("uid-over", "Failed"),
            "again" => run("another", "Running"),
            "gone" => failed(404, "NotFound"),
            _ => failed(403, "Forbidden"),
        }
    }

    #[tokio::test]
    async fn jobs_elsewhere_whose_run_is_gone_are_swept() {
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&deleted);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let uri = request.uri().clone();
            let (mut code, mut body) = answer(uri.path(), uri.query().unwrap_or_default());
            if request.method() == "DELETE" {
                let name = uri.path().rsplit('/').next().unwrap().to_owned();
                said.lock().unwrap().push(name);
                (code, body) = (200, json!({"kind": "Status", "status": "Success"}));
            }
            let body = Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body).unwrap();
            async move { Ok::<_, std::io::Error>(answer) }
        });
        let client = Client::new(service, "default");
        let elsewhere = |cluster: &str| {
            let jobs = Jobs::elsewhere(client.clone(), Some("jobs".to_owned()), false);
            Arc::new(jobs.of_cluster(&Uid::from(cluster)))
        };
        let unknown = Sweep::of(&elsewhere(""), client.clone());
        assert!(unknown.is_none(), "another cluster's may be among them");
        let sweep = Sweep::of(&elsewhere("here"), client.clone()).unwrap();
        assert_eq!(sweep.once().await.unwrap(), 3);
        let wanted = ["of-one-gone", "of-one-over", "of-one-made-again"];
        assert_eq!(*deleted.lock().unwrap(), wanted);
    }
}
