-- Windows and freezes for a part of the fleet (kind FleetWindow).
create table fleet_windows (
    name text primary key,
    document jsonb not null,
    source text not null,
    version bigint not null,
    applied_by text not null,
    applied_at timestamptz not null
);
