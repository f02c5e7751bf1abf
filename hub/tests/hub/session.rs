//! One stream a cluster: sets, reports, identity (gate.md L1–L4).
use proto::v1::agent_message::Body;
use proto::v1::hub_message::Body as Told;
use proto::v1::refusal::Code;
use proto::v1::{
    Content, Fence, Heartbeat, Hello, ListClustersRequest, RolloutRef, RolloutState,
    gate_entry::Governance, report,
};

use crate::agent::Agent;
use crate::fixture::{World, document, eventually};

const WAVE: &str = "name: all";

pub fn rollout(name: &str, digest: &str, served: &str) -> RolloutState {
    RolloutState {
        rollout: Some(RolloutRef {
            namespace: "shop".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
        }),
        spec: Some(content(digest, 1)),
        served_digest: served.to_owned(),
        kept: vec![digest.to_owned(), served.to_owned()],
        ..RolloutState::default()
    }
}

pub fn content(digest: &str, generation: i64) -> Content {
    Content {
        digest: digest.to_owned(),
        delivery_digest: "v1:steps".into(),
        images: vec![format!("demo:{digest}")],
        generation,
        ..Content::default()
    }
}

async fn note(world: &World, cluster: &str) -> String {
    let clusters = world
        .admin()
        .await
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner()
        .clusters;
    clusters
        .into_iter()
        .find(|one| one.name == cluster)
        .map(|one| one.note)
        .unwrap_or_default()
}

/// An agent takes what its first set does not name for free (G8).
#[tokio::test(flavor = "multi_thread")]
async fn the_first_set_has_the_word_of_everyone_who_selects_the_cluster() {
    let world = World::start().await;
    let names = ["basket", "checkout", "search"];
    for name in names {
        world.apply(&document(name, name, "prod", WAVE)).await;
    }
    world.apply(&document("other", "other", "test", WAVE)).await;
    for index in 0..5 {
        let agent = Agent::member(&world, &format!("prod-{index}"), &[("tier", "prod")]).await;
        let (_, first) = agent.open(&world).await;
        let mut said: Vec<&str> = first
            .entries
            .iter()
            .map(|entry| entry.fleet_rollout.as_str())
            .collect();
        said.sort_unstable();
        assert_eq!(said, names, "the first set of prod-{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_everything_then_what_changed() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let (mut stream, first) = agent.open(&world).await;
    assert!(first.entries.is_empty());

    assert!(
        world
            .apply(&document("checkout", "checkout", "prod", WAVE))
            .await
            .problems
            .is_empty()
    );
    let delta = stream.set().await;
    assert!(!delta.full);
    assert_eq!(delta.base_version, first.fence.unwrap().version);
    stream.store(&delta).await;
    let Some(Governance::Governed(governed)) = &stream.entries[0].governance else {
        panic!("not governed")
    };
    assert!(governed.first_deploy_free, "no release yet");

    world
        .apply(&document("basket", "basket", "prod", WAVE))
        .await;
    let delta = stream.set().await;
    let names: Vec<&str> = delta
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names, ["basket"]);
    stream.store(&delta).await;
    assert_eq!(stream.renewal().await.incarnation, 1);

    // Again from the start: whole, with the same hash; and the cluster is shown as holding it.
    let (_again, whole) = agent.open(&world).await;
    assert_eq!(whole.entries.len(), 2);
    assert_eq!(whole.set_hash, delta.set_hash);
}

/// What a permit's start-by is judged by where an agent's own clock is wrong (S12).
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_the_databases_time() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let before = jiff::Timestamp::now();
    let mut stream = agent.hello(&world, agent.nothing()).await;
    let welcomed = stream.welcome().await.at;
    let set = stream.set().await;
    stream.store(&set).await;
    let renewed = stream.until("a renewal", |told| match told {
        Told::Renewal(one) => Some(one.at),
        Told::Welcome(_) | Told::Set(_) | Told::ReportAck(_) | Told::Refusal(_) => None,
    });
    let renewed = renewed.await;
    let after = jiff::Timestamp::now();
    let times = [welcomed, renewed].map(|at| proto::time::from_wire(&at.unwrap()).unwrap());
    assert!(
        times.is_sorted() && before <= times[0] && times[1] <= after,
        "{times:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_clock_is_off_is_noted() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let (stream, _) = agent.open(&world).await;
    let hour = jiff::SignedDuration::from_hours(1);
    // A heartbeat that is late says nothing; one of the future does, and so does one that tells of both clocks.
    for (ahead, knows, noted) in [
        (-hour, false, ""),
        (hour, false, " ahead of the database's"),
        (-hour, true, " 1h behind the database's"),
        (jiff::SignedDuration::ZERO, true, ""),
    ] {
        let now = jiff::Timestamp::now();
        let beat = Heartbeat {
            at: Some(proto::time::to_wire(now + ahead)),
            hub_at: knows.then(|| proto::time::to_wire(now)),
        };
        stream.say(Body::Heartbeat(beat)).await;
        eventually("it is noted", async || {
            let note = note(&world, "prod-eu").await;
            (note.is_empty() == noted.is_empty() && note.contains(noted)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_its_place_asks_for_everything() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let (mut stream, first) = agent.open(&world).await;
    let ack = proto::v1::Ack {
        fence: first.fence,
        result: proto::v1::ack::Result::NeedFull.into(),
        ..Default::default()
    };
    stream.say(proto::v1::agent_message::Body::Ack(ack)).await;
    assert!(stream.set().await.full);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_acknowledged_once_committed_and_only_of_the_current_session() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let (mut old, _) = agent.open(&world).await;
    old.report(1, report::Body::State(rollout("checkout", "v1:a", "v1:a")))
        .await;
    old.committed(1).await;
    let clusters = world
        .admin()
        .await
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner()
        .clusters;
    assert_eq!(clusters[0].rollouts, 1);

    let (mut new, _) = agent.open(&world).await;
    old.report(2, report::Body::State(rollout("stale", "v1:a", "v1:a")))
        .await;
    assert_eq!(old.refusal().await.code(), Code::Superseded);
    new.report(1, report::Body::State(rollout("basket", "v1:a", "v1:a")))
        .await;
    new.committed(1).await;
    let store = hub_store::Store::connect(&world.database).unwrap();
    let clusters = store.cluster_list().await.unwrap();
    // What the second Hello did not bring is gone, what the stale session said never came: basket and checkout's memory.
    assert!(clusters[0].rollouts <= 2, "{clusters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_with_the_same_certificate_is_refused_and_the_bound_one_goes_on() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let (mut bound, _) = agent.open(&world).await;
    let copy = Hello {
        kube_system_uid: "another".into(),
        ..agent.nothing()
    };
    let mut copied = agent.hello(&world, copy).await;
    assert_eq!(copied.refusal().await.code(), Code::DuplicateIdentity);
    assert!(copied.next().await.is_none(), "a refusal ends the stream");
    bound.renewal().await;
    bound
        .report(1, report::Body::State(rollout("checkout", "v1:a", "v1:a")))
        .await;
    bound.committed(1).await;
    eventually("it is shown", async || {
        note(&world, "prod-eu")
            .await
            .contains("DuplicateIdentity")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_its_memory_gets_everything_and_no_renewal_before_it_has_it() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let (mut stream, _) = agent.open(&world).await;
    world
        .apply(&document("checkout", "checkout", "prod", WAVE))
        .await;
    let delta = stream.set().await;
    stream.store(&delta).await;
    eventually("it is stored", async || {
        (stream.renewal().await == delta.fence.unwrap()).then_some(())
    })
    .await;
    drop(stream);

    let lower = Hello {
        fence: Some(Fence {
            incarnation: 1,
            version: 0,
        }),
        ..agent.nothing()
    };
    let mut back = agent.hello(&world, lower).await;
    back.welcome().await;
    assert!(
        note(&world, "prod-eu").await.contains("Regressed"),
        "{}",
        note(&world, "prod-eu").await
    );
    let mut renewed = false;
    let whole = back
        .until("the whole set", |told| match told {
            Told::Set(set) => Some(set),
            Told::Renewal(_) => {
                renewed = true;
                None
            }
            Told::Welcome(_) | Told::ReportAck(_) | Told::Refusal(_) => None,
        })
        .await;
    assert!(whole.full && !renewed);
    back.store(&whole).await;
    back.renewal().await;
}

/// A fence above everything that the database knows, and the hub's signature under it: as of a set whose commit was lost.
fn lost(world: &World, name: &str) -> (Fence, String) {
    let fence = Fence {
        incarnation: 1,
        version: 99,
    };
    let authority = hub::authority::Authority::open(&world.hub_folder).unwrap();
    let signature = authority.sign_fence(&format!("uid-{name}"), &fence);
    (fence, signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_the_hub_signed_tells_of_a_restored_database() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    Agent::member(&world, "prod-us", &[]).await;
    let (_, set) = agent.open(&world).await;
    let (fence, fence_signature) = lost(&world, "prod-eu");
    assert_ne!(set.fence_signature, "", "each set comes with one");
    let hello = Hello {
        fence: Some(fence),
        fence_signature,
        ..agent.nothing()
    };
    let mut back = agent.hello(&world, hello).await;
    back.welcome().await;
    let store = hub_store::Store::connect(&world.database).unwrap();
    let held = store.held().await.unwrap().unwrap_or_default();
    assert!(held.contains("it was restored from a backup"), "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_the_hub_did_not_sign_keeps_out_its_own_cluster_alone() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let other = Agent::member(&world, "prod-us", &[]).await;
    let (mut stream, _) = other.open(&world).await;
    let huge = Fence {
        incarnation: u64::MAX,
        version: u64::MAX,
    };
    let (fence, signature) = lost(&world, "prod-eu");
    let forged = [
        (huge, signature),
        (huge, String::new()),
        (fence, "c2ln".to_owned()),
        (fence, lost(&world, "prod-us").1),
    ];
    for (fence, fence_signature) in forged {
        let hello = Hello {
            fence: Some(fence),
            fence_signature,
            ..agent.nothing()
        };
        let refusal = agent.hello(&world, hello).await.refusal().await;
        assert_eq!(refusal.code(), Code::Protocol);
        let says =
            "no signature of this hub under it, as 1 of 2 clusters do: nothing of it is taken";
        assert!(refusal.message.contains(says), "{}", refusal.message);
    }
    assert!(note(&world, "prod-eu").await.starts_with("UnprovenFence"));
    let store = hub_store::Store::connect(&world.database).unwrap();
    assert_eq!(store.held().await.unwrap(), None, "nobody else is held");
    // An acknowledgement of what was never sent is no way round it.
    stream
        .say(Body::Ack(proto::v1::Ack {
            fence: Some(huge),
            result: proto::v1::ack::Result::Stored.into(),
            ..proto::v1::Ack::default()
        }))
        .await;
    let refusal = stream.refusal().await;
    assert_eq!(refusal.code(), Code::Protocol);
    assert!(
        refusal.message.contains("nothing so high was sent"),
        "{}",
        refusal.message
    );
    assert_eq!(store.held().await.unwrap(), None);
    other.open(&world).await;
}
