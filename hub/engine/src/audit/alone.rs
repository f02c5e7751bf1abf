//! Releases and waves that only a person could end although nobody has to be asked (L1). In: the state after a plan. Out: what
//! is waited for in vain. It must not act on what observes only.

use super::{Findings, wave};
use crate::member::may_return;
use crate::observed::{Cluster, Observed};
use crate::reconcile::carries;
use crate::release::{Release, ReleasePhase, Target};

pub(super) fn check(findings: &mut Findings, state: &Observed) {
    if crate::paper::observes(state) {
        return;
    }
    let going = state.releases.iter();
    for release in going.filter(|release| release.phase == ReleasePhase::Progressing) {
        findings.need(!nobody_is_left(state, release), "L1", || {
            format!("release {} is open and governs no cluster", release.id)
        });
        for target in &release.targets {
            let back = state.cluster(&target.cluster);
            let back = back.filter(|own| is_back(state, release, own));
            findings.need(back.is_none() || !in_vain(release, target), "L1", || {
                format!("{} is back and has no turn", target.cluster)
            });
        }
    }
}

/// Its wave is not over, nothing speaks for it, and it never started.
fn in_vain(release: &Release, target: &Target) -> bool {
    let own = release.wave(target.wave);
    let ahead = own.is_some_and(|wave| !wave.phase.behind());
    let asleep = release
        .targets_of(target.wave)
        .all(|other| !other.state.before_permit() && !other.state.in_flight());
    let silent = asleep && !wave::spoken_for(release, target.wave);
    ahead && silent && target.permit.is_none() && may_return(target)
}

fn is_back(state: &Observed, release: &Release, cluster: &Cluster) -> bool {
    let rollout = cluster.rollout.as_ref();
    let held = rollout.is_some_and(|own| {
        let spec = own.spec.as_ref().filter(|spec| carries(release, spec));
        let target = release.target(&cluster.name);
        let bound = target.and_then(|target| target.content.as_ref());
        let spec = spec.filter(|spec| bound.is_none_or(|bound| bound.digest == spec.digest));
        let held = spec.filter(|spec| own.served.as_ref() != Some(&spec.digest));
        held.is_some_and(|spec| own.held.as_ref() == Some(&spec.digest))
    });
    let there = cluster.connected && cluster.selected && cluster.gone.is_none();
    held && there && !state.conflicts.contains_key(&cluster.name)
}

/// Whether persons took every cluster of the release out of the FleetRollout, and none is there that could still take part.
pub(super) fn nobody_is_left(state: &Observed, release: &Release) -> bool {
    let there = |name| state.cluster(name).is_none_or(|own| own.gone.is_none());
    let mut others = state.clusters.iter();
    !release.targets.is_empty()
        && !release.targets.iter().any(|target| there(&target.cluster))
        && !others.any(|own| own.selected && own.gone.is_none())
}
