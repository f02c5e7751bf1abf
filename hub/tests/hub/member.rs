//! Who is a member, by persons' words (gate.md G9, L4): over the wire, before a real Postgres.
use proto::v1::change_member_request::Change;
use proto::v1::ungovern_request::Mode;
use proto::v1::{
    ApplyRequest, ChangeMemberRequest, DeleteDocumentRequest, Hello, Leave, ListClustersRequest,
    ListFleetRolloutsRequest, Relabel, StopRequest, UngovernRequest, gate_entry,
};
use tonic::Code;

use crate::agent::{Agent, Request, Stream, join};
use crate::fixture::{World, document, eventually};

pub fn change(cluster: &str, change: Change) -> ChangeMemberRequest {
    ChangeMemberRequest {
        cluster: cluster.to_owned(),
        reason: "rebuilt".to_owned(),
        change: Some(change),
    }
}

fn labels(set: &[(&str, &str)], unset: &[&str]) -> Change {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Change::Relabel(Relabel {
        set: set.iter().map(pair).collect(),
        unset: unset.iter().map(|key| (*key).to_owned()).collect(),
    })
}

fn ungovern(cluster: &str, mode: Mode, key: &str) -> UngovernRequest {
    UngovernRequest {
        fleet_rollout: "checkout".to_owned(),
        cluster: cluster.to_owned(),
        mode: mode.into(),
        reason: "another tool takes it".to_owned(),
        key: key.to_owned(),
    }
}

fn delete(kind: &str, name: &str) -> DeleteDocumentRequest {
    DeleteDocumentRequest {
        kind: kind.to_owned(),
        name: name.to_owned(),
        reason: "over".to_owned(),
    }
}

async fn kinds(world: &World) -> Vec<String> {
    world
        .history()
        .await
        .into_iter()
        .map(|row| row.kind)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_change_once_and_what_is_not_selected_stays_governed() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod"), ("old", "1")]).await;
    let (_stream, _) = agent.open(&world).await;
    world
        .apply(&document("checkout", "checkout", "prod", "name: all"))
        .await;
    world
        .apply(&document("tests", "checkout", "test", "name: all"))
        .await;
    let mut dan = world.person("dan", &["dev"]).await;
    let denied = dan
        .change_member(change("eu-1", labels(&[], &["old"])))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);

    let mut admin = world.admin().await;
    let moved = change("eu-1", labels(&[("tier", "stage")], &["old"]));
    let answer = admin
        .change_member(moved.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer
            .message
            .contains("goes on governing it; `groundswell ungovern checkout --cluster"),
        "{answer:?}"
    );
    let again = admin.change_member(moved).await.unwrap().into_inner();
    assert_eq!(again.message, "eu-1 has these labels already");
    let shown = admin
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner();
    let shown = &shown.clusters[0];
    assert_eq!(shown.labels.get("tier").map(String::as_str), Some("stage"));
    assert!(!shown.labels.contains_key("old"));
    let kinds = kinds(&world).await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "ClusterRelabelled")
            .count(),
        1
    );
    let nobody = admin
        .change_member(change("asia", labels(&[("a", "b")], &[])))
        .await;
    assert_eq!(nobody.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_cluster_keeps_its_certificate_its_gate_and_its_past() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    world
        .apply(&document("checkout", "checkout", "prod", "name: all"))
        .await;
    let (mut stream, first) = agent.open(&world).await;
    assert_eq!(
        first.entries.len(),
        1,
        "it is governed from the first set on"
    );
    let mut admin = world.admin().await;
    let rename = |to: &str| change("eu-1", Change::RenameTo(to.to_owned()));
    let bad = admin.change_member(rename("EU 1")).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let named = document("basket", "basket", "prod", "{name: all, names: [eu-1]}");
    assert!(world.apply(&named).await.problems.is_empty());
    let refused = admin.change_member(rename("eu-west")).await.unwrap_err();
    assert!(
        refused
            .message()
            .contains("apply it with eu-west beside it first"),
        "{refused}"
    );
    let both = document(
        "basket",
        "basket",
        "prod",
        "{name: all, names: [eu-1, eu-west]}",
    );
    assert!(world.apply(&both).await.problems.is_empty());
    admin.change_member(rename("eu-west")).await.unwrap();
    stream.ended().await;

    // The same certificate, which still says eu-1.
    let (stream, set) = agent.open(&world).await;
    assert!(stream.session > 0 && !set.entries.is_empty());
    let shown = admin
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner();
    let names: Vec<&str> = shown.clusters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["eu-west"]);
    let history = world.history().await;
    assert!(
        history
            .iter()
            .any(|row| row.kind == "ClusterJoined" && row.cluster == "eu-1")
    );
    assert!(history.iter().any(|row| row.kind == "ClusterRenamed"));
    // The name is free for somebody else, whose own certificate is not taken for the old one's.
    let other = Agent::member(&world, "eu-1", &[("tier", "test")]).await;
    let hello = Hello {
        kube_system_uid: "uid-eu-1".to_owned(),
        ..other.nothing()
    };
    other.hello(&world, hello).await.welcome().await;
    let taken = admin
        .change_member(change("eu-west", Change::RenameTo("eu-1".to_owned())))
        .await;
    assert_eq!(taken.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_takes_a_name_only_by_a_persons_word() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    let (mut stream, _) = agent.open(&world).await;
    let clone = Hello {
        kube_system_uid: "uid-of-another".to_owned(),
        ..agent.nothing()
    };
    let refusal = agent.hello(&world, clone.clone()).await.refusal().await;
    assert!(refusal.message.contains("another"), "{refusal:?}");
    let mut admin = world.admin().await;
    let mut silent = change("eu-1", Change::RebindUid("uid-of-another".to_owned()));
    let rebind = silent.clone();
    silent.reason.clear();
    let refused = admin.change_member(silent).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let answer = admin
        .change_member(rebind.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer.message.contains("groundswell cluster token eu-1"),
        "{answer:?}"
    );
    let again = admin.change_member(rebind).await.unwrap().into_inner();
    assert_eq!(again.message, "eu-1 is bound to uid-of-another already");
    stream.ended().await;
    // Neither the former one nor a clone of its certificate comes in again.
    agent.hello(&world, agent.nothing()).await.refusal().await;
    agent.hello(&world, clone).await.refusal().await;
    // A token is for whoever is bound now.
    let token = world.token("eu-1", &[("tier", "prod")], 0).await;
    let refused = join(&world, &token, "eu-1", &Request::new())
        .await
        .unwrap_err();
    assert!(
        refused
            .message()
            .contains("groundswell cluster rebind eu-1 --uid uid-eu-1"),
        "{refused}"
    );
    let kinds = kinds(&world).await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "ClusterRebound")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_left_is_no_member_and_may_join_again_as_another() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    let (mut stream, _) = agent.open(&world).await;
    let mut admin = world.admin().await;
    let leave = change("eu-1", Change::Leave(Leave {}));
    let answer = admin
        .change_member(leave.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer.message.contains("what it holds stays held"),
        "{answer:?}"
    );
    stream.ended().await;
    let again = admin.change_member(leave).await.unwrap().into_inner();
    assert!(again.message.contains("left the fleet at"), "{again:?}");
    let refused = admin
        .change_member(change("eu-1", labels(&[("a", "b")], &[])))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    let shown = admin
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(shown.clusters.is_empty(), "{shown:?}");
    agent.hello(&world, agent.nothing()).await.refusal().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    agent.open(&world).await;
    let shown = admin
        .list_clusters(ListClustersRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.clusters.len(), 1);
}

/// Until its agent is told that it is let go, or governed.
async fn told(stream: &mut Stream, let_go: bool) {
    eventually("the agent is told", async || {
        let set = stream.set().await;
        stream.store(&set).await;
        let entry = stream.entries.first()?;
        let ended = matches!(entry.governance, Some(gate_entry::Governance::Ungovern(_)));
        (ended == let_go).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn governance_ends_by_a_word_and_only_then_a_document_narrows_or_goes() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    let wide = document("checkout", "checkout", "prod", "name: all");
    world.apply(&wide).await;
    let (mut stream, _) = agent.open(&world).await;
    let narrow = wide.replace("tier: prod", "tier: nothing");
    let problems = world.apply(&narrow).await.problems;
    assert!(
        problems[0]
            .message
            .contains("groundswell ungovern checkout --cluster eu-1"),
        "{problems:?}"
    );
    let mut admin = world.admin().await;
    let refused = admin
        .delete_document(delete("FleetRollout", "checkout"))
        .await
        .unwrap_err();
    assert!(
        refused.message().contains("groundswell ungovern checkout"),
        "{refused}"
    );
    let vague = admin
        .ungovern(ungovern("", Mode::Unspecified, ""))
        .await
        .unwrap_err();
    assert_eq!(vague.code(), Code::InvalidArgument);
    let stranger = admin
        .ungovern(ungovern("asia", Mode::KeepServing, ""))
        .await
        .unwrap_err();
    assert_eq!(stranger.code(), Code::FailedPrecondition, "{stranger}");

    let word = ungovern("eu-1", Mode::KeepServing, "k1");
    let answer = admin.ungovern(word.clone()).await.unwrap().into_inner();
    assert_eq!(
        answer.message,
        "admin ends governance in eu-1 (KeepServing): another tool takes it"
    );
    let again = admin.ungovern(word).await.unwrap().into_inner();
    assert_eq!(again, answer, "asked again by the same key");
    told(&mut stream, true).await;
    assert!(world.apply(&narrow).await.problems.is_empty());
    assert!(world.apply(&wide).await.problems.is_empty());
    // Selecting it again is no word: it stays let go.
    let kinds_now = kinds(&world).await;
    assert_eq!(
        kinds_now
            .iter()
            .filter(|kind| *kind == "GateUngoverned")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_go_is_governed_again_by_a_word_or_by_a_new_document() {
    let world = World::start().await;
    let agent = Agent::member(&world, "eu-1", &[("tier", "prod")]).await;
    let wide = document("checkout", "checkout", "prod", "name: all");
    world.apply(&wide).await;
    let (mut stream, _) = agent.open(&world).await;
    let mut admin = world.admin().await;
    admin
        .ungovern(ungovern("eu-1", Mode::KeepServing, ""))
        .await
        .unwrap();
    told(&mut stream, true).await;
    let answer = admin
        .ungovern(ungovern("eu-1", Mode::Govern, ""))
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer.message.contains("governs again in eu-1"),
        "{answer:?}"
    );
    told(&mut stream, false).await;
    admin
        .ungovern(ungovern("", Mode::ReleaseHeld, ""))
        .await
        .unwrap();
    let answer = admin
        .delete_document(delete("FleetRollout", "checkout"))
        .await
        .unwrap();
    assert_eq!(
        answer.into_inner().message,
        "FleetRollout checkout is deleted"
    );
    let left = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap();
    assert!(left.into_inner().fleet_rollouts.is_empty());
    let gone = admin
        .delete_document(delete("FleetRollout", "checkout"))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    // Whoever applies it again means its clusters.
    assert!(world.apply(&wide).await.problems.is_empty());
    told(&mut stream, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_deleted_and_a_stop_is_seen_in_the_list() {
    let world = World::start().await;
    world
        .apply(&document("checkout", "checkout", "prod", "name: all"))
        .await;
    let window = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetWindow\nmetadata: {name: sale}\nspec:\n  \
                  freezes:\n  - {from: 2026-12-20T00:00:00Z, to: 2026-12-27T00:00:00Z, reason: a sale}\n";
    assert!(world.apply(window).await.problems.is_empty());
    let mut admin = world.admin().await;
    admin
        .delete_document(delete("FleetWindow", "sale"))
        .await
        .unwrap();
    let again = admin
        .delete_document(delete("FleetWindow", "sale"))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    let unknown = admin
        .delete_document(delete("Pod", "sale"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    let kinds = kinds(&world).await;
    assert!(
        kinds.contains(&"FleetWindowApplied".to_owned())
            && kinds.contains(&"FleetWindowDeleted".to_owned())
    );

    let stop = StopRequest {
        fleet_rollout: "checkout".to_owned(),
        reason: "alarm".to_owned(),
        ..StopRequest::default()
    };
    admin.stop(stop).await.unwrap();
    let shown = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.fleet_rollouts[0].stopped, "stopped by admin: alarm");
}

/// What the pages about policies say is stored as it stands there, whatever was stored before it.
#[tokio::test(flavor = "multi_thread")]
async fn every_document_of_the_pages_about_policies_is_applied() {
    let world = World::start().await;
    Agent::member(
        &world,
        "eu-1",
        &[("tier", "prod"), ("region", "eu"), ("ring", "0")],
    )
    .await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut admin = world.admin().await;
    let mut stored = 0;
    for page in std::fs::read_dir(folder).unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        for document in text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
        {
            let request = ApplyRequest {
                file_name: page.display().to_string(),
                document: document.to_owned(),
                dry_run: false,
            };
            let answer = admin.apply(request).await.unwrap().into_inner();
            assert!(
                answer.problems.is_empty(),
                "{}: {:?}",
                page.display(),
                answer.problems
            );
            stored += answer.applied.len();
        }
    }
    assert!(stored >= 8, "{stored} documents");
    let history = kinds(&world).await;
    let applied = history
        .iter()
        .filter(|kind| kind.ends_with("Applied"))
        .count();
    assert!(applied >= 2, "{history:?}");
}
