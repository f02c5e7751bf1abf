//! A database put back from a copy (F8, F9), with a real server and its real files.

use std::path::Path;
use std::process::Command;

use hub_engine::verb::Verb;
use hub_engine::{ClusterName, Fence, FleetRolloutName};

use super::fixture::Signer;
use crate::embedded::Embedded;
use crate::request::NewRequest;
use crate::session::{CONNECTED_SECONDS, Hello, Opened};
use crate::{Epoch, Error, Store};

pub(super) const DOCUMENT: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  waves: [{name: all}]
";

pub(super) fn hello(cluster: &str, fence: (u64, u64), handed: Option<(u64, Vec<u8>)>) -> Hello {
    Hello {
        cluster: cluster.into(),
        kube_system_uid: "uid".into(),
        agent_version: "1".into(),
        fence: Fence {
            incarnation: fence.0,
            version: fence.1,
        },
        proven: true,
        set_hash: String::new(),
        rollouts: Vec::new(),
        fingerprint: String::new(),
        audit_head: String::new(),
        handed,
        hub: "test".into(),
    }
}

pub(super) async fn open(store: &Store, hello: &Hello) -> Option<(u64, Vec<u8>)> {
    match store.session_open(hello).await.unwrap() {
        Opened::Session(begun) => begun.head,
        other @ (Opened::DuplicateIdentity
        | Opened::UnknownCluster
        | Opened::Revoked
        | Opened::Unproven { .. }) => panic!("{other:?}"),
    }
}

/// A cluster's session of now.
pub(super) async fn session_of(store: &Store, cluster: &str) -> u64 {
    let query = sqlx::query_scalar("select session from cluster_sessions where cluster = $1");
    let session: i64 = query.bind(cluster).fetch_one(&store.pool).await.unwrap();
    session.unsigned_abs()
}

pub(super) async fn start(folder: &Path) -> (Embedded, Store) {
    let server = Embedded::start(folder).await.unwrap();
    let store = Store::connect(server.url()).unwrap();
    store.migrate().await.unwrap();
    (server, store)
}

pub(super) async fn stop(server: Embedded, store: Store) {
    store.close().await;
    server.stop().await.unwrap();
}

fn start_release() -> NewRequest {
    NewRequest {
        fleet_rollout: "checkout".into(),
        release: None,
        verb: Verb::default(),
        person: "ann".into(),
        reason: "x".to_owned(),
        key: String::new(),
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

pub(super) async fn decide(store: &Store) -> Result<(), String> {
    let name = FleetRolloutName("checkout".into());
    match store.decide(Epoch(0), &name, &Signer).await {
        Ok(decided) => {
            assert!(decided.is_some());
            Ok(())
        }
        Err(Error::Held { why }) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

pub(super) async fn raise(store: &Store, cluster: &str) {
    let mut tx = store.pool.begin().await.unwrap();
    let cluster = ClusterName(cluster.to_owned());
    crate::desired::raise(&mut tx, &[cluster]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Three clusters and a document, copied; what `later` does after that is lost. Answers the server and store on the copy, and
/// what the agent of `a` was handed before the loss.
async fn restored(dir: &Path) -> (Embedded, Store, (u64, Vec<u8>)) {
    let folder = dir.join("hub");
    let (server, store) = start(&folder).await;
    for name in ["a", "b", "c"] {
        for statement in [
            "insert into clusters (name, labels, kube_system_uid) values ($1, '{}', 'uid')",
            "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
            "insert into cluster_sessions (cluster) values ($1)",
        ] {
            sqlx::query(statement)
                .bind(name)
                .execute(&store.pool)
                .await
                .unwrap();
        }
        open(&store, &hello(name, (1, 0), None)).await;
    }
    let documents = hub_engine::parse_file(DOCUMENT).unwrap();
    store
        .fleet_rollout_apply(&documents, &"ann".into(), false)
        .await
        .unwrap();
    decide(&store).await.unwrap();
    // Their streams end with the hub.
    for name in ["a", "b", "c"] {
        let session = session_of(&store, name).await;
        store.session_close(&name.into(), session).await.unwrap();
    }
    let data = server.folder();
    stop(server, store).await;
    copy(&data, &dir.join("backup"));
    let (server, store) = start(&folder).await;
    store.request_add(&start_release()).await.unwrap();
    for _ in 0..5 {
        raise(&store, "a").await;
    }
    store
        .fleet_rollout_apply(
            &hub_engine::parse_file(&DOCUMENT.replace("name: all", "name: every")).unwrap(),
            &"ann".into(),
            false,
        )
        .await
        .unwrap();
    let handed = open(&store, &hello("a", (1, 0), None)).await.unwrap();
    stop(server, store).await;
    copy(&dir.join("backup"), &data);
    let (server, store) = start(&folder).await;
    (server, store, handed)
}

pub(super) fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    dir
}

pub(super) async fn recover(store: &Store) -> Result<u64, Error> {
    let sign = |text: &str| format!("signature of {text}");
    store
        .recover(&"ann".into(), "restored from tonight's backup", &sign)
        .await
}

#[tokio::test]
async fn f8_after_a_restore_nothing_is_decided_until_a_person_recovers() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    let why = decide(&store).await.unwrap_err();
    assert!(
        why.starts_with(
            "0 of 3 clusters have been heard since the database started; deciding waits for 2"
        ),
        "{why}"
    );
    // An agent that has more than the database knows, before enough have been heard.
    open(&store, &hello("a", (1, 9), None)).await;
    for name in ["b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    let why = decide(&store).await.unwrap_err();
    assert!(
        why.starts_with("a holds (1, 9), more than") || why.starts_with("a holds"),
        "{why}"
    );
    assert!(
        why.ends_with("nothing is decided until `groundswell hub recover --reason WHY`"),
        "{why}"
    );
    assert_eq!(store.held().await.unwrap(), Some(why));
    let b = ClusterName("b".to_owned());
    let session = session_of(&store, "b").await;
    assert!(store.session_seen(&b, session).await.unwrap());
    let given = recover(&store).await.unwrap();
    assert!(given > 1, "above what any agent holds");
    let goes_on = store.session_seen(&b, session).await.unwrap();
    assert!(!goes_on, "what it said since the copy is lost");
    decide(&store).await.unwrap();
    for (_, fence) in store.desired_fences().await.unwrap() {
        assert_eq!(fence.incarnation, given);
    }
    let rows = store.history_list("", 0, 1_000).await.unwrap();
    let row = rows
        .iter()
        .find(|row| row.kind == "DatabaseRecovered")
        .unwrap();
    assert_eq!(row.actor, "ann");
    assert_eq!(
        row.evidence["signature"],
        format!("signature of {}", row.message)
    );
    assert!(rows.iter().any(|row| row.kind == "DatabaseRestored"));
    // Whoever comes late with numbers of before holds nothing up.
    open(&store, &hello("b", (1, 99), Some((9_999, vec![1])))).await;
    decide(&store).await.unwrap();
    let error = recover(&store).await.unwrap_err().to_string();
    assert!(error.contains("nothing to recover from"), "{error}");
    stop(server, store).await;
}

/// A stream that goes on says with its next word what it was sent; one that is gone is not waited for.
#[tokio::test]
async fn l5_whoever_was_connected_is_waited_for_a_moment() {
    let dir = folder();
    let place = dir.path().join("hub");
    let (server, store) = start(&place).await;
    for name in ["a", "b", "c"] {
        for statement in [
            "insert into clusters (name, labels, kube_system_uid) values ($1, '{}', 'uid')",
            "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
            "insert into cluster_sessions (cluster) values ($1)",
        ] {
            let query = sqlx::query(statement).bind(name);
            query.execute(&store.pool).await.unwrap();
        }
        open(&store, &hello(name, (1, 0), None)).await;
    }
    stop(server, store).await;
    let (server, store) = start(&place).await;
    for name in ["b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    let why = store.held().await.unwrap().unwrap();
    assert!(
        why.starts_with("1 of 3 clusters were connected and have not been heard"),
        "{why}"
    );
    let waits = async |patience| {
        let mut tx = store.pool.begin().await.unwrap();
        let waited = crate::recovery::waited_for(&mut tx, patience).await;
        waited.unwrap().is_some()
    };
    assert!(waits(CONNECTED_SECONDS).await);
    assert!(!waits(0).await, "not for ever");
    let session = session_of(&store, "a").await;
    assert!(store.session_seen(&"a".into(), session).await.unwrap());
    assert_eq!(store.held().await.unwrap(), None);
    stop(server, store).await;
}

#[tokio::test]
async fn f9_a_head_that_is_not_in_the_history_is_a_restore() {
    let dir = folder();
    let (server, store, handed) = restored(dir.path()).await;
    for name in ["b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    decide(&store).await.unwrap();
    open(&store, &hello("a", (1, 0), Some(handed.clone()))).await;
    let why = decide(&store).await.unwrap_err();
    let says = format!(
        "row {} of the history, which the agent of a was handed, ",
        handed.0
    );
    assert!(why.starts_with(&says), "{why}");
    stop(server, store).await;
}

#[tokio::test]
async fn another_timeline_is_a_restore() {
    let store = super::fixture::store().await;
    let documents = hub_engine::parse_file(DOCUMENT).unwrap();
    store
        .fleet_rollout_apply(&documents, &"ann".into(), false)
        .await
        .unwrap();
    decide(&store).await.unwrap();
    sqlx::query("update hub_recovery set timeline = '1/00000007'")
        .execute(&store.pool)
        .await
        .unwrap();
    let why = decide(&store).await.unwrap_err();
    assert!(why.contains("and was on 1/00000007"), "{why}");
    recover(&store).await.unwrap();
    decide(&store).await.unwrap();
}

fn unproven(cluster: &str, fence: (u64, u64)) -> Hello {
    Hello {
        proven: false,
        ..hello(cluster, fence, None)
    }
}

async fn claims(store: &Store, hello: &Hello) -> String {
    match store.session_open(hello).await.unwrap() {
        Opened::Unproven { message } => message,
        other @ (Opened::Session(_)
        | Opened::DuplicateIdentity
        | Opened::UnknownCluster
        | Opened::Revoked) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_forged_fence_keeps_its_own_cluster_out_and_nobody_else() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    for name in ["b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    decide(&store).await.unwrap();
    for _ in 0..3 {
        let why = claims(&store, &unproven("a", (u64::MAX, u64::MAX))).await;
        assert!(why.starts_with("a shows fence "), "{why}");
        assert!(
            why.contains("as 1 of 3 clusters do: nothing of it is taken"),
            "{why}"
        );
        decide(&store).await.unwrap();
    }
    let note = |rows: Vec<crate::cluster::ClusterRow>| {
        let own = rows.into_iter().find(|row| row.name.as_str() == "a");
        own.unwrap().note
    };
    let said = note(store.cluster_list().await.unwrap());
    assert!(said.starts_with("UnprovenFence: a shows"), "{said}");
    // It is let in as soon as it shows what it was given.
    open(&store, &hello("a", (1, 0), None)).await;
    assert_eq!(note(store.cluster_list().await.unwrap()), "");
    decide(&store).await.unwrap();
    let error = recover(&store).await.unwrap_err().to_string();
    assert!(error.contains("nothing to recover from"), "{error}");
    stop(server, store).await;
}

#[tokio::test]
async fn what_most_of_the_fleet_shows_is_believed_without_signatures() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    for name in ["a", "b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    claims(&store, &unproven("a", (1, 9))).await;
    decide(&store).await.unwrap();
    open(&store, &unproven("b", (1, 8))).await;
    let why = decide(&store).await.unwrap_err();
    assert!(
        why.starts_with("b holds 1.8, more than") || why.starts_with("b holds"),
        "{why}"
    );
    assert!(recover(&store).await.unwrap() > 1);
    decide(&store).await.unwrap();
    open(&store, &unproven("a", (1, 9))).await;
    stop(server, store).await;
}

#[tokio::test]
async fn a_person_may_recover_for_one_that_is_kept_out_and_no_number_is_used_up() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    for name in ["b", "c"] {
        open(&store, &hello(name, (1, 0), None)).await;
    }
    // By a recovery on a server whose clock is ahead.
    let ahead = second(&store).await + 3_600;
    claims(&store, &unproven("a", (ahead, 9))).await;
    assert_eq!(recover(&store).await.unwrap(), ahead + 1);
    open(&store, &unproven("a", (ahead, 9))).await;
    claims(&store, &unproven("a", (u64::MAX, 1))).await;
    let next = recover(&store).await.unwrap();
    assert_eq!(next, ahead + 2, "no recovery gave that");
    stop(server, store).await;
}

/// The database's time, as incarnations count it.
async fn second(store: &Store) -> u64 {
    let now = store.now().await.unwrap().as_second();
    now.unsigned_abs()
}

/// Recovers what was put back, and lets the agents that are heard have it.
async fn recovered(store: &Store, heard: [&str; 2]) -> u64 {
    for name in heard {
        open(store, &hello(name, (1, 0), None)).await;
    }
    open(store, &hello(heard[0], (1, 9), None)).await;
    decide(store).await.unwrap_err();
    let given = recover(store).await.unwrap();
    decide(store).await.unwrap();
    given
}

/// Put back twice from one copy: what an agent got after the first time, and nobody has heard of, is below everything that is
/// given after the second.
#[tokio::test]
async fn a_second_restore_from_the_same_copy_gives_no_incarnation_again() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    let first = recovered(&store, ["b", "a"]).await;
    for _ in 0..5 {
        raise(&store, "c").await;
    }
    let sets = store.desired_fences().await.unwrap();
    let (_, held) = sets.iter().find(|(name, _)| name.as_str() == "c").unwrap();
    let (held, data) = (*held, server.folder());
    stop(server, store).await;
    copy(&dir.path().join("backup"), &data);
    let (server, store) = start(&dir.path().join("hub")).await;
    // A recovery takes a person longer.
    while second(&store).await <= first {
        tokio::task::yield_now().await;
    }
    let again = recovered(&store, ["b", "a"]).await;
    assert!(again > first, "{again} after {first}");
    let fence = (held.incarnation, held.version);
    let handed = Some((9_999, vec![1]));
    open(&store, &hello("c", fence, handed)).await;
    decide(&store).await.unwrap();
    let sets = store.desired_fences().await.unwrap();
    assert!(sets.iter().all(|(_, fence)| *fence > held), "{sets:?}");
    stop(server, store).await;
}

/// Its own word about itself holds nobody: neither what is decided, nor a cluster that joins later.
#[tokio::test]
async fn a_forged_fence_of_the_only_cluster_holds_nothing() {
    let dir = folder();
    let (server, store, _) = restored(dir.path()).await;
    for name in ["b", "c"] {
        sqlx::query("update clusters set left_at = now() where name = $1")
            .bind(name)
            .execute(&store.pool)
            .await
            .unwrap();
    }
    open(&store, &hello("a", (1, 0), None)).await;
    decide(&store).await.unwrap();
    let why = claims(&store, &unproven("a", (7, 9))).await;
    assert!(
        why.contains("as 1 of 1 clusters do: nothing of it is taken"),
        "{why}"
    );
    decide(&store).await.unwrap();
    stop(server, store).await;
}
