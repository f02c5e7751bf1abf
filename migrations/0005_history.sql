-- Facts, decisions and effects, each with its evidence. Only ever added to; one hash chain a stream (a release, a
-- FleetRollout, or the hub itself), whose head is locked by whoever adds to it.
create table history_heads (
    stream text primary key,
    position bigint not null,
    hash bytea not null
);

create table history (
    sequence bigint generated always as identity primary key,
    stream text not null,
    position bigint not null,
    at timestamptz not null,
    release text not null,
    cluster text not null,
    kind text not null,
    actor text not null,
    message text not null,
    evidence jsonb not null,
    epoch bigint not null,
    previous_hash bytea not null,
    hash bytea not null,
    unique (stream, position)
);
create index history_release on history (release, sequence);

create function history_is_only_added_to() returns trigger language plpgsql as $$
begin
    raise exception 'history is only ever added to';
end
$$;
create trigger history_no_change before update or delete on history
    for each row execute function history_is_only_added_to();
create trigger history_no_truncate before truncate on history
    for each statement execute function history_is_only_added_to();
