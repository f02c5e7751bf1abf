//! What is in Git and what is applied to the hub. In: a cluster and a version. Out: YAML, as a team would write it. Argo
//! Rollouts would take these manifests as they are.

use jiff::{SignedDuration, Timestamp};

use crate::scenario::{
    APPROVED, BAKE, CLUSTERS, FIRST_PAUSE, FREEZE, MEASURE_EVERY, MEASUREMENTS, NAME, NAMESPACE,
    REPLICAS, SECOND_PAUSE, Version,
};

/// One.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The files of a push, all clusters at once.
pub fn push(version: Version) -> Vec<(String, String)> {
    CLUSTERS
        .iter()
        .map(|cluster| (format!("{cluster}/{NAME}.yaml"), service(cluster, version)))
        .collect()
}

/// The labels that a cluster joins with.
pub fn labels(cluster: &str) -> Vec<String> {
    let (tier, region) = cluster.split_once('-').unwrap_or((cluster, "lab"));
    vec![format!("tier={tier}"), format!("region={region}")]
}

/// The service in one cluster.
pub fn service(cluster: &str, version: Version) -> String {
    [entrance(), analysis(), rollout(cluster, version)].join("---\n")
}

fn entrance() -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
---
apiVersion: v1
kind: Service
metadata:
  name: {NAME}
  namespace: {NAMESPACE}
spec:
  selector: {{app: {NAME}}}
  ports:
  - name: http
    port: 80
    targetPort: http
"
    )
}

fn analysis() -> String {
    let every = MEASURE_EVERY.as_secs();
    let requests = r#"http_requests_total{cluster="{{args.cluster}}",version="{{args.version}}""#;
    format!(
        r#"apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: success-rate
  namespace: {NAMESPACE}
spec:
  args:
  - name: cluster
  - name: version
  metrics:
  - name: success-rate
    interval: {every}s
    count: {MEASUREMENTS}
    failureLimit: 0
    successCondition: result[0] >= 0.95
    provider:
      prometheus:
        query: |
          sum({requests},code="200"}})
          / sum({requests}}})
"#
    )
}

fn rollout(cluster: &str, version: Version) -> String {
    let error_rate = version.error_rate(cluster);
    let (first, second) = (FIRST_PAUSE.as_secs(), SECOND_PAUSE.as_secs());
    format!(
        r#"apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: {NAME}
  namespace: {NAMESPACE}
spec:
  replicas: {REPLICAS}
  selector:
    matchLabels: {{app: {NAME}}}
  strategy:
    canary:
      maxSurge: 1
      maxUnavailable: 0
      steps:
      - setWeight: 20
      - pause: {{duration: {first}s}}
      - analysis:
          templates:
          - templateName: success-rate
          args:
          - name: cluster
            value: {cluster}
          - name: version
            value: {version}
      - setWeight: 60
      - pause: {{duration: {second}s}}
  template:
    metadata:
      labels: {{app: {NAME}}}
    spec:
      containers:
      - name: {NAME}
        image: demo:{version}
        env:
        - name: ERROR_RATE
          value: "{error_rate}"
        ports:
        - name: http
          containerPort: 8080
        readinessProbe:
          httpGet: {{path: /healthz, port: http}}
          periodSeconds: 1
"#
    )
}

/// What is applied to the hub.
pub fn documents(now: Timestamp) -> String {
    [fleet_rollout(), fleet_window(now)].join("---\n")
}

/// Whatever is released on this day, clusters with this label wait.
fn fleet_window(now: Timestamp) -> String {
    // Until noon of tomorrow, so that a story around midnight is frozen, too.
    let tomorrow = now.saturating_add(DAY).unwrap_or(now);
    let (day, until) = (now.strftime("%Y-%m-%d"), tomorrow.strftime("%Y-%m-%d"));
    let (key, value) = FREEZE.split_once('=').unwrap_or((FREEZE, ""));
    format!(
        "apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetWindow
metadata:
  name: {value}
spec:
  clusters: {{matchLabels: {{{key}: {value}}}}}
  freezes:
  - {{from: {day}T00:00:00Z, to: {until}T12:00:00Z, reason: nothing changes during a {value}}}
"
    )
}

/// The intent: which clusters, in which waves.
fn fleet_rollout() -> String {
    let bake = BAKE.as_secs();
    let waves: String = CLUSTERS
        .iter()
        .map(|cluster| {
            let labels: Vec<String> = labels(cluster).iter().map(|label| label.replace('=', ": ")).collect();
            let approval = if *cluster == APPROVED {
                "    approval: {before: {required: 1, groups: [sre]}}\n"
            } else {
                ""
            };
            let labels = labels.join(", ");
            format!("  - name: {cluster}\n    clusters: {{matchLabels: {{{labels}}}}}\n{approval}    bake: {bake}s\n")
        })
        .collect();
    format!(
        "apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata:
  name: {NAME}
spec:
  rollout: {{namespace: {NAMESPACE}, name: {NAME}}}
  enforcement: Enforce
  waves:
{waves}  onFailure: {{action: Rollback, scope: Touched}}
  progressDeadline: 2m
  onHubLoss: Finish
"
    )
}
