-- Who decides. Two rows, not one: the epoch changes only at a takeover, the lease at every renewal, so that renewing
-- never makes a deciding transaction fail.
create table hub_epoch (
    single boolean primary key default true check (single),
    epoch bigint not null
);
insert into hub_epoch (epoch) values (0);

create table hub_lease (
    single boolean primary key default true check (single),
    holder text not null,
    expires_at timestamptz not null
);
insert into hub_lease (holder, expires_at) values ('', 'epoch');

-- Raised only by a restore (gate.md L5).
create table hub_incarnation (
    single boolean primary key default true check (single),
    incarnation bigint not null
);
insert into hub_incarnation (incarnation) values (1);
