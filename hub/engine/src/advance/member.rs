//! What a change of membership does to the tables. In: an observation and the change. Out: the observation as the next
//! snapshot would show it. It must not choose.

use crate::action::MemberChange;
use crate::member::{Departure, Gone};
use crate::name::{ClusterName, Digest};
use crate::observed::Observed;
use crate::release::TargetState;

impl Observed {
    pub(super) fn member(&mut self, change: &MemberChange) {
        match change {
            MemberChange::Ungovern {
                cluster, mode, by, ..
            } => {
                if let Some(own) = self.own(cluster) {
                    own.selected = false;
                    own.gone = Some(Gone {
                        how: Departure::LetGo(*mode),
                        by: by.clone(),
                    });
                }
                self.gate(cluster, |gate| {
                    gate.let_go = Some(*mode);
                    gate.permit = None;
                    gate.waiting = None;
                });
            }
            MemberChange::Govern { cluster, .. } => {
                let selector = self.fleet_rollout.clusters.clone();
                if let Some(own) = self.own(cluster) {
                    own.gone = None;
                    own.selected = selector.selects(&own.labels);
                }
            }
            MemberChange::Answer { request, .. } => {
                self.requests.retain(|other| other.id != *request);
            }
            MemberChange::Forget { cluster, .. } => self.gate(cluster, |gate| gate.permit = None),
            MemberChange::Restart {
                release,
                cluster,
                keep,
                why,
            } => self.restart(*release, cluster, *keep, why),
        }
    }

    fn restart(&mut self, number: u64, cluster: &ClusterName, keep: bool, why: &str) {
        let now = self.now;
        let mut wave = None;
        self.change_target(number, cluster, |target| {
            let watched = target.state == TargetState::Succeeded;
            wave = watched.then_some(target.wave);
            target.since = Some(now);
            target.succeeded_at = None;
            why.clone_into(&mut target.message);
            if keep {
                target.state = TargetState::Permitted;
            } else {
                target.state = TargetState::WaitingForContent;
                target.content = None;
                target.previous = None;
                target.permit = None;
            }
        });
        let reopened = wave.filter(|wave| {
            self.release(number)
                .and_then(|release| release.wave(*wave))
                .is_some_and(|wave| wave.started_at.is_some() && !wave.phase.behind())
        });
        if let Some(wave) = reopened {
            self.reopen_wave(number, wave);
        }
        self.recount(number);
    }

    /// What is remembered of a release follows from its targets, also when one of them has begun from nothing.
    fn recount(&mut self, number: u64) {
        let Some(release) = self.release(number) else {
            return;
        };
        let touched = release.targets.iter().any(|target| target.touched());
        let bound = release
            .targets
            .iter()
            .filter_map(|target| target.content.as_ref());
        let mut digests: Vec<Digest> = bound.map(|content| content.digest.clone()).collect();
        digests.sort();
        digests.dedup();
        for past in self.past.iter_mut().filter(|past| past.number == number) {
            past.digests.clone_from(&digests);
            past.touched = touched;
        }
    }
}
