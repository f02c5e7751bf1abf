//! What goes back, to what, and in which order (faults.md S20; gate.md G22). In: commits, what clusters really served, persons' words.
//! Out: the first one that goes back wrongly. It must not ask the engine what a target needs.

use agent_api::digest::content_digest;
use agent_api::names::ANNOTATION_RELEASE;
use agent_api::{OutcomeResult, Phase, RollbackPhase};
use hub_engine::document::{OnFailure, RollbackSteps};
use hub_engine::release::{Release, TargetState};
use hub_engine::{Action, ClusterName, ReleaseId};
use tests_golden::agent_fixture::template;

use crate::event::{Draft, Place};
use crate::world::World;

impl World {
    /// A cluster was permitted to go back.
    pub(super) fn goes_back(&mut self, draft: &Draft, action: &Action) {
        let Action::GrantPermit {
            release,
            cluster,
            digest,
            steps_backwards,
            ..
        } = action
        else {
            return;
        };
        self.taken_back(draft.fleet, *release, cluster, digest.as_str());
        self.within_scope(draft, *release, cluster);
        self.last_wave_first(draft.fleet, *release, cluster);
        self.by_steps(draft.fleet, *release, cluster, *steps_backwards);
    }

    /// S20: only to what was served there, and only where the release was permitted.
    fn taken_back(&mut self, fleet: usize, release: u64, cluster: &ClusterName, digest: &str) {
        let part = self.part_of(fleet);
        let agent = self.agents.iter().position(|own| &own.name == cluster);
        let served = agent.and_then(|agent| self.ghost.served.get(&Place { agent, part }));
        let touched = ((fleet, release), cluster.clone());
        if !served.is_some_and(|all| all.contains(digest)) {
            let message = format!("{cluster} goes back to {digest}, which it never served");
            self.fail("S20", message);
        } else if !self.ghost.touched.contains(&touched) {
            let message = format!("{cluster} goes back in #{release}, which never touched it");
            self.fail("S20", message);
        }
    }

    /// S20: what had finished stays where a person said so.
    fn within_scope(&mut self, draft: &Draft, number: u64, cluster: &ClusterName) {
        let release = draft.observed.release(number);
        let target = release.and_then(|release| release.target(cluster));
        let finished = target.is_some_and(|target| target.state == TargetState::Succeeded);
        if finished && self.ghost.people.stays((draft.fleet, number)) {
            let message = format!("{cluster} had finished in #{number} and stays, and goes back");
            self.fail("S20", message);
        }
    }

    /// S20: what finished last goes back first: nobody of a later wave is still where the release took it.
    fn last_wave_first(&mut self, fleet: usize, number: u64, cluster: &ClusterName) {
        if self.ghost.people.stays((fleet, number)) {
            return;
        }
        let Some(release) = self.store.fleets[fleet].release(number) else {
            return;
        };
        let wave = release.target(cluster).map_or(0, |target| target.wave);
        let mut later = release.targets.iter().filter(|target| target.wave > wave);
        let before = later.find(|target| target.state == TargetState::Succeeded);
        if let Some(target) = before {
            let (name, own) = (&target.cluster, target.wave);
            let message = format!(
                "{cluster} of wave {wave} goes back before {name} of wave {own} in #{number}"
            );
            self.fail("S20", message);
        }
    }

    /// G22: at once, but by the canary's steps where the document asks for them.
    fn by_steps(&mut self, fleet: usize, number: u64, cluster: &ClusterName, steps: bool) {
        let release = self.store.fleets[fleet].release(number);
        let asked = release.is_some_and(|release| match release.plan.on_failure {
            OnFailure::Rollback { steps, .. } => steps == RollbackSteps::Backwards,
            OnFailure::Halt => false,
        });
        if asked != steps {
            let message = format!("{cluster} goes back in #{number} by steps {steps}, not {asked}");
            self.fail("G22", message);
        }
    }
}

impl World {
    /// G22: once nothing breaks any more, whatever went back shows why as its document says, its spec is as Git has it, and where Git has
    /// caught up nothing shows it any more.
    pub(super) fn shows_what_went_back(&mut self) {
        for agent in 0..self.agents.len() {
            for place in self.places(agent) {
                if let Some(wrong) = self.shown_wrongly(place) {
                    let name = self.name_of(place);
                    return self.fail("G22", format!("{name} {wrong}"));
                }
            }
        }
    }

    fn shown_wrongly(&mut self, place: Place) -> Option<String> {
        let part = self.part(place);
        let gate = part.gate().filter(|gate| gate.spec.governed)?;
        let permit = gate.spec.permit.as_ref()?;
        let end = gate.status.as_ref()?.outcome.as_ref()?;
        let back = permit.direction == agent_api::Direction::Rollback;
        if !back || end.fence != permit.fence || end.result != OutcomeResult::Served {
            return None;
        }
        let (version, _) = &self.git[place.part];
        let wanted = template(&self.version_in(place.agent, version));
        let rollout = &part.cluster.observed.rollout;
        if rollout.spec.template.as_ref() != Some(&wanted) {
            return Some(format!("has another spec than Git's {version}"));
        }
        let status = part.status();
        let own = self.agents[place.agent].name.clone();
        let row = self.store.rows.get(&own)?;
        let tables = &self.store.fleets[row.gates.get(&self.rollouts[place.part])?.fleet];
        let number = permit.release.to_string().parse::<ReleaseId>().ok()?.number;
        let content = |release: &Release| Some(release.target(&own)?.content.clone()?.digest);
        let taken = tables.release(number).and_then(content);
        // What Git brought since waits for its own release, and shows that, though it be the same content; so does what is stopped.
        let mut later = tables.releases.iter().filter(|one| one.id.number > number);
        let wants = content_digest(&wanted).to_string();
        let is_taken = taken.is_some_and(|taken| taken.as_str() == wants)
            && !later.any(|one| content(one).is_some_and(|later| later.as_str() == wants));
        let again = self.ghost.forgot.contains(&place) || tables.stopped.is_some();
        let caught_up = content_digest(&wanted) == permit.digest;
        let phase = match gate.spec.policy.rollback_phase {
            RollbackPhase::Degraded => Phase::Degraded,
            RollbackPhase::Paused => Phase::Paused,
        };
        let message = status.message.clone().unwrap_or_default();
        let text = format!("fleet rollback of release {}", permit.release);
        let annotations = rollout.metadata.annotations.as_ref();
        let named = annotations.and_then(|all| all.get(ANNOTATION_RELEASE));
        let named = named.is_some_and(|release| *release == permit.release.to_string());
        let shows = (status.phase == Some(phase), message.contains(&text), named);
        if !caught_up && (!is_taken || again) {
            return None;
        }
        let wrong = if caught_up {
            shows.1 || shows.2
        } else {
            shows != (true, true, true)
        };
        let told = format!(
            "shows {:?}, {message:?}, caught up {caught_up}",
            status.phase
        );
        self.meets(if caught_up {
            "CaughtUpAfterRollback"
        } else {
            "RollbackShown"
        });
        wrong.then_some(told)
    }
}
