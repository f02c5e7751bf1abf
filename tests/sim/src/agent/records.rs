//! The records that the hub's words become: Gate and FleetMember. In: sets. Out: records, answers. The fence is written last
//! of all, and nothing acts on a permit above it (gate.md L1). It must not choose: `Held::judge` does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent::gate_store::{
    ANNOTATION_REPORTED, fence_of, is_current, is_governed_again, is_new, member_status, reported,
    status_after,
};
use agent::key::ObjectKey;
use agent::lease_clock::Moment;
use agent::link::report::Told;
use agent::link::set::{Held, Taken, Verdict};
use agent_api::digest::content_digest;
use agent_api::names::gate_name;
use agent_api::{Gate, GateSpec, ObjectMeta, Permit};
use agent_engine::GateRecord;
use proto::v1::{self, ack};

use super::{Agent, Part, Pending};
use crate::planted::{Bugs, Planted};
use crate::world::known_words;

/// After which write of a set the process dies, or pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It does not.
    Never,
    /// Time passes after the Gates, before the fence.
    Pause,
    /// After one Gate, before the others.
    AmidGates,
    /// After the Gates, before the fence.
    BeforeFence,
    /// After the fence, before the answer.
    BeforeAnswer,
}

impl Agent {
    /// Takes a set. None: the process died on the way, or the fence comes later.
    pub fn take(
        &mut self,
        (connection, set): (u64, &v1::DesiredSet),
        moment: Moment,
        cut: Cut,
        bugs: Bugs,
    ) -> Option<v1::Ack> {
        let set = &known_words(set, bugs);
        let stored = self.member.as_ref().map(|status| status.fence);
        let known = stored.filter(|_| !bugs.has(Planted::FenceUnchecked));
        let known = known.map(|mut known| {
            let new = agent::wire::fence(set.fence.as_ref());
            let same = bugs.has(Planted::IncarnationUnseen) && known.version == new.version;
            if same || bugs.has(Planted::VersionAlone) {
                known.incarnation = new.incarnation;
            }
            known
        });
        let held = &mut self.process.as_mut()?.held;
        let verdict = if bugs.has(Planted::HashUnseen) {
            let believed = believed(held, set);
            held.judge(known, &believed)
        } else {
            held.judge(known, set)
        };
        let mut taken = match verdict {
            Verdict::Answer(result) => return Some(self.has(result)),
            Verdict::Take(taken) => taken,
        };
        if bugs.has(Planted::GrantsFirst) {
            taken.entries.reverse();
        }
        for entry in &taken.entries {
            let had = self
                .permit_of(entry)
                .filter(|_| bugs.has(Planted::RevocationUnread));
            let wrote = self.store_gate(entry, taken.fence, taken.before, moment, bugs);
            self.keep(entry, had);
            if wrote && cut == Cut::AmidGates {
                self.die();
                return None;
            }
        }
        if cut == Cut::Pause {
            let later = VecDeque::new();
            self.pending = Some(Pending {
                connection,
                taken,
                later,
            });
            return None;
        }
        if cut == Cut::BeforeFence {
            self.die();
            return None;
        }
        self.store_member(&taken);
        if cut == Cut::BeforeAnswer {
            self.die();
            return None;
        }
        Some(self.has(ack::Result::Stored))
    }

    fn gate_of(&mut self, entry: &v1::GateEntry) -> Option<&mut Gate> {
        let key = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
        let part = self.part_of(&key)?;
        match &mut self.parts[part].cluster.observed.gate.record {
            GateRecord::Present(gate) => Some(gate.as_mut()),
            GateRecord::Missing | GateRecord::Undecodable(_) => None,
        }
    }

    fn permit_of(&mut self, entry: &v1::GateEntry) -> Option<Permit> {
        self.gate_of(entry)?.spec.permit.clone()
    }

    /// The planted bug: the permit that was there stays.
    fn keep(&mut self, entry: &v1::GateEntry, had: Option<Permit>) {
        if let (Some(had), Some(gate)) = (had, self.gate_of(entry)) {
            gate.spec.permit.get_or_insert(had);
        }
    }

    /// The fence of a set whose Gates are written. The answer, and what came meanwhile.
    pub fn finish(&mut self) -> Option<(v1::Ack, Pending)> {
        let pending = self.pending.take()?;
        self.store_member(&pending.taken);
        Some((self.has(ack::Result::Stored), pending))
    }

    fn has(&self, result: ack::Result) -> v1::Ack {
        let stored = self.member.clone().unwrap_or_default();
        v1::Ack {
            fence: Some(agent::wire::fence_to_wire(stored.fence)),
            set_hash: stored.set_hash.unwrap_or_default(),
            problems: Vec::new(),
            result: result.into(),
        }
    }

    fn store_member(&mut self, taken: &Taken) {
        let session = self
            .process
            .as_ref()
            .and_then(|process| process.link?.1)
            .unwrap_or_default();
        self.member = Some(member_status(self.member.as_ref(), taken, session));
        self.member_writes += 1;
    }

    fn store_gate(
        &mut self,
        entry: &v1::GateEntry,
        set: agent_api::Fence,
        stored: Option<agent_api::Fence>,
        moment: Moment,
        bugs: Bugs,
    ) -> bool {
        let key = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
        let Some(at) = self.part_of(&key) else {
            return false;
        };
        let next = (at + 1) % self.parts.len();
        let at = if bugs.has(Planted::GateMisplaced) {
            next
        } else {
            at
        };
        let Ok(spec) = agent::wire::gate_spec(entry, set) else {
            return self.withhold(at, entry, set, stored);
        };
        let before = self.parts[at].gate().map(|gate| gate.spec.clone());
        // The same is there of the set that it died in the midst of, and that comes again.
        let is_there = |before: &GateSpec| {
            is_current(fence_of(before), fence_of(&spec), stored) || *before == spec
        };
        if before.as_ref().is_some_and(is_there) {
            return false;
        }
        self.grant(&key, &spec, stored, moment);
        let own = &mut self.parts[at];
        let fresh = Gate {
            metadata: ObjectMeta {
                name: Some(gate_name(&entry.namespace, &entry.name)),
                annotations: own.first_reported(),
                ..ObjectMeta::default()
            },
            ..Gate::default()
        };
        let told = own.first_reported();
        let mut gate = own.gate().cloned().unwrap_or(fresh);
        if is_governed_again(&gate, &spec) {
            gate.metadata.annotations = told.or(gate.metadata.annotations.take());
        }
        gate.status = status_after(&gate, &spec);
        gate.spec = spec;
        own.cluster.observed.gate.record = GateRecord::Present(Box::new(gate));
        own.gate_version += 1;
        own.own_writes += 1;
        true
    }

    fn grant(
        &mut self,
        key: &ObjectKey,
        spec: &GateSpec,
        before: Option<agent_api::Fence>,
        moment: Moment,
    ) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(permit) = &spec.permit else {
            return process.leases.forget(key);
        };
        if is_new(permit.fence, before) {
            let length = Duration::from_secs(permit.lease_seconds);
            process.leases.grant(key, permit.fence, length, moment);
        }
    }

    /// Until when the lease of a Gate's permit runs.
    pub(super) fn lease_until(
        &mut self,
        part: usize,
        gate: Option<&Gate>,
        moment: Moment,
        bugs: Bugs,
    ) -> Option<jiff::Timestamp> {
        let (gate, key) = (gate?, self.parts[part].key());
        let process = self.process.as_mut()?;
        let permit = gate.spec.permit.as_ref()?;
        let status = gate.status.as_ref();
        let effective = status.and_then(|status| status.effective.as_ref());
        let begun = effective.is_some_and(|effective| effective.fence == permit.fence);
        if bugs.has(Planted::LeaseAnew) && !begun && !process.known[part].first_done {
            let length = Duration::from_secs(permit.lease_seconds);
            process.leases.grant(&key, permit.fence, length, moment);
        }
        process.leases.of_gate(&key, gate, moment)
    }

    /// Writes a Gate that is missing or older than what is held. An answer, if it wrote.
    pub fn catch_up(&mut self, moment: Moment) -> Option<v1::Ack> {
        let process = self.process.as_ref()?;
        let entries: Vec<v1::GateEntry> = process.held.entries().cloned().collect();
        let fence = process.held.fence();
        let mut any = false;
        for entry in &entries {
            any |= self.store_gate(entry, fence, Some(fence), moment, Bugs::default());
        }
        any.then(|| self.has(ack::Result::Already))
    }

    /// The hub has these contents now.
    pub fn note_told(&mut self, told: &[Told]) {
        for one in told {
            let Some(at) = self.part_of(&one.rollout) else {
                continue;
            };
            let own = &mut self.parts[at];
            let GateRecord::Present(gate) = &mut own.cluster.observed.gate.record else {
                continue;
            };
            let annotations = gate.metadata.annotations.get_or_insert_default();
            let text = format!("{} {}", one.generation, one.digest);
            annotations.insert(ANNOTATION_REPORTED.to_owned(), text);
            own.gate_version += 1;
            own.own_writes += 1;
        }
    }

    /// The hub's history has come so far.
    pub fn note_head(&mut self, (at, hash): (usize, String)) {
        if let Some(member) = &mut self.member {
            member.audit_head = Some(format!("{at} {hash}"));
        }
    }

    /// What it was handed of the history; a copy of the cluster has nothing.
    #[must_use]
    pub fn handed(&self, uid: &str) -> Option<(usize, String)> {
        let member = self.member.as_ref().filter(|_| uid == self.uid)?;
        let (at, hash) = member.audit_head.as_ref()?.split_once(' ')?;
        Some((at.parse().ok()?, hash.to_owned()))
    }
}

impl Part {
    /// What is there when governance begins is no change (G24).
    fn first_reported(&self) -> Option<BTreeMap<String, String>> {
        let rollout = &self.cluster.observed.rollout;
        let generation = rollout.metadata.generation.unwrap_or(0);
        let digest = content_digest(rollout.spec.template.as_ref()?);
        let text = format!("{generation} {digest}");
        Some(BTreeMap::from([(ANNOTATION_REPORTED.to_owned(), text)]))
    }

    /// The content that the hub was told of last.
    #[must_use]
    pub fn told(&self) -> Option<(String, i64)> {
        reported(&self.gate()?.metadata)
    }
}

/// The planted bug: a set of which something is missing, under the hash of what is there.
fn believed(held: &Held, set: &v1::DesiredSet) -> v1::DesiredSet {
    let before = held.entries().filter(|_| !set.full).chain(&set.entries);
    let all: BTreeMap<_, _> = before
        .map(|one| ((&one.namespace, &one.name, &one.fleet_rollout), one))
        .collect();
    v1::DesiredSet {
        set_hash: proto::set::hash(all.into_values()),
        ..set.clone()
    }
}
