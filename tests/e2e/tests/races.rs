//! Verbs that a person writes between the agent's look and its write. In: a link between agent and API server that holds
//! everything back, so that the agent's next write was decided before the verb. Out: whether the verb is honoured, once.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::deed;
use tests_e2e::object::text;
use tests_e2e::shop::{SOON, Shop};
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::link::{Fault, LinkProxy};
use tests_fleet::{Agent, AgentAccess, AgentOptions, eventually};

/// The timed pause, at whose end the agent writes by itself.
const PAUSE: SignedDuration = SignedDuration::from_secs(3);
/// By so much later it has written, were it not held back.
const SURELY: SignedDuration = SignedDuration::from_secs(1);

struct World {
    agent: Agent,
    link: LinkProxy,
    _api: ApiProxy,
    shop: Shop,
    _bed: Bed,
}

impl World {
    async fn up() -> Self {
        let bed = Bed::up("races", &["races"]).await.expect("a cluster");
        let cluster = bed.first().expect("it").clone();
        let access = AgentAccess::install(&bed.run, &cluster)
            .await
            .expect("rights");
        let api = ApiProxy::start(access.server(), &[])
            .await
            .expect("a proxy");
        let link = LinkProxy::start(api.url().trim_start_matches("http://"))
            .await
            .expect("a link");
        let url = format!("http://{}", link.address());
        let access = access
            .through(&bed.run, "races", &url, None)
            .expect("a config");
        let agent = Agent::start(&bed.run, &access, &AgentOptions::default()).expect("an agent");
        let shop = Shop::open(&cluster, "races").await.expect("a namespace");
        Self {
            agent,
            link,
            _api: api,
            shop,
            _bed: bed,
        }
    }

    /// Lets nothing through from the beginning of the timed pause on, writes a verb on the status, and lets the agent's
    /// own write arrive after it.
    async fn late(&self, verb: &Value) {
        let rollout = self.shop.paused_at(1).await.expect("at the timed pause");
        self.link.set(Fault::Hold);
        self.shop.verb(verb).await.expect("written");
        let began: Timestamp = text(&rollout, "/status/pauseConditions/0/startTime")
            .parse()
            .expect("a time");
        let over = began + PAUSE + SURELY;
        eventually("the pause is over", SOON, async || {
            let now = Timestamp::now();
            (now >= over).then_some(()).ok_or(now.to_string())
        })
        .await
        .expect("time passes");
        self.link.set(Fault::None);
    }
}

fn steps() -> Value {
    json!([
        {"setWeight": 20}, {"pause": {"duration": PAUSE.as_secs()}},
        {"setWeight": 40}, {"pause": {}},
        {"setWeight": 60}, {"pause": {}},
    ])
}

#[tokio::test]
async fn verbs_between_look_and_write_are_honoured() {
    let mut world = World::up().await;
    let shop = world.shop.clone();
    shop.first("v1", &steps()).await.expect("healthy");

    shop.deploy("v2", &steps()).await.expect("applied");
    world.late(&deed::abort()).await;
    let rollout = shop.phase("Degraded").await.expect("aborted");
    assert!(text(&rollout, "/status/message").starts_with("RolloutAborted: "));
    shop.serves(&[("v1", 5)]).await.expect("back on v1");

    // The promotion that a person wrote and the end of the pause are one and the same step.
    shop.verb(&deed::retry()).await.expect("retried");
    world.late(&deed::promote()).await;
    shop.paused_at(3).await.expect("one step on, not two");
    shop.serves(&[("v1", 3), ("v2", 2)])
        .await
        .expect("two fifths");

    // Retried while the agent still carries out the abort.
    shop.verb(&deed::abort()).await.expect("aborted");
    shop.verb(&deed::retry()).await.expect("retried at once");
    shop.paused_at(3)
        .await
        .expect("goes through its steps again");
    shop.verb(&deed::promote_full()).await.expect("promoted");
    shop.healthy("v2").await.expect("done");
    world.agent.process().must_run().expect("it runs");
    world.agent.assert_no_fault().expect("every right");
}
