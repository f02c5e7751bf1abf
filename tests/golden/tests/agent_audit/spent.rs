//! Bad plans about what has ended: permits and leases. In: good plans. Out: the same with one thing revived.

use super::{Change, later, record};

/// Rule, case, what is changed.
pub(crate) const BAD: [(&str, &str, Change); 6] = [
    ("spent-stays-spent", "gate_rebuilt_spent", |_, plan| {
        record(plan).outcome = None;
    }),
    ("spent-stays-spent", "gate_rebuilt_spent", |_, plan| {
        let (_, other) = super::good("gate_permit_starts");
        let mut other = other;
        record(plan).effective = record(&mut other).effective.take();
    }),
    (
        "served-names-its-release",
        "gate_served_spent",
        |_, plan| {
            record(plan).served.as_mut().unwrap().release = None;
        },
    ),
    ("held-makes-no-set", "gate_rebuilt_spent", |_, plan| {
        let (_, other) = super::good("gate_permit_starts");
        plan.actions.extend(other.actions);
    }),
    (
        "lease-is-not-lengthened",
        "gate_permit_starts",
        |_, plan| {
            let lease = record(plan).lease.as_mut();
            lease.unwrap().deadline = later();
        },
    ),
    (
        "lease-is-not-lengthened",
        "gate_lease_over",
        |observed, plan| {
            let (_, mut other) = super::good("gate_permit_starts");
            let mut status = super::recorded(observed);
            status.lease = record(&mut other).lease.take();
            plan.actions.push(agent_engine::Action::RecordGate {
                status: Box::new(status),
                changes: Vec::new(),
            });
        },
    ),
];
