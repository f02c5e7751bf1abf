//! A cluster that is cut off from the hub in mid-canary, for less and for longer than its lease, under each `onHubLoss`, and
//! while its clock is set back. In: a link that is cut, requests at the gateway. Out: what each canary does, and the share of
//! the new version as its users got it, which never exceeds the step that it had reached when the lease ended.

use jiff::Timestamp;
use serde_json::{Value, json};
use tests_e2e::fleet::Fleet;
use tests_e2e::object::{number, text};
use tests_e2e::shop::Shop;
use tests_e2e::visitors::Visitors;
use tests_fleet::clock::Clock;
use tests_fleet::proxy::link::{Fault, LinkProxy};
use tests_fleet::{AgentOptions, HubOptions, RunDir};

const HOUR: i64 = 3_600;
/// Of every permit.
const LEASE_SECONDS: u32 = 10;
/// A canary of a fifth, and what a change of the gateway's turn may add within a window.
const A_FIFTH: f64 = 0.20 + 0.04;
/// Fewer answers would prove nothing.
const ANSWERS_MIN: usize = 400;

/// One application for each policy, all in one cluster.
const POLICIES: [&str; 3] = ["finish", "hold", "abort"];

fn intent(policy: &str) -> Value {
    let on_hub_loss = match policy {
        "finish" => json!("Finish"),
        "hold" => json!("Hold"),
        _ => json!({"action": "Abort", "after": "1s"}),
    };
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": policy},
        "spec": {
            "rollout": {"namespace": policy, "name": "checkout"},
            "enforcement": "Enforce",
            "waves": [{"name": "all", "bake": "1s"}],
            "onFailure": {"action": "Halt"},
            "progressDeadline": "3m",
            "onHubLoss": on_hub_loss,
        },
    })
}

/// A fifth for so many seconds, then three fifths, then all.
fn steps(seconds: u32) -> Value {
    json!([
        {"setWeight": 20}, {"pause": {"duration": seconds}},
        {"setWeight": 60}, {"pause": {"duration": 1}},
    ])
}

struct World {
    link: LinkProxy,
    shops: Vec<Shop>,
    visitors: Vec<Visitors>,
    fleet: Fleet,
    /// The agent's.
    clock: Clock,
    _run: RunDir,
}

impl World {
    async fn up() -> Self {
        let options = HubOptions {
            lease_seconds: LEASE_SECONDS,
            ..HubOptions::default()
        };
        let run = RunDir::temporary("cutoff-clock").expect("a folder");
        let clock = Clock::right(&run, "agent").expect("a clock");
        let agent = AgentOptions {
            environment: clock.environment(),
            ..AgentOptions::default()
        };
        let mut link = None;
        let fleet = Fleet::up_with("cutoff", &["cutoff"], &options, &agent, async |hub| {
            let proxy = LinkProxy::start(hub.address()).await?;
            let url = format!("https://{}", proxy.address());
            link = Some(proxy);
            Ok(url)
        })
        .await
        .expect("a fleet");
        let cluster = fleet.bed.first().expect("the cluster").clone();
        let (mut shops, mut visitors) = (Vec::new(), Vec::new());
        for policy in POLICIES {
            fleet.apply(&intent(policy)).await.expect("stored");
            shops.push(Shop::open(&cluster, policy).await.expect("a namespace"));
        }
        for shop in &shops {
            shop.first("v1", &steps(1)).await.expect("a first deploy");
            visitors.push(Visitors::start(fleet.run(), &cluster, shop).expect("visitors"));
        }
        Self {
            link: link.expect("a link"),
            shops,
            visitors,
            fleet,
            clock,
            _run: run,
        }
    }

    /// Brings a version to its first step in so many of them, and cuts the link there.
    async fn cut_in_mid_canary(&self, shops: usize, version: &str, seconds: u32) {
        let shops = &self.shops[..shops];
        for shop in shops {
            shop.deploy(version, &steps(seconds))
                .await
                .expect("applied");
        }
        for shop in shops {
            shop.until("at its first step", |rollout| {
                number(rollout, "/status/currentStepIndex") >= 1
                    && text(rollout, "/status/currentPodHash") != text(rollout, "/status/stableRS")
            })
            .await
            .expect("in canary");
        }
        self.link.set(Fault::Cut);
    }

    async fn ends(&self, policy: usize, number: u32, phase: &str) {
        let release = format!("{}#{number}", POLICIES[policy]);
        self.fleet.ends(&release, phase).await.expect("ended");
    }
}

/// The users of an application got no more of a version than its first step gives, in that time.
fn a_fifth(visitors: &mut [Visitors], policy: usize, version: &str, time: [Timestamp; 2]) {
    let [from, to] = time;
    let share = visitors[policy].highest_share(version, from, to);
    let (share, answers) = share.expect("answers");
    let name = POLICIES[policy];
    println!("{name}: at most {share} of {answers} answers came from the new version");
    assert!(answers >= ANSWERS_MIN, "{name}: only {answers} answers");
    assert!(share > 0.1, "{name}: the canary was never visited");
    assert!(
        share <= A_FIFTH,
        "{name}: {share} of the answers came from the new version"
    );
}

#[tokio::test]
async fn a_cluster_without_a_hub_does_what_its_policy_says_and_no_more() {
    let mut world = World::up().await;

    // For less than a lease: nobody notices.
    world.cut_in_mid_canary(3, "v2", 3).await;
    for shop in &world.shops {
        // It has gone on by itself; until its new pods are ready on a busy machine a lease may be over.
        shop.until("on its way to three fifths or further", |rollout| {
            number(rollout, "/status/currentStepIndex") >= 2
        })
        .await
        .expect("goes on");
    }
    world.link.set(Fault::None);
    for (policy, shop) in world.shops.iter().enumerate() {
        shop.healthy("v2").await.expect("done");
        world.ends(policy, 1, "Succeeded").await;
    }

    // For longer: the lease ends within the pause.
    let from = Timestamp::now();
    world.cut_in_mid_canary(3, "v3", LEASE_SECONDS + 5).await;
    let [finish, hold, abort] = &world.shops[..] else {
        panic!("three policies");
    };
    abort.phase("Degraded").await.expect("goes back by itself");
    abort.serves(&[("v2", 5)]).await.expect("back on v2");
    finish.healthy("v3").await.expect("goes on by itself");
    hold.serves(&[("v2", 4), ("v3", 1)])
        .await
        .expect("stays where it was");
    let to = Timestamp::now();
    for policy in [1, 2] {
        a_fifth(&mut world.visitors, policy, "v3", [from, to]);
    }

    world.link.set(Fault::None);
    hold.healthy("v3").await.expect("goes on with the hub");
    world.ends(0, 2, "Succeeded").await;
    world.ends(1, 2, "Succeeded").await;
    let ended = |release: &Value| ["Failed", "Halted"].contains(&text(release, "/phase"));
    let release = world
        .fleet
        .release_until("abort#2", "ends badly", ended)
        .await;
    release.expect("its end is reported");
    abort.serves(&[("v2", 5)]).await.expect("as it was");
    set_back(&mut world).await;
    world.fleet.check().expect("no fault");
}

/// For longer once more, and the clock is set back by an hour meanwhile: no lease lasts longer for it, and no pause.
async fn set_back(world: &mut World) {
    let [finish, hold, _] = &world.shops[..] else {
        panic!("three policies");
    };
    let from = Timestamp::now();
    world.cut_in_mid_canary(2, "v4", LEASE_SECONDS + 5).await;
    world.clock.set(-HOUR).expect("set back");
    finish.healthy("v4").await.expect("goes on by itself");
    hold.serves(&[("v3", 4), ("v4", 1)])
        .await
        .expect("stays where it was");
    let time = [from, Timestamp::now()];
    a_fifth(&mut world.visitors, 1, "v4", time);
    world.clock.set(0).expect("set right");
    world.link.set(Fault::None);
    hold.healthy("v4").await.expect("goes on with the hub");
    for policy in [0, 1] {
        world.ends(policy, 3, "Succeeded").await;
    }
}
