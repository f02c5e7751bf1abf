//! Bugs that tests plant, one at a time.
//! In: nothing. Out: their names. It must not exist in what is shipped: the feature `planted` is for tests only.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The gate lets everything through.
    GateOpen,
    /// The lease is taken for endless.
    LeaseEndless,
    /// The permitted step is not looked at.
    MaxStepIgnored,
    /// A latched abort is forgotten.
    AbortForgotten,
    /// Scaling down does not look at availability.
    AvailabilityIgnored,
    /// Scaling up does not look at the surge limit.
    SurgeIgnored,
    /// The canary gets one pod too many.
    OnePodTooMany,
    /// An unfinished analysis counts as a good one.
    AnalysisAssumedGood,
    /// The status carries the time of the pass.
    StatusNeverSettles,
    /// The names of runs depend on how many there are.
    RunNamesDrift,
}
