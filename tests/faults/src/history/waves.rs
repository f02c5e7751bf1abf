//! S1, S12 and S20 on recorded decisions. In: decisions, oldest first. Out: a panic with the first that was not allowed. It
//! keeps its own account of what happened and asks no engine.

use std::collections::BTreeMap;

use hub_engine::release::{Direction, TargetState};
use hub_engine::verb::Verb;
use hub_engine::{Action, ClusterName};
use jiff::Timestamp;

use super::Decided;

/// One release, by its rows alone.
#[derive(Default)]
struct Account {
    waves: Vec<(String, bool)>,
    of: BTreeMap<ClusterName, usize>,
    baking: BTreeMap<usize, Timestamp>,
    promoted: Vec<usize>,
    /// What each cluster served when it was first permitted to go forward.
    forward: BTreeMap<ClusterName, Option<String>>,
    failed: BTreeMap<usize, usize>,
    ended: bool,
    back: bool,
}

/// Every decision in its turn.
pub(super) fn check(decided: &[Decided]) {
    let mut accounts: BTreeMap<u64, Account> = BTreeMap::new();
    for one in decided {
        if let Some(number) = one.action.release() {
            let account = accounts.entry(number).or_default();
            account.take(one);
        }
    }
}

impl Account {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named moves no wave"
    )]
    fn take(&mut self, one: &Decided) {
        match &one.action {
            Action::OpenRelease { plan, .. } => {
                for (index, wave) in plan.waves.iter().enumerate() {
                    self.waves.push((wave.name.clone(), false));
                    for cluster in &wave.clusters {
                        self.of.insert(cluster.clone(), index);
                    }
                }
            }
            Action::JoinTarget { cluster, wave, .. } => {
                let index = usize::try_from(*wave).expect("a number") - 1;
                self.of.insert(cluster.clone(), index);
            }
            Action::GrantPermit {
                cluster,
                direction: Direction::Forward,
                ..
            } => self.forward(one, cluster),
            Action::GrantPermit {
                cluster, digest, ..
            } => {
                let served = self.forward.get(cluster);
                let served = served.expect("S20: it never went forward");
                assert_eq!(served.as_ref(), Some(&digest.to_string()), "S20: {cluster}");
            }
            Action::SetTargetState {
                cluster,
                state: TargetState::Failed,
                ..
            } => {
                let wave = self.of.get(cluster).copied().unwrap_or_default();
                *self.failed.entry(wave).or_default() += 1;
            }
            Action::StartBake { wave, until, .. } => {
                let index = usize::try_from(*wave).expect("a number") - 1;
                self.baking.insert(index, *until);
            }
            Action::PassWave { wave, .. } => self.pass(one, *wave),
            Action::Obey { verb, .. } => self.word(verb),
            Action::StartRollback { .. } | Action::HaltRelease { .. } => self.back = true,
            Action::EndRelease { .. } => self.ended = true,
            _ => {}
        }
    }

    /// S1.
    fn forward(&mut self, one: &Decided, cluster: &ClusterName) {
        let wave = self.of.get(cluster).copied();
        let wave = wave.expect("S1: it is in no wave");
        let open = self.waves.iter().take(wave).find(|(_, behind)| !behind);
        assert!(
            open.is_none() && !self.ended && !self.back,
            "S1: row {}: {cluster} starts before {open:?} (ended {}, back {})",
            one.row.sequence,
            self.ended,
            self.back
        );
        let first = self.forward.entry(cluster.clone());
        first.or_insert_with(|| one.previous.clone());
    }

    /// S1, S12.
    fn pass(&mut self, one: &Decided, wave: u32) {
        let index = usize::try_from(wave).expect("a number") - 1;
        let until = self.baking.get(&index);
        if let Some(until) = until
            && !self.promoted.contains(&index)
        {
            assert!(
                one.row.at >= *until,
                "S12: wave {wave} passed at {} and bakes until {until}",
                one.row.at
            );
        }
        let failed = self.failed.get(&index).copied().unwrap_or_default();
        assert_eq!(failed, 0, "S1: wave {wave} passed with {failed} failed");
        self.waves[index].1 = true;
    }

    fn word(&mut self, verb: &Verb) {
        let named = |name: &String| self.waves.iter().position(|(own, _)| own == name);
        match verb {
            Verb::SkipWave { wave } => {
                let index = named(wave).expect("a wave of the plan");
                self.waves[index].1 = true;
            }
            Verb::Promote { wave } => {
                let all = 0..self.waves.len();
                match wave.as_ref().and_then(named) {
                    Some(index) => self.promoted.push(index),
                    None => self.promoted.extend(all),
                }
            }
            Verb::Retry { .. } => {
                self.back = false;
                self.failed.clear();
            }
            Verb::Abort { .. } | Verb::Rollback => self.back = true,
            Verb::Start { .. }
            | Verb::Pause
            | Verb::Resume
            | Verb::SkipTarget { .. }
            | Verb::Expedite
            | Verb::Ungovern { .. }
            | Verb::Govern { .. } => {}
        }
    }
}
