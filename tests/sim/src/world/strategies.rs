//! Git changes how a Rollout is delivered, with its content or alone (gate.md G2). In: chance. Out: other steps, which the applier
//! brings with whatever it brings next. It must not know what is on its way.

use agent_api::CanaryStep;
use serde_json::{Value, json};
use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::event::Place;

/// In so many of a hundred lives Git does, and so many of a hundred commits do there.
const CHANGES: usize = 20;
const CHANGED: usize = 50;

/// Drawn aside, so that every other life stays what it was.
pub(super) fn changes(config: Config) -> bool {
    config.faults && Random::new(config.seed).aside(313).percent(CHANGES)
}

/// Steps as Git has them; each ends with the analysis.
fn steps(aside: &mut Random) -> Vec<CanaryStep> {
    let mut steps = vec![json!({"setWeight": 20 + 10 * aside.below(5)})];
    if aside.percent(50) {
        steps.push(json!({"pause": {"duration": 3 + aside.below(8)}}));
    }
    if aside.percent(50) {
        steps.push(json!({"setWeight": 80}));
    }
    steps.push(json!({"analysis": {"templates": [{"templateName": "errors"}]}}));
    serde_json::from_value(Value::Array(steps)).unwrap_or_default()
}

impl World {
    /// A commit changes the steps, too.
    pub(super) fn steps_change(&mut self, part: usize) {
        let mut aside = self.random.aside(317);
        if self.restepped && self.chaos && aside.percent(CHANGED) {
            self.meets("StepsChanged");
            self.steps.insert(part, steps(&mut aside));
        }
    }

    /// The applier brings what Git has of the steps.
    pub(super) fn steps_brought(&mut self, place: Place) {
        if let Some(steps) = self.steps.get(&place.part).cloned() {
            self.part_mut(place).stepped(&steps);
        }
    }
}
