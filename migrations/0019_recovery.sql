-- Whether anything may be decided after a restore (gate.md L5).
create table hub_recovery (
    single boolean primary key default true check (single),
    -- System identifier and timeline of the server that was decided on last; another one is a restored database.
    timeline text not null default '',
    -- Since when and why nothing is decided; null: it is.
    held_since timestamptz,
    why text not null default '',
    -- When a person last said that what is missing is known.
    recovered_at timestamptz
);
insert into hub_recovery default values;
