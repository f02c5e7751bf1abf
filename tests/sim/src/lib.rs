//! The fleet, simulated: both real engines, hubs, a model of their database, clusters with agents, and everything that can go
//! wrong between them, in virtual time out of one seed.
//!
//! A life has one to three FleetRollouts over one fleet, each with a Rollout of its own in the clusters that it selects; now
//! and then one more names the first one's Rollout in a cluster that joins later. Some come after others of their life, and in
//! some of these lives clusters have images of their own. One agent has all of a cluster's Rollouts.
//!
//! In: a seed. Out: the first thing that went wrong, and a trace that is the same bit for bit each time. It must not look at a
//! clock or draw a random number elsewhere, and must not be used outside tests.
//!
//! | Invariant (faults.md) | Where it is checked |
//! |---|---|
//! | S1 wave gate | the hub's audit on every plan; `check::committed`: every earlier wave passed, a success is the cluster's own word; `check::few_enough`: clusters at once, and failures as they were |
//! | S2 history first | `check::starts`: what starts follows a committed word; `check::stored`: no set above what is committed |
//! | S3 fencing | `check::check`: the stored fence never falls; `check::starts`: nothing runs on a permit above it; `check::acknowledged`: what was said is stored |
//! | S4 one effect, one outcome | `check::outcome` |
//! | S1 what a wave needs | `check::passing`: every cluster of a wave that passes has come to an end that was told; `check::people`: enough persons agreed, none of their words too old |
//! | S5 one writer | `check::committed`: no commit of another epoch than the current one |
//! | S6 restored database | databases are put back from copies, old ones and those of a moment ago; nothing is decided until a quorum was heard and a person recovers; copies outlast a recovery and are put back after it, more than once: `check::restored`, no incarnation, release number or set's number is another's before |
//! | S7, S12 silence, leases, bake | `check::raises`, `check::baked`, by the true time; clocks of agents and hubs are wrong |
//! | S12 pauses | `check::pause_lasts`, by the true time, however a cluster's clock is set meanwhile |
//! | S12 start-by | lives in which permits come late, by clocks that are behind; `check::starts`: by the commit and the true time, whatever a Gate or a clock says |
//! | G17 max step | hubs of a later version bound permits; `check::goes_too_far`: by the commit, whatever becomes of the hub |
//! | S7 nobody is heard | `check::gave_up`: what was permitted goes back for that only under `Abort`, after its lease |
//! | S8 the primary, in the transaction | a draft's snapshot is compared at its commit; what is decided on older tables, the audits and `check::committed` find |
//! | G8 first word | `check::starts`: a first deploy is free only where the hub's own word is stored; clusters join in the middle |
//! | G8 everyone's say | a cluster's first set waits for every FleetRollout that selects it; `check::starts`: what it does not name is free |
//! | G12 one governs | `check::declared` at apply; `check::governed_by`: a Rollout is one FleetRollout's until that one lets it go |
//! | G13 on paper | FleetRollouts that only observe, some until a person lets them hold; `check::paper`: they open, permit and hold nothing |
//! | G24, G26 opening | `check::opening`: a release opens by an agent's or a person's word; one waits, and no third one is overtaken |
//! | G27 no Rollout | `check::passing`: whatever has no Rollout counts as the document says |
//! | L5 put back | `check::restored`: nothing is decided before half of the clusters were heard |
//! | `after` | `check::in_order`: a wave starts only while the newest releases before it have passed |
//! | G4, G25 its own | `check::its_own`: what is permitted was given to that cluster, and persons saw its images; clusters differ |
//! | G30 one stopped | `check::addressed`: a word obeyed was said to this one, a stop told is its own; one may stay stopped to the end: the others end |
//! | S2 replay | `check::audit`: at the end the rows, by the hub's own replay, give every table |
//! | S9, S10 sessions | `check::reports_stored`, `check::session_opened` |
//! | S9 within one | frames come once more, late; `check::view`: what the tables have of a Rollout is what was said last |
//! | S11 bounds | the queue of the whole; `check::outbox`: what waits in agents and hubs, and that no end of a permit is dropped there |
//! | S13 capacity | `check::capacity`: pods that are there and stay; the agent's audit on every plan |
//! | S15 stale caches | the agent's audit; a write that meets another state than it was planned from |
//! | S10 one actor | `check::one_actor`: processes that their machines stop in the midst of a pass go on when another one has the Lease |
//! | S16 steps | `check::step_is_seen`: whoever leaves a weight has its pods; the agent's audit |
//! | S17 analyses | lives in which runs are really measured and servers answer badly or not at all; `check::run_ended`: what is good was heard to be good; in the other lives verdicts are chance |
//! | S18 Git | appliers that repeat themselves, late and out of order; `check::opens_for_git`, `check::one_set_each` |
//! | G1, G3 content | `check::is_as_admitted`, `check::revisions_are_said`; Git does not tell every revision |
//! | G2 delivery | lives in which Git changes steps; `check::steps_are_frozen` |
//! | G7 kinds | API servers that do not answer at once; `check::waits_for_the_kinds` |
//! | G14 held | `check::is_held` |
//! | G15, G16 in the cluster | persons promote, skip, abort, retry and break the glass there; `check::rule_of_words`, `check::glass_is_told` |
//! | G19, G23 back | `check::edited_back`; configuration that is gone, `check::no_guess` |
//! | L1 numbers | `check::goes_by_its_number` |
//! | S19 verbs | approvals and requests are single commits; `check::in_turn`: nothing starts in a release that has halted |
//! | S20 rollback | `check::taken_back`, `check::nobody_left`, the hub's audit |
//! | S14 versions | hubs and agents say words that the other does not know; `check::skew`: no Gate and no end comes of one |
//! | S21 empties | `check::empties`: what is decided on has every cluster, what is sent names every Rollout |
//! | S22 audit | rows as the hub chains them; `check::audit`: one for each deed, with its evidence, and for each refusal; the hub's own verifier reads them, and what agents were handed |
//! | S23 | not here: secrets have no part in the model |
//! | S20 order and scope | `check::back`: last wave first, what had finished stays where a person said so; G22, what is shown of it in the end |
//! | L2 sets | `check::written`: what a set takes away is written before what it grants; `check::set_is_whole`: a fence that is stored is the whole set's, and its Gates permit what that says |
//! | L4 put back | `check::nothing_more`: no end of a permit that a cluster lost with its API server is believed, whatever its fence says |
//! | L1, L2, L4, L5 | `check::end`, `check::arrived`, once nothing breaks any more |
//! | L3 others | agents that do not read; `check::others`: what is committed for the others is sent in time |
//! | L6 a leader | `check::leads`, also while things break |
//! | L8, link L6 certificates | agents join by tokens and renew, answers are lost, tokens are tried by others; `check::member` |
//! | L7 abort, G30 stop | `check::reaches`: what is said once nothing breaks is in every cluster within 5 s and a poll |
//!
//! Order within one stream holds, as HTTP/2 has it, but for frames that a proxy repeats; messages are late, doubled, lost with
//! their stream, and overtaken by those of newer streams.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a model for tests: a panic in it is a failed test"
)]

pub mod agent;
mod check;
pub mod event;
pub mod exhaustive;
pub mod hub;
pub mod keys;
pub mod planted;
pub mod store;
pub mod trace;
pub mod world;

pub use planted::{Bugs, Planted};
pub use world::{Config, Told, live};
