//! Many agents at once (F25). In: two hundred that lose their hub in the same moment. Out: all of them are back within the time
//! that faults.md L2 gives, while people are answered.

use std::time::{Duration, Instant};

use proto::v1::ListClustersRequest;
use tests_faults::world::{Setting, World};
use tests_fleet::eventually;

/// Beside the members of the world.
const AGENTS: usize = 200;
/// L2.
const BACK: Duration = Duration::from_secs(60);
/// For a person, meanwhile.
const ANSWER: Duration = Duration::from_secs(10);

#[tokio::test]
async fn f25_two_hundred_agents_come_back_at_once() {
    let mut world = World::up(Setting::of("f25")).await.expect("a world");
    world.crowd(AGENTS).await.expect("they join");
    let before = world.crowd_sessions();
    world.hubs[0].hub.process().kill().await.expect("killed");
    world.hubs[0].again().await.expect("a hub again");
    let begin = Instant::now();
    let mut person = world.person(0).await.expect("a person");
    let mut longest = Duration::ZERO;
    eventually("all are back", BACK, async || {
        let asked = Instant::now();
        let listed = person.list_clusters(ListClustersRequest {}).await;
        longest = longest.max(asked.elapsed());
        let listed = listed.map_err(|status| status.to_string())?.into_inner();
        let behind = world.crowd_sessions();
        let behind = behind.iter().zip(&before).filter(|(now, then)| now <= then);
        match behind.count() {
            0 => Ok(listed.clusters.len()),
            count => Err(format!("{count} are not")),
        }
    })
    .await
    .expect("L2");
    println!(
        "back after {:?}, a person waited {longest:?}",
        begin.elapsed()
    );
    assert!(longest < ANSWER, "{longest:?}");
    world.check().await;
}
