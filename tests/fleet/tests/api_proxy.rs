//! The API proxy before a real API server. In: one sandbox cluster, writes and a watch through the proxy. Out: what was
//! counted, what arrived, and who was killed on which side of a write.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use tests_fleet::kubeconfig::{self, Server};
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::{Process, RunDir, Sandbox};

const SOON: Duration = Duration::from_secs(10);

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("a".into(), "b".into())])),
        ..ConfigMap::default()
    }
}

fn victim(run: &RunDir, name: &str) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec tail -f /dev/null"]);
    Process::spawn(run, name, command).expect("a victim")
}

/// A client that goes through the proxy with the administrator's token.
async fn through(run: &RunDir, proxy: &ApiProxy, sandbox: &Sandbox) -> Api<ConfigMap> {
    let cluster = sandbox.cluster("one").expect("the cluster");
    let token = kubeconfig::token(&cluster.kubeconfig()).expect("a token");
    let path = run.join("through.kubeconfig");
    let server = Server {
        url: proxy.url().to_owned(),
        ca: None,
    };
    kubeconfig::write(&path, &server, &token).expect("written");
    Api::default_namespaced(kubeconfig::client(&path).await.expect("a client"))
}

#[tokio::test]
async fn writes_are_counted_and_a_writer_is_killed_on_either_side() {
    tests_fleet::init();
    let run = RunDir::temporary("api-proxy").expect("a folder");
    let sandbox = Sandbox::up(&run, &["one"]).await.expect("a cluster");
    let cluster = sandbox.cluster("one").expect("the cluster");
    let server = kubeconfig::server(&cluster.kubeconfig()).expect("a server");
    let proxy = ApiProxy::start(&server, &["/leases"])
        .await
        .expect("a proxy");
    let maps = through(&run, &proxy, &sandbox).await;
    let create = async |name: &str| maps.create(&PostParams::default(), &map(name)).await;

    // A watch streams through while writes are made.
    let list = maps.list(&Default::default()).await.expect("a list");
    let version = list.metadata.resource_version.unwrap_or_default();
    let watch = maps
        .watch(&WatchParams::default(), &version)
        .await
        .expect("a watch");
    let mut watch = watch.boxed();
    create("first").await.expect("created");
    let seen = tokio::time::timeout(SOON, watch.try_next())
        .await
        .expect("in time")
        .expect("an event");
    assert!(
        matches!(seen, Some(WatchEvent::Added(map)) if map.metadata.name.as_deref() == Some("first"))
    );
    assert_eq!(proxy.trigger().count(), 1);
    let written: Vec<String> = proxy
        .writes()
        .into_iter()
        .map(|write| write.verb + " " + &write.path)
        .collect();
    assert_eq!(written, ["POST /api/v1/namespaces/default/configmaps"]);

    // After the reply: the server has it, the writer never hears so.
    let mut after = victim(&run, "after");
    proxy.trigger().arm(Some(KillPoint {
        number: 2,
        moment: Moment::AfterReply,
        pid: after.pid(),
    }));
    create("second")
        .await
        .expect("the first write after arming passes");
    create("third").await.expect_err("cut off");
    after.killed(SOON).await.expect("killed");
    create("fourth")
        .await
        .expect_err("nothing of the dead writer arrives");
    proxy.trigger().release();
    assert!(maps.get_opt("third").await.expect("asked").is_some());
    assert!(maps.get_opt("fourth").await.expect("asked").is_none());

    // Before it is forwarded: the server never hears of it.
    let mut before = victim(&run, "before");
    proxy.trigger().arm(Some(KillPoint {
        number: 1,
        moment: Moment::BeforeForward,
        pid: before.pid(),
    }));
    create("fifth").await.expect_err("cut off");
    proxy.trigger().struck(SOON).await.expect("struck");
    before.killed(SOON).await.expect("killed");
    proxy.trigger().release();
    assert!(maps.get_opt("fifth").await.expect("asked").is_none());
    create("fifth").await.expect("the next life goes on");
}
