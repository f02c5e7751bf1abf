//! The program itself: killed and started again, short of file descriptors, two over one database.
use std::path::Path;
use std::process::Stdio;

use hub::args::{Database, LogForm, Serve};
use hub::authority::Authority;
use hub::serve;
use hub_store::embedded::Embedded;
use proto::v1::{ListClustersRequest, Permit, gate_entry::Governance};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::agent::{Agent, Stream};
use crate::approval::{held, waiting};
use crate::fixture::{CERTIFICATE_SECONDS, LEASE_SECONDS, PATIENCE, World, document, eventually};

/// Starts the program in a folder, over a database, with at most so many file descriptors; waits until it answers.
async fn serve_program(dir: &Path, database: &str, descriptors: u32) -> (Child, String) {
    let address = dir.join("answers");
    let _ = std::fs::remove_file(&address);
    let child = Command::new("/bin/sh")
        .args(["-c", "ulimit -n $0; exec \"$@\"", &descriptors.to_string()])
        .arg(env!("CARGO_BIN_EXE_groundswell-hub"))
        .args([
            "serve",
            "--database",
            database,
            "--lease-seconds",
            &LEASE_SECONDS.to_string(),
        ])
        .arg("--data-dir")
        .arg(dir)
        .arg("--addr-file")
        .arg(&address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = eventually("the program answers", async || {
        std::fs::read_to_string(&address).ok()
    })
    .await;
    (child, url.trim().to_owned())
}

/// A world whose hub is the program.
async fn program_world(descriptors: u32) -> (World, Child) {
    let mut world = World::start().await;
    world.hub.take().unwrap().stop().await.unwrap();
    let (child, url) = serve_program(&world.hub_folder, &world.database, descriptors).await;
    world.url = url;
    (world, child)
}

async fn permit(stream: &mut Stream) -> Permit {
    loop {
        let set = stream.set().await;
        stream.store(&set).await;
        if let Some(Governance::Governed(governed)) = stream.entries[0].governance.clone()
            && let Some(permit) = governed.permit
        {
            return permit;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_hub_goes_on_where_it_was_and_does_nothing_twice() {
    let (world, mut hub) = program_world(1024).await;
    let (agent, mut stream, release) = waiting(&world).await;
    let approve = proto::v1::ApproveRequest {
        release: release.name.clone(),
        plan_digest: release.plan_digest.clone(),
        ..proto::v1::ApproveRequest::default()
    };
    world
        .person("ada", &["sre"])
        .await
        .approve(approve)
        .await
        .unwrap();
    let before = permit(&mut stream).await;

    hub.kill().await.unwrap();
    stream.ended().await;
    let (_hub, url) = serve_program(&world.hub_folder, &world.database, 1024).await;
    assert_eq!(url, world.url, "agents and people know the old address");

    let hello = proto::v1::Hello {
        fence: before.fence,
        rollouts: vec![held()],
        ..agent.nothing()
    };
    let mut again = agent.hello(&world, hello).await;
    again.welcome().await;
    assert_eq!(permit(&mut again).await, before);
    again.renewal().await;
    let granted = world
        .history()
        .await
        .into_iter()
        .filter(|row| row.kind == "PermitGranted")
        .count();
    assert_eq!(granted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_opens_again_when_descriptors_are_free() {
    let (world, _hub) = program_world(64).await;
    let address = world.url.trim_start_matches("https://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..200 {
        // The kernel's queue takes what the program cannot; only the attempt counts.
        if let Ok(Ok(stream)) =
            tokio::time::timeout(PATIENCE / 100, TcpStream::connect(&address)).await
        {
            silent.push(stream);
        }
    }
    assert!(silent.len() > 64, "only {} connections", silent.len());
    drop(silent);
    let clusters = eventually("it answers again", async || {
        let mut admin = world.try_admin().await?;
        admin.list_clusters(ListClustersRequest {}).await.ok()
    })
    .await;
    assert!(clusters.into_inner().clusters.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hub_serves_what_the_first_decides_and_takes_over() {
    let mut world = World::start().await;
    let dir = world.hub_folder.with_file_name("second");
    std::fs::create_dir(&dir).unwrap();
    for key in ["ca.pem", "ca-key.pem", "permit-key.pem"] {
        std::fs::copy(world.hub_folder.join(key), dir.join(key)).unwrap();
    }
    let options = Serve {
        data_dir: dir.clone(),
        database: Database::Url(world.database.clone()),
        listen: "127.0.0.1:0".parse().unwrap(),
        lease_seconds: LEASE_SECONDS,
        cluster_certificate_seconds: CERTIFICATE_SECONDS,
        addr_file: None,
        san: Vec::new(),
        log: LogForm::Text,
    };
    let second = serve::start(&options).await.unwrap();
    assert_eq!(Authority::open(&dir).unwrap().pin(), world.authority.pin());

    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let first_url = std::mem::replace(&mut world.url, second.url().to_owned());
    let (mut stream, _) = agent.open(&world).await;
    world.url = first_url;
    world
        .apply(&document("checkout", "checkout", "prod", "name: all"))
        .await;
    let decided_by_first = stream.set().await;
    stream.store(&decided_by_first).await;

    world.hub.take().unwrap().stop().await.unwrap();
    world.url = second.url().to_owned();
    world
        .apply(&document("basket", "basket", "prod", "name: all"))
        .await;
    let decided_by_second = stream.set().await;
    stream.store(&decided_by_second).await;
    assert_eq!(stream.entries.len(), 2);
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_outlives_a_killed_hub_and_is_adopted() {
    let world = World::start().await;
    let dir = world.hub_folder.with_file_name("alone");
    let (mut first, _) = serve_program(&dir_made(&dir), "embedded", 1024).await;
    let refused = Command::new(env!("CARGO_BIN_EXE_groundswell-hub"))
        .args(["serve", "--data-dir"])
        .arg(&dir)
        .output()
        .await
        .unwrap();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        message.contains(&format!("process {}", first.id().unwrap())),
        "{message}"
    );
    first.kill().await.unwrap();
    let (mut second, _) = serve_program(&dir, "embedded", 1024).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(second.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(second.wait().await.unwrap().success());
    // Adopted and stopped by the second: the folder can be opened as a database that nobody runs.
    let own = Embedded::start_volatile(&dir).await.unwrap();
    own.stop().await.unwrap();
}

fn dir_made(dir: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    dir.to_path_buf()
}
