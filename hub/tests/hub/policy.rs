//! Policies of the document over the wire: what only observes, and windows that are met, closed on, and passed.
use proto::v1::{
    ActRequest, ContentChanged, DeleteDocumentRequest, Governed, ListFleetRolloutsRequest,
    PlanRequest, RolloutRef, StartReleaseRequest, act_request, gate_entry, report,
};
use tonic::Code;

use crate::agent::{Agent, Stream};
use crate::approval::held;
use crate::fixture::{World, document, eventually};
use crate::session::{content, rollout};

const WAVES: &str = "{name: all}";
/// A freeze of the whole fleet, about now.
const FREEZE: &str = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetWindow\nmetadata: {name: freeze}\nspec:\n  \
     freezes:\n  - {from: 2020-01-01T00:00:00Z, to: 2120-01-01T00:00:00Z, reason: an incident}\n";

fn observing() -> String {
    document("checkout", "checkout", "prod", WAVES).replace("  enforcement: Enforce\n", "")
}

async fn changes(stream: &mut Stream, sequence: u64, now: (&str, i64), was: (&str, i64)) {
    let changed = ContentChanged {
        rollout: Some(RolloutRef {
            namespace: "shop".into(),
            name: "checkout".into(),
            uid: "uid-checkout".into(),
        }),
        was: Some(content(was.0, was.1)),
        now: Some(content(now.0, now.1)),
    };
    stream
        .report(sequence, report::Body::Changed(changed))
        .await;
}

fn governed(stream: &Stream) -> Option<&Governed> {
    match &stream.entries.first()?.governance {
        Some(gate_entry::Governance::Governed(governed)) => Some(governed),
        Some(gate_entry::Governance::Ungovern(_)) | None => None,
    }
}

/// Until the gate fits.
async fn gate(stream: &mut Stream, what: &str, fits: impl Fn(&Governed) -> bool) {
    eventually(what, async || {
        if governed(stream).is_some_and(&fits) {
            return Some(());
        }
        let set = stream.set().await;
        stream.store(&set).await;
        governed(stream).is_some_and(&fits).then_some(())
    })
    .await;
}

fn enforces(gate: &Governed, what: &str) -> bool {
    gate.policy
        .as_ref()
        .is_some_and(|policy| policy.enforcement == what)
}

async fn serving(world: &World, document: &str) -> (Agent, Stream) {
    let applied = world.apply(document).await;
    assert!(applied.problems.is_empty(), "{:?}", applied.problems);
    let agent = Agent::member(world, "prod-eu", &[("tier", "prod")]).await;
    let mut hello = agent.nothing();
    hello.rollouts = vec![rollout("checkout", "v1:a", "v1:a")];
    let mut stream = agent.hello(world, hello).await;
    stream.welcome().await;
    (agent, stream)
}

fn start(expedite: bool) -> StartReleaseRequest {
    StartReleaseRequest {
        fleet_rollout: "checkout".into(),
        reason: "an outage".into(),
        expedite,
        ..StartReleaseRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_observes() {
    let world = World::start().await;
    let (_agent, mut stream) = serving(&world, &observing()).await;
    gate(&mut stream, "it observes", |gate| enforces(gate, "Observe")).await;
    let on_its_way = rollout("checkout", "v1:b", "v1:a");
    stream.report(1, report::Body::State(on_its_way)).await;
    changes(&mut stream, 2, ("v1:b", 2), ("v1:a", 1)).await;
    let settled = eventually("the change is on paper", async || {
        let rows = world.history().await.into_iter();
        rows.rev().find(|row| row.kind == "ChangeSettled")
    })
    .await;
    assert!(
        settled
            .message
            .contains("on paper wave 1 of 1 (all) would start it"),
        "{}",
        settled.message
    );

    let mut admin = world.admin().await;
    let refused = admin.start_release(start(false)).await.unwrap_err();
    assert!(refused.message().contains("only observes"), "{refused}");
    let list = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner();
    let own = &list.fleet_rollouts[0];
    assert_eq!(
        (own.enforcement.as_str(), own.release.as_str()),
        ("Observe", "")
    );
    let codes: Vec<&str> = own
        .reasons
        .iter()
        .filter_map(|one| Some(one.reason.as_ref()?.code.as_str()))
        .collect();
    assert_eq!(codes, ["Observing", "OnPaper"], "{:?}", own.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn enforcement_turns_by_a_word_alone_and_frees_nothing() {
    let world = World::start().await;
    let (_agent, mut stream) = serving(&world, &observing()).await;
    gate(&mut stream, "it observes", |gate| enforces(gate, "Observe")).await;
    let mut admin = world.admin().await;
    let enforcing = document(
        "checkout",
        "checkout",
        "prod",
        "{name: all, approval: {before: {required: 1, groups: [sre]}}}",
    );
    assert!(world.apply(&enforcing).await.problems.is_empty());
    gate(&mut stream, "it enforces", |gate| enforces(gate, "Enforce")).await;
    let silent = world.apply(&observing()).await;
    assert!(
        silent.problems[0]
            .message
            .contains("leaving the field out does not end that"),
        "{:?}",
        silent.problems
    );
    stream.report(1, report::Body::State(held())).await;
    changes(&mut stream, 2, ("v1:b", 2), ("v1:a", 1)).await;
    eventually("a release opens", async || {
        let rows = world.history().await;
        rows.iter()
            .any(|row| row.kind == "ReleaseOpened")
            .then_some(())
    })
    .await;
    let back = enforcing.replace("Enforce\n", "Observe\n");
    let refused = world.apply(&back).await;
    assert_eq!(refused.problems.len(), 1);
    let problem = &refused.problems[0];
    assert_eq!(
        (problem.path.as_str(), problem.line),
        ("spec.enforcement", 6),
        "{problem:?}"
    );
    assert!(
        problem
            .message
            .contains("while release checkout#1 is Progressing"),
        "{problem:?}"
    );
    let abort = ActRequest {
        release: "checkout#1".into(),
        verb: act_request::Verb::Abort.into(),
        reason: "not now".into(),
        ..ActRequest::default()
    };
    admin.act(abort).await.unwrap();
    let refused = world.apply(&back).await;
    assert!(
        refused.problems[0]
            .message
            .contains("while prod-eu holds content"),
        "{:?}",
        refused.problems
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_the_windows_that_it_will_meet() {
    let world = World::start().await;
    Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    Agent::member(&world, "prod-us", &[("tier", "prod"), ("region", "us")]).await;
    let text = document("checkout", "checkout", "prod", WAVES);
    let of_region = FREEZE.replace(
        "spec:\n",
        "spec:\n  clusters: {matchLabels: {region: us}}\n",
    );
    let both = format!("{text}---\n{of_region}");
    assert!(world.apply(&both).await.problems.is_empty());
    let mut admin = world.admin().await;
    let request = PlanRequest {
        fleet_rollout: "checkout".into(),
        ..PlanRequest::default()
    };
    let stored = admin.plan(request).await.unwrap().into_inner();
    let clusters = &stored.plans[0].waves[0].clusters;
    assert_eq!(
        (clusters[0].name.as_str(), clusters[0].window.as_str()),
        ("prod-eu", "")
    );
    assert_eq!(
        clusters[1].window,
        "FleetWindow freeze freezes it: an incident"
    );
    let opens = clusters[1].starts_at.as_ref().map(|at| at.seconds);
    assert_eq!(opens, Some(4_733_510_400), "2120-01-01");
    // One that nobody stored meets what is stored beside it, and its own.
    let own = format!(
        "{text}  freezes:\n  - {{from: 2020-01-01T00:00:00Z, to: 2121-01-01T00:00:00Z, reason: a move}}\n"
    );
    let request = PlanRequest {
        document: own,
        ..PlanRequest::default()
    };
    let planned = admin.plan(request).await.unwrap().into_inner();
    let clusters = &planned.plans[0].waves[0].clusters;
    assert_eq!(
        clusters[0].window,
        "FleetRollout checkout freezes it: a move"
    );
    // Windows alone have no plan, and are looked at as apply looks at them.
    let request = PlanRequest {
        document: FREEZE.to_owned(),
        ..PlanRequest::default()
    };
    let alone = admin.plan(request).await.unwrap_err();
    assert_eq!(alone.code(), Code::InvalidArgument);
    assert!(alone.message().contains("FleetWindows only"), "{alone}");
    let request = PlanRequest {
        document: format!("{text}  after: [payments]\n"),
        ..PlanRequest::default()
    };
    let refused = admin.plan(request.clone()).await.unwrap().into_inner();
    assert!(refused.plans.is_empty());
    assert_eq!(
        refused.problems,
        world.apply(&request.document).await.problems
    );
    let nothing = PlanRequest {
        fleet_rollout: "nothing".into(),
        ..PlanRequest::default()
    };
    assert_eq!(
        admin.plan(nothing).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_closes_holds_what_is_in_flight_at_its_step() {
    let world = World::start().await;
    let text = document("checkout", "checkout", "prod", WAVES) + "  onWindowClose: HoldAtStep\n";
    let (_agent, mut stream) = serving(&world, &text).await;
    stream.report(1, report::Body::State(held())).await;
    changes(&mut stream, 2, ("v1:b", 2), ("v1:a", 1)).await;
    gate(&mut stream, "it is permitted", |gate| gate.permit.is_some()).await;
    assert!(world.apply(FREEZE).await.problems.is_empty());
    gate(&mut stream, "it holds at its step", |gate| {
        gate.permit.is_some()
            && gate.stopped
                == "closed until 2120-01-01T00:00:00Z: FleetWindow freeze freezes it: an incident"
    })
    .await;
    let delete = DeleteDocumentRequest {
        kind: "FleetWindow".into(),
        name: "freeze".into(),
        reason: "it is over".into(),
    };
    world.admin().await.delete_document(delete).await.unwrap();
    gate(&mut stream, "it goes on", |gate| {
        gate.permit.is_some() && gate.stopped.is_empty()
    })
    .await;
}
