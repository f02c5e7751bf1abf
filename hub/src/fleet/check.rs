//! How the hub stands, in sentences. In: the store's facts, whether deciding is held. Out: one finding a thing, the worst named
//! as such and with what to do. It must not change anything.

use hub_store::Store;
use hub_store::health::Health;
use proto::v1::finding::Level;
use proto::v1::{CheckHubResponse, Finding};
use tonic::Status;

use crate::identity::{Authorized, Read};
use crate::status;

/// Looks at it.
pub async fn run(store: &Store, _allowed: &Authorized<Read>) -> Result<CheckHubResponse, Status> {
    let health = store.health().await.map_err(|error| status::of(&error))?;
    let held = store.held().await.map_err(|error| status::of(&error))?;
    Ok(CheckHubResponse {
        findings: findings(&health, held),
    })
}

fn finding(level: Level, what: &str, message: String) -> Finding {
    Finding {
        level: level.into(),
        what: what.to_owned(),
        message,
    }
}

fn findings(health: &Health, held: Option<String>) -> Vec<Finding> {
    let decides = match (&health.leader, held) {
        (_, Some(why)) => finding(Level::Bad, "decisions", why),
        (Some(leader), None) => {
            let message = format!("{leader} decides (epoch {})", health.epoch);
            finding(Level::Ok, "decisions", message)
        }
        (None, None) => {
            let message = "no hub holds the lease: nothing is decided until one does; look whether a hub runs and what its log \
                           says of the database";
            finding(Level::Bad, "decisions", message.to_owned())
        }
    };
    vec![
        decides,
        database(health),
        durability(health),
        copy(health),
        clusters(health),
    ]
}

fn database(health: &Health) -> Finding {
    let version = &health.version;
    if health.standby {
        let message = format!(
            "PostgreSQL {version} is a standby and takes no writes: nothing is stored or decided; give the hubs the primary's \
             address, or promote this one"
        );
        return finding(Level::Bad, "database", message);
    }
    finding(
        Level::Ok,
        "database",
        format!("PostgreSQL {version} takes writes"),
    )
}

fn durability(health: &Health) -> Finding {
    let commit = &health.synchronous_commit;
    if !health.fsync {
        let message = "fsync is off: a crash of its machine can lose or spoil what was committed; set fsync = on";
        return finding(Level::Bad, "durability", message.to_owned());
    }
    if commit == "off" {
        let message = "synchronous_commit is off: a crash can lose what was committed a moment ago, and then everything holds \
                       until `groundswell hub recover`; set synchronous_commit = on";
        return finding(Level::Warn, "durability", message.to_owned());
    }
    let message = format!("what is committed is on disk (synchronous_commit = {commit})");
    finding(Level::Ok, "durability", message)
}

/// gate.md L5: a failover to a copy that lags is a restore.
fn copy(health: &Health) -> Finding {
    let names = &health.synchronous_standby_names;
    if names.trim().is_empty() || health.synchronous_commit == "local" {
        let message = "a commit waits for no standby: a failover can lose what was decided last, and then everything holds until \
                       `groundswell hub recover`; name one in synchronous_standby_names";
        return finding(Level::Warn, "standby", message.to_owned());
    }
    finding(Level::Ok, "standby", format!("a commit waits for {names}"))
}

fn clusters(health: &Health) -> Finding {
    let (known, connected) = (health.known, health.connected);
    if connected < known {
        let message = format!(
            "{connected} of {known} clusters are connected; see `groundswell get clusters`"
        );
        return finding(Level::Warn, "clusters", message);
    }
    finding(Level::Ok, "clusters", format!("all {known} are connected"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn health() -> Health {
        Health {
            version: "17.2".to_owned(),
            standby: false,
            fsync: true,
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: "ANY 1 (a, b)".to_owned(),
            leader: Some("hub-1".to_owned()),
            epoch: 3,
            known: 2,
            connected: 2,
        }
    }

    /// What is not as it should be, and what is said of it.
    type Case = (&'static str, fn(&mut Health), Level, &'static str);

    const CASES: &[Case] = &[
        (
            "decisions",
            |h| h.leader = None,
            Level::Bad,
            "no hub holds the lease",
        ),
        ("database", |h| h.standby = true, Level::Bad, "is a standby"),
        (
            "durability",
            |h| h.fsync = false,
            Level::Bad,
            "fsync is off",
        ),
        (
            "durability",
            |h| h.synchronous_commit = "off".to_owned(),
            Level::Warn,
            "synchronous_commit is off",
        ),
        (
            "standby",
            |h| h.synchronous_standby_names = String::new(),
            Level::Warn,
            "waits for no standby",
        ),
        (
            "standby",
            |h| h.synchronous_commit = "local".to_owned(),
            Level::Warn,
            "waits for no standby",
        ),
        (
            "clusters",
            |h| h.connected = 1,
            Level::Warn,
            "1 of 2 clusters",
        ),
    ];

    #[test]
    fn each_thing_is_named_when_it_is_wrong_and_only_then() {
        let good = findings(&health(), None);
        let is = |finding: &Finding, level: Level| finding.level == i32::from(level);
        assert!(good.iter().all(|one| is(one, Level::Ok)), "{good:?}");
        for (what, change, level, message) in CASES {
            let mut health = health();
            change(&mut health);
            let found = findings(&health, None);
            for (one, good) in found.iter().zip(&good) {
                if one.what == *what {
                    assert!(
                        is(one, *level) && one.message.contains(message),
                        "{what}: {one:?}"
                    );
                } else {
                    assert_eq!(one.level, good.level, "{what}: {one:?}");
                }
            }
        }
        let held = findings(&health(), Some("it was restored".to_owned()));
        assert!(is(&held[0], Level::Bad) && held[0].message == "it was restored");
    }
}
