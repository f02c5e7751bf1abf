//! Persons' words over the wire: who may say them, that each is answered, and that a stop reaches the agents.
use proto::v1::act_request::Verb;
use proto::v1::{ActRequest, GetReleaseRequest, StopRequest, gate_entry};
use tonic::Code;

use crate::agent::Stream;
use crate::approval::waiting;
use crate::fixture::{World, eventually};

fn word(release: &str, verb: Verb) -> ActRequest {
    ActRequest {
        release: release.to_owned(),
        verb: verb.into(),
        reason: "the graphs look wrong".to_owned(),
        key: "k1".to_owned(),
        ..ActRequest::default()
    }
}

fn stop(lift: bool) -> StopRequest {
    StopRequest {
        all: true,
        lift,
        reason: "alarm".to_owned(),
        ..StopRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_an_administrators_and_each_is_answered() {
    let world = World::start().await;
    let (_agent, _stream, release) = waiting(&world).await;
    let mut dan = world.person("dan", &["dev"]).await;
    let denied = dan.act(word(&release.name, Verb::Pause)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let denied = dan.stop(stop(false)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);

    let mut admin = world.admin().await;
    let wrong = [
        (word("checkout", Verb::Pause), Code::InvalidArgument),
        (word("nothing#1", Verb::Pause), Code::NotFound),
        (
            word(&release.name, Verb::Unspecified),
            Code::InvalidArgument,
        ),
        (word(&release.name, Verb::Retry), Code::InvalidArgument),
    ];
    for (mut request, code) in wrong {
        request.key.clear();
        let refused = admin.act(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{request:?}: {refused}");
    }
    let silent = ActRequest {
        reason: " ".to_owned(),
        ..word(&release.name, Verb::Pause)
    };
    assert_eq!(
        admin.act(silent).await.unwrap_err().code(),
        Code::InvalidArgument
    );

    let request = word(&release.name, Verb::Pause);
    let answer = admin.act(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        answer.message,
        "admin pauses release #1: the graphs look wrong"
    );
    let again = admin.act(request).await.unwrap().into_inner();
    assert_eq!(again, answer, "asked again by the same key");
    let twice = ActRequest {
        key: "k2".to_owned(),
        ..word(&release.name, Verb::Pause)
    };
    let refused = admin.act(twice).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let paused = world.history().await.into_iter();
    let paused: Vec<_> = paused.filter(|row| row.kind == "ReleasePaused").collect();
    assert_eq!(paused.len(), 1);
    assert_eq!(paused[0].actor, "admin");
    let shown = GetReleaseRequest {
        release: release.name,
    };
    let shown = admin.get_release(shown).await.unwrap().into_inner();
    assert!(shown.reasons.iter().any(|reason| reason.code == "Paused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_agents_and_is_lifted() {
    let world = World::start().await;
    let (_agent, mut stream, _) = waiting(&world).await;
    let mut admin = world.admin().await;
    let vague = StopRequest {
        all: false,
        ..stop(false)
    };
    assert_eq!(
        admin.stop(vague).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let answer = admin.stop(stop(false)).await.unwrap().into_inner();
    assert_eq!(answer.message, "the whole fleet is stopped by admin: alarm");
    told(&mut stream, "the whole fleet is stopped by admin: alarm").await;
    let again = admin.stop(stop(false)).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    admin.stop(stop(true)).await.unwrap();
    told(&mut stream, "").await;
}

/// Until the gate says so.
async fn told(stream: &mut Stream, message: &str) {
    eventually("the gate says so", async || {
        let set = stream.set().await;
        stream.store(&set).await;
        match &stream.entries[0].governance {
            Some(gate_entry::Governance::Governed(governed)) => {
                (governed.stopped == message).then_some(())
            }
            Some(gate_entry::Governance::Ungovern(_)) | None => None,
        }
    })
    .await;
}
