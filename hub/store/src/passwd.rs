//! Accounts of this machine. In: `/etc/passwd`. Out: who PostgreSQL, which refuses root, can run as. It must not change an
//! account.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Tried in this order: Debian's package makes the first, every system has the second.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The account to drop to; none: this process is not root and needs none.
pub(crate) fn unprivileged() -> Result<Option<Account>, String> {
    let own = std::fs::metadata("/proc/self")
        .map_err(|error| format!("cannot read /proc/self: {error}"))?
        .uid();
    if own != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| format!("cannot read /etc/passwd: {error}"))?;
    let found = CANDIDATES.iter().find_map(|name| account(&passwd, name));
    found.map(Some).ok_or_else(|| {
        "PostgreSQL does not run as root, and there is no user postgres or nobody; give --database URL".to_owned()
    })
}

fn account(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    (uid != 0).then_some(Account { uid, gid })
}

/// Whether every folder above and the path itself may be passed through by anybody.
pub(crate) fn open_to_all(path: &Path) -> bool {
    path.ancestors()
        .all(|folder| std::fs::metadata(folder).is_ok_and(|data| data.mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name_and_root_is_none() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:\npostgres:x:105:113:,,,:/var:/bin/bash\nbad:x:y:1::\n";
        assert_eq!(
            account(passwd, "postgres"),
            Some(Account { uid: 105, gid: 113 })
        );
        assert_eq!(account(passwd, "root"), None);
        assert_eq!(account(passwd, "bad"), None);
        assert_eq!(account(passwd, "nobody"), None);
    }
}
