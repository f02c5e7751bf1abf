//! Counters of single objects.
//!
//! In: passes, failures and events, each with its object. Out: Prometheus text. It must stay small: an installation has
//! thousands of objects, and a counter of the library takes about a thousand bytes for each of fifteen reasons.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_engine::EventKind;

use crate::key::ObjectKey;

/// Buckets of reconcile times; existing dashboards sum over these.
const RECONCILE: [f64; 5] = [0.01, 0.15, 0.25, 0.5, 1.0];

/// What is counted of one object.
#[derive(Debug, Default)]
struct Counters {
    /// Passes by the first bucket that they fit into; the last one is for those that fit into none.
    passes: [u32; RECONCILE.len() + 1],
    seconds: f64,
    errors: u32,
    /// Place in the list of reasons, and how often.
    events: Vec<(u16, u32)>,
}

#[derive(Debug, Default)]
struct Counted {
    objects: BTreeMap<ObjectKey, Counters>,
    /// What events were of, each once.
    reasons: Vec<(EventKind, String)>,
}

/// The counters of the objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counted>);

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass took so long.
    pub fn reconciled(&self, key: &ObjectKey, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = RECONCILE.iter().position(|most| seconds <= *most);
        let mut counted = self.lock();
        let counters = counted.of(key);
        counters.seconds += seconds;
        if let Some(count) = counters.passes.get_mut(bucket.unwrap_or(RECONCILE.len())) {
            *count = count.saturating_add(1);
        }
    }

    /// A pass failed.
    pub fn failed(&self, key: &ObjectKey) {
        let mut counted = self.lock();
        let counters = counted.of(key);
        counters.errors = counters.errors.saturating_add(1);
    }

    /// An event was told.
    pub fn event(&self, key: &ObjectKey, kind: EventKind, reason: &str) {
        let mut counted = self.lock();
        let Some(place) = counted.reason(kind, reason) else {
            return;
        };
        let events = &mut counted.of(key).events;
        match events.iter_mut().find(|(known, _)| *known == place) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => events.push((place, 1)),
        }
    }

    /// The object is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.lock().objects.remove(key);
    }

    /// Three families as text; `kind` is what their names begin with, `what` what people call the kind.
    pub fn write(&self, kind: &str, what: &str, text: &mut String) -> fmt::Result {
        let counted = self.lock();
        let name = format!("{kind}_reconcile");
        head(
            text,
            &name,
            &format!("Seconds that a pass over {what} took"),
            "histogram",
        )?;
        for (key, counters) in &counted.objects {
            counters.times(&name, &labels(key), text)?;
        }
        let name = format!("{kind}_reconcile_error");
        head(
            text,
            &name,
            &format!("Passes over {what} that failed"),
            "counter",
        )?;
        for (key, counters) in counted.objects.iter().filter(|(_, one)| one.errors > 0) {
            writeln!(text, "{name}{{{}}} {}", labels(key), counters.errors)?;
        }
        if counted.reasons.is_empty() {
            return Ok(());
        }
        let name = format!("{kind}_events_total");
        head(
            text,
            &name,
            &format!("Events of {what} by type and reason"),
            "counter",
        )?;
        for (key, counters) in &counted.objects {
            for (place, count) in &counters.events {
                if let Some((kind, reason)) = counted.reasons.get(usize::from(*place)) {
                    let labels = labels(key);
                    writeln!(
                        text,
                        "{name}{{{labels},reason=\"{reason}\",type=\"{kind}\"}} {count}"
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl Counted {
    fn of(&mut self, key: &ObjectKey) -> &mut Counters {
        self.objects.entry(key.clone()).or_default()
    }

    /// The place of a reason in the list; reasons are words of the program, of which there are few.
    fn reason(&mut self, kind: EventKind, reason: &str) -> Option<u16> {
        let known = self
            .reasons
            .iter()
            .position(|(of, known)| *of == kind && known == reason);
        let place = known.unwrap_or_else(|| {
            self.reasons.push((kind, reason.to_owned()));
            self.reasons.len().saturating_sub(1)
        });
        u16::try_from(place).ok()
    }
}

impl Counters {
    fn times(&self, name: &str, labels: &str, text: &mut String) -> fmt::Result {
        let mut all = 0_u64;
        for (most, count) in RECONCILE.iter().zip(&self.passes) {
            all = all.saturating_add(u64::from(*count));
            writeln!(text, "{name}_bucket{{{labels},le=\"{most}\"}} {all}")?;
        }
        let beyond = self.passes.last().copied().unwrap_or(0);
        let all = all.saturating_add(u64::from(beyond));
        writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}")?;
        writeln!(text, "{name}_sum{{{labels}}} {}", self.seconds)?;
        writeln!(text, "{name}_count{{{labels}}} {all}")
    }
}

/// What stands before the series of a family.
pub(super) fn head(text: &mut String, name: &str, help: &str, kind: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// The labels of an object. Names of objects need no escaping in Kubernetes.
pub(super) fn labels(key: &ObjectKey) -> String {
    format!("name=\"{}\",namespace=\"{}\"", key.name, key.namespace)
}
