//! The Job provider: a Job whose exit is the measurement.
//!
//! In: the metric, the run. Out: the Job to create, and what a Job and its pods say. It must not ask the API server.
//!
//! Sources: the documentation of Job metrics of Argo Rollouts 1.10 (outcomes, names, labels), `batch/v1` (conditions).

use agent_api::provider::JobMetric;
use agent_api::{AnalysisPhase, Job};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::judge::Judgement;

/// Label with the UID of the run; what Jobs of runs are watched by.
pub const LABEL_RUN_UID: &str = "analysisrun.argoproj.io/uid";
/// Annotation with the name of the run.
pub const ANNOTATION_RUN: &str = "analysisrun.argoproj.io/name";
/// Annotation with the name of the metric.
pub const ANNOTATION_METRIC: &str = "analysisrun.argoproj.io/metric-name";
/// Label with the cluster that the run is in, on a Job that no run owns: the UID of that cluster's kube-system. Several
/// clusters may have their Jobs in one.
pub const LABEL_CLUSTER: &str = "fleet.groundswell.dev/run-cluster";
/// Annotation with the run's namespace, on a Job that no run owns.
pub const ANNOTATION_NAMESPACE: &str = "fleet.groundswell.dev/run-namespace";
/// Where a measurement names its Job.
pub const MEMORY_NAME: &str = "job-name";
/// Where a measurement names the Job's namespace.
pub const MEMORY_NAMESPACE: &str = "job-namespace";
/// Longest name: it becomes a label of the pods.
const MAX_NAME: usize = 63;
/// What a pod waits for that will not come by itself.
const STUCK: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
];

/// Why there is no Job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The metric has no spec.
    #[error("metric {0:?} has a job without a spec: give it one, with a pod template")]
    NoSpec(String),
}

/// Whose Job it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where the Job is.
    pub namespace: String,
    /// The run's name.
    pub run: String,
    /// The run's namespace.
    pub run_namespace: String,
    /// The UID of the run's cluster, where it is known.
    pub cluster: Option<String>,
    /// The run's UID.
    pub uid: String,
    /// The metric's name.
    pub metric: String,
    /// Which measurement of the metric, from 1.
    pub number: i64,
    /// The run can own the Job: it is in the same cluster and namespace.
    pub owned: bool,
}

impl Place {
    /// `<uid>.<metric>.<number>`, the same for the same measurement, whoever asks. The metric's part is written in the
    /// letters of names and cut to fit.
    #[must_use]
    pub fn name(&self) -> String {
        let (before, after) = (format!("{}.", self.uid), format!(".{}", self.number));
        let all = MAX_NAME.saturating_sub(before.len().saturating_add(after.len()));
        let letter = |letter: char| match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        };
        let metric: String = self.metric.chars().map(letter).collect();
        if metric == self.metric && metric.len() <= all && metric.trim_matches('-') == metric {
            return format!("{before}{metric}{after}");
        }
        // Two metrics must not come to one Job by what is cut off or replaced.
        let digest = Sha256::digest(self.metric.as_bytes());
        let hash: String = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let room = all.saturating_sub(hash.len().saturating_add(1));
        let cut: String = metric.chars().take(room).collect();
        match cut.trim_matches('-') {
            "" => format!("{before}{hash}{after}"),
            metric => format!("{before}{metric}-{hash}{after}"),
        }
    }
}

/// The Job of a measurement. Where the template leaves them out, pods are not restarted, and a Job that no run owns is
/// deleted a day after its end.
pub fn manifest(metric: &JobMetric, place: &Place) -> Result<Value, Error> {
    let spec = metric.spec.as_ref().filter(|spec| spec.is_object());
    let mut spec = spec
        .ok_or_else(|| Error::NoSpec(place.metric.clone()))?
        .clone();
    if let Some(pod) = spec
        .pointer_mut("/template/spec")
        .and_then(Value::as_object_mut)
    {
        pod.entry("restartPolicy").or_insert(json!("Never"));
    }
    if let (false, Some(spec)) = (place.owned, spec.as_object_mut()) {
        spec.entry("ttlSecondsAfterFinished")
            .or_insert(json!(86_400));
    }
    let (mut labels, mut annotations) = metric
        .metadata
        .as_ref()
        .map(|metadata| (metadata.labels.clone(), metadata.annotations.clone()))
        .unwrap_or_default();
    labels.insert(LABEL_RUN_UID.to_owned(), place.uid.clone());
    annotations.insert(ANNOTATION_RUN.to_owned(), place.run.clone());
    annotations.insert(ANNOTATION_METRIC.to_owned(), place.metric.clone());
    if let (false, Some(cluster)) = (place.owned, &place.cluster) {
        labels.insert(LABEL_CLUSTER.to_owned(), cluster.clone());
        annotations.insert(ANNOTATION_NAMESPACE.to_owned(), place.run_namespace.clone());
    }
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": place.name(),
            "namespace": place.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    });
    if let (true, Some(metadata)) = (
        place.owned,
        job.pointer_mut("/metadata").and_then(Value::as_object_mut),
    ) {
        let owner = json!([{
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisRun",
            "name": place.run,
            "uid": place.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        metadata.insert("ownerReferences".to_owned(), owner);
    }
    Ok(job)
}

/// How a Job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is over.
    Over(Judgement),
    /// All its pods run.
    Runs,
    /// Pods are still to come up, or to be made.
    ComesUp,
}

/// What a Job says. A suspended one waits like any other.
#[must_use]
pub fn standing(job: &Job) -> Standing {
    let over = |phase, message| Standing::Over(Judgement { phase, message });
    let status = job.status.as_ref();
    let name = || job.metadata.name.as_deref().unwrap_or_default();
    for condition in status.into_iter().flat_map(|status| &status.conditions) {
        if condition.status != "True" {
            continue;
        }
        let why = [&condition.reason, &condition.message];
        let why: Vec<&str> = why.iter().filter_map(|text| text.as_deref()).collect();
        match condition.r#type.as_str() {
            "Complete" => return over(AnalysisPhase::Successful, None),
            "Failed" => {
                let message = format!("job {:?} failed: {}", name(), why.join(": "));
                return over(AnalysisPhase::Failed, Some(message));
            }
            _other => {}
        }
    }
    if job.metadata.deletion_timestamp.is_some() {
        return over(AnalysisPhase::Error, Some(deleted(name())));
    }
    let count = |of: fn(&agent_api::JobStatus) -> Option<i32>| status.and_then(of).unwrap_or(0);
    let (active, ready) = (count(|status| status.active), count(|status| status.ready));
    if active > 0 && ready >= active {
        Standing::Runs
    } else {
        Standing::ComesUp
    }
}

/// The message for a Job that somebody deleted.
#[must_use]
pub fn deleted(name: &str) -> String {
    format!("job {name:?} was deleted before it was over: look for who does that")
}

/// What the pods of a Job that comes up say: one that waits for what will not come makes the measurement inconclusive,
/// without waiting for the Job's deadline.
#[must_use]
pub fn stuck(pods: &[Value]) -> Option<Judgement> {
    let of = |pod: &Value, field: &str| {
        let statuses = pod.pointer(field).and_then(Value::as_array);
        statuses.cloned().unwrap_or_default()
    };
    for pod in pods {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str);
        let mut containers = of(pod, "/status/initContainerStatuses");
        containers.extend(of(pod, "/status/containerStatuses"));
        for container in containers {
            let text = |path: &str| {
                container
                    .pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or("")
            };
            let reason = text("/state/waiting/reason");
            if STUCK.contains(&reason) {
                return Some(Judgement {
                    phase: AnalysisPhase::Inconclusive,
                    message: Some(format!(
                        "pod {:?} of the job cannot start, container {:?}: {reason}: {}",
                        name.unwrap_or_default(),
                        text("/name"),
                        text("/state/waiting/message")
                    )),
                });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            namespace: "shop".to_owned(),
            run: "web-1".to_owned(),
            run_namespace: "shop".to_owned(),
            cluster: Some("cluster".to_owned()),
            uid: "0b3f2a10-7d6e-4f5a-9c1b-2e3d4f5a6b7c".to_owned(),
            metric: "Smoke_test".to_owned(),
            number: 3,
            owned: true,
        }
    }

    #[test]
    fn names_fit_and_are_each_metrics_own() {
        let mut place = place();
        let uid = place.uid.clone();
        place.metric = "smoke-test".to_owned();
        assert_eq!(place.name(), format!("{uid}.smoke-test.3"));
        let mut names = std::collections::BTreeSet::new();
        let long = "x".repeat(80);
        let others = [
            "Smoke_test",
            "smoke_test",
            "smoke.test",
            "__é",
            "--",
            "-a",
            "a",
        ];
        for metric in others
            .into_iter()
            .map(str::to_owned)
            .chain([format!("{long}1"), format!("{long}2")])
        {
            place.metric.clone_from(&metric);
            let name = place.name();
            assert!(name.len() <= MAX_NAME, "{name}");
            assert!(!name.contains(".-") && !name.contains("-."), "{name}");
            assert!(names.insert(name), "{metric} has the Job of another");
        }
        place.number = 1_000;
        assert!(place.name().ends_with(".1000"));
    }

    #[test]
    fn a_job_carries_its_run() {
        let metric: JobMetric = serde_json::from_value(json!({
            "metadata": {"labels": {"a": "b", LABEL_RUN_UID: "x"}, "annotations": {"c": "d"}},
            "spec": {"backoffLimit": 1, "template": {"spec": {"containers": [{"name": "t", "odd": 1}]}}},
        }))
        .unwrap();
        let job = manifest(&metric, &place()).unwrap();
        assert_eq!(
            job["metadata"]["labels"],
            json!({"a": "b", LABEL_RUN_UID: place().uid})
        );
        assert_eq!(
            job["metadata"]["annotations"],
            json!({"c": "d", ANNOTATION_RUN: "web-1", ANNOTATION_METRIC: "Smoke_test"})
        );
        assert_eq!(
            job["metadata"]["ownerReferences"][0]["uid"],
            json!(place().uid)
        );
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["containers"][0]["odd"], 1);
        assert_eq!(job["spec"].get("ttlSecondsAfterFinished"), None);

        let elsewhere = Place {
            owned: false,
            ..place()
        };
        let job = manifest(&metric, &elsewhere).unwrap();
        assert_eq!(job["metadata"].get("ownerReferences"), None);
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 86_400);
        assert_eq!(job["metadata"]["labels"][LABEL_CLUSTER], "cluster");
        assert_eq!(job["metadata"]["annotations"][ANNOTATION_NAMESPACE], "shop");
        let error = manifest(&JobMetric::default(), &place()).unwrap_err();
        assert_eq!(error, Error::NoSpec("Smoke_test".to_owned()));
    }

    fn check(job: Value, expected: &str) {
        let job = serde_json::from_value(job).unwrap();
        let said = match standing(&job) {
            Standing::Over(judgement) => {
                format!(
                    "{} {}",
                    judgement.phase,
                    judgement.message.unwrap_or_default()
                )
            }
            Standing::Runs => "Runs".to_owned(),
            Standing::ComesUp => "ComesUp".to_owned(),
        };
        assert_eq!(said.trim(), expected);
    }

    #[test]
    fn what_a_job_says() {
        let ended = |kind: &str, status: &str| {
            json!({"metadata": {"name": "j"}, "status": {"conditions": [
                {"type": "Suspended", "status": "False"},
                {"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "too often"},
            ]}})
        };
        check(ended("Complete", "True"), "Successful");
        check(
            ended("Failed", "True"),
            "Failed job \"j\" failed: BackoffLimitExceeded: too often",
        );
        for (kind, status) in [
            ("Failed", "False"),
            ("FailureTarget", "True"),
            ("Suspended", "True"),
        ] {
            check(ended(kind, status), "ComesUp");
        }
        check(json!({"metadata": {"name": "j"}}), "ComesUp");
        check(
            json!({"metadata": {}, "status": {"active": 2, "ready": 1}}),
            "ComesUp",
        );
        check(
            json!({"metadata": {}, "status": {"active": 2, "ready": 2}}),
            "Runs",
        );
        let leaving =
            json!({"metadata": {"name": "j", "deletionTimestamp": "2026-01-02T03:04:05Z"}});
        check(
            leaving,
            "Error job \"j\" was deleted before it was over: look for who does that",
        );
    }

    #[test]
    fn a_pod_that_cannot_start_is_inconclusive() {
        let pod = |field: &str, reason: &str| {
            json!({"metadata": {"name": "p"}, "status": {
                field: [{"name": "c", "state": {"waiting": {"reason": reason, "message": "no such image"}}}],
            }})
        };
        for reason in STUCK {
            for field in ["containerStatuses", "initContainerStatuses"] {
                let judgement = stuck(&[pod("x", ""), pod(field, reason)]).unwrap();
                assert_eq!(judgement.phase, AnalysisPhase::Inconclusive);
                let message = judgement.message.unwrap();
                assert!(
                    message.contains(reason) && message.contains("no such image"),
                    "{message}"
                );
            }
        }
        for reason in ["ContainerCreating", "PodInitializing", "CrashLoopBackOff"] {
            assert_eq!(stuck(&[pod("containerStatuses", reason)]), None, "{reason}");
        }
    }
}
