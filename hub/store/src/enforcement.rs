//! Turning enforcement on and off (gate.md G13). In: documents of a file, the stored ones. Out: problems. It must not free
//! what is held: neither a document that leaves the field out nor one that says Observe does.

use hub_engine::document::Enforcement;
use hub_engine::{Document, Problem, paper};
use sqlx::PgConnection;

use crate::fleet_rollout::{self, FleetRolloutRow};
use crate::remembered::Memory;
use crate::{Result, observe};

/// Where the field is written.
const PATH: &str = "spec.enforcement";

/// Every document that may not turn to the enforcement that it says, or does not say. With `lock` that stays so until the
/// transaction ends.
pub(crate) async fn problems(
    tx: &mut PgConnection,
    documents: &[Document],
    stored: &[FleetRolloutRow],
    lock: bool,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for document in documents {
        let new = &document.fleet_rollout;
        let known = stored.iter().find(|row| row.fleet_rollout.name == new.name);
        let Some(known) = known.filter(|row| row.fleet_rollout.enforcement != new.enforcement)
        else {
            continue;
        };
        let silent = !document.lines.contains_key(PATH);
        let message = if silent && known.fleet_rollout.enforcement == Enforcement::Enforce {
            Some(format!(
                "{} is enforced, and leaving the field out does not end that; write enforcement: Enforce, or Observe to end it",
                new.name
            ))
        } else {
            // Locked, no decision goes on beside it: whoever decides holds the same row.
            let locked = fleet_rollout::get(tx, &new.name, lock).await?;
            let fleet_rollout =
                locked.map_or_else(|| known.fleet_rollout.clone(), |row| row.fleet_rollout);
            let observed = observe::all(tx, fleet_rollout, &mut Memory::default()).await?;
            paper::turn(&observed, new.enforcement)
        };
        problems.extend(message.map(|message| Problem {
            path: PATH.to_owned(),
            line: document.line_of(PATH),
            message,
        }));
    }
    Ok(problems)
}
