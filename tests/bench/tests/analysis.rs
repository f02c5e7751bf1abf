//! A server that hangs or drips delays no other: beside runs that are stuck, as many as there are good ones and more than
//! any small number of slots, the good ones go on at their intervals. How late they are is the benchmark's to say.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kube::api::Api;
use tests_bench::analysis::lateness::Book;
use tests_bench::analysis::manifest::{self, Sort};
use tests_bench::analysis::server::Servers;
use tests_bench::analysis::{Story, Teller, kind};
use tests_bench::bed::{Bed, Rights};
use tests_bench::command::command;
use tests_bench::manifest::NAMESPACE;
use tests_fleet::{Process, RunDir, eventually, programs};

/// Good runs.
const RUNS: usize = 40;
/// Runs of each stuck sort, two requests each.
const STUCK: usize = 40;
/// Measurements of every metric while others are stuck.
const MORE: u32 = 5;
/// Far less than stuck requests last, far more than the measurements take.
const SOON: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_server_that_hangs_or_drips_delays_no_other() {
    tests_fleet::init();
    let run = RunDir::temporary("analysis").expect("a folder");
    let bed = Bed::up(&run, Rights::Shipped).await.expect("a cluster");
    let story = Story {
        command: format!(
            "{} --kubeconfig {{kubeconfig}} --leader-elect=false --metricsPort {{port}} --healthzPort {{port}} --analysis-allow-loopback",
            programs::program("groundswell-agent")
                .expect("built")
                .display()
        ),
        runs: RUNS,
        stuck: STUCK,
        interval: Duration::from_secs(1),
        window: Duration::ZERO,
    };
    let command = command(&story.command, &bed.kubeconfig()).expect("a command");
    let mut agent = Process::spawn(&run, "agent", command).expect("started");
    let book = Book::new(RUNS, story.interval);
    let client = bed.cluster().client().await.expect("a client");
    let teller = Teller {
        api: Api::namespaced_with(client, NAMESPACE, &kind()),
        servers: Servers::start(book.clone()).await.expect("servers"),
        book: book.clone(),
        story: &story,
    };
    teller.warm_up().await.expect("measured");
    teller.get_stuck().await.expect("stuck");
    // All of them are, at the same time: nothing waits for one of them to end.
    let all = (STUCK * manifest::METRICS, STUCK * manifest::METRICS);
    eventually("every stuck request has been sent", SOON, async || {
        let stuck = teller.servers.stuck();
        if stuck == all {
            Ok(())
        } else {
            Err(format!("{stuck:?}"))
        }
    })
    .await
    .expect("sent");
    let goal = book.most() + MORE;
    eventually("good runs go on", SOON, async || {
        match book.colder_than(goal) {
            0 => Ok(()),
            behind => Err(format!("{behind} metrics were not measured so often")),
        }
    })
    .await
    .expect("measured");
    assert_eq!(teller.servers.stuck(), all, "nobody gave up meanwhile");
    in_the_status(&teller).await;
    agent.must_run().expect("it runs");
    assert!(!agent.log().contains("Forbidden"), "{}", agent.log());
    agent.stop().await.expect("stopped");
}

/// With little to do measurements are written soon, and a run whose server hangs is shown as it is: begun.
async fn in_the_status(teller: &Teller<'_>) {
    let name = manifest::name(Sort::Good, 0);
    eventually("measurements are in the status", SOON, async || {
        let found = teller.api.get(&name).await;
        let run = found.map_err(|error| error.to_string())?;
        let counted = (0..manifest::METRICS).all(|metric| {
            let count = run
                .data
                .pointer(&format!("/status/metricResults/{metric}/count"));
            count
                .and_then(serde_json::Value::as_u64)
                .is_some_and(|count| count >= 3)
        });
        if counted {
            Ok(())
        } else {
            Err(run.data.to_string())
        }
    })
    .await
    .expect("written");
    let hangs = teller.api.get(&manifest::name(Sort::Silent, 0)).await;
    let hangs = hangs.expect("read").data;
    let phase = hangs.pointer("/status/phase");
    assert_eq!(phase.and_then(serde_json::Value::as_str), Some("Running"));
}
