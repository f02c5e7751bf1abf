//! The explicit end of governance (gate.md G9). In: a person's word. Out: entries that are let go, fenced like every other
//! change of a set, or why the word makes no sense. It must not end a release: its policy says what becomes of targets.

use std::sync::Arc;

use serde_json::json;

use super::planner::Planner;
use crate::action::{Action, MemberChange};
use crate::member::{Departure, LetGo};
use crate::name::ClusterName;
use crate::observed::{Cluster, Request};
use crate::verb::{By, Verb};

/// Obeys or refuses a word about governance. False: the word is about something else.
pub(super) fn obey(planner: &mut Planner, request: &Request) -> bool {
    let (cluster, mode) = match &request.verb {
        Verb::Ungovern { cluster, mode } => (cluster.as_ref(), Some(*mode)),
        Verb::Govern { cluster } => (cluster.as_ref(), None),
        Verb::Start { .. }
        | Verb::Pause
        | Verb::Resume
        | Verb::Abort { .. }
        | Verb::Rollback
        | Verb::Retry { .. }
        | Verb::SkipTarget { .. }
        | Verb::SkipWave { .. }
        | Verb::Promote { .. }
        | Verb::Expedite => return false,
    };
    let ends = mode.is_some();
    let conflicts = &planner.state.conflicts;
    let meant = |one: &&Arc<Cluster>| {
        // Where another FleetRollout governs the Rollout there is nothing to let go (gate.md G12).
        let own = governed(one) && !conflicts.contains_key(&one.name);
        let able = if ends { own } else { let_go(one) };
        able && cluster.is_none_or(|name| *name == one.name)
    };
    let names: Vec<ClusterName> = planner
        .state
        .clusters
        .iter()
        .filter(meant)
        .map(|one| one.name.clone())
        .collect();
    if names.is_empty() {
        let why = nothing(planner, cluster, ends);
        let evidence = json!({"verb": request.verb, "person": request.person});
        let request = request.id;
        planner.act(Action::RefuseRequest { request, why }, evidence);
        return true;
    }
    let by = By {
        person: request.person.clone(),
        reason: request.reason.clone(),
        at: planner.state.now,
    };
    for name in &names {
        one(planner, request.id, mode, name, &by);
    }
    let evidence = json!({"clusters": names});
    let change = MemberChange::Answer {
        request: request.id,
        verb: request.verb.clone(),
        by,
    };
    planner.act(Action::Member { change }, evidence);
    true
}

/// What the word means in one cluster. `mode`: how governance ends there; none: it begins again.
fn one(planner: &mut Planner, request: u64, mode: Option<LetGo>, name: &ClusterName, by: &By) {
    let gate = planner.cluster(name).and_then(|own| own.gate.as_ref());
    let evidence = json!({
        "permit": gate.and_then(|gate| gate.permit.as_ref()).map(|permit| permit.fence),
        "waiting": gate.and_then(|gate| gate.waiting.as_ref()).map(|waiting| &waiting.message),
    });
    let (cluster, by) = (name.clone(), by.clone());
    let change = match mode {
        Some(mode) => {
            // An entry that is not there yet cannot say that it is let go.
            super::gates::before_permit(planner, name);
            MemberChange::Ungovern {
                request,
                cluster,
                mode,
                by,
            }
        }
        None => MemberChange::Govern {
            request,
            cluster,
            by,
        },
    };
    planner.act(Action::Member { change }, evidence);
}

/// Whether there is something to let go.
fn governed(cluster: &Cluster) -> bool {
    let held = cluster
        .gate
        .as_ref()
        .is_some_and(|gate| gate.let_go.is_none());
    cluster.gone.is_none() && (cluster.selected || held)
}

fn let_go(cluster: &Cluster) -> bool {
    cluster
        .gone
        .as_ref()
        .is_some_and(|gone| matches!(gone.how, Departure::LetGo(_)))
}

fn nothing(planner: &Planner, cluster: Option<&ClusterName>, ends: bool) -> String {
    let name = &planner.state.fleet_rollout.name;
    let known = cluster.and_then(|one| planner.cluster(one));
    match (cluster, known.and_then(|one| one.gone.as_ref()), ends) {
        (Some(one), Some(gone), true) => format!(
            "{one} is {} already; `groundswell govern {name} --cluster {one} --reason WHY` takes it in again",
            gone.sentence()
        ),
        (Some(one), _, true) => {
            format!("FleetRollout {name} does not govern {one}; see `groundswell get clusters`")
        }
        (None, _, true) => format!("FleetRollout {name} governs no cluster; it can be deleted"),
        (Some(one), _, false) => format!("{one} was not let go by FleetRollout {name}"),
        (None, _, false) => format!("FleetRollout {name} let no cluster go"),
    }
}
