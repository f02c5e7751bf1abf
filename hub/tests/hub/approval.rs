//! Who may approve, and what an approval is bound to.
use proto::v1::{
    ApproveRequest, ContentChanged, CreateTokenRequest, GetReleaseRequest, ListReleasesRequest,
    Permit, Release, RolloutRef, RolloutState, StartReleaseRequest, report,
};
use tonic::Code;

use crate::agent::Agent;
use crate::fixture::{World, document, eventually};
use crate::session::{content, rollout};

const WAVE: &str = "{name: europe, approval: {before: {required: 1, groups: [sre]}}}";

/// What the agent says once the new content is held.
pub fn held() -> RolloutState {
    RolloutState {
        spec: Some(content("v1:b", 2)),
        held_digest: "v1:b".into(),
        ..rollout("checkout", "v1:b", "v1:a")
    }
}

/// What the agent says when Git wants it.
fn changed() -> ContentChanged {
    ContentChanged {
        rollout: Some(RolloutRef {
            namespace: "shop".into(),
            name: "checkout".into(),
            uid: "uid-checkout".into(),
        }),
        was: Some(content("v1:a", 1)),
        now: Some(content("v1:b", 2)),
    }
}

/// A release whose only wave waits for one approval by sre.
pub async fn waiting(world: &World) -> (Agent, crate::agent::Stream, Release) {
    world
        .apply(&document("checkout", "checkout", "prod", WAVE))
        .await;
    let agent = Agent::member(world, "prod-eu", &[("tier", "prod")]).await;
    let mut hello = agent.nothing();
    hello.rollouts = vec![rollout("checkout", "v1:a", "v1:a")];
    let mut stream = agent.hello(world, hello).await;
    stream.welcome().await;
    let set = stream.set().await;
    stream.store(&set).await;
    stream.report(1, report::Body::State(held())).await;
    stream.report(2, report::Body::Changed(changed())).await;
    stream.committed(2).await;
    let release = eventually("a release waits for approval", async || {
        let request = ListReleasesRequest {
            fleet_rollout: "checkout".into(),
        };
        let releases = world
            .admin()
            .await
            .list_releases(request)
            .await
            .unwrap()
            .into_inner()
            .releases;
        releases
            .into_iter()
            .find(|release| release.waves[0].phase == "WaitingForApproval")
    })
    .await;
    (agent, stream, release)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_waves_groups_approve_and_only_the_plan_that_they_saw() {
    let world = World::start().await;
    let (agent, mut stream, release) = waiting(&world).await;
    let request = |plan: &str| ApproveRequest {
        release: release.name.clone(),
        wave: String::new(),
        plan_digest: plan.to_owned(),
        comment: "looked at the graphs".into(),
        shown: Some(release.shown(&release.waves[0])),
    };
    let plan = release.plan_digest.as_str();
    refused_to_others(&world, &agent, || request(plan)).await;
    let mut ada = world.person("ada", &["dev", "sre"]).await;
    assert!(
        ada.approve(request("p1:another")).await.is_err(),
        "another plan"
    );
    assert!(ada.approve(request("")).await.is_err(), "no plan");
    let mut wrong_wave = request(plan);
    wrong_wave.wave = "asia".into();
    assert_eq!(
        ada.approve(wrong_wave).await.unwrap_err().code(),
        Code::NotFound
    );

    let mut less = request(plan);
    less.shown.as_mut().unwrap().images.clear();
    let unseen = ada.approve(less).await.unwrap_err();
    assert!(
        unseen
            .message()
            .contains("would also bring demo:v1:b, which was not shown"),
        "{unseen}"
    );
    let mut strange = request(plan);
    strange.shown.as_mut().unwrap().stage = "During".into();
    let strange = ada.approve(strange).await.unwrap_err();
    assert_eq!(strange.code(), Code::InvalidArgument);
    assert_eq!(
        strange.message(),
        "shown.stage is Before or After, not \"During\""
    );

    let approved = ada.approve(request(plan)).await.unwrap().into_inner();
    // By its name: it may have started by now.
    let mut named = request(plan);
    named.wave = "europe".into();
    let again = ada.approve(named).await.unwrap().into_inner();
    assert!(
        again.message.contains("as it was before"),
        "{}",
        again.message
    );
    let wave = approved.wave.unwrap();
    assert_eq!(wave.approvals[0].person, "ada");
    assert_eq!(wave.approvals[0].groups, ["dev", "sre"]);
    assert!(wave.approvals[0].counts);

    permitted(&world, &mut stream, &release).await;
    in_order(&world).await;
}

/// Everybody but sre.
async fn refused_to_others(world: &World, agent: &Agent, request: impl Fn() -> ApproveRequest) {
    let cluster = world.channel(Some((&agent.certificate, &agent.key))).await;
    let anonymous = world.channel(None).await;
    for (who, mut client, code) in [
        (
            "anonymous",
            proto::v1::fleet_client::FleetClient::new(anonymous),
            Code::Unauthenticated,
        ),
        (
            "cluster",
            proto::v1::fleet_client::FleetClient::new(cluster),
            Code::PermissionDenied,
        ),
        (
            "dev",
            world.person("dan", &["dev"]).await,
            Code::PermissionDenied,
        ),
        ("admin", world.admin().await, Code::PermissionDenied),
    ] {
        assert_eq!(
            client.approve(request()).await.unwrap_err().code(),
            code,
            "{who}"
        );
    }
}

/// The permit that has come to an agent of one Rollout.
async fn permit_of(stream: &mut crate::agent::Stream) -> Permit {
    eventually("a permit", async || {
        let set = stream.set().await;
        stream.store(&set).await;
        match stream.entries[0].governance.clone() {
            Some(proto::v1::gate_entry::Governance::Governed(governed)) => governed.permit,
            Some(proto::v1::gate_entry::Governance::Ungovern(_)) | None => None,
        }
    })
    .await
}

/// The permit reaches the agent, signed for it.
async fn permitted(world: &World, stream: &mut crate::agent::Stream, release: &Release) {
    let permit = permit_of(stream).await;
    assert_eq!(
        (permit.digest.as_str(), permit.release.as_str()),
        ("v1:b", release.name.as_str())
    );
    assert_eq!(
        (permit.cluster_uid.as_str(), permit.rollout_uid.as_str()),
        ("uid-prod-eu", "uid-checkout")
    );
    assert!(verifies(world, &permit));
}

/// The permit was an update of an entry that the same transaction made only afterwards, and got lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_of_the_round_that_governs_its_cluster_reaches_it() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let mut hello = agent.nothing();
    hello.rollouts = vec![rollout("checkout", "v1:a", "v1:a")];
    let mut stream = agent.hello(&world, hello).await;
    stream.welcome().await;
    let set = stream.set().await;
    stream.store(&set).await;
    stream.report(1, report::Body::State(held())).await;
    stream.report(2, report::Body::Changed(changed())).await;
    stream.committed(2).await;
    // Nobody governs it yet: the first round decides about everything at once.
    world
        .apply(&document("checkout", "checkout", "prod", "{name: all}"))
        .await;
    assert_eq!(permit_of(&mut stream).await.digest, "v1:b");
}

async fn in_order(world: &World) {
    let kinds: Vec<String> = world
        .history()
        .await
        .into_iter()
        .map(|row| row.kind)
        .collect();
    let at = |kind: &str| {
        kinds
            .iter()
            .position(|one| one == kind)
            .unwrap_or_else(|| panic!("{kind} not in {kinds:?}"))
    };
    assert!(
        at("ReleaseOpened") < at("ApprovalRequested")
            && at("ApprovalRequested") < at("PermitGranted")
    );
}

fn verifies(world: &World, permit: &proto::v1::Permit) -> bool {
    use base64::Engine as _;
    let decode = |text: &str| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    let key = ring::signature::UnparsedPublicKey::new(
        &ring::signature::ED25519,
        decode(&world.authority.permit_key()),
    );
    key.verify(
        &proto::permit::signing_bytes(permit),
        &decode(&permit.signature),
    )
    .is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_takes_a_certificate_and_changing_takes_an_administrator() {
    let world = World::start().await;
    let mut anonymous = proto::v1::fleet_client::FleetClient::new(world.channel(None).await);
    let unknown = GetReleaseRequest {
        release: "checkout#1".into(),
    };
    assert_eq!(
        anonymous
            .get_release(unknown.clone())
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
    let mut dan = world.person("dan", &["dev"]).await;
    assert_eq!(
        dan.get_release(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    let bad = GetReleaseRequest {
        release: "checkout".into(),
    };
    assert_eq!(
        dan.get_release(bad).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let token = CreateTokenRequest {
        cluster: "a".into(),
        ..CreateTokenRequest::default()
    };
    assert_eq!(
        dan.create_token(token).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let start = StartReleaseRequest {
        fleet_rollout: "checkout".into(),
        reason: "r".into(),
        ..StartReleaseRequest::default()
    };
    assert_eq!(
        dan.start_release(start.clone()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        world
            .admin()
            .await
            .start_release(start)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}
