//! The servers that analyses ask (S17): they answer soon, late or never, and now and then what says nothing. In: questions. Out:
//! answers. It must not judge them.

use agent_api::names::pause_reason;
use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::agent::{Answer, Asked};
use crate::event::{Event, Ms, Place};

/// In so many of a hundred lives runs are really measured, and so many of these are strict.
const MEASURED: usize = 30;
const STRICT: usize = 50;
/// So many of a hundred questions do not get what they ask for.
const TROUBLE: usize = 25;
/// As the provider's own limit.
const GIVEN_UP: Ms = 30_000;
/// Whoever answers does so within this.
const ANSWERS: usize = 3_000;
/// Between two looks at the runs of a Rollout at least.
const LEAST: Ms = 500;

/// How runs end in this life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measures {
    /// They are measured; else their verdicts are drawn.
    pub(crate) really: bool,
    /// What is no number says nothing.
    pub(crate) strictly: bool,
}

impl Measures {
    /// Drawn aside, so that every other life stays what it was.
    pub(super) fn of(config: Config) -> Self {
        let aside = |salt| Random::new(config.seed).aside(salt);
        Self {
            really: aside(293).percent(MEASURED),
            strictly: aside(307).percent(STRICT),
        }
    }
}

impl World {
    /// What templates say of themselves.
    pub(super) fn measured_strictly(&mut self) {
        if !self.measures.really || !self.measures.strictly {
            return;
        }
        for part in self.agents.iter_mut().flat_map(|own| &mut own.parts) {
            for template in part.cluster.observed.templates.values_mut() {
                template.strict = Some(true);
            }
        }
    }

    /// The runs of a Rollout are looked at.
    pub(super) fn measure(&mut self, place: Place) {
        let Place { agent, part } = place;
        let now = self.now;
        let done = self.agents[agent].measures(part, now);
        if let Some(wrong) = done.wrong.first().filter(|_| !self.bugs.unaudited) {
            let message = format!("{}: {wrong}", self.name_of(place));
            return self.fail("S17", message);
        }
        let life = self.agents[agent].life;
        let mut aside = self.random.aside(311);
        for asked in done.asked {
            self.run_begins(place, &asked.run);
            let trouble = self.chaos && aside.percent(TROUBLE);
            let answer = if trouble {
                aside.pick(&[
                    Answer::NotANumber,
                    Answer::Nothing,
                    Answer::Garbage,
                    Answer::Refused,
                    Answer::Silence,
                ])
            } else {
                Answer::Value
            };
            if trouble {
                self.meets("AnswerOfNothing");
            }
            let soon = Ms::try_from(200 + aside.below(ANSWERS)).unwrap_or(200);
            let after = if answer == Answer::Silence {
                GIVEN_UP
            } else {
                soon
            };
            let asked = Box::new(asked);
            let event = Event::Answered {
                place,
                life,
                asked,
                answer,
            };
            self.put(after, event);
        }
        for ended in &done.ended {
            let name = self.name_of(place);
            self.tell(format!("run {} in {name} is {:?}", ended.run, ended.phase));
            self.run_ended(place, ended);
            self.changed(place);
        }
        if let Some(wake) = done.wake {
            self.put(wake.max(LEAST), Event::RunsEnd(place));
        }
    }

    /// A server has answered, or will not any more.
    pub(super) fn answered(&mut self, place: Place, life: u64, asked: &Asked, answer: Answer) {
        let Place { agent, part } = place;
        if self.agents[agent].life != life {
            return;
        }
        let bad = self.bad.contains(&(part, asked.hash.clone()));
        let (now, bugs) = (self.now, self.bugs);
        if self.agents[agent].hears(part, asked, (answer, bad), now, bugs) {
            self.answer_heard(place, &asked.run, answer == Answer::Value && !bad);
            self.measure(place);
        }
    }

    /// A person lets what is unclear be measured once more.
    pub(super) fn measured_once_more(&mut self) {
        if !self.measures.really {
            return;
        }
        let agents = 0..self.agents.len();
        let places = agents.flat_map(|agent| self.places(agent));
        let unclear = |place: &Place| {
            let status = self.part(*place).status();
            let mut pauses = status.pause_conditions.iter();
            pauses.any(|one| one.reason == pause_reason::INCONCLUSIVE_ANALYSIS_RUN)
        };
        let unclear: Vec<Place> = places.filter(unclear).collect();
        for place in unclear {
            let own = self.part_mut(place);
            own.cluster.promote();
            own.rollout_written();
            self.meets("MeasuredOnceMore");
            let name = self.name_of(place);
            self.tell(format!("somebody has {name} measured once more"));
            self.changed(place);
        }
    }
}
