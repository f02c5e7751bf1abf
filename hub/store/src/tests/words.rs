//! Persons' words against a real Postgres: what races, what is asked twice, what a dying hub leaves behind.

pub mod fleet;

use hub_engine::name::Digest;
use hub_engine::release::{ReleasePhase, TargetState};
use hub_engine::verb::{Scope, Verb};

use super::fixture::Signer;
use crate::approval::NewApproval;
use crate::desired::Governance;
use crate::report::Body;
use crate::request::{NewRequest, Requested};
use crate::stop::NewStop;
use crate::{Error, changed, epoch, fleet_rollout};
use fleet::{Fleet, TTL, decide, id, name, refused, word};

/// F67: the reply is lost, and the client asks again by the same key.
#[tokio::test]
async fn a_word_that_is_asked_for_twice_is_obeyed_once() {
    let mut fleet = Fleet::new(true).await;
    fleet.push("b", 2).await;
    let first = fleet.say(Verb::Pause, 1, "k").await;
    assert!(matches!(&first, Requested::Obeyed(_)), "{first:?}");
    assert_eq!(fleet.say(Verb::Pause, 1, "k").await, first);
    let told = fleet.told(1).await;
    let paused = told.iter().filter(|(kind, _)| kind == "ReleasePaused");
    assert_eq!(paused.count(), 1);
    refused(&fleet.say(Verb::Pause, 1, "other").await, "paused already");
    let stolen = fleet.store.request_add(&word(Verb::Resume, 1, "k")).await;
    let why = stolen.unwrap_err().to_string();
    assert!(why.contains("another request already"), "{why}");
    let stop = NewStop {
        fleet_rollout: None,
        lift: false,
        person: "ann".into(),
        reason: "alarm".to_owned(),
        key: "s".to_owned(),
    };
    let answer = fleet.store.stop(&stop).await.unwrap();
    assert_eq!(fleet.store.stop(&stop).await.unwrap(), answer);
    let lifted = NewStop {
        lift: true,
        ..stop.clone()
    };
    assert!(fleet.store.stop(&lifted).await.is_err(), "the key is used");
}

/// F58, S19: whatever comes first, after the abort nothing starts.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_races_with_an_abort_starts_nothing_after_it() {
    let mut fleet = Fleet::new(true).await;
    for number in 1..=6_u64 {
        let version = format!("b{number}");
        fleet
            .push(&version, 1 + i64::try_from(number).unwrap())
            .await;
        let row = fleet.store.release_get(&id(number)).await.unwrap();
        let approval = |person: &str| NewApproval {
            release: id(number),
            wave: Some("canary".to_owned()),
            plan_digest: row.release.plan_digest.clone(),
            person: person.into(),
            groups: vec!["sre".to_owned()],
            comment: "looks good".to_owned(),
            shown: None,
        };
        let (ada, bob) = (approval("ada"), approval("bob"));
        let abort = word(Verb::Abort { scope: None }, number, "");
        let (store, epoch) = (fleet.store.clone(), fleet.epoch);
        let deciding = tokio::spawn(async move { decide(&store, epoch).await });
        // Two approvers and the abort at the same instant; who is first changes with the round.
        let (first, second, asked) = if number % 2 == 0 {
            tokio::join!(
                fleet.store.approval_add(&ada),
                fleet.store.approval_add(&bob),
                fleet.store.request_add(&abort)
            )
        } else {
            let (asked, first, second) = tokio::join!(
                fleet.store.request_add(&abort),
                fleet.store.approval_add(&ada),
                fleet.store.approval_add(&bob)
            );
            (first, second, asked)
        };
        deciding.await.unwrap();
        let asked = asked.unwrap();
        for answer in [first, second] {
            assert!(
                matches!(
                    answer,
                    Ok(_) | Err(Error::Refused { .. } | Error::Busy { .. })
                ),
                "{answer:?}"
            );
        }
        fleet.settle().await;
        let answer = fleet.store.request_get(asked).await.unwrap();
        assert!(matches!(answer, Requested::Obeyed(_)), "{answer:?}");
        let told = fleet.told(number).await;
        let aborted = told.iter().position(|(kind, _)| kind == "ReleaseAborted");
        let after = told.get(aborted.expect("it was aborted")..).unwrap();
        let started = after
            .iter()
            .find(|(kind, message)| kind == "PermitGranted" && message.contains("may go to"));
        assert_eq!(started, None, "{told:#?}");
        assert!(fleet.phase(number).await.ended(), "{told:#?}");
        let late = fleet.store.approval_add(&approval("eve")).await;
        assert!(late.unwrap_err().to_string().contains("has ended"));
    }
}

/// F61, S20: taken back long after its end, last wave first, by one hub and then another.
#[tokio::test]
async fn a_rollback_by_hand_is_resumed_by_the_next_hub_and_verified() {
    let mut fleet = Fleet::new(false).await;
    fleet.push("b", 2).await;
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::Succeeded);
    let answer = fleet.say(Verb::Rollback, 1, "").await;
    assert!(matches!(answer, Requested::Obeyed(_)), "{answer:?}");
    assert_eq!(fleet.phase(1).await, ReleasePhase::RollingBack);
    // The last wave has its permit, the first one has to wait; then the hub dies.
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    let state = |name: &str| row.release.target(&name.into()).unwrap().state;
    assert_eq!(state("us"), TargetState::RollingBack);
    assert_eq!(state("eu"), TargetState::Succeeded);
    let old = fleet.epoch;
    fleet.store.lease_release("first").await.unwrap();
    fleet.epoch = fleet
        .store
        .epoch_take("second", TTL)
        .await
        .unwrap()
        .unwrap();
    let zombie = fleet.store.decide(old, &name(), &Signer).await;
    assert!(matches!(zombie, Err(Error::Fenced { .. })), "{zombie:?}");
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::RolledBack);
    for member in &fleet.members {
        assert_eq!(member.state.served, Some(Digest("v1:a".to_owned())));
    }
    let back: Vec<String> = fleet
        .told(1)
        .await
        .into_iter()
        .filter(|(kind, _)| kind == "TargetRolledBack")
        .map(|(_, message)| message)
        .collect();
    assert_eq!(back, ["us is RolledBack", "eu is RolledBack"]);
    // A rollback is not rolled back: its content comes again wave by wave.
    refused(&fleet.say(Verb::Rollback, 1, "").await, "is back already");
    let start = NewRequest {
        release: None,
        verb: Verb::Start { expedite: false },
        ..word(Verb::Pause, 0, "")
    };
    let asked = fleet.store.request_add(&start).await.unwrap();
    fleet.decide().await;
    assert_eq!(
        fleet.store.request_get(asked).await.unwrap(),
        Requested::Opened(id(2))
    );
    fleet.settle().await;
    assert_eq!(fleet.phase(2).await, ReleasePhase::Succeeded);
}

/// F61: what it served before is gone in one cluster; the other goes back all the same.
#[tokio::test]
async fn a_rollback_without_its_target_names_the_cluster() {
    let mut fleet = Fleet::new(false).await;
    fleet.push("b", 2).await;
    fleet.settle().await;
    let eu = fleet.members.first_mut().unwrap();
    eu.state.kept.retain(|digest| digest.as_str() != "v1:a");
    let state = eu.state.clone();
    let store = fleet.store.clone();
    eu.report(&store, Body::State(state)).await;
    fleet.say(Verb::Rollback, 1, "").await;
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::RolledBackPartially);
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert!(row.release.verdict.ends_with("still to go back: eu"));
    let us = fleet.members.last().unwrap();
    assert_eq!(us.state.served, Some(Digest("v1:a".to_owned())));
}

/// Aborted with what had finished staying, then taken back whole.
#[tokio::test]
async fn an_aborted_release_is_taken_back_later() {
    let mut fleet = Fleet::new(false).await;
    fleet.push("b", 2).await;
    for member in fleet.members.iter_mut().take(1) {
        member.work(&fleet.store).await;
    }
    fleet.decide().await;
    let unfinished = Verb::Abort {
        scope: Some(Scope::Unfinished),
    };
    fleet.say(unfinished, 1, "").await;
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::Aborted);
    let served = |fleet: &Fleet| -> Vec<String> {
        let all = fleet.members.iter();
        all.map(|member| member.state.served.as_ref().unwrap().to_string())
            .collect()
    };
    assert_eq!(served(&fleet), ["v1:b", "v1:a"]);
    fleet.say(Verb::Rollback, 1, "").await;
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::RolledBack);
    assert_eq!(served(&fleet), ["v1:a", "v1:a"]);
}

/// G30: a decision that has not seen the stop does not come to its end.
#[tokio::test]
async fn a_decision_that_began_before_a_stop_looks_again() {
    let mut fleet = Fleet::new(false).await;
    let mut tx = fleet.store.pool.begin().await.unwrap();
    sqlx::query(crate::decide::REPEATABLE)
        .execute(&mut *tx)
        .await
        .unwrap();
    epoch::guard(&mut tx, fleet.epoch).await.unwrap();
    let stop = NewStop {
        fleet_rollout: Some(name()),
        lift: false,
        person: "ann".into(),
        reason: "alarm".to_owned(),
        key: String::new(),
    };
    fleet.store.stop(&stop).await.unwrap();
    let locked = fleet_rollout::get(&mut tx, &name(), true).await;
    assert!(matches!(locked, Err(Error::Busy { .. })), "{locked:?}");
    drop(tx);
    fleet.push("b", 2).await;
    fleet.settle().await;
    let told = fleet.told(1).await;
    assert!(
        !told.iter().any(|(kind, _)| kind == "PermitGranted"),
        "{told:#?}"
    );
    for member in &fleet.members {
        let set = fleet.store.desired_set(&member.name).await.unwrap();
        let Governance::Governed { terms, .. } = &set.entries.first().unwrap().governance else {
            panic!("not governed");
        };
        assert_eq!(terms.stopped.as_deref(), Some("stopped by ann: alarm"));
    }
    let again = fleet.store.stop(&stop).await.unwrap_err().to_string();
    assert!(again.contains("stopped already"), "{again}");
    let lift = NewStop { lift: true, ..stop };
    fleet.store.stop(&lift).await.unwrap();
    fleet.settle().await;
    assert_eq!(fleet.phase(1).await, ReleasePhase::Succeeded);
}

/// A hub of the version before knows one verb: it must not take another word for a start.
#[tokio::test]
async fn another_word_is_settled_for_an_older_hub() {
    let mut fleet = Fleet::new(true).await;
    fleet.push("b", 2).await;
    let asked = fleet.store.request_add(&word(Verb::Pause, 1, "")).await;
    // The statement of that version.
    let seen: i64 = sqlx::query_scalar("select count(*) from requests where not settled")
        .fetch_one(&fleet.store.pool)
        .await
        .unwrap();
    assert_eq!(seen, 0);
    let answer = fleet.store.request_get(asked.unwrap()).await.unwrap();
    assert_eq!(answer, Requested::Undecided);
}

/// S11: what nobody asks for any more goes, and nothing else.
#[tokio::test]
async fn what_is_long_over_is_forgotten() {
    let fleet = Fleet::new(false).await;
    let store = &fleet.store;
    store.keys_prune().await.unwrap();
    for statement in [
        "insert into refusals (at, kind, who, message) select now() - days * interval '1 day', 'Old', 'w', 'm' \
         from unnest(array[401, 399]) as days",
        "insert into changes (cluster, namespace, rollout, now, session, sequence, seen_at, settled) \
         select 'eu', 'shop', 'other', '{}', 0, days, now() - days * interval '1 day', days <> 33 \
         from unnest(array[31, 29, 33]) as days",
        "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) \
         values ('eu', 'shop', 'other', 'checkout', 1, '{}')",
        "insert into changes (cluster, namespace, rollout, now, session, sequence, seen_at) \
         select 'eu', 'shop', 'strange', '{}', 1, days, now() - days * interval '1 day' from unnest(array[31, 29]) as days",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    assert_eq!(store.keys_prune().await.unwrap(), 3, "one of each");
    let left =
        "select sequence from changes where rollout in ('other', 'strange') order by sequence";
    let left: Vec<i64> = sqlx::query_scalar(left)
        .fetch_all(&store.pool)
        .await
        .unwrap();
    assert_eq!(
        left,
        [29, 29, 33],
        "the younger ones, and the one that is not settled"
    );
    let refusals = store.refusal_list(10).await.unwrap();
    assert_eq!(refusals.iter().filter(|one| one.kind == "Old").count(), 1);
    assert_eq!(store.keys_prune().await.unwrap(), 0);
}

/// Of transactions in which rows went away the newest are kept, and nobody who remembers an older moment is told that nothing
/// has gone since.
#[tokio::test]
async fn of_what_went_away_the_newest_is_kept_and_nobody_is_misled() {
    let fleet = Fleet::new(false).await;
    let store = &fleet.store;
    let kept = changed::GONE_KEPT;
    let most = kept + 60;
    // Numbers of transactions that are over: as many as that are taken.
    let mut connection = store.pool.acquire().await.unwrap();
    loop {
        let now = "select pg_current_xact_id()::text::bigint";
        let now: i64 = sqlx::query_scalar(now)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        if now > most {
            break;
        }
    }
    let fill = async |from: i64, to: i64| {
        let fill =
            "insert into hub_gone select number::text::xid8 from generate_series($1, $2) as number";
        let fill = sqlx::query(fill).bind(from).bind(to);
        fill.execute(&store.pool).await.unwrap();
    };
    let gone = async |since: &str| {
        let mut connection = store.pool.acquire().await.unwrap();
        changed::gone(&mut connection, since).await.unwrap()
    };
    sqlx::query("delete from hub_gone")
        .execute(&store.pool)
        .await
        .unwrap();
    fill(51, 49 + kept).await;
    store.keys_prune().await.unwrap();
    // In all of these moments everything above was over.
    let (before, runs, after) = ("40:5000:", "50:5000:50", "5000:5000:");
    for moment in [before, runs, after] {
        assert!(!gone(moment).await, "{moment}: fewer than are kept");
    }
    fill(50, 50).await;
    assert!(gone(runs).await, "it was running then");
    assert!(!gone(after).await);
    fill(50 + kept, 59 + kept).await;
    assert_eq!(store.keys_prune().await.unwrap(), 10);
    let left = "select count(*), min(changed_in::text::bigint) from hub_gone";
    let left: (i64, i64) = sqlx::query_as(left).fetch_one(&store.pool).await.unwrap();
    assert_eq!(left, (kept, 60));
    assert!(gone(runs).await, "what ran then is forgotten");
    assert!(gone(before).await, "and may have been running then");
    assert!(!gone(after).await);
    assert!(!gone("60:5000:").await);
}
