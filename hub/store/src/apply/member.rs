//! Changes of membership in the tables. In: the action. Out: what of it is there afterwards: entries that are let go, permits
//! that are forgotten, targets that begin again. It must not work out what it means: the engine's `advance` does.

use hub_engine::action::MemberChange;
use hub_engine::{Action, ClusterName};

use super::Writer;
use crate::Result;
use crate::error::not_found;
use crate::let_go;
use crate::request::{self, Settled};

impl Writer<'_> {
    pub(super) async fn member(&mut self, action: &Action, change: &MemberChange) -> Result<()> {
        let observed = self.observed;
        let name = &observed.fleet_rollout.name;
        match change {
            MemberChange::Ungovern {
                cluster, mode, by, ..
            } => {
                self.pending.let_go(cluster, *mode);
                let_go::add(self.tx, name, cluster, *mode, by).await
            }
            MemberChange::Govern { cluster, .. } => let_go::remove(self.tx, name, cluster).await,
            MemberChange::Forget { cluster, .. } => {
                self.pending.permits.insert(cluster.clone(), None);
                Ok(())
            }
            MemberChange::Answer { request, .. } => {
                let answer = action.to_string();
                request::settle(self.tx, *request, Settled::Obeyed(&answer)).await
            }
            MemberChange::Restart {
                release, cluster, ..
            } => self.restart(action, *release, cluster).await,
        }
    }

    /// The target as it is afterwards, and its wave, if that runs again.
    async fn restart(&mut self, action: &Action, number: u64, name: &ClusterName) -> Result<()> {
        let before = self.before.as_ref().unwrap_or(self.observed);
        let mut after = before.clone();
        after.advance(action);
        let id = self.id(number);
        let none = || not_found(format!("target {name} of release {id}"));
        let old = before.release(number).cloned();
        let new = after.release(number).ok_or_else(none)?;
        let target = new.target(name).ok_or_else(none)?;
        self.pending.rewrite(number, target);
        if old.as_ref().is_some_and(|old| old.phase != new.phase) {
            self.write_word(new).await?;
        }
        for wave in &new.waves {
            let was = old.as_ref().and_then(|old| old.wave(wave.number));
            if was != Some(wave) {
                self.write_wave(number, wave).await?;
            }
        }
        Ok(())
    }
}
