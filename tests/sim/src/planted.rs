//! Bugs that tests plant in the simulation's shell, where the programs' own code between engine and I/O is.
//!
//! In: nothing. Out: which bug this life has. The engines' own bugs come beside these. It must not be used but in tests.

/// One bug of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// An agent takes a set below the fence that it has stored.
    FenceUnchecked,
    /// An agent acts on a permit before its fence is stored.
    FenceAfterEffect,
    /// The hub acknowledges reports before they are committed.
    AckBeforeStoring,
    /// The hub decides by its own clock.
    HubClock,
    /// An agent takes a missing Gate for a Rollout that is free.
    AbsenceFrees,
    /// The hub takes the phase Healthy for the proof.
    PhaseIsProof,
    /// A deciding transaction does not look at its epoch.
    EpochUnchecked,
    /// The hub renews leases although it cannot commit.
    RenewedBlindly,
    /// Reports of an older session are stored.
    OldSessionStored,
    /// An agent forgets that a permit is spent.
    PermitSpentTwice,
    /// Another cluster's certificate opens a session.
    CloneAccepted,
    /// An agent decides from a cache that lacks its own writes.
    OwnWriteUnseen,
    /// A lease is measured by the wall clock.
    LeaseByWallClock,
    /// A change counts as told as soon as it is sent.
    ToldWhenSent,
    /// An agent keeps the outcome of a permit in memory only.
    OutcomeInMemory,
    /// An agent acknowledges a set before its fence is stored.
    AckBeforeFence,
    /// A cluster gets its first set before the FleetRollout that selects it was decided for it.
    FirstSetAtOnce,
    /// A session goes on although the database was put back to before what it has seen committed.
    OlderCopyUnseen,
    /// A cluster gets its first set as soon as one of the FleetRollouts that select it was decided for it.
    FirstSetOfOne,
    /// A stop of one FleetRollout is a stop of all.
    StopOfOneIsOfAll,
    /// Where one Rollout is let go, every Rollout of the cluster is.
    LetGoTogether,
    /// An agent takes a set of another incarnation for the one that it has, where the versions are the same.
    IncarnationUnseen,
    /// A lease under which nothing was begun yet begins anew with the process.
    LeaseAnew,
    /// A rollback goes to what Git has, whether it was ever served there or not.
    BackToGit,
    /// A hub sends sets to the sessions that open, and to others now and then.
    SetsLate,
    /// A hub does not see that another FleetRollout governs a Rollout.
    OwnerUnseen,
    /// A hub does not see how what a FleetRollout comes after stands.
    AfterUnseen,
    /// An approval is one of whatever its wave brings, also of images that the person did not see.
    ImagesUnseen,
    /// What the first target of a release brings is permitted in every cluster.
    OneDigestForAll,
    /// An agent goes back when the hub is silent, whatever the FleetRollout says of that.
    SilenceAborts,
    /// An agent takes the end of contact for the end of its lease.
    LeaseEndsWithContact,
    /// A hub does not miss the end of a permit that an agent told and comes without.
    EndUnmissed,
    /// A hub takes the end of a former Rollout's permit for one of the Rollout that has its name now.
    FormerEndAsked,
    /// An agent forgets the step that a permit goes to, once it has verified it.
    MaxStepUnread,
    /// An agent writes what a set grants before what it takes away.
    GrantsFirst,
    /// An agent compares the versions of fences alone.
    VersionAlone,
    /// A hub reads the versions of agents' fences alone, and takes its own incarnation for theirs.
    HubVersionAlone,
    /// An agent takes whatever comes for the whole set: it does not look at its hash, by which alone a delta over a base that is
    /// not there would be found, too.
    HashUnseen,
    /// An agent never hears what time it is for the hub: it knows its own clock alone.
    HubTimeUnheard,
    /// An agent starts what it is permitted at any time, whatever either clock says.
    StartByUnread,
    /// A recovery's incarnation is one more than the highest that the database knows of, and not the second of the recovery.
    IncarnationCounted,
    /// A hub gives a number again that an agent has come to the end of a release of.
    NumberGivenAgain,
    /// A hub does not compare what agents hold with what its database has.
    MoreHeldUnseen,
    /// A hub sends what it has decided before that is committed.
    SentBeforeCommit,
    /// A decision is committed whatever has changed since it was made.
    SnapshotUnchecked,
    /// An agent keeps a permit that a set takes away.
    RevocationUnread,
    /// An agent takes pods that it has asked for as available.
    PodsAssumed,
    /// A hub takes a cluster of a release for one that has gone back already.
    OneLeftBehind,
    /// An agent does not see that its clock was set since it stored a time.
    ClockSetUnseen,
    /// An agent goes on to the end when the hub is silent, whatever the FleetRollout says of that.
    LossFinishes,
    /// An agent takes a Rollout that was made again for the first one of its name.
    ServedForgotten,
    /// An agent takes a Rollout for free while what it adopted is on its way.
    AdoptedFrees,
    /// An agent writes the word about one Rollout into the Gate of the next one.
    GateMisplaced,
    /// An agent that cannot learn whether the kinds are there takes itself for one without a fleet.
    UnknownIsAlone,
    /// An agent takes the number of the Rollout's own history for a revision that Git does not tell.
    RevisionGuessed,
    /// An agent marks a ReplicaSet with the digest of what the API server makes of its template.
    DigestOfStored,
    /// An agent makes the ReplicaSet of what is held, without pods.
    HeldMade,
    /// An agent tells nobody who broke the glass.
    GlassUntold,
    /// An agent takes what somebody in the cluster starts again for its own.
    RetryFrees,
    /// An agent goes back to content although what it names is gone.
    ConfigUnseen,
    /// An agent takes content that it knows for new where it comes under another revision.
    RevisionIsContent,
    /// An agent holds what it held, whatever Git has gone back to.
    HoldKept,
    /// An agent that was stopped goes on writing, whoever leads by then.
    LeadUnread,
    /// An agent takes an answer that says nothing for a good one.
    NothingIsGood,
    /// An agent delivers what it keeps by the steps that Git has by now.
    StrategyFollowed,
    /// Reports are stored in the order in which they come, and not in that in which they were said.
    OlderReportStored,
    /// What a hub cannot read is empty for it.
    AwayIsEmpty,
    /// A hub decides when something is said to have changed, and never because time has passed.
    HintsAlone,
    /// A hub takes the lease from nobody who has not given it back.
    LeaseOfTheDead,
    /// An agent that was refused does not dial again.
    RefusedForGood,
    /// An agent forgets ends of permits that are on their way when its stream breaks.
    EndLostWithStream,
    /// The row of an approval does not say what it did to the tables.
    StepUnrecorded,
    /// What is refused leaves no row.
    RowMissing,
    /// Some rows of the history do not name the one before them.
    RowUnchained,
    /// What is stored of a row is not what its hash was taken over.
    RowAltered,
    /// A row does not say what its decision was made on.
    EvidenceMissing,
    /// What a person or a cluster is refused is recorded nowhere.
    RefusalUnrecorded,
    /// An agent keeps every state that was to be told, and not the newest alone.
    StatesPileUp,
    /// A hub that cannot store what it hears drops the oldest of it.
    InboxDropsOldest,
    /// An agent takes a word that it does not know for one that it knows.
    UnknownWordObeyed,
    /// A hub takes an end that it does not know for a good one.
    UnknownEndServed,
    /// A hub waits for an agent that does not read before it goes on to the next one.
    SlowOneBlocksAll,
    /// A hub does not look whether a token was spent.
    TokenSpentTwice,
    /// An agent renews its certificate when a tenth of its life is left.
    RenewedLate,
    /// A hub hastens the first wave of an expedited release, too.
    FirstHastened,
    /// A hub lets a release be overtaken that is past its first wave, whatever the document says.
    OvertakesAnyway,
    /// A hub forgets how many releases in a row were overtaken.
    OvertakenForgotten,
    /// A hub takes nothing for failed where the Rollout is not there, whatever the document says.
    MissingPassedOver,
    /// What an agent brings at connect opens a release.
    HelloOpens,
    /// A hub decides on a database that was put back before anybody was heard.
    QuorumUnheard,
    /// Documents are applied without a look at what governs the same Rollout already.
    DoubleTaken,
    /// An agent holds what is only observed.
    ObserveUnread,
    /// An agent shows what went back as Degraded, whatever the document says.
    RollbackPhaseUnread,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 93] = [
        Self::FenceUnchecked,
        Self::FenceAfterEffect,
        Self::AckBeforeStoring,
        Self::HubClock,
        Self::AbsenceFrees,
        Self::PhaseIsProof,
        Self::EpochUnchecked,
        Self::RenewedBlindly,
        Self::OldSessionStored,
        Self::PermitSpentTwice,
        Self::CloneAccepted,
        Self::OwnWriteUnseen,
        Self::LeaseByWallClock,
        Self::ToldWhenSent,
        Self::OutcomeInMemory,
        Self::AckBeforeFence,
        Self::FirstSetAtOnce,
        Self::OlderCopyUnseen,
        Self::FirstSetOfOne,
        Self::StopOfOneIsOfAll,
        Self::LetGoTogether,
        Self::IncarnationUnseen,
        Self::LeaseAnew,
        Self::BackToGit,
        Self::OwnerUnseen,
        Self::SetsLate,
        Self::AfterUnseen,
        Self::ImagesUnseen,
        Self::OneDigestForAll,
        Self::SilenceAborts,
        Self::LeaseEndsWithContact,
        Self::EndUnmissed,
        Self::FormerEndAsked,
        Self::MaxStepUnread,
        Self::GrantsFirst,
        Self::VersionAlone,
        Self::HubVersionAlone,
        Self::HashUnseen,
        Self::HubTimeUnheard,
        Self::StartByUnread,
        Self::IncarnationCounted,
        Self::NumberGivenAgain,
        Self::MoreHeldUnseen,
        Self::SentBeforeCommit,
        Self::SnapshotUnchecked,
        Self::RevocationUnread,
        Self::PodsAssumed,
        Self::OneLeftBehind,
        Self::ClockSetUnseen,
        Self::LossFinishes,
        Self::ServedForgotten,
        Self::AdoptedFrees,
        Self::GateMisplaced,
        Self::UnknownIsAlone,
        Self::RevisionGuessed,
        Self::DigestOfStored,
        Self::HeldMade,
        Self::GlassUntold,
        Self::RetryFrees,
        Self::ConfigUnseen,
        Self::RevisionIsContent,
        Self::HoldKept,
        Self::LeadUnread,
        Self::NothingIsGood,
        Self::StrategyFollowed,
        Self::OlderReportStored,
        Self::AwayIsEmpty,
        Self::HintsAlone,
        Self::LeaseOfTheDead,
        Self::RefusedForGood,
        Self::EndLostWithStream,
        Self::StepUnrecorded,
        Self::RowMissing,
        Self::RowUnchained,
        Self::RowAltered,
        Self::EvidenceMissing,
        Self::RefusalUnrecorded,
        Self::StatesPileUp,
        Self::InboxDropsOldest,
        Self::UnknownWordObeyed,
        Self::UnknownEndServed,
        Self::SlowOneBlocksAll,
        Self::TokenSpentTwice,
        Self::RenewedLate,
        Self::FirstHastened,
        Self::OvertakesAnyway,
        Self::OvertakenForgotten,
        Self::MissingPassedOver,
        Self::HelloOpens,
        Self::QuorumUnheard,
        Self::DoubleTaken,
        Self::ObserveUnread,
        Self::RollbackPhaseUnread,
    ];
}

/// The bugs of one life: at most one of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bugs {
    /// In the hub's engine.
    pub hub: hub_engine::planted::Bug,
    /// In the agents' engine.
    pub agent: agent_engine::planted::Bug,
    /// In the shell.
    pub shell: Option<Planted>,
    /// Nobody asks the engines' own audits: what is found is found by what really happened.
    pub unaudited: bool,
}

impl Bugs {
    /// Whether the shell has this one.
    #[must_use]
    pub fn has(&self, bug: Planted) -> bool {
        self.shell == Some(bug)
    }
}
