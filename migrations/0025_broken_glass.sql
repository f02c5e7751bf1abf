-- What a person started in a cluster without the fleet's word (gate.md G16), once each: agents tell it at every start.
create table broken_glass (
    cluster text not null references clusters (name),
    id text not null,
    namespace text not null,
    rollout text not null,
    digest text not null,
    person text not null,
    reason text not null,
    told_at timestamptz not null default now(),
    primary key (cluster, id)
);
