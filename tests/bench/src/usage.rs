//! What a program costs, as the kernel counts it. In: the id of a process group. Out: CPU time and memory of all its
//! processes. It sends no signal and changes nothing but the mark of the highest memory, which is set back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tests_fleet::{Error, Result};

/// Ticks of a second in /proc, the same on every Linux that Rust and Go run on.
const TICKS: u64 = 100;
/// Fields of /proc/PID/stat after the name, counted from 0: the parent, the group, and CPU time of reaped children.
const PARENT: usize = 1;
const GROUP: usize = 2;
const ENDED: [usize; 2] = [13, 14];

/// Bytes.
pub const MIB: f64 = 1024.0 * 1024.0;

/// The fields of /proc/PID/stat after the name, which may itself hold spaces and parentheses.
fn fields(stat: &str) -> Vec<&str> {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().collect()
}

fn number(fields: &[&str], at: usize) -> u64 {
    fields
        .get(at)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Every process there is, by its folder in /proc; one that has just ended is left out.
fn processes() -> Result<Vec<PathBuf>> {
    let proc = Path::new("/proc");
    let entries = std::fs::read_dir(proc).map_err(Error::io("list", proc))?;
    let is_process = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_process)
        .collect())
}

/// Processes of which one of these fields is this number, with their CPU time.
fn having(fields_of: &[usize], wanted: u32) -> Result<Vec<(PathBuf, Duration)>> {
    let member = |path: PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let fields = fields(&stat);
        let has = |at: &usize| number(&fields, *at) == u64::from(wanted);
        if !fields_of.iter().any(has) {
            return None;
        }
        let ticks: u64 = ENDED.iter().map(|at| number(&fields, *at)).sum();
        let own = own(&path)?;
        Some((path, own + Duration::from_millis(ticks * 1000 / TICKS)))
    };
    Ok(processes()?.into_iter().filter_map(member).collect())
}

/// CPU time of one process without its children, by its own clock (clock_getcpuclockid(3)): the ticks of `stat` are as long as
/// what an idle controller costs in a minute.
fn own(process: &Path) -> Option<Duration> {
    let id = process.file_name()?.to_str()?.parse().ok()?;
    let clock = clock_getcpuclockid(Pid::from_raw(id)).ok()?;
    Some(Duration::from(clock_gettime(clock).ok()?))
}

fn members(group: u32) -> Result<Vec<(PathBuf, Duration)>> {
    having(&[GROUP], group)
}

/// CPU time of a group so far, user and system, with that of children that have ended.
pub fn cpu(group: u32) -> Result<Duration> {
    Ok(members(group)?.iter().map(|(_, cpu)| *cpu).sum())
}

/// CPU time of a process so far, with that of its children, each of which may lead a group of its own.
pub fn cpu_of_children(process: u32) -> Result<Duration> {
    Ok(having(&[PARENT, GROUP], process)?
        .iter()
        .map(|(_, cpu)| *cpu)
        .sum())
}

/// The most memory that the processes of a group have had since the mark was set back: resident, in bytes.
pub fn peak_rss(group: u32) -> Result<u64> {
    summed(group, "status", "VmHWM:")
}

/// Memory of a group now: resident, shared pages shared out among those who share them, in bytes.
pub fn pss(group: u32) -> Result<u64> {
    summed(group, "smaps_rollup", "Pss:")
}

fn summed(group: u32, file: &str, name: &str) -> Result<u64> {
    let of = |(path, _): (PathBuf, Duration)| {
        let text = std::fs::read_to_string(path.join(file)).ok()?;
        kibibytes(&text, name)
    };
    Ok(members(group)?.into_iter().filter_map(of).sum::<u64>() * 1024)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Sets the mark of the highest memory back to what it is now.
pub fn reset_peak(group: u32) -> Result<()> {
    for (path, _) in members(group)? {
        let file = path.join("clear_refs");
        std::fs::write(&file, "5").map_err(Error::io("write", &file))?;
    }
    Ok(())
}

/// The group of the only process whose command line has all these words: a component of the sandbox.
pub fn group_of(words: &[&str]) -> Result<u32> {
    let found = processes()?.into_iter().find_map(|path| {
        let line = std::fs::read_to_string(path.join("cmdline")).ok()?;
        let all = words.iter().all(|word| line.contains(word));
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        all.then(|| u32::try_from(number(&fields(&stat), GROUP)).ok())?
    });
    found.ok_or_else(|| Error::Check(format!("no process of {words:?}")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use tests_fleet::{Process, RunDir};

    use super::*;

    const SOON: Duration = Duration::from_secs(60);
    /// What the holder of memory takes.
    const HELD: usize = 64 << 20;

    #[test]
    fn names_with_parentheses_do_not_move_the_fields() {
        let stat = "42 (a) b) S 1 77 77 0 -1 0 0 0 0 0 3 4 5 6 20 0";
        let fields = fields(stat);
        assert_eq!(number(&fields, GROUP), 77);
        assert_eq!(ENDED.map(|at| number(&fields, at)), [5, 6]);
    }

    /// A shell knows what its ended children have cost; so do we, of the program that it has become.
    #[tokio::test]
    async fn the_time_of_ended_children_counts() {
        let run = RunDir::temporary("usage").expect("a folder");
        let mut command = Command::new("/bin/sh");
        let burn =
            "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); times; exec tail -f /dev/null";
        command.args(["-c", burn]);
        let mut child = Process::spawn(&run, "burn", command).expect("started");
        let told = tests_fleet::eventually("the shell has told its times", SOON, async || {
            let out = child.out();
            let whole = out.matches('\n').count() == 2;
            if whole { Ok(out) } else { Err(out) }
        })
        .await
        .expect("told");
        let told: f64 = told.split_whitespace().map(seconds).sum();
        let counted = cpu(child.pid()).expect("counted").as_secs_f64();
        assert!(told > 0.02, "the loop cost nothing: {told}");
        assert!(
            (counted - told).abs() < 0.05,
            "the shell says {told}, counted {counted}"
        );
        child.kill().await.expect("killed");
    }

    /// `0m0.170000s`.
    fn seconds(text: &str) -> f64 {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').expect("a time");
        minutes.parse::<f64>().expect("minutes") * 60.0 + seconds.parse::<f64>().expect("seconds")
    }

    /// This test starts itself again as a child that takes memory, gives it back, and waits.
    #[tokio::test]
    async fn the_highest_memory_is_of_the_time_since_the_reset() {
        if std::env::var_os("GROUNDSWELL_BENCH_HOLDER").is_some() {
            let held = vec![1_u8; HELD];
            eprintln!(
                "held {}",
                held.iter().map(|byte| u64::from(*byte)).sum::<u64>()
            );
            drop(held);
            eprintln!("given back");
            std::future::pending::<()>().await;
        }
        let run = RunDir::temporary("usage").expect("a folder");
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        let own = "usage::tests::the_highest_memory_is_of_the_time_since_the_reset";
        command.args(["--exact", own, "--nocapture"]);
        command.env("GROUNDSWELL_BENCH_HOLDER", "yes");
        let mut holder = Process::spawn(&run, "holder", command).expect("started");
        holder.said("given back", SOON).await.expect("said");
        let held = u64::try_from(HELD).expect("a size");
        assert!(peak_rss(holder.pid()).expect("read") > held);
        assert!(pss(holder.pid()).expect("read") < held);
        reset_peak(holder.pid()).expect("reset");
        assert!(peak_rss(holder.pid()).expect("read") < held);
        holder.kill().await.expect("killed");
    }
}
