//! Adjacent versions (F27, S14). In: what a newer agent may say, what a newer hub may have written, recorded messages of an
//! older one. Out: what is not known is refused or passed over by name, and never stands for something else.

use hub_engine::release::{Release, ReleasePhase, TargetState};
use proto::v1::agent_message::Body as Say;
use proto::v1::report::Body;
use proto::v1::{Ack, ReportBatch};
use tests_faults::history::rows;
use tests_faults::puppet::Puppet;
use tests_faults::world::{SOON, Setting, World};
use tests_fleet::eventually;

use crate::hub::story;

/// No version has a value of this number.
const UNKNOWN: i32 = 99;

async fn puppet(world: &mut World) -> Puppet {
    let agent = world.agents.last_mut().expect("an agent").stop().await;
    Puppet::of(&agent.expect("it ran"))
        .await
        .expect("a session")
}

#[tokio::test]
async fn f27_what_a_newer_agent_says_is_never_taken_for_something_else() {
    let mut world = World::up(Setting::of("f27-agent")).await.expect("a world");
    let mut puppet = puppet(&mut world).await;
    world.want(2);
    let changed = puppet.rollout.want(2);
    puppet.report(&changed).await.expect("said");
    let (_, taken) = puppet.permitted().await.expect("a permit");
    puppet.report(&taken).await.expect("said");
    // An end that this hub does not know, alone and in a state; a message and a report of kinds that it does not know.
    let mut ahead = puppet.rollout.clone();
    let newer: Vec<Body> = ahead
        .serve()
        .into_iter()
        .filter_map(|body| match body {
            Body::Outcome(mut outcome) => {
                outcome.result = UNKNOWN;
                Some(Body::Outcome(outcome))
            }
            Body::State(mut state) => {
                state.outcome.as_mut()?.result = UNKNOWN;
                state.phase = "Levitating".to_owned();
                Some(Body::State(state))
            }
            Body::Changed(_)
            | Body::Effect(_)
            | Body::Verb(_)
            | Body::BrokenGlass(_)
            | Body::Removed(_) => None,
        })
        .collect();
    assert_eq!(newer.len(), 2);
    let last = puppet.report(&newer).await.expect("said");
    let nothing = ReportBatch {
        session: puppet.session,
        reports: vec![proto::v1::Report {
            sequence: last + 1,
            ..proto::v1::Report::default()
        }],
    };
    puppet.peer.say(Say::Reports(nothing)).await.expect("said");
    puppet
        .peer
        .acknowledged(last + 1)
        .await
        .expect("passed over");
    let ack = Ack {
        fence: puppet.fence,
        result: UNKNOWN,
        ..Ack::default()
    };
    puppet.peer.say(Say::Ack(ack)).await.expect("said");
    puppet.beat().await.expect("the stream is kept");
    world.looked().await.expect("looked");
    let release = world.release(1).await.expect("there");
    assert_eq!(release.phase, ReleasePhase::Progressing);
    assert_ne!(release.targets[2].state, TargetState::Succeeded, "S14");
    // The same agent in words that both know.
    let served = puppet.rollout.serve();
    puppet
        .peer
        .report(
            puppet.session,
            vec![(last + 2, served[0].clone()), (last + 3, served[1].clone())],
        )
        .await
        .expect("said");
    let resting = puppet.rest();
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
    resting.abort();
}

/// What a newer hub may have written, by the row that an older one then reads, and how that is undone.
const NEWER: [(&str, &str, &str); 4] = [
    (
        "a release's phase",
        "update releases set phase = 'Levitating' where number = 1",
        "update releases set phase = 'Progressing' where number = 1",
    ),
    (
        "a wave's phase",
        "update waves set phase = 'Levitating' where release = 1 and number = 2",
        "update waves set phase = 'Pending' where release = 1 and number = 2",
    ),
    (
        "a target's state",
        "update targets set state = 'Levitating' where release = 1 and cluster = 'cluster-2'",
        "update targets set state = 'Held' where release = 1 and cluster = 'cluster-2'",
    ),
    (
        "a field of the document",
        "update fleet_rollouts set document = jsonb_set(document, '{levitate}', '\"Always\"')",
        "update fleet_rollouts set document = document - 'levitate'",
    ),
];

#[tokio::test]
async fn f27_what_a_newer_hub_has_written_is_not_decided_on() {
    let setting = Setting {
        wave_fields: vec![", approval: {before: {required: 1, groups: [sre]}}"],
        ..Setting::of("f27-hub")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let held = |release: &Release| {
        let mut targets = release.targets.iter();
        targets.all(|target| target.state == TargetState::Held)
    };
    world.until(1, "is held", SOON, held).await.expect("held");
    for (what, newer, back) in NEWER {
        let refusals = world.hubs[0]
            .hub
            .log()
            .matches("another version of the hub")
            .count();
        let before = rows(&world.store).await.len();
        world
            .database
            .psql(&[newer])
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        eventually(what, SOON, async || {
            let log = world.hubs[0].hub.log();
            let count = log.matches("another version of the hub").count();
            (count > refusals)
                .then_some(())
                .ok_or_else(|| "it is not said".to_owned())
        })
        .await
        .expect("S14");
        assert_eq!(
            rows(&world.store).await.len(),
            before,
            "{what}: nothing was decided"
        );
        // One FleetRollout's trouble keeps no other one waiting; only a document has to be read for others, too.
        if what != "a field of the document" {
            world.looked().await.expect("L3");
        }
        world.database.psql(&[back]).await.expect("as it was");
    }
    world.looked().await.expect("it goes on");
}

#[tokio::test]
async fn f27_a_hub_does_not_start_on_a_schema_that_it_does_not_know() {
    let setting = Setting {
        hubs: 2,
        ..Setting::of("f27-schema")
    };
    let mut world = World::up(setting).await.expect("a world");
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'newer', true, '\\x00', 0)";
    world
        .database
        .psql(&[newer])
        .await
        .expect("a newer hub was here");
    world.hubs[1].hub.process().stop().await.expect("it stops");
    let error = world.hubs[1]
        .again()
        .await
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("start the hub that it belongs to"),
        "{error}"
    );
    // The one that runs meanwhile goes on, as in every upgrade: expand first, contract later.
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}
