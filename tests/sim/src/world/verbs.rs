//! What somebody in a cluster says past the fleet: promote, skip, abort, retry, and that content starts without the fleet's word
//! (gate.md G15, G16). In: chance. Out: Rollouts as clients patch and annotate them. It must not know what comes of it.

use agent_api::digest::content_digest;
use agent_api::names::{ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY};
use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::event::Place;

/// In so many of a hundred lives somebody uses the plugin, and in so many somebody breaks the glass.
const VERBS: usize = 25;
const GLASS: usize = 20;
/// So often in a hundred, whenever a person does something.
const SAID: usize = 50;
const BROKEN: usize = 35;
/// So many of a hundred words are for what Git wants; so many clusters lack the policy that admits them.
const FOR_GIT: usize = 75;
const UNADMITTED: usize = 20;

/// Whether somebody does in this life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locals {
    verbs: bool,
    glass: bool,
}

impl Locals {
    /// Drawn aside, so that every other life stays what it was.
    pub(super) fn of(config: Config) -> Self {
        let aside = |salt| Random::new(config.seed).aside(salt);
        Self {
            verbs: config.faults && aside(233).percent(VERBS),
            glass: config.faults && aside(239).percent(GLASS),
        }
    }
}

impl World {
    /// Clusters that do not have the policy: there no word counts.
    pub(super) fn some_lack_the_policy(&mut self) {
        let mut aside = self.random.aside(241);
        for own in &mut self.agents {
            own.glass_admitted = !aside.percent(UNADMITTED);
        }
    }

    /// Somebody in a cluster does something, or nobody does.
    pub(super) fn says_in_a_cluster(&mut self) {
        let mut aside = self.random.aside(251);
        let agent = aside.below(self.agents.len());
        let part = aside.below(self.rollouts.len());
        let place = Place { agent, part };
        let there = !self.part(place).gone && self.part(place).status().current_pod_hash.is_some();
        if self.locals.verbs && there && aside.percent(SAID) {
            self.verb(place, &mut aside);
        }
        if self.locals.glass && !self.part(place).gone && aside.percent(BROKEN) {
            self.glass_is_broken(place, &mut aside);
        }
    }

    /// As the plugin and the dashboard patch the status.
    fn verb(&mut self, place: Place, aside: &mut Random) {
        let cluster = &mut self.part_mut(place).cluster;
        let status = cluster.status();
        let moves = status.current_pod_hash != status.stable_rs;
        let aborted = status.abort == Some(true);
        let choice = aside.below(4);
        let what = match choice {
            _ if aborted => {
                cluster.patch(|status| status.abort = Some(false));
                "Retry"
            }
            _ if !moves => return,
            0 => {
                cluster.patch(|status| status.abort = Some(true));
                "Abort"
            }
            1 => {
                cluster.patch(|status| status.promote_full = Some(true));
                "PromoteFull"
            }
            2 => {
                cluster.patch(|status| {
                    status.pause_conditions.clear();
                    let step = status.current_step_index.map(|step| step + 1);
                    status.current_step_index = step;
                });
                "Skip"
            }
            _ => {
                cluster.promote();
                "Promote"
            }
        };
        self.part_mut(place).rollout_written();
        self.meets(match what {
            "Retry" => "RetriedHere",
            "Abort" => "AbortedHere",
            _ => "PromotedHere",
        });
        let name = self.name_of(place);
        self.tell(format!("somebody says {what} in {name}"));
        self.said_here(place, what == "Retry");
        self.changed(place);
    }

    /// A person with the right, where the cluster can tell, lets content start; as a rule what Git wants.
    fn glass_is_broken(&mut self, place: Place, aside: &mut Random) {
        let rollout = &self.part(place).cluster.observed.rollout;
        let Some(spec) = rollout.spec.template.as_ref().map(content_digest) else {
            return;
        };
        let others: Vec<String> = self.contents_of(place);
        let other = aside.below(others.len());
        let digest = if aside.percent(FOR_GIT) || others.is_empty() {
            spec.to_string()
        } else {
            others[other].clone()
        };
        let reason = format!("reason {}", aside.below(3));
        let own = self.part_mut(place);
        let metadata = &mut own.cluster.observed.rollout.metadata;
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(
            ANNOTATION_BREAK_GLASS.to_owned(),
            format!("{digest} {reason}"),
        );
        annotations.insert(ANNOTATION_BREAK_GLASS_BY.to_owned(), "ann".to_owned());
        own.rollout_written();
        let name = self.name_of(place);
        self.tell(format!(
            "ann breaks the glass in {name} for {digest}: {reason}"
        ));
        self.meets("GlassBroken");
        self.glass_said(place, &digest, &reason);
        self.changed(place);
    }
}
