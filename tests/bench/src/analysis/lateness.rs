//! How late measurements are. In: when each metric was asked for and answered. Out: counts, and times beyond the interval
//! since the last answer. A metric that is due and was not asked for is as late as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::manifest::METRICS;

/// Milliseconds of a second.
const MILLIS: f64 = 1000.0;

/// Lateness of all measurements of a window, in milliseconds; early ones are below zero.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lateness {
    /// Measurements.
    pub count: usize,
    /// Those of them that were due at the end and not asked for.
    pub overdue: usize,
    /// The earliest.
    pub least: f64,
    /// Half of them are earlier.
    pub p50: f64,
    /// Nine of ten are.
    pub p90: f64,
    /// 99 of 100 are.
    pub p99: f64,
    /// The latest.
    pub most: f64,
}

impl Lateness {
    /// Of samples in milliseconds.
    pub fn of(mut samples: Vec<f64>, overdue: usize) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| {
            let place =
                (samples.len().saturating_mul(percent) / 100).min(samples.len().saturating_sub(1));
            samples.get(place).copied().unwrap_or(0.0)
        };
        Self {
            count: samples.len(),
            overdue,
            least: at(0),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            most: at(100),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// When it was answered last.
    answered: Option<Instant>,
    /// How often it was asked for.
    count: u32,
}

#[derive(Debug)]
struct Pages {
    places: Vec<Place>,
    /// While a window is open.
    samples: Option<Vec<f64>>,
}

/// What was asked when; clones share it.
#[derive(Debug, Clone)]
pub struct Book {
    interval: Duration,
    pages: Arc<Mutex<Pages>>,
}

impl Book {
    /// An empty one for so many runs.
    pub fn new(runs: usize, interval: Duration) -> Self {
        let pages = Pages {
            places: vec![Place::default(); runs.saturating_mul(METRICS)],
            samples: None,
        };
        Self {
            interval,
            pages: Arc::new(Mutex::new(pages)),
        }
    }

    /// A metric of a run is asked for, and answered at once. False if there is none of these numbers.
    pub fn asked(&self, run: usize, metric: usize, now: Instant) -> bool {
        let mut pages = self.lock();
        let at = run.saturating_mul(METRICS).saturating_add(metric);
        let Some(place) = pages.places.get_mut(at).filter(|_| metric < METRICS) else {
            return false;
        };
        let late = place
            .answered
            .map(|answered| beyond(answered, self.interval, now));
        place.answered = Some(now);
        place.count = place.count.saturating_add(1);
        if let (Some(late), Some(samples)) = (late, &mut pages.samples) {
            samples.push(late);
        }
        true
    }

    /// Metrics that were asked for less often.
    pub fn colder_than(&self, count: u32) -> usize {
        let pages = self.lock();
        let cold = pages.places.iter().filter(|place| place.count < count);
        cold.count()
    }

    /// How often the metric that was asked for most was.
    pub fn most(&self) -> u32 {
        let pages = self.lock();
        let counts = pages.places.iter().map(|place| place.count);
        counts.max().unwrap_or(0)
    }

    /// A window opens.
    pub fn open(&self) {
        self.lock().samples = Some(Vec::new());
    }

    /// The window closes.
    pub fn close(&self) -> Lateness {
        let mut pages = self.lock();
        let now = Instant::now();
        let mut samples = pages.samples.take().unwrap_or_default();
        let answered = pages.places.iter().filter_map(|place| place.answered);
        let late = answered.map(|answered| beyond(answered, self.interval, now));
        let asked = samples.len();
        samples.extend(late.filter(|late| *late > 0.0));
        let overdue = samples.len().saturating_sub(asked);
        Lateness::of(samples, overdue)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds beyond the time at which a metric was due.
fn beyond(answered: Instant, interval: Duration, now: Instant) -> f64 {
    let passed = now.saturating_duration_since(answered);
    (passed.as_secs_f64() - interval.as_secs_f64()) * MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counts_and_what_is_overdue_counts_too() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let book = Book::new(2, second);
        assert_eq!(book.colder_than(1), 4);
        let ago = |seconds: u32| begin.checked_sub(second * seconds).expect("uptime");
        assert!(book.asked(0, 0, ago(20)));
        book.open();
        for (run, metric, at) in [(0, 0, ago(15)), (1, 1, ago(5)), (1, 1, ago(4))] {
            assert!(book.asked(run, metric, at));
        }
        assert!(!book.asked(2, 0, begin) && !book.asked(0, 2, begin));
        assert_eq!((book.colder_than(1), book.colder_than(2)), (2, 2));
        assert_eq!(book.most(), 2);
        let late = book.close();
        assert_eq!((late.count, late.overdue), (4, 2));
        assert!(late.least.abs() < 1.0, "{late:?}");
        assert!((late.p50 - 4000.0).abs() < 500.0, "{late:?}");
        assert!((late.most - 14000.0).abs() < 500.0, "{late:?}");
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let late = Lateness::of((0..100).rev().map(f64::from).collect(), 0);
        let found = [late.least, late.p50, late.p90, late.p99, late.most];
        assert_eq!(found, [0.0, 50.0, 90.0, 99.0, 99.0]);
        assert_eq!(Lateness::of(Vec::new(), 0).count, 0);
    }
}
