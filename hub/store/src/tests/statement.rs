//! Every statement prepares, and gives exactly the columns that its row type reads, null only where the row can hold it.

use sqlx::{Column as _, Executor as _};

use super::fixture;
use crate::*;

type Columns = &'static [(&'static str, bool)];

/// Statements that give rows, and what reads them.
const READING: &[(&str, Columns)] = &[
    (history::HEAD_LOCK, history::HeadRow::COLUMNS),
    (history::LIST, history::HistoryRow::COLUMNS),
    (history::OF_FLEET_ROLLOUT, history::HistoryRow::COLUMNS),
    (recovery::STATE, recovery::StateRow::COLUMNS),
    (recovery::HEARD, recovery::HeardRow::COLUMNS),
    (health::HEALTH, health::HealthRow::COLUMNS),
    (claim::CLAIMS, claim::ClaimsRow::COLUMNS),
    (history::HEADS, history::ChainRow::COLUMNS),
    (history::ANCHORS, history::AnchorRow::COLUMNS),
    (approval::INSERT, approval::InsertedRow::COLUMNS),
    (history::NEWEST, history::NewestRow::COLUMNS),
    (cluster::LIST, cluster::ListRow::COLUMNS),
    (member::CHANGED, member::FactsRow::COLUMNS),
    (member::NAMED, member::FactsRow::COLUMNS),
    (member::SETS_CHANGED, desired::FencesRow::COLUMNS),
    (member::SETS, desired::FencesRow::COLUMNS),
    (member::SESSIONS, member::SessionsRow::COLUMNS),
    (changed::MOMENT, changed::MomentRow::COLUMNS),
    (cluster::UIDS, cluster::UidRow::COLUMNS),
    (cluster::LABELS, cluster::LabelsRow::COLUMNS),
    (join::LOCK, join::TokenRow::COLUMNS),
    (former::OTHERS, former::OtherRow::COLUMNS),
    (refusal::LIST, refusal::RefusalRow::COLUMNS),
    (request::GET, request::RequestRow::COLUMNS),
    (request::OPEN, request::OpenRow::COLUMNS),
    (request::KEYED, request::KeyedRow::COLUMNS),
    (stop::OF, stop::StopRow::COLUMNS),
    (stop::ALL, stop::StopRow::COLUMNS),
    (stop::KEYED, stop::KeyedRow::COLUMNS),
    (session::LOCK, session::LockRow::COLUMNS),
    (session::LOCK_FREE, session::LockRow::COLUMNS),
    (
        session::together::HASHES,
        session::together::HashRow::COLUMNS,
    ),
    (session::OPEN, session::OpenedRow::COLUMNS),
    (heard::SEEN, heard::SeenRow::COLUMNS),
    (heard::STORED, heard::StoredRow::COLUMNS),
    (report::LOCK, report::ReportedRow::COLUMNS),
    (older::HAS, older::HasRow::COLUMNS),
    (latest::KNOWN, latest::KnownRow::COLUMNS),
    (latest::KNOWN_OF, latest::KnownRow::COLUMNS),
    (latest::GOVERNED, latest::PlaceRow::COLUMNS),
    (latest::COUNTED, latest::CountedRow::COLUMNS),
    (desired::RAISE, desired::FencesRow::COLUMNS),
    (desired::FENCES, desired::FencesRow::COLUMNS),
    (desired::OF_CLUSTER, desired::EntryRow::COLUMNS),
    (membership::LOCK, membership::LockRow::COLUMNS),
    (let_go::ALL, let_go::PairRow::COLUMNS),
    (let_go::OF, let_go::LetGoRow::COLUMNS),
    (first_word::GATED, first_word::GatedRow::COLUMNS),
    (cluster::LABELS_OF, cluster::LabelsRow::COLUMNS),
    (desired::CHANGED, desired::GateOfRow::COLUMNS),
    (rollout::CHANGED, rollout::RolloutRow::COLUMNS),
    (fleet_window::LIST, fleet_window::WindowRow::COLUMNS),
    (preview::DURATIONS, preview::DurationRow::COLUMNS),
    (observe::NEWEST, observe::NewestRow::COLUMNS),
    (fleet_rollout::LIST, fleet_rollout::StoredRow::COLUMNS),
    (fleet_rollout::GET, fleet_rollout::StoredRow::COLUMNS),
    (fleet_rollout::LOCK, fleet_rollout::StoredRow::COLUMNS),
    (release::RELEASE, release::OneRow::COLUMNS),
    (release::WAVES, release::WaveRow::COLUMNS),
    (release::APPROVALS, release::ApprovalRow::COLUMNS),
    (target::OF_RELEASE, target::TargetRow::COLUMNS),
    (target::CHANGED, target::TargetRow::COLUMNS),
    (target::KEYS, target::KeyRow::COLUMNS),
    (outline::HEADS, outline::HeadRow::COLUMNS),
    (outline::OUTLINES, outline::OutlineRow::COLUMNS),
    (observe::CHANGES, observe::ChangeRow::COLUMNS),
    (observe::BARRED, observe::BarredRow::COLUMNS),
    (barred::ALL, barred::AllRow::COLUMNS),
];

#[tokio::test]
async fn every_statement_fits_its_row() {
    let store = fixture::store().await;
    for (statement, columns) in READING.iter().copied() {
        let described = store
            .pool
            .describe(sqlx::SqlSafeStr::into_sql_str(statement))
            .await
            .unwrap();
        let names: Vec<_> = described
            .columns
            .iter()
            .map(|column| column.name())
            .collect();
        let wanted: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, wanted, "{statement}");
        for (index, (name, nullable)) in columns.iter().enumerate() {
            if !nullable {
                assert_ne!(
                    described.nullable[index],
                    Some(true),
                    "{name} may be null in {statement}"
                );
            }
        }
    }
}

/// Statements that give no rows, or none that a row type reads.
const WRITING: &[&str] = &[
    connection::NOW,
    changed::UNCRASHED,
    changed::GONE,
    changed::PRUNE,
    desired::KEYS,
    rollout::KEYS,
    outline::KEYS,
    connection::LIMITS,
    connection::PROCESS,
    connection::ROLE_GRANT,
    connection::ROLE_TAKE,
    connection::ROLE_FITS,
    epoch::LEASE_TAKE,
    epoch::EPOCH_RAISE,
    epoch::LEASE_RENEW,
    epoch::LEASE_RELEASE,
    epoch::EPOCH_GUARD,
    hint::NOTIFY,
    history::HEAD_SET,
    history::HASH,
    claim::CLAIM,
    recovery::MEET,
    recovery::HOLD,
    recovery::LIFT,
    recovery::INCARNATION,
    recovery::SETS,
    recovery::FORGIVE,
    recovery::NOTES,
    history::INSERT,
    cluster::UPSERT,
    cluster::SET_UPSERT,
    cluster::SESSION_UPSERT,
    cluster::BIND,
    certificate::INSERT,
    certificate::REVOKED,
    certificate::MANY,
    certificate::REVOKE,
    certificate::REVOKE_UNLISTED,
    certificate::END_SESSION,
    join::INSERT,
    join::SPEND,
    join::BOUND,
    join::LEFT,
    former::ABOVE,
    certificate::OWNER,
    membership::CLOCK,
    membership::labels::SET,
    membership::identity::TAKEN,
    membership::identity::RENAME,
    membership::identity::REBIND,
    membership::identity::FORGET_SESSION,
    membership::identity::FORGET_ROLLOUTS,
    membership::identity::FORGET_CHANGES,
    membership::identity::LEAVE,
    refusal::INSERT,
    request::INSERT,
    request::SETTLE,
    session::CLOSE,
    session::NOTE,
    report::WATERMARK,
    report::CHANGES,
    latest::UPSERT,
    latest::FORGET,
    latest::FORGET_OUTCOMES,
    report::VERB_TOLD,
    broken_glass::INSERT,
    desired::SNAPSHOT,
    desired::TERMS,
    desired::CHANGE,
    desired::HASHED,
    let_go::ADD,
    let_go::FORGET,
    document::WINDOW_DELETE,
    document::ROLLOUT_DELETE,
    document::GOVERNED,
    document::OPEN,
    let_go::REMOVE,
    decide::REPEATABLE,
    fleet_rollout::LOCK_APPLY,
    fleet_rollout::NAMES,
    fleet_rollout::UPSERT,
    fleet_window::UPSERT,
    fleet_rollout::STATUS,
    release::NUMBERS,
    release::PLAN,
    target::INSERT,
    target::CHANGE,
    target::REWRITE,
    approval::VOID,
    apply::RELEASE_INSERT,
    apply::RELEASE_PHASE,
    apply::WAVE_INSERT,
    apply::WAVE_PHASE,
    apply::WAVES_SKIP,
    apply::CHANGES_SETTLE,
    apply::BAR,
    apply::UNBAR,
    apply::obey::RELEASE,
    apply::obey::WAVE,
    stop::TOUCH,
    stop::INSERT,
    stop::LIFT,
    stop::LIFTED,
    stop::KEY,
    stop::PRUNE,
    stop::PRUNE_REQUESTS,
    stop::PRUNE_REFUSALS,
    stop::PRUNE_CHANGES,
    stop::PRUNE_STRANGE,
    embedded::DATABASE_EXISTS,
    embedded::DATABASE_CREATE,
];

#[tokio::test]
async fn every_other_statement_prepares() {
    let store = fixture::store().await;
    for statement in WRITING.iter().copied().chain(recovery::RENUMBER) {
        let prepared = store
            .pool
            .prepare(sqlx::SqlSafeStr::into_sql_str(statement))
            .await;
        assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
    }
}
