//! Ends our children when this process cannot do so itself. In: process ids, and files that name one. Out: a shell that
//! waits for the end of its standard input, which the kernel closes even when we are killed by SIGKILL, and then kills
//! what is still on its list. While this process lives it does nothing.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::error::{Error, Result};

/// Reads `add PID`, `del PID`, `file PATH`, `dir PATH` and `keep PATH`. A child leads its own process group, so the group is what is killed; a
/// file is a postmaster.pid, whose server outlives the hub that started it: SIGQUIT is its immediate shutdown.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
pids=' '
files=''
dirs='
'
while read -r op what; do
  case "$op" in
    add) pids="$pids$what " ;;
    del) case "$pids" in *" $what "*) pids="${pids%% $what *} ${pids#* $what }" ;; esac ;;
    file) files="$files$what
" ;;
    dir) dirs="$dirs$what
" ;;
    keep) case "$dirs" in *"
$what
"*) dirs="${dirs%%$what
*}${dirs#*$what
}" ;; esac ;;
  esac
done
for pid in $pids; do kill -TERM "-$pid" 2>/dev/null; done
printf '%s' "$files" | while read -r path; do
  [ -r "$path" ] && read -r pid <"$path" && kill -QUIT "$pid" 2>/dev/null
done
sleep 2
for pid in $pids; do kill -KILL "-$pid" 2>/dev/null; done
printf '%s' "$dirs" | while read -r path; do [ -n "$path" ] && rm -rf "$path"; done
exit 0
"#;

static GUARD: OnceLock<Mutex<Option<Child>>> = OnceLock::new();

fn tell(line: &str) -> Result<()> {
    let failed = |source| Error::Io {
        what: "the guard of child processes".into(),
        source,
    };
    let guard = GUARD.get_or_init(|| Mutex::new(None));
    // A poisoned lock only says that another test failed while it held it; the child inside is still good.
    let mut guard = guard
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if guard.is_none() {
        *guard = Some(
            Command::new("/bin/sh")
                .args(["-c", SCRIPT])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .map_err(failed)?,
        );
    }
    match guard.as_mut().and_then(|child| child.stdin.as_mut()) {
        Some(pipe) => pipe.write_all(line.as_bytes()).map_err(failed),
        None => Ok(()),
    }
}

/// From now on this process group ends with us.
pub(crate) fn add(pid: u32) -> Result<()> {
    tell(&format!("add {pid}\n"))
}

/// It has ended and was reaped: its id may belong to somebody else soon.
pub(crate) fn remove(pid: u32) {
    // Nothing can be done about it here, and killing a group that is gone is harmless for its own short life.
    let _ = tell(&format!("del {pid}\n"));
}

/// This folder goes with us.
pub(crate) fn add_folder(path: &Path) -> Result<()> {
    tell(&format!("dir {}\n", path.display()))
}

/// This folder is gone already, or stays for whoever wants to know why a test failed.
pub(crate) fn keep_folder(path: &Path) {
    // What cannot be told now is removed at the end, which is no harm.
    let _ = tell(&format!("keep {}\n", path.display()));
}

/// The process whose id is the first line of this file ends with us.
pub(crate) fn add_pid_file(path: &Path) -> Result<()> {
    tell(&format!("file {}\n", path.display()))
}
