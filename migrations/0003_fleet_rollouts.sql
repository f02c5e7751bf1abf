create table fleet_rollouts (
    name text primary key,
    namespace text not null,
    rollout text not null,
    document jsonb not null,
    source text not null,
    version bigint not null,
    applied_by text not null,
    applied_at timestamptz not null,
    status jsonb not null,
    reasons jsonb not null,
    wake_at timestamptz
);

-- The desired set of a cluster: one row an entry.
create table gates (
    cluster text not null references clusters (name),
    namespace text not null,
    rollout text not null,
    fleet_rollout text not null references fleet_rollouts (name),
    version bigint not null,
    -- Governed, KeepServing or ReleaseHeld (gate.md G9).
    governance text not null default 'Governed',
    terms jsonb not null,
    waiting jsonb,
    permit jsonb,
    -- Of the permit: its lease, whom it is addressed to, its signature and trace.
    lease_seconds integer not null default 0,
    steps_backwards boolean not null default false,
    cluster_uid text not null default '',
    rollout_uid text not null default '',
    signature text not null default '',
    traceparent text not null default '',
    primary key (cluster, namespace, rollout)
);
create index gates_fleet_rollout on gates (fleet_rollout);

-- What agents said last of each Rollout; a newer word never gives way to an older one (session, sequence).
create table rollouts (
    cluster text not null references clusters (name),
    namespace text not null,
    rollout text not null,
    state jsonb not null,
    session bigint not null,
    sequence bigint not null,
    primary key (cluster, namespace, rollout)
);

create table changes (
    id bigint generated always as identity primary key,
    cluster text not null references clusters (name),
    namespace text not null,
    rollout text not null,
    was jsonb,
    now jsonb not null,
    session bigint not null,
    sequence bigint not null,
    seen_at timestamptz not null default now(),
    settled boolean not null default false,
    unique (cluster, session, sequence)
);
create index changes_open on changes (namespace, rollout) where not settled;

create table requests (
    id bigint generated always as identity primary key,
    fleet_rollout text not null references fleet_rollouts (name),
    person text not null,
    reason text not null,
    asked_at timestamptz not null default now(),
    settled boolean not null default false,
    opened bigint,
    refused text not null default ''
);
create index requests_open on requests (fleet_rollout) where not settled;
