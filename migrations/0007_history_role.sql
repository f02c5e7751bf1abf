-- Beside the trigger, a role that may add to the history and not change it. The hub's connections take it where they may.
-- A database user who may not make roles goes on without: nothing here fails, and the hub says so at its start. It is
-- called at every start: an administrator may have made the role since, and later files bring tables.
create procedure hub_role_grant() language plpgsql as $$
begin
    -- Two hubs that start at once would change the same grants.
    perform pg_advisory_xact_lock(hashtext('groundswell hub_role_grant'));
    if not exists (select from pg_roles where rolname = 'groundswell_hub') then
        begin
            create role groundswell_hub nologin;
        exception when insufficient_privilege or duplicate_object or unique_violation then
            null;
        end;
    end if;
    if not exists (select from pg_roles where rolname = 'groundswell_hub') then
        return;
    end if;
    execute format('grant usage on schema %I to groundswell_hub', current_schema());
    execute format('grant select, insert, update, delete on all tables in schema %I to groundswell_hub', current_schema());
    revoke update, delete, truncate on history from groundswell_hub;
    revoke insert, update, delete on _sqlx_migrations from groundswell_hub;
    if not pg_has_role(session_user, 'groundswell_hub', 'member') then
        begin
            execute format('grant groundswell_hub to %I', session_user);
        exception when insufficient_privilege then
            null;
        end;
    end if;
end
$$;
