-- In which transactions rows went away, or got other keys: no row is left that could say so. Whoever remembers rows lists
-- their keys again after one. Such transactions are few: a cluster that is bound anew, one that is renamed.
create table hub_gone (changed_in xid8 primary key);
create function row_gone() returns trigger language plpgsql as $$
begin
    insert into hub_gone values (pg_current_xact_id()) on conflict do nothing;
    return null;
end
$$;
create trigger gone after delete on gates for each row execute function row_gone();
create trigger gone after delete on rollouts for each row execute function row_gone();
create trigger gone after delete on releases for each row execute function row_gone();
create trigger gone after delete on targets for each row execute function row_gone();
create trigger moved after update on gates for each row
    when ((old.cluster, old.namespace, old.rollout) is distinct from (new.cluster, new.namespace, new.rollout))
    execute function row_gone();
create trigger moved after update on rollouts for each row
    when ((old.cluster, old.namespace, old.rollout) is distinct from (new.cluster, new.namespace, new.rollout))
    execute function row_gone();
create trigger moved after update on releases for each row
    when ((old.fleet_rollout, old.number) is distinct from (new.fleet_rollout, new.number))
    execute function row_gone();
create trigger moved after update on targets for each row
    when ((old.fleet_rollout, old.release, old.cluster, old.late, old.wave, old.position)
        is distinct from (new.fleet_rollout, new.release, new.cluster, new.late, new.wave, new.position))
    execute function row_gone();

-- What a cluster should hold has a number that changes with decisions only; sessions, which change all the time, are apart.
alter table cluster_sets add column changed_in xid8 not null default '1';
create trigger changed_in before insert or update on cluster_sets for each row execute function changed_in();
create index cluster_sets_changed_in on cluster_sets (changed_in);
