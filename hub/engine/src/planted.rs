//! Bugs that tests plant, one at a time, to prove that a property would notice.
//!
//! In: nothing. Out: whether a bug is there; without the feature `planted` there is none and none can be made.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A target out of contact counts as done.
    UnknownCountsAsDone,
    /// A wave passes as soon as its last target has ended.
    BakeIgnored,
    /// A wave starts without its approvals.
    ApprovalIgnored,
    /// Every target of a wave starts at once.
    ConcurrencyIgnored,
    /// The outcome of another permit is taken for this one's.
    AnyOutcomeCounts,
    /// A wave passes with more failures than it may have.
    BudgetIgnored,
    /// A digest that failed starts again.
    BarIgnored,
    /// A cluster out of contact gets a permit.
    ContactIgnored,
    /// The first wave goes back first.
    RollbackInWaveOrder,
    /// A gate's sentence carries the time.
    SentenceNeverSettles,
    /// A permit names the steps of the first report, whatever became of them.
    StepsNotFollowed,
    /// A permit is granted while every window is closed.
    WindowIgnored,
    /// A permit may start after its window has closed.
    StartByOutsideWindow,
    /// A wave starts beside an open release of a FleetRollout before it.
    OrderIgnored,
    /// A release goes on with more failures than it may have in all.
    ReleaseBudgetIgnored,
    /// An approval counts for ever.
    ExpiryIgnored,
    /// A paused release starts clusters.
    PauseIgnored,
    /// A stopped FleetRollout starts clusters.
    StopIgnored,
    /// What had finished goes back although a person said that it stays.
    ScopeIgnored,
    /// A cluster that a person passed over catches up.
    SkipForgotten,
    /// A target whose cluster left goes on as if it were there.
    GoneCounts,
    /// What another cluster of the same name had reached counts.
    FormerCounts,
    /// A target that cannot start is waited for without end.
    HinderedForEver,
    /// A permit stays in its set after its outcome.
    SpentStays,
    /// What only observes opens releases and permits.
    ObserveIgnored,
    /// What a window closes on is not held at its step.
    CloseIgnored,
    /// A wave passes although every cluster was left out of it.
    EmptiedPasses,
    /// A release of which no cluster is governed any more stays open.
    DepartedStaysOpen,
    /// A cluster that comes back to the wave that it left empty has no turn.
    ReturnedForgotten,
    /// A rollback skips the steps that its release's policy asks for.
    BackwardsForgotten,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::UnknownCountsAsDone,
        Self::BakeIgnored,
        Self::ApprovalIgnored,
        Self::ConcurrencyIgnored,
        Self::AnyOutcomeCounts,
        Self::BudgetIgnored,
        Self::BarIgnored,
        Self::ContactIgnored,
        Self::RollbackInWaveOrder,
        Self::SentenceNeverSettles,
        Self::StepsNotFollowed,
        Self::WindowIgnored,
        Self::StartByOutsideWindow,
        Self::OrderIgnored,
        Self::ReleaseBudgetIgnored,
        Self::ExpiryIgnored,
        Self::PauseIgnored,
        Self::StopIgnored,
        Self::ScopeIgnored,
        Self::SkipForgotten,
        Self::GoneCounts,
        Self::FormerCounts,
        Self::HinderedForEver,
        Self::SpentStays,
        Self::ObserveIgnored,
        Self::CloseIgnored,
        Self::EmptiedPasses,
        Self::DepartedStaysOpen,
        Self::ReturnedForgotten,
        Self::BackwardsForgotten,
    ];
}

/// The bug of this round, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bug(Option<Planted>);

impl Bug {
    /// A round with a bug.
    #[cfg(feature = "planted")]
    #[must_use]
    pub fn planted(bug: Planted) -> Self {
        Self(Some(bug))
    }

    /// Whether it is this one.
    pub(crate) fn is(self, bug: Planted) -> bool {
        cfg!(feature = "planted") && self.0 == Some(bug)
    }
}
