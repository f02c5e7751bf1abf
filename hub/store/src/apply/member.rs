//! Changes of membership in the tables. In: the action. Out: what of it is there afterwards: entries that are let go, permits
//! that are forgotten, targets that begin again. It must not work out what it means: the engine's `advance` does.

use hub_engine::action::MemberChange;
use hub_engine::{Action, ClusterName, Observed};

use super::Writer;
use crate::Result;
use crate::desired::{self, At};
use crate::error::not_found;
use crate::let_go;
use crate::request::{self, Settled};
use crate::target::{self, Of};

impl<'a> Writer<'a> {
    pub(super) async fn member(
        &mut self,
        action: &'a Action,
        change: &'a MemberChange,
    ) -> Result<()> {
        let observed = self.observed;
        let name = &observed.fleet_rollout.name;
        match change {
            MemberChange::Ungovern {
                cluster, mode, by, ..
            } => {
                let entry = self.entry(cluster);
                desired::let_go(self.tx, entry, *mode).await?;
                let_go::add(self.tx, name, cluster, *mode, by).await
            }
            MemberChange::Govern { cluster, .. } => let_go::remove(self.tx, name, cluster).await,
            MemberChange::Forget { cluster, .. } => {
                let entry = self.entry(cluster);
                desired::set_permit(self.tx, entry, None).await
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

    fn entry(&self, cluster: &'a ClusterName) -> At<'a> {
        let observed: &'a Observed = self.observed;
        let fleet_rollout = &observed.fleet_rollout;
        At {
            cluster,
            rollout: &fleet_rollout.rollout,
            fleet_rollout: &fleet_rollout.name,
            fence: self.fences.get(cluster).copied().unwrap_or_default(),
        }
    }

    /// The target as it is afterwards, and its wave, if that runs again.
    async fn restart(&mut self, action: &Action, number: u64, name: &ClusterName) -> Result<()> {
        let mut after = self.before.clone();
        after.advance(action);
        let id = self.id(number);
        let none = || not_found(format!("target {name} of release {id}"));
        let old = self.before.release(number).cloned();
        let new = after.release(number).ok_or_else(none)?;
        let of = Of {
            release: &id,
            cluster: name,
        };
        target::rewrite(self.tx, of, new.target(name).ok_or_else(none)?).await?;
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
