//! Who a cluster is (gate.md L4): its name, the kube-system namespace it is bound to, whether it is a member. In: a person's
//! word. Out: rows of which the former identity has no use. It must not change what the history says.

use hub_engine::ClusterName;
use hub_engine::replay::Step;
use jiff::Timestamp;
use sqlx::PgConnection;

use super::{END_SESSION, LockRow, NewMembership, refused, tell};
use crate::history::{self, Fact};
use crate::time::to_db;
use crate::{Result, certificate, fleet_rollout, former};

pub(crate) const TAKEN: &str = "select exists (select 1 from clusters where name = $1)";
pub(crate) const RENAME: &str = "update clusters set name = $2 where name = $1";
pub(crate) const REBIND: &str =
    "update clusters set kube_system_uid = $2, replaced_at = $3, note = '' where name = $1";
/// Nothing of what the former agent had is the new one's.
pub(crate) const FORGET_SESSION: &str = "update cluster_sessions set session = session + 1, open = false, \
     last_seen_at = null, stored_incarnation = 0, stored_version = 0, set_hash = '', regressed = false, reported = 0, \
     audit_head = '', restored_at = null, claimed_incarnation = null, claimed_version = null where cluster = $1";
pub(crate) const FORGET_ROLLOUTS: &str = "delete from rollouts where cluster = $1";
/// What became of the settled ones is in the history; by the newest one it is told whether another one is the same.
pub(crate) const FORGET_CHANGES: &str = "delete from changes where cluster = $1";
pub(crate) const LEAVE: &str =
    "update clusters set left_at = $2, left_by = $3, left_reason = $4, note = '' where name = $1";

pub(super) async fn rename(
    tx: &mut PgConnection,
    new: &NewMembership,
    to: &ClusterName,
) -> Result<String> {
    let name = &new.cluster;
    if to == name {
        return Ok(format!("{name} has that name already"));
    }
    let taken: bool = sqlx::query_scalar(TAKEN)
        .bind(to.as_str())
        .fetch_one(&mut *tx)
        .await?;
    if taken {
        return Err(refused(format!(
            "{to} is the name of another cluster, or of one that left; take a name that nobody had"
        )));
    }
    let stored = fleet_rollout::list(tx).await?;
    for one in &stored {
        let waves = &one.fleet_rollout.waves;
        let named = waves
            .iter()
            .find(|wave| wave.names.contains(name) && !wave.names.contains(to));
        if let Some(wave) = named {
            return Err(refused(format!(
                "wave {} of FleetRollout {} names {name}; apply it with {to} beside it first",
                wave.name, one.fleet_rollout.name
            )));
        }
    }
    sqlx::query(RENAME)
        .bind(name.as_str())
        .bind(to.as_str())
        .execute(&mut *tx)
        .await?;
    sqlx::query(END_SESSION)
        .bind(to.as_str())
        .execute(&mut *tx)
        .await?;
    let message = format!("{} renamed {name} to {to}: {}", new.person, new.reason);
    let evidence = serde_json::json!({"from": name, "to": to, "reason": new.reason});
    tell(tx, new, None, &message, evidence.clone()).await?;
    // In each chain, so that replaying it gives the tables.
    for one in stored {
        let mut fact = Fact::of_hub(Some(to), new.kind(), new.person.as_str(), message.clone());
        fact.stream = format!("fleetrollout/{}", one.fleet_rollout.name);
        fact.evidence = evidence.clone();
        fact.action = Some(Step::Renamed {
            from: name.clone(),
            to: to.clone(),
        });
        history::add_now(tx, fact).await?;
    }
    Ok(format!(
        "{name} is {to} from now on; what was written about it before keeps the old name"
    ))
}

pub(super) async fn rebind(
    tx: &mut PgConnection,
    new: &NewMembership,
    row: &LockRow,
    uid: &str,
    at: Timestamp,
) -> Result<String> {
    let name = &new.cluster;
    let Some(was) = &row.kube_system_uid else {
        return Err(refused(format!(
            "nobody has joined as {name} yet; `groundswell cluster token {name}` lets it"
        )));
    };
    if was == uid {
        return Ok(format!("{name} is bound to {uid} already"));
    }
    replace(tx, name, uid, at).await?;
    former::above(tx, name, uid).await?;
    let message = format!(
        "{} bound {name} to the kube-system namespace {uid}: {}",
        new.person, new.reason
    );
    let evidence = serde_json::json!({"was": was, "now": uid, "reason": new.reason});
    tell(tx, new, Some(at), &message, evidence).await?;
    Ok(format!(
        "{name} is the cluster with the kube-system namespace {uid} from now on, and no certificate of the former one is good \
         any more; `groundswell cluster token {name}` lets it join"
    ))
}

/// Another cluster has the name since then: nothing of the former one is its own.
pub(crate) async fn replace(
    tx: &mut PgConnection,
    name: &ClusterName,
    uid: &str,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(REBIND)
        .bind(name.as_str())
        .bind(uid)
        .bind(to_db(at))
        .execute(&mut *tx)
        .await?;
    for statement in [
        FORGET_SESSION,
        FORGET_ROLLOUTS,
        FORGET_CHANGES,
        certificate::REVOKE,
    ] {
        sqlx::query(statement)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn leave(
    tx: &mut PgConnection,
    new: &NewMembership,
    at: Timestamp,
) -> Result<String> {
    let name = &new.cluster;
    sqlx::query(LEAVE)
        .bind(name.as_str())
        .bind(to_db(at))
        .bind(new.person.as_str())
        .bind(&new.reason)
        .execute(&mut *tx)
        .await?;
    for statement in [
        certificate::REVOKE,
        certificate::REVOKE_UNLISTED,
        END_SESSION,
    ] {
        sqlx::query(statement)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
    }
    let message = format!(
        "{} removed {name} from the fleet: {}",
        new.person, new.reason
    );
    let evidence = serde_json::json!({"reason": new.reason});
    tell(tx, new, Some(at), &message, evidence).await?;
    Ok(format!(
        "{name} left the fleet: its targets end by membership.left of their plans, and no certificate of it is good any more. \
         What it serves it goes on serving, and what it holds stays held; to free that, let it join again and end governance \
         first (`groundswell ungovern`)"
    ))
}
