//! A dump of the database put into a server that runs on (F8, F9).

use super::fixture;
use super::recovery::{DOCUMENT, decide, hello, open, recover};
use crate::Store;

const PUT_BACK: [&str; 7] = [
    "--no-psqlrc",
    "--quiet",
    "--single-transaction",
    "-v",
    "ON_ERROR_STOP=1",
    "-f",
    "-",
];

/// What is in a database, as SQL.
async fn dump(url: &str) -> Vec<u8> {
    let arguments = ["--clean", "--if-exists", "--no-owner", url];
    fixture::run("pg_dump", &arguments, Vec::new()).await
}

async fn put_back(url: &str, dump: Vec<u8>) {
    let arguments: Vec<&str> = PUT_BACK.into_iter().chain([url]).collect();
    fixture::run("psql", &arguments, dump).await;
}

/// A cluster that has been heard, and a document that was decided on.
async fn decided() -> Store {
    let store = fixture::store().await;
    for statement in [
        "insert into clusters (name, labels, kube_system_uid) values ('a', '{}', 'uid')",
        "insert into cluster_sets (cluster, incarnation) values ('a', 1)",
        "insert into cluster_sessions (cluster) values ('a')",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    open(&store, &hello("a", (1, 0), None)).await;
    let documents = hub_engine::parse_file(DOCUMENT).unwrap();
    store
        .fleet_rollout_apply(&documents, &"ann".into(), false)
        .await
        .unwrap();
    decide(&store).await.unwrap();
    store
}

/// In its dump enough clusters have been heard since the server started: months ago, as a rule.
#[tokio::test]
async fn l5_a_dump_put_into_a_running_server_is_a_restore() {
    let store = decided().await;
    let url = fixture::url(&store).await;
    let dump = dump(&url).await;
    let other = fixture::empty().await;
    put_back(&other, dump.clone()).await;
    let copy = Store::connect(&other).unwrap();
    copy.migrate().await.unwrap();
    // In another database of the server, and in the same one while its hub runs.
    decide(&store).await.unwrap();
    put_back(&url, dump).await;
    for store in [copy, store] {
        for _ in 0..2 {
            let why = decide(&store).await.unwrap_err();
            assert!(why.contains("they were put back from a dump"), "{why}");
        }
        recover(&store).await.unwrap();
        decide(&store).await.unwrap();
    }
}

/// What a person or the server does to tables that are the same ones.
#[tokio::test]
async fn tables_that_are_written_anew_are_no_restore() {
    let store = decided().await;
    let url = fixture::url(&store).await;
    for statement in ["vacuum full hub_recovery", "reindex table hub_recovery"] {
        fixture::run("psql", &["-c", statement, &url], Vec::new()).await;
        decide(&store).await.unwrap();
    }
    // A hub of the version before was here first.
    sqlx::query("update hub_recovery set place = ''")
        .execute(&store.pool)
        .await
        .unwrap();
    decide(&store).await.unwrap();
    let place: String = sqlx::query_scalar("select place from hub_recovery")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert!(!place.is_empty(), "it is learnt");
}

/// Rows that were written by transactions which this server has not come to yet.
#[tokio::test]
async fn rows_from_the_future_come_back_to_now() {
    let store = decided().await;
    let url = fixture::url(&store).await;
    let tables = [
        "clusters",
        "cluster_sets",
        "gates",
        "rollouts",
        "releases",
        "targets",
    ];
    let ahead = tables.map(|table| format!("update {table} set changed_in = '9000000000'; "));
    // No trigger puts the number of now.
    let sql = format!(
        "set session_replication_role = replica; {} insert into hub_gone values ('9000000000'), ('1')",
        ahead.concat()
    );
    fixture::run(
        "psql",
        &["-v", "ON_ERROR_STOP=1", "-c", &sql, &url],
        Vec::new(),
    )
    .await;
    let future = async || -> i64 {
        let count = sqlx::query_scalar(
            "select (select count(*) from clusters where changed_in >= pg_current_xact_id()) \
             + (select count(*) from gates where changed_in >= pg_current_xact_id()) \
             + (select count(*) from hub_gone where changed_in >= pg_current_xact_id())",
        );
        count.fetch_one(&store.pool).await.unwrap()
    };
    assert!(future().await >= 3);
    assert!(store.renumber().await.unwrap() >= 3);
    assert_eq!(future().await, 0);
    assert_eq!(store.renumber().await.unwrap(), 0);
    let gone: i64 = sqlx::query_scalar("select count(*) from hub_gone where changed_in = '1'")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(gone, 1, "what went away here stays");
    decide(&store).await.unwrap();
}

/// Heartbeats lock sessions in the order of names; a recovery waits for them and is not given up.
#[tokio::test]
async fn a_recovery_beside_streams_goes_through() {
    let store = decided().await;
    // Written anew, the first name is the last row.
    for name in ["c", "b"] {
        for statement in [
            "insert into clusters (name, labels, kube_system_uid) values ($1, '{}', 'uid')",
            "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
            "insert into cluster_sessions (cluster) values ($1)",
        ] {
            let query = sqlx::query(statement).bind(name);
            query.execute(&store.pool).await.unwrap();
        }
    }
    open(&store, &hello("a", (1, 0), None)).await;
    open(&store, &hello("a", (1, 9), None)).await;
    decide(&store).await.unwrap_err();
    let mut tx = store.pool.begin().await.unwrap();
    let lock = "select cluster from cluster_sessions where cluster = $1 for update";
    for name in ["a", "b"] {
        let query = sqlx::query(lock).bind(name);
        query.execute(&mut *tx).await.unwrap();
    }
    let other = store.clone();
    let recovers = tokio::spawn(async move { recover(&other).await });
    waits(&store).await;
    // In the table's order the recovery would have this one by now.
    sqlx::query(lock).bind("c").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    recovers.await.unwrap().unwrap();
    decide(&store).await.unwrap();
}

/// Until somebody waits for a lock.
async fn waits(store: &Store) {
    for _ in 0..5_000 {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks join pg_stat_activity using (pid) \
             where datname = current_database() and not granted",
        )
        .fetch_one(&store.pool)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
    }
    panic!("nobody waits");
}
