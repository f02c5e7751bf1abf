//! `groundswell lint --live` against a fake of the Kubernetes API, which answers single GETs as the API's documentation says.
//! In: manifests and what the cluster has. Out: findings.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The content of a Secret; it must be in nothing that is printed.
const CANARY: &str = "Y2FuYXJ5LXNlY3JldA==";

const MANIFESTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
  strategy:
    blueGreen:
      activeService: web
      previewService: hidden
      prePromotionAnalysis:
        templates:
        - templateName: smoke
        - {templateName: nowhere}
        - {templateName: smokes}
        - {templateName: locked}
        - {templateName: latency, clusterScope: true}
      postPromotionAnalysis:
        templates:
        - {templateName: latency, clusterScope: true}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: keyed}
spec:
  args:
  - name: good
    valueFrom: {secretKeyRef: {name: keys, key: api}}
  - name: typo
    valueFrom: {secretKeyRef: {name: keys, key: apy}}
  - name: gone
    valueFrom: {secretKeyRef: {name: none, key: api}}
  metrics:
  - name: keyed
    successCondition: "true"
    provider: {web: {url: "http://x/{{args.good}}/{{args.typo}}/{{args.gone}}"}}
---
apiVersion: argoproj.io/v1alpha1
kind: Experiment
metadata: {name: both}
spec:
  templates: [{name: a, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}}]
  analyses: [{name: smoke, templateName: smoke}]
"#;

fn template(kind: &str, name: &str, argument: bool) -> Value {
    let args = if argument {
        json!([{"name": "service"}])
    } else {
        json!([])
    };
    let metric = json!({"name": name, "successCondition": "result[0] > 0", "provider": {"prometheus": {"query": "up"}}});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": name},
        "spec": {"metrics": [metric], "args": args},
    })
}

fn answer(path: &str) -> (u16, Value) {
    let group = "/apis/argoproj.io/v1alpha1";
    let status = |code: u16, reason: &str| {
        (
            code,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
        )
    };
    let served = ["Rollout", "AnalysisTemplate"].map(|kind| {
        json!({"name": kind, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]})
    });
    let found = match path.trim_start_matches(group) {
        "" => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "argoproj.io/v1alpha1",
            "resources": served.to_vec(),
        }),
        "/namespaces/shop/analysistemplates/smoke" => template("AnalysisTemplate", "smoke", false),
        "/clusteranalysistemplates/latency" => template("ClusterAnalysisTemplate", "latency", true),
        "/api/v1/namespaces/shop/secrets/keys" => {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"api": CANARY}})
        }
        "/api/v1/namespaces/shop/services/hidden" | "/namespaces/shop/analysistemplates/locked" => {
            return status(403, "Forbidden");
        }
        _ => return status(404, "NotFound"),
    };
    (200, found)
}

/// Serves as long as the test runs.
fn fake_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (code, body) = answer(path.split('?').next().unwrap());
            let body = body.to_string();
            write!(
                stream,
                "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    url
}

fn kubeconfig(folder: &Path, url: &str) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    });
    std::fs::write(folder.join("kubeconfig"), config.to_string()).unwrap();
}

fn lint(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_groundswell"))
        .args(["lint", "-f", "all.yaml", "--live"])
        .args(more)
        .current_dir(folder)
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("GROUNDSWELL_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        !out.contains("canary-secret") && !out.contains(CANARY),
        "{out}"
    );
    (output.status.code().unwrap(), out, err)
}

#[test]
fn what_the_cluster_lacks_is_found() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
    kubeconfig(folder.path(), &fake_api());
    let (code, out, err) = lint(folder.path(), &[]);
    let expected = [
        "all.yaml:12: spec.strategy.blueGreen.activeService: names the Service shop/web, which the cluster does not have: create it",
        "all.yaml:13: spec.strategy.blueGreen.previewService: warning: names the Service shop/hidden, and you may not look at it: not checked",
        "all.yaml:17: spec.strategy.blueGreen.prePromotionAnalysis.templates[1].templateName: names AnalysisTemplate/nowhere, which neither the files nor the cluster has: create it",
        "all.yaml:18: spec.strategy.blueGreen.prePromotionAnalysis.templates[2].templateName: names AnalysisTemplate/smokes, which neither the files nor the cluster has: did you mean smoke?",
        "all.yaml:19: spec.strategy.blueGreen.prePromotionAnalysis.templates[3].templateName: warning: names AnalysisTemplate/locked, which is not among the files, and you may not look at it: not checked",
        "all.yaml:21: spec.strategy.blueGreen.postPromotionAnalysis: argument \"service\" has no value: give it one in the analysis or in the template",
        "all.yaml:33: spec.args[1].valueFrom.secretKeyRef.key: names the key \"apy\", which the Secret shop/keys does not have: it has api",
        "all.yaml:35: spec.args[2].valueFrom.secretKeyRef.name: names the Secret shop/none, which the cluster does not have: create it",
        "all.yaml:42: kind: is Experiment, which the cluster does not serve: install the CustomResourceDefinitions",
        "3 documents checked: 7 errors, 2 warnings",
    ];
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn without_a_cluster_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
    for (url, more, part) in [
        (None, &[][..], "no cluster can be looked at"),
        (
            Some("http://127.0.0.1:1"),
            &[],
            "127.0.0.1:1/ does not answer",
        ),
        (Some("http://127.0.0.1:1"), &["--context", "there"], "there"),
    ] {
        if let Some(url) = url {
            kubeconfig(folder.path(), url);
        }
        let (code, out, err) = lint(folder.path(), more);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(
            err.contains(part) && err.contains("leave out --live"),
            "{err}"
        );
    }
}
