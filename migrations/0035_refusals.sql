-- How often a refusal was said again soon after, or others like it that have no row of their own: what is refused again and
-- again must not fill the database. A hub of the version before writes a row each.
alter table refusals add column again bigint not null default 0;
-- The newest are looked at before each, and the oldest are deleted.
create index refusals_at on refusals (at);
