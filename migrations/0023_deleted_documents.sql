-- A FleetRollout that governs nothing any more may be deleted; its releases and its history stay.
alter table fleet_rollouts add column deleted_at timestamptz;
-- Answers to old keys are pruned by age.
create index requests_keyed on requests (asked_at) where key <> '';
create index stop_keys_at on stop_keys (at);
