//! A member that means harm, or is broken (S11): what it says costs itself, and nobody else. Over the wire, before a real
//! Postgres.
use std::time::{Duration, Instant};

use hub::link::pace::ROWS_AT_ONCE;
use prost::Message as _;
use proto::limit::ROLLOUTS_MAX;
use proto::v1::agent_message::Body;
use proto::v1::hub_message::Body as Told;
use proto::v1::refusal::Code;
use proto::v1::{
    Ack, ContentChanged, GateProblem, Hello, HubMessage, ListClustersRequest, Report, ReportBatch,
    RolloutRef, RolloutState, ack, report,
};
use tokio_stream::StreamExt as _;

use crate::agent::Agent;
use crate::fixture::World;
use crate::session::{content, rollout};

/// Streams that are opened at once.
const STREAMS: usize = 40;
/// Agents are answered within their 15 s; here everything is on one machine.
const SOON: Duration = Duration::from_secs(10);

/// Many objects, each of them large.
fn many(prefix: &str, count: usize, bytes: usize) -> Vec<RolloutState> {
    let one = |number| RolloutState {
        rollout: Some(RolloutRef {
            namespace: "shop".into(),
            name: format!("{prefix}-{number}"),
            uid: "u".into(),
        }),
        message: "x".repeat(bytes),
        ..RolloutState::default()
    };
    (0..count).map(one).collect()
}

async fn rollouts(world: &World, cluster: &str) -> u32 {
    let mut admin = world.admin().await;
    let shown = admin.list_clusters(ListClustersRequest {}).await;
    let all = shown.unwrap().into_inner().clusters;
    let one = all.into_iter().find(|one| one.name == cluster);
    one.map(|one| one.rollouts).unwrap_or_default()
}

/// A cluster with more Rollouts than any that is known, and it says much of each.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_rollouts_are_a_member() {
    let world = World::start().await;
    let agent = Agent::member(&world, "large", &[]).await;
    let hello = Hello {
        rollouts: many("r", 5_000, 1_500),
        ..agent.nothing()
    };
    agent.hello(&world, hello).await.welcome().await;
    assert_eq!(rollouts(&world, "large").await, 5_000);
    // What is there no more, and nobody governs, is nothing that the hub keeps.
    agent.hello(&world, agent.nothing()).await.welcome().await;
    assert_eq!(rollouts(&world, "large").await, 0);
}

/// More Rollouts, and more bytes, than a Hello may have: each is refused with its own sentence.
async fn too_much_at_once(world: &World, bad: &Agent) {
    let more = Hello {
        rollouts: many("r", ROLLOUTS_MAX + 1, 1),
        ..bad.nothing()
    };
    let refused = bad.hello(world, more).await.refusal().await;
    assert_eq!(refused.code(), Code::Protocol);
    assert!(
        refused.message.contains("more than the 10000"),
        "{refused:?}"
    );
    let longer = Hello {
        rollouts: many("r", 9_000, 2_000),
        ..bad.nothing()
    };
    let refused = bad.hello(world, longer).await.refusal().await;
    assert!(
        refused.message.contains("more than the 16 MiB"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_reports_many_objects_and_streams_without_end_harm_nobody_else() {
    let world = World::start().await;
    let bad = Agent::member(&world, "bad", &[]).await;
    let good = Agent::member(&world, "good", &[("tier", "prod")]).await;
    let (mut stream, _) = good.open(&world).await;
    let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
    let good = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        loop {
            let since = Instant::now();
            tokio::select! {
                _ = stream.renewal() => longest = longest.max(since.elapsed()),
                _ = &mut ended => return longest,
            }
        }
    });

    too_much_at_once(&world, &bad).await;
    // One first word after the other, none waiting for its answer, each with other objects.
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let hello = Hello {
            rollouts: many(&format!("s{number}"), 1_000, 1_000),
            ..bad.nothing()
        };
        streams.push(bad.hello(&world, hello).await);
    }
    let asked = Instant::now();
    let newcomer = Agent::member(&world, "newcomer", &[("tier", "prod")]).await;
    newcomer.open(&world).await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    drop(streams);

    // What no database can hold, and more of it than anybody reads.
    let mut last = bad.hello(&world, bad.nothing()).await;
    last.welcome().await;
    let set = last.set().await;
    let problem = GateProblem {
        namespace: "shop\0".into(),
        name: "web".into(),
        message: "\0".repeat(1_000),
    };
    last.say(Body::Ack(Ack {
        fence: set.fence,
        set_hash: "\0".into(),
        problems: vec![problem; 5_000],
        result: ack::Result::Stored.into(),
    }))
    .await;
    last.report(1, report::Body::State(rollout("web", "v1:a", "v1:a")))
        .await;
    last.committed(1).await;
    let history = world.history().await;
    let told = history.iter().filter(|row| row.cluster == "bad").count();
    assert!((2..200).contains(&told), "{told} rows");
    assert!(rollouts(&world, "bad").await <= 1_001);
    end.send(()).unwrap();
    let longest = good.await.unwrap();
    assert!(longest < SOON, "{longest:?} without a renewal");
}

/// `AgentMessage` as others may write it: the body by its number, as bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(bytes = "vec", tag = "2")]
    hello: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    reports: Vec<u8>,
}

/// Says these words by hand. What the hub answers, as far as it does.
async fn by_hand(world: &World, agent: &Agent, words: Vec<Bytes>) -> Vec<Told> {
    let channel = world.channel(Some((&agent.certificate, &agent.key))).await;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Bytes, HubMessage>::default();
    let path = "/groundswell.v1.Link/Open".parse().unwrap();
    let words = tokio_stream::iter(words).chain(tokio_stream::pending());
    let told = client.streaming(tonic::Request::new(words), path, codec);
    let mut told = told.await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Ok(Ok(Some(message))) = tokio::time::timeout(SOON, told.message()).await {
        all.extend(message.body);
    }
    all
}

/// The most memory that this process has had, in MiB: the hub is in it.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() >> 10
}

/// An empty report is two bytes on the wire, and a thousand in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_empty_reports_in_one_message_are_refused_before_they_are_read() {
    const MILLION: usize = 1_000_000;
    /// With what the other tests of this program have meanwhile; the reports would be a thousand.
    const ROOM: usize = 500;
    /// `ReportBatch.reports` and `Hello.rollouts`, empty.
    const REPORT: [u8; 2] = [0x12, 0];
    const ROLLOUT: [u8; 2] = [0x2a, 0];
    let world = World::start().await;
    let bad = Agent::member(&world, "bad", &[]).await;
    let good = Agent::member(&world, "good", &[]).await;
    let (mut stream, _) = good.open(&world).await;
    let hello = Bytes {
        hello: bad.nothing().encode_to_vec(),
        reports: Vec::new(),
    };
    let reports = Bytes {
        hello: Vec::new(),
        reports: REPORT.repeat(MILLION),
    };
    let rollouts = Bytes {
        hello: ROLLOUT.repeat(MILLION),
        reports: Vec::new(),
    };
    let before = peak();
    for words in [vec![hello, reports], vec![rollouts]] {
        let told = by_hand(&world, &bad, words).await;
        let Some(Told::Refusal(refused)) = told.last() else {
            panic!("{told:?}");
        };
        assert_eq!(refused.code(), Code::Protocol);
        let why = "MiB of memory once it is read, as one of very many empty parts does";
        assert!(refused.message.contains(why), "{refused:?}");
    }
    let grown = peak() - before;
    assert!(grown < ROOM, "{grown} MiB");
    stream.renewal().await;
    bad.open(&world).await;
}

/// Sessions of one member that are never heard again are few.
#[tokio::test(flavor = "multi_thread")]
async fn who_opens_sessions_without_end_keeps_a_few() {
    let world = World::start().await;
    let bad = Agent::member(&world, "bad", &[]).await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(bad.open(&world).await.0);
    }
    // It says nothing more, and is told.
    let mut oldest = streams.remove(0);
    let mut last = None;
    while let Some(told) = oldest.next().await {
        last = Some(told);
    }
    let Some(Told::Refusal(refused)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(refused.code(), Code::Superseded);
    streams.pop().unwrap().renewal().await;
}

/// Content changes, each of another Rollout, in one message.
fn changes(session: u64, from: u64, count: u64) -> Body {
    let one = |sequence: u64| Report {
        sequence,
        body: Some(report::Body::Changed(ContentChanged {
            rollout: Some(RolloutRef {
                namespace: "shop".into(),
                name: format!("r-{sequence}"),
                uid: "u".into(),
            }),
            was: None,
            now: Some(content("v1:a", 1)),
        })),
        ..Report::default()
    };
    Body::Reports(ReportBatch {
        session,
        reports: (from..from + count).map(one).collect(),
    })
}

/// A certificate writes what is kept for good at a pace. Nothing of it is lost, its cluster stays in contact, and another's
/// reports do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn rows_for_good_have_a_pace_and_none_is_lost() {
    const MORE: u64 = 2_000;
    const A_MESSAGE: u64 = 1_000;
    /// Of one message so many are stored at once.
    const A_PART: u64 = 100;
    let most = u64::from(ROWS_AT_ONCE);
    let world = World::start().await;
    let bad = Agent::member(&world, "bad", &[]).await;
    let good = Agent::member(&world, "good", &[]).await;
    let (mut stream, _) = bad.open(&world).await;
    let began = Instant::now();
    for from in (1..=most + MORE).step_by(A_MESSAGE as usize) {
        let said = changes(stream.session, from, A_MESSAGE);
        stream.say(said).await;
    }
    stream.committed(most).await;
    // It is heard, although its reports wait; and nobody else's do.
    let (mut highest, mut renewals) = (most, 0);
    stream
        .until("three renewals", |told| match told {
            Told::ReportAck(ack) => {
                highest = ack.sequence;
                None
            }
            Told::Renewal(_) => {
                renewals += 1;
                (renewals == 3).then_some(())
            }
            Told::Welcome(_) | Told::Set(_) | Told::Refusal(_) => None,
        })
        .await;
    let at_most = most + A_PART + began.elapsed().as_secs() + 1;
    assert!((most..=at_most).contains(&highest), "{highest} are written");
    assert!(highest < most + MORE, "and the others wait");
    let (mut other, _) = good.open(&world).await;
    let changed = ContentChanged {
        rollout: rollout("web", "v1:a", "v1:a").rollout,
        was: None,
        now: Some(content("v1:b", 2)),
    };
    other.report(1, report::Body::Changed(changed)).await;
    other.committed(1).await;
    // It may come back, and what it says again is taken when its time comes.
    bad.open(&world).await;
}
