//! `groundswell lint --live` before a real API server. In: documents, a namespace that has some of what they name. Out: what is
//! missing is said, line by line, and nothing of a Secret's content; once it is there, nothing is.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::shop::Shop;
use tests_fleet::programs;

const NAMESPACE: &str = "linted";
/// The content of a Secret, which nobody may print.
const CONTENT: &str = "canary-of-lint";

const DOCUMENTS: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web, namespace: linted}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
  strategy:
    canary:
      stableService: checkout
      canaryService: checkout-canary
      steps:
      - setWeight: 20
      - analysis:
          templates:
          - templateName: linted-here
          - {templateName: linted-everywhere, clusterScope: true}
          - templateName: absent
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: keyed, namespace: linted}
spec:
  args:
  - name: good
    valueFrom: {secretKeyRef: {name: keys, key: api}}
  - name: later
    valueFrom: {secretKeyRef: {name: keys, key: later}}
  metrics:
  - name: keyed
    successCondition: result == 1
    provider: {web: {url: 'http://x/{{args.good}}/{{args.later}}'}}
";

/// Status and lines of the command, asking with the cluster's kubeconfig.
fn lint(file: &Path, kubeconfig: &Path) -> (Option<i32>, Vec<String>) {
    let program = programs::program("groundswell").expect("the command");
    let output = Command::new(program)
        .args(["lint", "--live", "-f"])
        .arg(file)
        .env("KUBECONFIG", kubeconfig)
        .env_remove("GROUNDSWELL_CONFIG")
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(!format!("{out}{error}").contains(CONTENT), "{out}{error}");
    assert_eq!(error, "");
    let lines = out.lines().map(|line| match line.split_once("yaml:") {
        Some((_, finding)) => finding.to_owned(),
        None => line.to_owned(),
    });
    (output.status.code(), lines.collect())
}

async fn template(shop: &Shop, kind: &str, name: &str) {
    let provider = json!({"prometheus": {"query": "vector(1)"}});
    let metric = json!({"name": name, "count": 1, "successCondition": "result[0] == 1", "provider": provider});
    let mut manifest = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"metrics": [metric]},
    });
    if kind == "ClusterAnalysisTemplate" {
        let metadata = manifest["metadata"].as_object_mut();
        metadata.and_then(|metadata| metadata.remove("namespace"));
    }
    shop.apply(&manifest).await.expect("a template");
}

async fn secret(shop: &Shop, data: Value) {
    shop.apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "keys", "namespace": NAMESPACE}, "stringData": data,
    }))
    .await
    .expect("a Secret");
}

#[tokio::test]
async fn what_a_real_cluster_lacks_is_said_until_it_is_there() {
    let (shared, shop) = Shared::with(NAMESPACE).await.expect("a namespace");
    template(&shop, "AnalysisTemplate", "linted-here").await;
    template(&shop, "ClusterAnalysisTemplate", "linted-everywhere").await;
    secret(&shop, json!({"api": CONTENT})).await;
    let folder = shared.run().folder("lint").expect("a folder");
    let file = folder.join("all.yaml");
    std::fs::write(&file, DOCUMENTS).expect("written");
    let kubeconfig = shared.cluster().expect("it").kubeconfig();
    let (code, lines) = lint(&file, &kubeconfig);
    let expected = [
        "12: spec.strategy.canary.canaryService: names the Service linted/checkout-canary, which the cluster does not have: create it",
        "19: spec.strategy.canary.steps[1].analysis.templates[2].templateName: names AnalysisTemplate/absent, which neither the files nor the cluster has: create it",
        "29: spec.args[1].valueFrom.secretKeyRef.key: names the key \"later\", which the Secret linted/keys does not have: it has api",
        "2 documents checked: 3 errors",
    ];
    assert_eq!(
        (code, lines),
        (Some(1), expected.map(str::to_owned).to_vec())
    );

    shop.service("checkout-canary").await.expect("a Service");
    template(&shop, "AnalysisTemplate", "absent").await;
    secret(&shop, json!({"api": CONTENT, "later": CONTENT})).await;
    let (code, lines) = lint(&file, &kubeconfig);
    assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");
    shared.check().await.expect("no fault");
}
