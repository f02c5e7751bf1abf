create table releases (
    fleet_rollout text not null references fleet_rollouts (name),
    number bigint not null,
    revision text,
    images jsonb not null,
    cause jsonb not null,
    plan jsonb not null,
    plan_digest text not null,
    phase text not null,
    verdict text not null default '',
    overtook integer not null,
    opened_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    primary key (fleet_rollout, number)
);

create table waves (
    fleet_rollout text not null,
    release bigint not null,
    number integer not null,
    name text not null,
    phase text not null,
    started_at timestamptz,
    bake_until timestamptz,
    ended_at timestamptz,
    verdict text not null default '',
    primary key (fleet_rollout, release, number),
    foreign key (fleet_rollout, release) references releases (fleet_rollout, number)
);

create table targets (
    fleet_rollout text not null,
    release bigint not null,
    cluster text not null references clusters (name),
    wave integer not null,
    position integer not null,
    late boolean not null default false,
    state text not null,
    message text not null default '',
    content jsonb,
    previous jsonb,
    permit jsonb,
    since timestamptz,
    succeeded_at timestamptz,
    primary key (fleet_rollout, release, cluster),
    foreign key (fleet_rollout, release) references releases (fleet_rollout, number)
);

create table approvals (
    id bigint generated always as identity primary key,
    fleet_rollout text not null,
    release bigint not null,
    wave integer not null,
    person text not null,
    groups jsonb not null,
    comment text not null,
    plan_digest text not null,
    revision text,
    images jsonb not null,
    -- What the person was shown.
    evidence jsonb not null,
    approved_at timestamptz not null,
    voided text not null default '',
    foreign key (fleet_rollout, release) references releases (fleet_rollout, number)
);

-- A digest that failed may not start until a person says so (gate.md G17).
create table barred (
    fleet_rollout text not null references fleet_rollouts (name),
    digest text not null,
    release bigint not null,
    primary key (fleet_rollout, digest)
);
