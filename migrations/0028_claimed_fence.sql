-- A fence above this database's that an agent showed without this hub's signature under it (gate.md L5). It is believed only
-- when most clusters say as much; until then its own cluster alone is kept out. Null: none.
alter table cluster_sessions add column claimed_incarnation bigint;
alter table cluster_sessions add column claimed_version bigint;
