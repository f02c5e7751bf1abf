//! One PostgreSQL for all tests of this crate, and a database of its own for each.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Connection as _;
use tokio::sync::OnceCell;

use crate::Store;
use crate::embedded::Embedded;

static SERVER: OnceCell<(Embedded, tempfile::TempDir)> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Databases of the same name as these statements, one a test.
const CREATE: [&str; 96] = [
    "create database test0",
    "create database test1",
    "create database test2",
    "create database test3",
    "create database test4",
    "create database test5",
    "create database test6",
    "create database test7",
    "create database test8",
    "create database test9",
    "create database test10",
    "create database test11",
    "create database test12",
    "create database test13",
    "create database test14",
    "create database test15",
    "create database test16",
    "create database test17",
    "create database test18",
    "create database test19",
    "create database test20",
    "create database test21",
    "create database test22",
    "create database test23",
    "create database test24",
    "create database test25",
    "create database test26",
    "create database test27",
    "create database test28",
    "create database test29",
    "create database test30",
    "create database test31",
    "create database test32",
    "create database test33",
    "create database test34",
    "create database test35",
    "create database test36",
    "create database test37",
    "create database test38",
    "create database test39",
    "create database test40",
    "create database test41",
    "create database test42",
    "create database test43",
    "create database test44",
    "create database test45",
    "create database test46",
    "create database test47",
    "create database test48",
    "create database test49",
    "create database test50",
    "create database test51",
    "create database test52",
    "create database test53",
    "create database test54",
    "create database test55",
    "create database test56",
    "create database test57",
    "create database test58",
    "create database test59",
    "create database test60",
    "create database test61",
    "create database test62",
    "create database test63",
    "create database test64",
    "create database test65",
    "create database test66",
    "create database test67",
    "create database test68",
    "create database test69",
    "create database test70",
    "create database test71",
    "create database test72",
    "create database test73",
    "create database test74",
    "create database test75",
    "create database test76",
    "create database test77",
    "create database test78",
    "create database test79",
    "create database test80",
    "create database test81",
    "create database test82",
    "create database test83",
    "create database test84",
    "create database test85",
    "create database test86",
    "create database test87",
    "create database test88",
    "create database test89",
    "create database test90",
    "create database test91",
    "create database test92",
    "create database test93",
    "create database test94",
    "create database test95",
];

/// Where the database of a store answers.
pub async fn url(store: &Store) -> String {
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    SERVER.get().unwrap().0.url_of(&name)
}

/// The same for another user.
pub fn as_user(url: &str, user: &str) -> String {
    let (_, place) = url.split_once('@').unwrap();
    format!("postgres://{user}@{place}")
}

async fn server() -> &'static Embedded {
    let (server, _) = SERVER
        .get_or_init(|| async {
            let folder = tempfile::tempdir().unwrap();
            (
                Embedded::start_volatile(folder.path()).await.unwrap(),
                folder,
            )
        })
        .await;
    server
}

/// Where a database answers that has nothing in it.
pub async fn empty() -> String {
    let server = server().await;
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let mut admin = sqlx::PgConnection::connect(&server.url_of("postgres"))
        .await
        .unwrap();
    sqlx::query(CREATE[number as usize])
        .execute(&mut admin)
        .await
        .unwrap();
    server.url_of(&format!("test{number}"))
}

/// A freshly migrated database.
pub async fn store() -> Store {
    let store = Store::connect(&empty().await).unwrap();
    store.migrate().await.unwrap();
    store
}

/// Runs a program of the server's installation; gives what it prints.
pub async fn run(program: &str, arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut command = server().await.program(program);
    let child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writes = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writes.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Signs without a key.
pub struct Signer;

impl crate::PermitSigner for Signer {
    fn lease_seconds(&self) -> u32 {
        60
    }
    fn sign(&self, _: &crate::UnsignedPermit) -> String {
        "signed".to_owned()
    }
}
