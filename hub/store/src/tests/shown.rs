//! An approval is of what a person was shown: the images, the revision, and that a wave starts or that it passes.

use hub_engine::name::{Digest, Person, Revision};
use hub_engine::release::{Shown, Stage, WavePhase};

use super::words::fleet::{Fleet, id};
use crate::Error;
use crate::approval::{Approved, NewApproval};
use crate::report::Body;

/// What a person would be shown of a wave now.
async fn shown(fleet: &Fleet, wave: &str) -> Shown {
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    let wave = row.release.waves.iter().find(|one| one.name == wave);
    row.release.shown(wave.unwrap())
}

async fn approve(
    fleet: &Fleet,
    wave: &str,
    person: &str,
    shown: Option<Shown>,
) -> Result<Approved, Error> {
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    let approval = NewApproval {
        release: id(1),
        wave: Some(wave.to_owned()),
        plan_digest: row.release.plan_digest,
        person: Person(person.into()),
        groups: vec!["sre".to_owned()],
        comment: "looks good".to_owned(),
        shown,
    };
    fleet.store.approval_add(&approval).await
}

async fn refused(fleet: &Fleet, shown: Option<Shown>, says: &str) {
    let before = fleet.store.release_get(&id(1)).await.unwrap();
    let error = approve(fleet, "rest", "ada", shown)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
    let after = fleet.store.release_get(&id(1)).await.unwrap();
    assert_eq!(before.release.approvals, after.release.approvals);
}

/// A cluster brings version `b`, and another image beside it.
async fn brings(fleet: &mut Fleet, cluster: &str, beside: &[&str]) {
    let Fleet { store, members, .. } = fleet;
    let member = members.iter_mut().find(|one| one.name.as_str() == cluster);
    let member = member.unwrap();
    let was = member.state.spec.clone();
    let mut now = was.clone().unwrap();
    now.digest = Digest(format!("v1:b {beside:?}"));
    now.revision = Some(Revision("r-b".to_owned()));
    now.images = beside.iter().map(ToString::to_string).collect();
    now.images.push("shop:b".to_owned());
    now.generation += 1;
    member.state.held = Some(now.digest.clone());
    member.state.kept.push(now.digest.clone());
    member.state.spec = Some(now.clone());
    let state = member.state.clone();
    member.report(store, Body::State(state)).await;
    member.report(store, Body::Changed { was, now }).await;
    fleet.decide().await;
}

#[tokio::test]
async fn nobody_agrees_to_images_that_they_were_not_shown() {
    let mut fleet = Fleet::approved_at_last().await;
    brings(&mut fleet, "eu", &[]).await;
    let first = shown(&fleet, "rest").await;
    assert_eq!(first.images, ["shop:b"]);
    brings(&mut fleet, "us", &["proxy:evil"]).await;
    let says = "would also bring proxy:evil, which was not shown; look again";
    refused(&fleet, Some(first), says).await;
    // An older client printed what opened the release.
    refused(&fleet, None, "does not say what it showed of wave rest").await;
    let now = shown(&fleet, "rest").await;
    assert_eq!(now.images, ["proxy:evil", "shop:b"]);
    let other = Shown {
        revision: Some(Revision("r-c".to_owned())),
        ..now.clone()
    };
    let says = "the revision of checkout#1 is r-b, and what was shown is r-c";
    refused(&fleet, Some(other), says).await;
    let passes = Shown {
        stage: Stage::After,
        ..now.clone()
    };
    let says = "an approval would say that it starts, and what was shown is that it passes";
    refused(&fleet, Some(passes), says).await;
    let approved = approve(&fleet, "rest", "ada", Some(now)).await.unwrap();
    let have = (approved.have, approved.required, approved.repeated);
    assert_eq!(have, (1, 1, false));
    fleet.settle().await;
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert_eq!(row.release.approvals[0].images, ["proxy:evil", "shop:b"]);
    assert_eq!(row.release.phase.as_str(), "Succeeded");
}

/// The answer was lost with the hub, and the wave went on meanwhile.
#[tokio::test]
async fn the_same_word_is_answered_as_it_was_wherever_the_wave_is_by_then() {
    let mut fleet = Fleet::new(true).await;
    fleet.push("b", 2).await;
    let seen = shown(&fleet, "canary").await;
    approve(&fleet, "canary", "ada", Some(seen.clone()))
        .await
        .unwrap();
    fleet.decide().await;
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert_eq!(row.release.waves[0].phase, WavePhase::Running);
    let again = approve(&fleet, "canary", "ada", Some(seen.clone()))
        .await
        .unwrap();
    assert_eq!((again.have, again.repeated), (1, true));
    // Another one comes too late for that, and nobody takes their word for something else.
    let late = approve(&fleet, "canary", "bob", Some(seen.clone()))
        .await
        .unwrap_err();
    assert!(late.to_string().contains("is Running already"), "{late}");
    fleet.settle().await;
    let again = approve(&fleet, "canary", "ada", Some(seen)).await.unwrap();
    assert_eq!((again.have, again.repeated), (1, true));
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert_eq!(row.release.approvals.len(), 1);
}

/// An approval that was given ahead is voided only when the wave's turn comes: until then the same person's word on what is
/// there by now is a new one.
#[tokio::test]
async fn a_word_on_what_has_come_since_is_not_the_same_word() {
    let mut fleet = Fleet::approved_at_last().await;
    brings(&mut fleet, "eu", &[]).await;
    let seen = shown(&fleet, "rest").await;
    approve(&fleet, "rest", "ada", Some(seen)).await.unwrap();
    brings(&mut fleet, "us", &["proxy:other"]).await;
    let now = shown(&fleet, "rest").await;
    assert_eq!(now.images, ["proxy:other", "shop:b"]);
    let again = approve(&fleet, "rest", "ada", Some(now)).await.unwrap();
    assert_eq!((again.have, again.repeated), (1, false));
    fleet.settle().await;
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert_eq!(row.release.phase.as_str(), "Succeeded");
    let voided = row.release.approvals.iter();
    let voided: Vec<bool> = voided.map(|one| !one.voided.is_empty()).collect();
    assert_eq!(voided, [true, false]);
}

/// A client from before `Shown`: what it prints is all that there is.
#[tokio::test]
async fn an_older_client_agrees_where_it_showed_everything() {
    let mut fleet = Fleet::new(true).await;
    fleet.push("b", 2).await;
    let approved = approve(&fleet, "canary", "ada", None).await.unwrap();
    assert_eq!((approved.have, approved.required), (1, 1));
}
