-- The triggers write for a hub of the version before too, which runs beside this one with the grants of its own start.
call hub_role_grant();
