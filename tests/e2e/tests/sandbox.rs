//! The sandbox leaves nothing behind. In: a sandbox with running pods. Out: after its end, however it came, no process
//! carries its mark and no port of its clusters is open.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use serde_json::json;
use tests_e2e::bed;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Process, Result, RunDir, apply, eventually, kubeconfig, programs};

/// The environment variable of every process of a sandbox.
const MARK: &str = "SANDBOX_ID=";
/// What is left after a SIGKILL must be gone by then.
const GONE: Duration = Duration::from_secs(5);
/// For a control plane and two pods.
const UP: Duration = Duration::from_secs(120);

/// A sandbox with pods, started by hand.
struct Sandbox {
    process: Process,
    mark: String,
    ports: Vec<String>,
    run: RunDir,
}

/// Starts one cluster with two pods by this command, to which the arguments of `up` are appended.
async fn up(run: RunDir, mut command: Command) -> Result<Sandbox> {
    let dir = run.join("clusters");
    command
        .args(["up", "--clusters", "1", "--dir"])
        .arg(&dir)
        .current_dir(run.path());
    let mut process = Process::spawn(&run, "sandbox", command)?;
    process.said_exactly("ready", UP).await?;
    let cluster = dir.join("c1");
    let client = kubeconfig::client(&cluster.join("kubeconfig")).await?;
    for name in ["one", "two"] {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "app", "image": "demo:v1"}]},
        });
        apply::yaml(&client, &pod.to_string(), name).await?;
    }
    eventually("two pods run", UP, async || {
        let lines: Vec<JournalLine> =
            records::read(&cluster.join("journal.ndjson")).map_err(|error| error.to_string())?;
        let started = lines.iter().filter(|line| line.event == Happening::Started);
        let count = started.count();
        (count == 2).then_some(()).ok_or(format!("{count} do"))
    })
    .await?;
    let id = std::fs::read_to_string(dir.join(".sandbox")).unwrap_or_default();
    let gateway = std::fs::read_to_string(cluster.join("gateway")).unwrap_or_default();
    let server = kubeconfig::server(&cluster.join("kubeconfig"))?.url;
    let server = server.trim_start_matches("https://").to_owned();
    let sandbox = Sandbox {
        process,
        mark: format!("{MARK}{}", id.trim()),
        ports: vec![gateway.trim().to_owned(), server],
        run,
    };
    // etcd, three of Kubernetes and two pods, at least.
    let marked = sandbox.marked();
    assert!(marked.len() >= 6, "only {marked:?} carry {}", sandbox.mark);
    let open = sandbox.open();
    assert_eq!(open, sandbox.ports, "its ports are open");
    Ok(sandbox)
}

impl Sandbox {
    /// Processes with its mark. A zombie has no environment any more, and holds nothing.
    fn marked(&self) -> Vec<String> {
        let entries = std::fs::read_dir("/proc").expect("/proc");
        let names = entries.flatten().map(|entry| entry.path());
        names
            .filter(|path| {
                let environment = std::fs::read(path.join("environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == self.mark.as_bytes())
            })
            .map(|path| path.display().to_string())
            .collect()
    }

    fn open(&self) -> Vec<String> {
        let open = |address: &&String| TcpStream::connect(address.as_str()).is_ok();
        self.ports.iter().filter(open).cloned().collect()
    }

    async fn leaves_nothing(self) {
        eventually("nothing of the sandbox is left", GONE, async || {
            let (marked, open) = (self.marked(), self.open());
            if marked.is_empty() && open.is_empty() {
                Ok(())
            } else {
                Err(format!("processes {marked:?}, ports {open:?}"))
            }
        })
        .await
        .expect("nothing");
    }
}

fn binary() -> std::path::PathBuf {
    programs::sandbox().expect("the sandbox")
}

#[tokio::test]
async fn a_sigkill_leaves_nothing() {
    let _leave = bed::leave(1).await.expect("leave");
    let run = RunDir::temporary("sandbox").expect("a folder");
    let mut sandbox = up(run, Command::new(binary())).await.expect("up");
    sandbox.process.kill().await.expect("killed");
    sandbox.leaves_nothing().await;
}

#[tokio::test]
async fn the_end_of_its_parent_leaves_nothing() {
    let _leave = bed::leave(1).await.expect("leave");
    let run = RunDir::temporary("sandbox").expect("a folder");
    let mut parent = Command::new("/bin/sh");
    let script = r#"trap '' TERM; "$0" "$@" & wait"#;
    parent.args(["-c", script]).arg(binary());
    let mut sandbox = up(run, parent).await.expect("up");
    sandbox.process.kill().await.expect("killed");
    sandbox.leaves_nothing().await;
}

#[tokio::test]
async fn ctrl_c_ends_it_in_order_also_for_an_unprivileged_user() {
    let _leave = bed::leave(1).await.expect("leave");
    let run = RunDir::temporary("sandbox").expect("a folder");
    let command = unprivileged(&run);
    let mut sandbox = up(run, command).await.expect("up");
    sandbox.process.signal(Signal::SIGINT).expect("sent");
    let status = sandbox.process.wait(UP).await.expect("ended");
    assert!(
        status.success(),
        "{status}: {}",
        sandbox.process.last_words()
    );
    assert_eq!(sandbox.marked(), Vec::<String>::new());
    assert_eq!(sandbox.open(), Vec::<String>::new());
    assert!(sandbox.run.path().exists());
}

/// As root: a copy of the program, in a folder that the user nobody can enter and owns. Else we are nobody special already.
fn unprivileged(run: &RunDir) -> Command {
    if !Uid::effective().is_root() {
        return Command::new(binary());
    }
    let nobody = User::from_name("nobody")
        .expect("users")
        .expect("a user nobody");
    let copy = run.join("sandbox");
    std::fs::copy(binary(), &copy).expect("copied");
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("owned");
    own(run.path());
    let mut command = Command::new(copy);
    command.uid(uid).gid(gid).env("HOME", run.path());
    command
}
