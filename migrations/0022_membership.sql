-- Clusters that leave, are bound anew or come out of a backup, and governance that a person ended (gate.md G9, L4). A hub of
-- the version before knows none of it: end governance only when all hubs are of this version.
alter table clusters add column left_at timestamptz;
alter table clusters add column left_by text not null default '';
alter table clusters add column left_reason text not null default '';
-- Since then another cluster has this name.
alter table clusters add column replaced_at timestamptz;
-- When it last came back with a lower fence than it had.
alter table cluster_sessions add column restored_at timestamptz;

-- Where a FleetRollout governs no more, by whose word.
create table let_go (
    fleet_rollout text not null references fleet_rollouts (name),
    cluster text not null references clusters (name) on update cascade,
    -- KeepServing or ReleaseHeld.
    mode text not null,
    person text not null,
    reason text not null,
    since timestamptz not null,
    primary key (fleet_rollout, cluster)
);

-- A cluster's name may change; its rows follow it.
alter table cluster_sets drop constraint cluster_sets_cluster_fkey,
    add constraint cluster_sets_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table cluster_sessions drop constraint cluster_sessions_cluster_fkey,
    add constraint cluster_sessions_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table gates drop constraint gates_cluster_fkey,
    add constraint gates_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table rollouts drop constraint rollouts_cluster_fkey,
    add constraint rollouts_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table changes drop constraint changes_cluster_fkey,
    add constraint changes_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table targets drop constraint targets_cluster_fkey,
    add constraint targets_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
alter table certificates drop constraint certificates_cluster_fkey,
    add constraint certificates_cluster_fkey foreign key (cluster) references clusters (name) on update cascade;
