//! What becomes of a set, by its number alone (gate.md, link L1). In: a set as it came, what was stored before it and after it, the
//! answer. Out: the first number that was not what decided. It must not ask how the agent compares.

use agent_api::Fence;
use proto::v1;
use proto::v1::ack::Result as Answer;

use crate::world::World;

impl World {
    /// Greater is applied, equal is acknowledged again without an effect, lower is refused; whatever is answered names what is
    /// stored.
    pub(crate) fn goes_by_its_number(
        &mut self,
        agent: usize,
        set: &v1::DesiredSet,
        (stored, gates): (Option<Fence>, &[u64]),
        answer: Option<&v1::Ack>,
    ) {
        let own = &self.agents[agent];
        let new = agent::wire::fence(set.fence.as_ref());
        let now = own.member.as_ref().map(|member| member.fence);
        let Some(answer) = answer else { return };
        let result = answer.result();
        let named = agent::wire::fence(answer.fence.as_ref());
        let wrong = if named != now.unwrap_or_default() {
            Some(format!("answers {named} and has {now:?}"))
        } else if Some(new) > stored && matches!(result, Answer::Already | Answer::Stale) {
            Some(format!(
                "has {stored:?} and does not take {new}: {result:?}"
            ))
        } else if stored >= Some(new) && (now != stored || gates != self.gate_versions(agent)) {
            Some(format!("has {stored:?} and acts on {new}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let message = format!("{} {wrong}", own.name);
            self.fail("link L1", message);
        }
    }
}
