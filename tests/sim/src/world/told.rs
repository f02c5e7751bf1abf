//! What agents say, on its way to their streams. In: what the agent's own queue has. Out: messages, as this agent's version, or
//! its planted bug, says them; what the hub has of them now. It must not change what the queue has, but for the bug that is
//! about that.

use proto::v1;

use super::World;
use crate::event::{Place, Up};
use crate::planted::Planted;

impl World {
    /// What an agent says first.
    pub(super) fn hello_of(&mut self, agent: usize) -> v1::Hello {
        let mut hello = self.agents[agent].hello();
        if self.bugs.has(Planted::EndLostWithStream)
            && let Some(process) = &self.agents[agent].process
        {
            // The planted bug: what was on its way is gone, and so is what the first word says of it.
            while process.reports.batch(0).is_some() {}
            process.reports.acknowledged(u64::MAX - 1);
            for state in &mut hello.rollouts {
                state.outcome = None;
            }
        }
        hello
    }

    /// The hub has committed what it was told up to there.
    pub(super) fn told(&mut self, agent: usize, sequence: u64) {
        let Some(process) = &self.agents[agent].process else {
            return;
        };
        let told = process.reports.acknowledged(sequence);
        self.ends_are_kept(agent);
        if told.is_empty() {
            return;
        }
        if self.mishap(40) {
            return self.kill_agent(agent);
        }
        self.agents[agent].note_told(&told);
        for one in told {
            if let Some(part) = self.agents[agent].part_of(&one.rollout) {
                self.noted(Place { agent, part });
                self.changed(Place { agent, part });
            }
        }
    }

    pub(super) fn send_reports(&mut self, agent: usize) {
        self.little_waits(agent);
        while let Some((connection, mut batch)) = self.agents[agent].batch() {
            let last = batch.reports.iter().map(|report| report.sequence).max();
            self.says_later(agent, &mut batch);
            self.send_up(connection, Up::Reports(batch));
            if self.bugs.has(Planted::ToldWhenSent)
                && let (Some(process), Some(last)) = (&self.agents[agent].process, last)
            {
                let told = process.reports.acknowledged(last);
                self.agents[agent].note_told(&told);
                for one in told {
                    if let Some(part) = self.agents[agent].part_of(&one.rollout) {
                        self.noted(Place { agent, part });
                    }
                }
            }
        }
    }
}
