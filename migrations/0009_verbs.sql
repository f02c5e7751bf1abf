-- A person's word beside "open a release". A hub of the version before knows only that one: a row with another verb is
-- settled from its beginning for it, and undecided for whoever knows verbs.
alter table requests add column verb jsonb not null default '{"verb": "Start", "expedite": false}';
alter table requests add column release bigint;
alter table requests add column undecided boolean not null default false;
alter table requests add column answer text not null default '';
-- By which a client that lost the reply asks again without asking twice.
alter table requests add column key text not null default '';
create unique index requests_key on requests (key) where key <> '';
create index requests_undecided on requests (fleet_rollout) where undecided;

-- What persons said about a release, as far as it still holds.
alter table releases add column word jsonb not null default '{}';
-- A person ended its bake.
alter table waves add column promoted boolean not null default false;

-- Nothing starts, in one FleetRollout or (empty) in all.
create table stops (
    fleet_rollout text primary key,
    person text not null,
    reason text not null,
    since timestamptz not null default now(),
    -- It is over, and what it held has its time anew from then.
    lifted_at timestamptz
);
-- The answer to a stop or its end that was asked for by this key.
create table stop_keys (
    key text primary key,
    person text not null,
    request text not null,
    answer text not null,
    at timestamptz not null default now()
);
