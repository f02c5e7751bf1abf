//! What is on its way by a permit whose record somebody deleted: where it was found.
//!
//! In: the facts, the record. Out: the step that it was found at, in the record: the status' own index can be written by anybody.
//! It must not say who let it start; the mark of its ReplicaSet does (G9).

use agent_api::{ContentDigest, GateStatus};
use serde_json::{Value, json};

use super::facts::Permission;
use super::record::{Recorder, STEP_FIELD};

/// Where the record has it: beside the fields that the Gate's types name.
const FOUND_FIELD: &str = "found";

/// The step that content on its way was found at, where the record that said more was lost.
pub(super) fn found_step(record: &GateStatus, content: &ContentDigest) -> Option<i32> {
    let found = record.rest.get(FOUND_FIELD)?;
    let of = found.get("digest").and_then(Value::as_str);
    let step = found.get(STEP_FIELD).and_then(Value::as_i64);
    let step = step.and_then(|step| i32::try_from(step).ok());
    step.filter(|_| of == Some(content.as_str()))
}

impl Recorder<'_> {
    /// Once a permit takes effect again its own record says how far it came.
    pub(super) fn found(&self, status: &mut GateStatus) {
        let effective = status.effective.as_ref().map(|one| &one.digest);
        let running = self.progress.map(|progress| &progress.digest);
        let lost = self.facts.in_flight.as_ref().filter(|flight| {
            let of_fleet = flight.permission == Permission::Fleet && !flight.aborted;
            let runs = running == Some(&flight.digest);
            of_fleet && runs && effective != Some(&flight.digest)
        });
        match lost {
            Some(flight) => {
                let found = json!({"digest": flight.digest, STEP_FIELD: flight.step});
                status.rest.insert(FOUND_FIELD.to_owned(), found);
            }
            None => {
                status.rest.remove(FOUND_FIELD);
            }
        }
    }
}
