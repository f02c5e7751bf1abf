//! Bugs that tests plant, one at a time, to prove that a property would notice.
//!
//! In: nothing. Out: whether a bug is there; without the feature `planted` there is none and none can be made.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The gate lets everything through.
    GateOpen,
    /// The lease is taken for endless.
    LeaseEndless,
    /// A step lengthens the lease.
    LeaseByStep,
    /// What the member record remembers of a spent permit is not looked at.
    SpentForgotten,
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
    /// A restart does not look at how many pods may be missing.
    RestartGreedy,
    /// The active Service is switched before the new version has all its pods.
    SwitchTooEarly,
    /// A share of traffic is raised before its pods are there.
    WeightBeforePods,
    /// With dynamicStableScale the stable version shrinks before its traffic has moved.
    StableBeforeTraffic,
    /// An aborted version keeps its share.
    AbortKeepsWeight,
    /// A verdict of the analysis in the background is not looked at.
    BackgroundIgnored,
    /// A person's pause is not looked at in scaling.
    PauseIgnored,
    /// A stable version that is to keep all its pods is drained.
    StableNotKept,
    /// A person's word to do without the fleet's counts again.
    GlassTwice,
    /// It counts for whatever Git wants.
    GlassForAny,
    /// A permit's start-by is judged by this cluster's clock alone.
    StartByHere,
    /// Who let content start is asked of the record alone.
    MarkUnread,
    /// A weight is taken for there before its pods are.
    StepUnseen,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::GateOpen,
        Self::LeaseEndless,
        Self::LeaseByStep,
        Self::SpentForgotten,
        Self::MaxStepIgnored,
        Self::AbortForgotten,
        Self::AvailabilityIgnored,
        Self::SurgeIgnored,
        Self::OnePodTooMany,
        Self::AnalysisAssumedGood,
        Self::StatusNeverSettles,
        Self::RunNamesDrift,
        Self::RestartGreedy,
        Self::SwitchTooEarly,
        Self::WeightBeforePods,
        Self::StableBeforeTraffic,
        Self::AbortKeepsWeight,
        Self::BackgroundIgnored,
        Self::PauseIgnored,
        Self::StableNotKept,
        Self::GlassTwice,
        Self::GlassForAny,
        Self::StartByHere,
        Self::MarkUnread,
        Self::StepUnseen,
    ];
}

/// The bug of this pass, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bug(Option<Planted>);

impl Bug {
    /// A pass with a bug.
    #[cfg(feature = "planted")]
    pub fn planted(bug: Planted) -> Self {
        Self(Some(bug))
    }

    /// Whether it is this one.
    pub(crate) fn is(self, bug: Planted) -> bool {
        cfg!(feature = "planted") && self.0 == Some(bug)
    }
}
