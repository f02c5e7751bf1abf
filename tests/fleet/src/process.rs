//! One child process. In: a command and a name. Out: its logs, its end, signals to it by its id. It is told to end when its
//! value is dropped, and killed if it does not; should we be killed first, the guard does it.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::eventually::{blocking, eventually};
use crate::guard;
use crate::rundir::RunDir;

/// How long a program may take to end by itself. The sandbox takes three control planes down in about two seconds.
const GRACE: Duration = Duration::from_secs(15);

/// How many lines of a log an error shows.
const TAIL_LINES: usize = 12;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
    stop: Signal,
}

impl Process {
    /// Starts it as the leader of its own process group, so that Ctrl-C reaches us alone and we take it down in order.
    /// Standard output goes to `<name>.out`, standard error to `<name>.log` in the run's folder; both are appended to,
    /// so that a program that is started again keeps its history.
    pub fn spawn(run: &RunDir, name: &str, mut command: Command) -> Result<Self> {
        let logs = run.folder("logs")?;
        let (out, log) = (
            logs.join(format!("{name}.out")),
            logs.join(format!("{name}.log")),
        );
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&out)?)
            .stderr(append(&log)?)
            .process_group(0)
            .spawn()
            .map_err(Error::io("start", Path::new(command.get_program())))?;
        guard::add(child.id())?;
        Ok(Self {
            name: name.to_owned(),
            child,
            out,
            log,
            ended: None,
            stop: Signal::SIGTERM,
        })
    }

    /// The signal on which it ends at once and in order, where that is not SIGTERM.
    pub fn stopped_by(mut self, stop: Signal) -> Self {
        self.stop = stop;
        self
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard output.
    pub fn out(&self) -> String {
        read(&self.out)
    }

    /// What it has said on standard error.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// The end of both, for an error.
    pub fn last_words(&self) -> String {
        let all = format!("{}\n{}", self.out(), self.log());
        let lines: Vec<&str> = all.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default();
        format!("{} ({})", tail.join("\n    "), self.log.display())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status);
            guard::remove(self.child.id());
        }
        self.ended
    }

    /// An error if it has ended: for waits that would otherwise wait in vain.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Error::Program {
                program: self.name.clone(),
                message: format!("ended with {status}: {}", self.last_words()),
            }),
        }
    }

    /// Waits for a line of standard output or error that holds `words`, and gives it.
    pub async fn said(&mut self, words: &str, deadline: Duration) -> Result<String> {
        self.line(words, deadline, |line| line.contains(words))
            .await
    }

    /// Waits for a line that is exactly `words`.
    pub async fn said_exactly(&mut self, words: &str, deadline: Duration) -> Result<()> {
        self.line(words, deadline, |line| line == words)
            .await
            .map(|_| ())
    }

    async fn line(
        &mut self,
        words: &str,
        deadline: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let what = format!("{} says `{words}`", self.name);
        let found = eventually(&what, deadline, async || {
            // Look for the end first: what was said before it is then in the files.
            let ended = self.ended();
            let all = format!("{}\n{}", self.out(), self.log());
            match (all.lines().find(|line| is_it(line)), ended) {
                (Some(line), _) => Ok(Some(line.to_owned())),
                (None, Some(_)) => Ok(None),
                (None, None) => Err(self.last_words()),
            }
        })
        .await?;
        match found {
            Some(line) => Ok(line),
            None => Err(self.must_run().err().unwrap_or_else(|| Error::Check(what))),
        }
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        kill(pid_of(&self.child), signal).map_err(|errno| Error::Io {
            what: format!("send {signal} to {}", self.name),
            source: errno.into(),
        })
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL).await.map(|_| ())
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.end(self.stop).await
    }

    async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.ended() {
            return Ok(status);
        }
        self.signal(signal)?;
        let what = format!("{} ends on {signal}", self.name);
        eventually(&what, GRACE, async || {
            self.ended().ok_or_else(|| String::from("still running"))
        })
        .await
    }

    /// Waits for its end, at most so long.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually(&what, deadline, async || {
            self.ended().ok_or_else(|| String::from("still running"))
        })
        .await
    }

    /// Waits until somebody else has killed it (a proxy at its chosen point).
    pub async fn killed(&mut self, deadline: Duration) -> Result<()> {
        let status = self.wait(deadline).await?;
        match status.signal() {
            Some(_) => Ok(()),
            None => Err(Error::Check(format!(
                "{} was not killed but ended with {status}",
                self.name
            ))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        // Errors say that it is gone already.
        let _ = self.signal(self.stop);
        if !blocking(GRACE, || self.ended().is_some()) {
            let _ = kill(
                Pid::from_raw(-pid_of(&self.child).as_raw()),
                Signal::SIGKILL,
            );
            blocking(GRACE, || self.ended().is_some());
        }
    }
}

/// Kills a process by its id: for proxies, which know no more of it.
pub fn kill_pid(pid: u32) {
    // 0 would be our own process group.
    if let Ok(raw @ 1..) = i32::try_from(pid) {
        // It may be gone already, which is the same.
        let _ = kill(Pid::from_raw(raw), Signal::SIGKILL);
    }
}

fn pid_of(child: &Child) -> Pid {
    // Linux's ids end far below i32::MAX; should one not fit, no signal is ever sent to a stranger.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn append(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::io("open", path))
}

fn read(path: &Path) -> String {
    std::fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn said_finds_a_line_and_names_an_early_end() {
        let run = RunDir::temporary("process").expect("folder");
        let mut child = Process::spawn(&run, "a", shell("echo ready at 1; exec tail -f /dev/null"))
            .expect("start");
        let line = child
            .said("ready", Duration::from_secs(5))
            .await
            .expect("said");
        assert_eq!(line, "ready at 1");
        assert_eq!(child.ended(), None);
        child.kill().await.expect("killed");

        let mut child =
            Process::spawn(&run, "b", shell("echo no such file >&2; exit 3")).expect("start");
        let error = child
            .said("ready", Duration::from_secs(5))
            .await
            .expect_err("ended");
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("no such file"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn drop_ends_it() {
        let run = RunDir::temporary("process").expect("folder");
        let child = Process::spawn(&run, "a", shell("exec tail -f /dev/null")).expect("start");
        let pid = Pid::from_raw(i32::try_from(child.pid()).expect("pid"));
        drop(child);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }

    /// This test starts itself again as a child that holds a process and a folder, and kills that child with SIGKILL.
    #[tokio::test]
    async fn nothing_outlives_a_kill_of_ours() {
        let run = RunDir::temporary("process").expect("folder");
        if let Some(path) = std::env::var_os("GROUNDSWELL_TEST_HOLDER") {
            let child =
                Process::spawn(&run, "held", shell("exec tail -f /dev/null")).expect("start");
            let holds = format!("{} {}\n", child.pid(), run.path().display());
            std::fs::write(path, holds).expect("write");
            std::future::pending::<()>().await;
        }
        let named = run.join("holds");
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.args(["--exact", "process::tests::nothing_outlives_a_kill_of_ours"]);
        command.env("GROUNDSWELL_TEST_HOLDER", &named);
        let mut holder = Process::spawn(&run, "holder", command).expect("start");
        let (pid, folder) = eventually("the holder holds", Duration::from_secs(10), async || {
            let text = std::fs::read_to_string(&named).map_err(|error| error.to_string())?;
            let words = text
                .strip_suffix('\n')
                .and_then(|line| line.split_once(' '));
            words
                .map(|(pid, folder)| (pid.to_owned(), PathBuf::from(folder)))
                .ok_or(text)
        })
        .await
        .expect("held");
        holder.kill().await.expect("killed");
        eventually("both are gone", Duration::from_secs(10), async || {
            // Whoever inherited it may not have reaped it yet; a zombie holds nothing.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let ended = stat.is_empty() || stat.contains(") Z ");
            if ended && !folder.exists() {
                Ok(())
            } else {
                Err(format!("{stat}, {}", folder.display()))
            }
        })
        .await
        .expect("gone");
    }
}
