//! How long one decision takes over many clusters: reading, engine and audit, writing; and how much memory. In: how many clusters, targets that
//! change before each decision, decisions. Out: a table. It must not judge: a machine is as fast as it is.
//!
//! `cargo run --release -p hub-store --example decisions -- 10000 100 30`

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement ends where something is wrong, and prints what it measured"
)]

use std::time::Duration;

use hub_engine::FleetRolloutName;
use hub_store::decide::{Decided, Took};
use hub_store::embedded::Embedded;
use hub_store::{PermitSigner, Store, UnsignedPermit};
use sqlx::postgres::PgPool;

/// The hub's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longer than it takes.
const LEASE: Duration = Duration::from_secs(3_600);

const CLUSTERS: &str = "insert into clusters (name, labels, kube_system_uid, joined_at) \
     select 'cluster-' || lpad(n::text, 6, '0'), jsonb_build_object('tier', 'prod', 'region', 'r' || n % 7), 'uid', now() \
     from generate_series(1, $1) as n";
const SETS: &str = "insert into cluster_sets (cluster, incarnation) select name, 1 from clusters";
const SESSIONS: &str = "insert into cluster_sessions (cluster, open, last_seen_at) select name, true, now() from clusters";
const ROLLOUTS: &str = "insert into rollouts (cluster, namespace, rollout, session, sequence, state) \
     select name, 'shop', 'checkout', 1, 1, jsonb_build_object('uid', name, 'served', 'v1:old', 'served_delivery', 'v1:steps', \
     'kept', jsonb_build_array('v1:old'), 'healthy', jsonb_build_array('v1:old'), 'phase', 'Healthy', 'steps', 5, \
     'lease_live', true, 'spec', jsonb_build_object('digest', 'v1:old', 'delivery', 'v1:steps', 'revision', 'aaaa', \
     'images', jsonb_build_array('registry.example.com/shop/checkout:1'), 'generation', 1)) from clusters";
/// Every agent holds new content.
const HELD: &str = "update rollouts set state = state || jsonb_build_object('held', 'v1:new', 'phase', 'Paused', \
     'message', 'waiting for its wave', 'kept', jsonb_build_array('v1:old', 'v1:new'), 'spec', \
     jsonb_build_object('digest', 'v1:new', 'delivery', 'v1:steps', 'revision', 'bbbb', \
     'images', jsonb_build_array('registry.example.com/shop/checkout:2'), 'generation', 2))";
const CHANGE: &str = "insert into changes (cluster, namespace, rollout, was, now, session, sequence) \
     select cluster, namespace, rollout, jsonb_set(jsonb_set(state->'spec', '{digest}', '\"v1:old\"'), '{generation}', '1'), \
     state->'spec', 1, 2 from rollouts order by cluster limit 1";
/// A fifth of the agents is heard between two decisions, and has stored its set.
const HEARD: &str = "update cluster_sessions s set last_seen_at = now(), stored_incarnation = d.incarnation, \
     stored_version = d.version from cluster_sets d where d.cluster = s.cluster and hashtext(s.cluster) % 5 = $1";
/// Everything permitted is served.
const SERVED: &str = "update rollouts r set state = r.state || jsonb_build_object('served', 'v1:new', 'held', null, \
     'phase', 'Healthy', 'permit_fence', g.permit->'fence', 'outcome', jsonb_build_object('fence', g.permit->'fence', \
     'release', 'checkout#' || t.release, 'digest', g.permit->'digest', 'result', 'Served', 'generation', 2)) \
     from gates g, targets t where g.cluster = r.cluster and g.permit is not null and t.cluster = r.cluster \
     and t.state in ('Permitted', 'Progressing')";

struct Unsigned;

impl PermitSigner for Unsigned {
    fn lease_seconds(&self) -> u32 {
        60
    }
    fn sign(&self, _: &UnsignedPermit) -> String {
        "c2lnbmVk".repeat(11)
    }
}

fn document(at_once: usize) -> String {
    format!(
        "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {{name: checkout}}
spec:
  rollout: {{namespace: shop, name: checkout}}
  enforcement: Enforce
  clusters: {{matchLabels: {{tier: prod}}}}
  waves:
  - {{name: first, clusters: {{matchLabels: {{region: r0}}}}, maxConcurrent: {at_once}}}
  - {{name: rest, maxConcurrent: {at_once}}}
"
    )
}

fn number(place: usize, default: usize) -> usize {
    let text = std::env::args().nth(place);
    text.map_or(default, |text| text.parse().expect("a number"))
}

async fn run(pool: &PgPool, statement: &'static str, number: Option<i64>) -> u64 {
    let query = match number {
        Some(number) => sqlx::query(statement).bind(number),
        None => sqlx::query(statement),
    };
    let done = query.execute(pool).await.expect(statement);
    done.rows_affected()
}

/// Resident memory in MiB: the most since the last line, and now.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let of = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.and_then(|value| value.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") / 1_024
    };
    // Five: the peak is what is resident now (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").expect("its own");
    (of("VmHWM:"), of("VmRSS:"))
}

fn line(what: &str, changed: u64, decided: &Decided) {
    let Took {
        read,
        planned,
        written,
    } = decided.took;
    let (most, now) = memory();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{what:<12} {changed:>6} changed {:>6} actions  read {:>7.1}  engine {:>7.1}  write {:>7.1}  all {:>7.1} ms  {most:>4} MiB, then {now:>4}",
        decided.plan.actions.len(),
        ms(read),
        ms(planned),
        ms(written),
        ms(read + planned + written),
    );
}

#[tokio::main]
async fn main() {
    let (clusters, at_once, rounds) = (number(1, 10_000), number(2, 100), number(3, 30));
    let folder = tempfile::tempdir().expect("a folder");
    let server = Embedded::start(folder.path()).await.expect("PostgreSQL");
    let store = Store::connect(server.url()).expect("a URL");
    store.migrate().await.expect("migrated");
    let pool = PgPool::connect(server.url()).await.expect("connected");
    run(&pool, CLUSTERS, i64::try_from(clusters).ok()).await;
    for statement in [SETS, SESSIONS, ROLLOUTS, "analyze"] {
        run(&pool, statement, None).await;
    }
    let file = hub_engine::parse_file(&document(at_once)).expect("a document");
    let name = FleetRolloutName::from("checkout");
    let person = "ann".into();
    let applied = store.fleet_rollout_apply(&file, &person, false);
    applied.await.expect("applied");
    let epoch = store.epoch_take("bench", LEASE).await.expect("taken");
    let epoch = epoch.expect("nobody else decides");
    let decide = || async {
        let decided = store.decide(epoch, &name, &Unsigned).await;
        decided.expect("decided").expect("a FleetRollout")
    };
    line("governs", 0, &decide().await);
    let held = run(&pool, HELD, None).await;
    run(&pool, CHANGE, None).await;
    line("opens", held, &decide().await);
    run(&pool, "analyze", None).await;
    let mut all = Vec::new();
    for round in 0..rounds {
        run(&pool, HEARD, i64::try_from(round % 5).ok()).await;
        let served = run(&pool, SERVED, None).await;
        let decided = decide().await;
        line("goes on", served, &decided);
        all.push(decided.took);
    }
    line("nothing", 0, &decide().await);
    let median = |part: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = all.iter().map(part).collect();
        times.sort();
        let (half, most) = (times.get(times.len() / 2), times.last());
        format!(
            "{:?} (at most {:?})",
            half.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        )
    };
    println!("median: read {}", median(|took| took.read));
    println!("median: engine and audit {}", median(|took| took.planned));
    println!("median: write {}", median(|took| took.written));
    println!(
        "median: all {}",
        median(|took| took.read + took.planned + took.written)
    );
    server.stop().await.expect("stopped");
}
