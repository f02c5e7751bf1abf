//! What clusters show whose turn has not come. In: the open releases. Out: each cluster's sentence, written once a wave, and
//! whether its gate says that already. It must not act.

use super::hindrance;
use crate::observed::{Cluster, Observed, Waiting};
use crate::paper::observes;
use crate::place::ByName;
use crate::reason::waiting_sentence;
use crate::release::{Release, Wave};

/// What everybody in one wave shows.
pub(super) struct Turn {
    /// Without the command, which names the cluster.
    waiting: Waiting,
    /// Up to the cluster's name.
    command: String,
}

/// What one cluster shows: its wave's turn, and what keeps its own.
pub(super) struct Said<'a> {
    turn: &'a Turn,
    why: Option<&'static str>,
}

/// Those of every open release: the active one, and the one that waits for it.
pub(super) struct Turns<'a>(Vec<(ByName<'a>, Vec<Turn>)>);

impl Turn {
    fn of(release: &Release, wave: &Wave) -> Self {
        let waves = release.plan.len();
        let waiting = Waiting {
            release: Some(release.id.clone()),
            wave: wave.number,
            waves,
            wave_name: wave.name.clone(),
            message: waiting_sentence(wave.number, waves, &wave.name, &release.id),
            next: String::new(),
        };
        let command = format!("groundswell explain {} --cluster ", release.id);
        Self { waiting, command }
    }
}

impl Said<'_> {
    pub(super) fn sentence(&self, cluster: &Cluster) -> Waiting {
        let mut waiting = Waiting {
            next: format!("{}{}", self.turn.command, cluster.name),
            ..self.turn.waiting.clone()
        };
        if let Some(why) = self.why {
            waiting.message.push_str(": ");
            waiting.message.push_str(why);
        }
        waiting
    }

    /// Whether a gate says so already.
    pub(super) fn is_written(&self, said: &Waiting, cluster: &Cluster) -> bool {
        let Waiting {
            release,
            wave,
            waves,
            wave_name,
            message,
            next,
        } = &self.turn.waiting;
        let own = (release, wave, waves, wave_name);
        let same = own == (&said.release, &said.wave, &said.waves, &said.wave_name);
        let why = said.message.strip_prefix(message.as_str());
        let same_why = match self.why {
            None => why == Some(""),
            Some(own) => why.and_then(|why| why.strip_prefix(": ")) == Some(own),
        };
        let asked = said.next.strip_prefix(&self.turn.command);
        same && same_why && next.is_empty() && asked == Some(cluster.name.as_str())
    }
}

impl<'a> Turns<'a> {
    pub(super) fn of(state: &'a Observed) -> Self {
        let open = [state.active(), state.waiting()].into_iter().flatten();
        let open = open.filter(|_| !observes(state));
        let turns = open.map(|release| {
            let waves = release.waves.iter();
            let turns = waves.map(|wave| Turn::of(release, wave)).collect();
            (ByName::of(&release.targets), turns)
        });
        Self(turns.collect())
    }

    /// The turn that a cluster waits for; none: it has none to come. Clusters are asked for in order, as a rule.
    pub(super) fn of_cluster(&mut self, cluster: &Cluster) -> Option<Option<Said<'_>>> {
        self.0.iter_mut().find_map(|(targets, turns)| {
            let target = targets.target(&cluster.name)?;
            let turn = || turns.iter().find(|turn| turn.waiting.wave == target.wave);
            let said = |turn| Said {
                turn,
                why: hindrance::of_its_own(target),
            };
            target.state.before_permit().then(|| turn().map(said))
        })
    }
}
