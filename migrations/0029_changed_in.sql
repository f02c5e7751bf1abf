-- Which transaction wrote a row last, so that a decision reads only what has changed since the one before. It is the number
-- of the whole transaction, within savepoints too, and no number comes twice in the life of a database cluster. The triggers
-- set it, so that a hub of the version before does its part without knowing. Sessions have none: every heartbeat writes them.
create function changed_in() returns trigger language plpgsql as $$
begin
    new.changed_in := pg_current_xact_id();
    return new;
end
$$;

-- What is there already was written before everything that is remembered.
alter table clusters add column changed_in xid8 not null default '1';
alter table gates add column changed_in xid8 not null default '1';
alter table rollouts add column changed_in xid8 not null default '1';
alter table releases add column changed_in xid8 not null default '1';
alter table targets add column changed_in xid8 not null default '1';

create trigger changed_in before insert or update on clusters for each row execute function changed_in();
create trigger changed_in before insert or update on gates for each row execute function changed_in();
create trigger changed_in before insert or update on rollouts for each row execute function changed_in();
create trigger changed_in before insert or update on releases for each row execute function changed_in();
create trigger changed_in before insert or update on targets for each row execute function changed_in();

create index clusters_changed_in on clusters (changed_in);
create index gates_changed_in on gates (namespace, rollout, changed_in);
create index rollouts_changed_in on rollouts (namespace, rollout, changed_in);
create index releases_changed_in on releases (fleet_rollout, changed_in);
create index targets_changed_in on targets (fleet_rollout, changed_in);

-- Empty after a crash of the server, as unlogged tables are: numbers of transactions that nothing of was written down before
-- it may be given again after it.
create unlogged table hub_uncrashed (
    single boolean primary key default true check (single),
    token text not null default gen_random_uuid()::text
);
